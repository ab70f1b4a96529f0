"""Promises about side effects: there are none."""

from __future__ import annotations

import copy
import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from varangian.core.needs import Pivot
from varangian.testing.kinds import kinds_on
from varangian.testing.promises import close, demand, promise, rounding, same_bits
from varangian.testing.subject import Subject, Trial


def layouts(x: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Yield the same (n, d) numbers in several layouts: a name, the view, and the memory behind it."""
    yield "a contiguous matrix", (plain := x.clone()), plain
    yield "a transposed matrix", (turned := x.mT.contiguous()).mT, turned
    wide = torch.full((x.shape[0] * 2, x.shape[1] * 3), 7.0, dtype=x.dtype, device=x.device)
    wide[::2, 1::3] = x
    yield "a strided view", wide[::2, 1::3], wide
    leaf = x.clone().requires_grad_()
    yield "a matrix that requires gradients", leaf, leaf
    yield "a result of autograd", leaf * 1.0, leaf


@promise("The input is left as it was, bit for bit, and the output shares no memory with it.")
def untouched(subject: Subject) -> None:
    """Check layouts, kinds, hostile values, the pivot and the state."""
    trial = subject.trial(dtype=torch.float32)
    if subject.robust:
        trial.x[0, 0], trial.x[-1, -1] = torch.nan, 3e38
    for name, view, memory in layouts(trial.x):
        before = memory.detach().clone()
        pivot = None if trial.pivot is None else trial.pivot.clone()
        got = subject.run(view, pivot).value
        demand(not got.requires_grad, f"an output that requires gradients, from {name}.", subject, trial)
        got.fill_(5.0)
        demand(same_bits(memory, before), f"changed numbers in {name}.", subject, trial)
        kept = pivot is None or trial.pivot is None or same_bits(pivot, trial.pivot)
        demand(kept, "a changed pivot.", subject, trial)
    for form in kinds_on(subject.device):
        packed = form.rows(trial.x)
        if isinstance(packed, np.ndarray):
            packed.flags.writeable = False
        before = copy.deepcopy(packed)
        items = list(packed) if isinstance(packed, list) else []
        given = {} if trial.pivot is None else {"pivot": form.vector(trial.pivot)}
        subject.run(packed, **given)
        whole = len(before) == len(packed) and all(a is b for a, b in zip(items, packed, strict=False))
        demand(whole, f"a changed list, of {form.name}.", subject, trial)
        demand(
            same_bits(form.back_rows(packed), form.back_rows(before)),
            f"changed numbers in {form.name}.",
            subject,
            trial,
        )
    _state_untouched(subject, trial)


def _state_untouched(subject: Subject, trial: Trial) -> None:
    if Pivot.CARRIED not in subject.pivots:
        return
    first = subject.run(trial.x, trial.pivot)
    before = first.state.clone()
    second = subject.run(trial.x, trial.pivot, state=first.state)
    demand(same_bits(first.state, before), "a changed state.", subject, trial)
    second.value.fill_(5.0)
    demand(
        not bool((second.state == 5.0).all()), "a state that shares memory with the output.", subject, trial
    )


@promise("The layout in memory does not matter.")
def layout(subject: Subject) -> None:
    """Check that strided, transposed and autograd inputs give what a plain one gives."""
    trial = subject.trial(dtype=torch.float32)
    want = subject.value(trial)
    for name, view, _ in layouts(trial.x):
        got = subject.value(trial.with_rows(view))
        near = close(got, want, rounding(torch.float32), float(trial.x.abs().max()))
        demand(near, f"{got} from {name}, {want} from a plain one.", subject, trial)


@promise("The same input gives the same bits.")
def deterministic(subject: Subject) -> None:
    """Check a second call, with another call and another default dtype in between."""
    trial = subject.trial(dtype=torch.float32)
    first = subject.value(trial)
    subject.value(subject.trial(seed=1, dtype=torch.float64))
    demand(same_bits(subject.value(trial), first), "other bits at the second call.", subject, trial)
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        again = subject.value(trial)
    finally:
        torch.set_default_dtype(default)
    demand(same_bits(again, first), "other bits under another default dtype.", subject, trial)


@contextmanager
def _restored_generators() -> Iterator[None]:
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def _generators() -> dict[str, Any]:
    """Return the states; that of ``random`` only where beartype, which draws from it, checks no types."""
    return {
        "random": None if "beartype" in sys.modules else random.getstate(),
        "numpy.random": repr(np.random.get_state(legacy=False)),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }


def quiet_run(call: Any) -> tuple[list[Any], list[str]]:
    """Call twice under different global seeds; return both results and the generators that moved."""
    results, moved = [], []
    with _restored_generators():
        for seed in (1, 2):
            _seed_everything(seed)
            before = _generators()
            results.append(call())
            after = _generators()
            moved += [name for name in before if before[name] != after[name]]
    return results, sorted(set(moved))


@promise("The global random generators are neither read nor moved.")
def global_generators(subject: Subject) -> None:
    """Check the states of random, NumPy and PyTorch, and that their seeds change nothing."""
    trial = subject.trial(dtype=torch.float32)
    (one, two), moved = quiet_run(lambda: subject.value(trial))
    demand(
        not moved,
        f"the global generator of {', '.join(moved)} moved. Draw from the call's stream.",
        subject,
        trial,
    )
    demand(same_bits(one, two), "a result that depends on a global seed.", subject, trial)
