"""Promises about hostile values: they neither leak nor overflow, and their senders are named."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from varangian.testing.promises import demand, promise, same_bits
from varangian.testing.subject import Subject, Trial

DTYPES = (torch.float16, torch.float32, torch.float64)
HUGE = {
    torch.float16: (6e4,),
    torch.float32: (1e4, 1e10, 1e25, 3e38),
    torch.float64: (1e60, 1e100, 1e200, 1.7e308),
}
"""Sizes of hostile numbers, up to the end of each range."""
CARRIED_AWAY = 100.0
"""Times the largest honest number: a result beyond that is not of the honest size."""


def _poisons(x: Tensor, f: int) -> Iterator[tuple[str, Tensor]]:
    """Yield a name and where it strikes, as a table of the values to write; zero leaves a number alone."""
    nothing = torch.zeros_like(x)
    for name, value in (
        ("one NaN", torch.nan),
        ("one infinity", torch.inf),
        ("one minus infinity", -torch.inf),
    ):
        one = nothing.clone()
        one[-1, -1] = value
        yield name, one
    row = nothing.clone()
    row[0] = torch.nan
    yield "a row of NaN", row
    many = nothing.clone()
    many[: max(f, 1)] = torch.nan
    many[: max(f, 1), ::2] = torch.inf
    yield f"{max(f, 1)} rows of NaN and infinity", many


@promise("NaN and infinity never leak: the output is finite, and suspects marks exactly who sent them.")
def nonfinite(subject: Subject) -> None:
    """Check single values and whole rows; a non-finite coordinate counts as zero, or is left out.

    Robust stages only.
    """
    if not subject.robust:
        return
    for dtype in DTYPES:
        trial = subject.trial(dtype=dtype)
        poisons = list(_poisons(trial.x, subject.faults))
        for name, poison in poisons if dtype is torch.float32 else poisons[-1:]:
            bad = ~poison.isfinite()
            poisoned = trial.with_rows(torch.where(bad, poison, trial.x))
            seen = subject.run(poisoned.x, poisoned.pivot)
            demand(bool(seen.value.isfinite().all()), f"{seen.value} from {name}.", subject, poisoned)
            right = torch.equal(seen.suspects, bad.any(-1))
            demand(right, f"suspects = {seen.suspects.tolist()} from {name}.", subject, poisoned)
            counted = torch.equal(seen.nonfinite, bad.sum(-1))
            demand(counted, f"nonfinite = {seen.nonfinite.tolist()} from {name}.", subject, poisoned)
            if subject.stage.missing:
                without, instead = _left_out(subject, trial, bad), "when they are left out"
                same = torch.allclose(seen.value, without, rtol=4 * torch.finfo(dtype).eps, atol=0)
            else:
                without, instead = (
                    subject.value(trial.with_rows(torch.where(bad, 0.0, trial.x))),
                    "from zeros",
                )
                same = same_bits(seen.value, without)
            demand(same, f"{seen.value} from {name}, {without} {instead}.", subject, poisoned)


def _left_out(subject: Subject, trial: Trial, bad: Tensor) -> Tensor:
    """Return what the stage says of every column without what is bad; 0 where too little is left."""
    columns = torch.zeros_like(trial.x[0])
    for place in range(len(columns)):
        there = trial.x[~bad[:, place], place : place + 1]
        if len(there) >= subject.least:
            columns[place] = subject.value(trial.with_rows(there))[0]
    return columns


@promise("Huge numbers neither overflow nor carry the result away.")
def huge(subject: Subject) -> None:
    """Check f vectors up to the largest numbers, of one sign and of both. Robust stages only.

    The output must be finite, and of the honest size where the stage claims to be bounded.
    """
    if not subject.robust or not subject.faults:
        return
    for dtype, sizes in HUGE.items():
        for size in sizes:
            trial = subject.trial(dtype=dtype)
            x = trial.x.clone()
            x[: subject.faults] = -size
            x[: subject.faults, ::2] = size
            _survives(subject, trial, x)
            if size == max(sizes):
                _survives(subject, trial, x.abs().maximum(trial.x))


def _survives(subject: Subject, trial: Trial, x: Tensor) -> None:
    hostile = trial.with_rows(x)
    got = subject.run(x, trial.pivot)
    size = f"{float(x.max()):g} in {x.dtype}"
    demand(bool(got.value.isfinite().all()), f"{got.value} from numbers of {size}.", subject, hostile)
    demand(
        not bool(got.suspects.any()), f"suspects = {got.suspects.tolist()} of finite rows.", subject, hostile
    )
    honest = CARRIED_AWAY * float(trial.x.abs().max())
    stays = not subject.claims_bounded or not got.value.numel() or float(got.value.abs().max()) <= honest
    demand(stays, f"{got.value} from numbers of {size}, where honest ones are of size 1.", subject, hostile)
