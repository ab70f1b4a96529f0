"""The papers on networks whose own parts fail."""

from __future__ import annotations

from varangian.core.citations import Reference

NEURONS_FAIL = Reference(
    "El Mahdi El Mhamdi, Rachid Guerraoui",
    "When Neurons Fail",
    "IPDPS",
    2017,
    "https://arxiv.org/abs/1706.08884",
)
ROBUST_NETWORK = Reference(
    "El Mahdi El Mhamdi, Rachid Guerraoui, Sébastien Rouault",
    "On the Robustness of a Neural Network",
    "SRDS",
    2017,
    "https://arxiv.org/abs/1707.08167",
)
CONTINUOUS_LIMIT = Reference(
    "El-Mahdi El-Mhamdi, Rachid Guerraoui, Andrei Kucharavy, Sergei Volodin",
    "The Probabilistic Fault Tolerance of Neural Networks in the Continuous Limit",
    "arXiv",
    2019,
    "https://arxiv.org/abs/1902.01686",
)

BOUNDS: dict[str, tuple[str, Reference | None]] = {
    "fep": ("FEP", NEURONS_FAIL),
    "expected-error": ("expected error", ROBUST_NETWORK),
    **{f"b{number}": (f"b{number}", CONTINUOUS_LIMIT) for number in (1, 2, 3, 4)},
}
"""What bounds and estimates are called, by how they are spelled, and who is to be cited for them."""
