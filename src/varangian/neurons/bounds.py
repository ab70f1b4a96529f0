"""FEP and the expected error: what an output, and a loss, can be off by; each with what it assumes."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Integer
from torch import Tensor

from varangian.core.citations import Reference
from varangian.core.values import Value
from varangian.errors import ParameterError, UnknownNameError
from varangian.neurons.fault import Fault
from varangian.neurons.network import Network
from varangian.neurons.papers import NEURONS_FAIL, ROBUST_NETWORK
from varangian.neurons.spread import spread

LOSSES = ("nll", "cross_entropy", "mse")


@dataclass(frozen=True)
class Bound(Value):
    """What every output is off by at most, or in expectation, and under which assumptions.

    >>> Bound("FEP", 0.5, ("every input",), NEURONS_FAIL).on_loss("cross_entropy")
    1.0
    """

    name: str
    value: float
    assumptions: tuple[str, ...]
    reference: Reference

    def on_loss(
        self,
        loss: str,
        outputs: Float[Tensor, " batch"] | None = None,
        labels: Integer[Tensor, " batch"] | None = None,
    ) -> float:
        """Return what the mean loss is off by at most, or in expectation.

        Of ``nll``, outputs are log-probabilities, and the loss is off by as much as one of them. Of
        ``cross_entropy``, they are logits; its gradient has a sum of absolute values of 2 at most. ``mse``
        needs the true outputs and labels, and is off by 2 e |o - t| + e^2 for each; the expectation of e^2 is
        not known, so that it takes a bound which is none.

        Raises      UnknownNameError, ParameterError
        """
        if loss not in LOSSES:
            raise UnknownNameError("loss with a bound", loss, LOSSES)
        if loss != "mse":
            return self.value * (1.0 if loss == "nll" else 2.0)
        if outputs is None or labels is None or self.name != "FEP":
            raise ParameterError(
                "A bound on mse needs outputs and labels, and FEP, which holds for each draw."
            )
        return float((2 * self.value * (outputs - labels).abs() + self.value**2).mean())


def fep(network: Network, fault: Fault) -> Bound:
    """Return the forward error propagation: what faults by count can move an output by, wherever they are.

    Assumes     K-Lipschitz activations; values whose range is finite, or that of the inputs at hand
    Guarantee   |output - true output| <= FEP for each output and each such fault
    Raises      ParameterError for faults at random (see ``expected_error``), and for those without a bound
    Reference   El Mhamdi and Guerraoui, IPDPS 2017

    >>> import torch
    >>> from torch import nn
    >>> from varangian.neurons.faults import Byzantine
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1))
    >>> _ = nn.init.constant_(model[2].weight, 0.5)
    >>> fep(Network.of(model, torch.zeros(1, 2)), Byzantine(0.1, count=2)).value
    0.1
    """
    if fault.probability is not None:
        raise ParameterError(
            f"{fault!r} can strike everything at once; ask for its expected_error, or give a count."
        )
    return Bound("FEP", spread(network, fault), assumptions(network), NEURONS_FAIL)


def expected_error(network: Network, fault: Fault) -> Bound:
    """Return a bound on the expectation of the largest error among outputs, for faults with a probability.

    It is the same recursion, in expectation: a polynomial in the Lipschitz constant, whose degree is the
    number of layers that an error passes.

    Assumes     as ``fep``, and that each part fails by itself
    Raises      ParameterError for faults by count, and for those without a bound
    Reference   El Mhamdi, Guerraoui and Rouault, SRDS 2017
    """
    if fault.probability is None:
        raise ParameterError(f"{fault!r} is not at random; ask for its fep, or give a probability.")
    return Bound(
        "expected error",
        spread(network, fault),
        (*assumptions(network), "each part fails independently"),
        ROBUST_NETWORK,
    )


def assumptions(network: Network) -> tuple[str, ...]:
    """Return what bounds on a network assume."""
    steepest = max(layer.lipschitz for layer in network.hidden)
    data = "every input" if network.bounded else "the inputs at hand: an activation has no upper end"
    return (f"activations at most {steepest:g}-Lipschitz", data)
