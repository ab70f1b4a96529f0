"""Promises about sizes and types: what goes in decides what comes out."""

from __future__ import annotations

import torch
from torch import Tensor

from varangian.core.needs import Pivot
from varangian.errors import ToleranceError
from varangian.testing.kinds import Kind, kinds_on
from varangian.testing.promises import close, demand, promise, rounding
from varangian.testing.subject import Subject, Trial

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def _expected_shape(subject: Subject, trial: Trial) -> tuple[int, ...]:
    *batch, n, d = trial.x.shape
    return (*batch, subject.stage.outputs(n), d) if subject.mixes else (*batch, d)


def _fits(subject: Subject, trial: Trial) -> Tensor:
    got = subject.value(trial)
    want = _expected_shape(subject, trial)
    demand(tuple(got.shape) == want, f"shape {tuple(got.shape)} where {want} was due.", subject, trial)
    return got


@promise("(*batch, n, d) gives (*batch, d), or (*batch, m, d) from a mixer.")
def shape(subject: Subject) -> None:
    """Check the shape of the output for every size that the condition accepts."""
    sizes = {1, subject.least, subject.least + 1, subject.count}
    for n in sorted(size for size in sizes if size >= subject.least):
        for d in (1, subject.d):
            got = _fits(subject, trial := subject.trial(n=n, d=d))
            demand(bool(got.isfinite().all()), f"{got} from finite vectors.", subject, trial)
    _fits(subject, subject.trial(batch=(3, 2)))


@promise("Vectors without coordinates give one without, and a batch without problems gives none.")
def empty(subject: Subject) -> None:
    """Check d = 0, and a batch of no problems."""
    _fits(subject, subject.trial(d=0))
    _fits(subject, subject.trial(batch=(0,)))


@promise("float16, bfloat16, float32 and float64 come out as they went in, as precise as they can be.")
def dtype(subject: Subject) -> None:
    """Check the dtype, the device and the value against the same vectors in float64."""
    for kind in DTYPES:
        trial = subject.trial(dtype=kind)
        got = subject.value(trial)
        demand(got.dtype == kind, f"{got.dtype} from {kind}.", subject, trial)
        demand(got.device == trial.x.device, f"{got.device} from {trial.x.device}.", subject, trial)
        pivot = None if trial.pivot is None else trial.pivot.double()
        want = subject.value(Trial(trial.x.double(), pivot))
        near = close(got, want, rounding(kind), float(trial.x.abs().max()))
        demand(near, f"{got} in {kind}, {want} in float64.", subject, trial)


@promise(
    "A torch, NumPy or JAX array, a list of vectors, parameter lists or state dicts give the same numbers."
)
def kind(subject: Subject) -> None:
    """Check that every container gives the same numbers, in its own kind."""
    trial = subject.trial(dtype=torch.float32)
    want = subject.value(trial)
    for form in kinds_on(subject.device):
        given = {} if trial.pivot is None else {"pivot": form.vector(trial.pivot)}
        got = subject.run(form.rows(trial.x), **given).value
        same = form.holds_rows(got) if subject.mixes else form.holds(got)
        demand(same, f"{type(got).__name__} from {form.name}.", subject, trial)
        numbers = form.back_rows(got) if subject.mixes else form.back(got)
        near = close(numbers, want, rounding(torch.float32), float(trial.x.abs().max()))
        demand(near, f"{numbers} from {form.name}, {want} from a tensor.", subject, trial)
        if Pivot.CARRIED in subject.pivots:
            _carried(subject, trial, form)


def _carried(subject: Subject, trial: Trial, form: Kind) -> None:
    """Check that a state may be handed back in the kind in which it came."""
    want = subject.run(trial.x, trial.pivot, state=subject.run(trial.x, trial.pivot).state).value
    packed = form.rows(trial.x)
    given = {} if trial.pivot is None else {"pivot": form.vector(trial.pivot)}
    got = subject.run(packed, **given, state=subject.run(packed, **given).state).value
    numbers = form.back_rows(got) if subject.mixes else form.back(got)
    near = close(numbers, want, rounding(torch.float32), float(trial.x.abs().max()))
    demand(near, f"{numbers} from {form.name} and a state, {want} from tensors.", subject, trial)


@promise("A batch (R, n, d) gives what R calls give.")
def batch(subject: Subject) -> None:
    """Check that problems do not meet in a batch, even beside a hostile one."""
    trial = subject.trial(batch=(4,))
    trial.x[1, -1] *= 1e10
    if subject.robust:
        trial.x[2, 0, 0] = torch.nan
    whole = subject.run(trial.x, trial.pivot)
    for i, x in enumerate(trial.x):
        alone = Trial(x, None if trial.pivot is None else trial.pivot[i])
        one = subject.run(alone.x, alone.pivot)
        near = close(whole.value[i], one.value, 1e-9, max(1.0, float(one.value.abs().max())))
        demand(near, f"{whole.value[i]} in place {i} of a batch, {one.value} alone.", subject, alone)
        marked = torch.equal(whole.nonfinite[i], one.nonfinite)
        demand(
            marked,
            f"non-finite counts {whole.nonfinite[i]} in a batch, {one.nonfinite} alone.",
            subject,
            alone,
        )


@promise("Fewer vectors than the condition needs are refused.")
def tolerance(subject: Subject) -> None:
    """Check that one vector less than the least is a ToleranceError that names the numbers."""
    if subject.least == 1:
        return
    trial = subject.trial(n=subject.least - 1)
    try:
        got = subject.value(trial)
    except ToleranceError as error:
        named = f"n = {subject.least - 1}" in str(error)
        demand(named, f"an error that does not say n = {subject.least - 1}: {error}", subject, trial)
    else:
        demand(
            False,
            f"{got} from n = {subject.least - 1}, one less than {subject.stage.condition()}.",
            subject,
            trial,
        )
