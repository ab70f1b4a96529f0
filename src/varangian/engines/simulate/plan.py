"""Which experiments run side by side: those of one shape, as many as memory holds."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import torch

from varangian.core.parameters import FlatParameters
from varangian.core.randomness import Stream
from varangian.data import DATASETS, Dataset
from varangian.errors import ParameterError
from varangian.models import build
from varangian.specification import Experiment
from varangian.specification.experiment import DTYPES

CPU_BUDGET = 2**30
"""Bytes that a batch may hold on a CPU: twenty runs of 51 workers and 80 000 parameters."""

GPU_SHARE = 0.4
"""Share of a GPU's free memory that a batch may hold."""

SHARED = ("model", "loss", "workers", "batch_size", "steps", "local_steps", "evaluate_every")
SHARED_TOO = ("data", "data_dir", "evaluation_mode", "flip", "dtype", "device")


def shape(spec: Experiment) -> Hashable:
    """Return what the runs of one batch have in common."""
    named = [_hashable(getattr(spec, name)) for name in (*SHARED, *SHARED_TOO)]
    by_sample = spec.privacy is not None and spec.privacy.clip == "sample"
    return (*named, spec.honest, spec.follows, spec.trusts, by_sample)


def batches(specs: Sequence[Experiment], budget: int | None = None) -> list[list[int]]:
    """Return the places of experiments that run side by side, each batch within ``budget`` bytes.

    Experiments that share data, model, numbers of workers, samples and steps go together; learning rates,
    seeds, rules, attacks, momentum and splits may differ. An experiment that exceeds the budget by
    itself is a batch of its own.

    >>> specs = [Experiment(seed=1), Experiment(seed=2, learning_rate=0.1), Experiment(workers=9)]
    >>> batches(specs)
    [[0, 1], [2]]
    """
    alike: dict[Hashable, list[int]] = {}
    for place, spec in enumerate(specs):
        alike.setdefault(shape(spec), []).append(place)
    cut: list[list[int]] = []
    for places in alike.values():
        first = specs[places[0]]
        fit = max(1, (budget or default_budget(first.device)) // footprint(first))
        count = -(-len(places) // fit)
        each = -(-len(places) // count)
        cut += [places[start : start + each] for start in range(0, len(places), each)]
    return cut


def check_alike(specs: Sequence[Experiment]) -> None:
    """Refuse experiments that cannot run in one batch. Raises ParameterError."""
    if not specs:
        raise ParameterError("simulate received no experiment; pass at least one.")
    for spec in specs[1:]:
        if shape(spec) != shape(specs[0]):
            differing = [
                name
                for name in (*SHARED, *SHARED_TOO, "byzantine")
                if _hashable(getattr(spec, name)) != _hashable(getattr(specs[0], name))
            ]
            raise ParameterError(
                "Experiments of one batch must agree in their sizes, and these differ in "
                f"{', '.join(differing) or 'who computes gradients, or how'}; vg.run(list) cuts them into "
                "batches."
            )


def footprint(spec: Experiment) -> int:
    """Return about how many bytes one run holds while it trains: gradients, memories, what is received."""
    features, d = _sizes(spec)
    computing = spec.workers + 1
    numbers = 2 * computing * d + spec.workers * d + 8 * d + computing * spec.batch_size * 2 * features
    return int(numbers * DTYPES[spec.dtype].itemsize)


def default_budget(device: str) -> int:
    """Return the bytes that a batch may hold on this device."""
    if torch.device(device).type != "cuda":
        return CPU_BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    return int(free * GPU_SHARE)


def _sizes(spec: Experiment) -> tuple[int, int]:
    """Return the numbers in an input, and the parameters of the model."""
    if isinstance(spec.data, Dataset):
        input_shape, classes = spec.data.input_shape, spec.data.classes
    else:
        found = [source for source in DATASETS if source.name == spec.data.lower()]
        input_shape, classes = (found[0].input_shape, found[0].classes) if found else ((1,), 2)
    try:
        d = FlatParameters(build(spec.model, input_shape, classes, Stream())).d
    except ParameterError:
        d = 1  # the run itself will refuse, and say why
    return torch.Size(input_shape).numel(), d


def _hashable(value: Any) -> Hashable:
    """Return a value that tells it from others: itself, or its place in memory."""
    return value if isinstance(value, Hashable) and not isinstance(value, Dataset) else id(value)
