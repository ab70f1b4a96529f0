"""How a promise is checked: the words of it, what was seen instead, and how to see it again."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from varangian.testing.subject import Subject, Trial

Check = Callable[..., None]
LARGEST_SHOWN = 400
"""Numbers in an input that is still printed whole."""


def promise(words: str) -> Callable[[Callable[[Subject], None]], Check]:
    """Turn a body that calls ``demand`` into a check of a stage or a subject, which raises AssertionError."""

    def decorate(body: Callable[[Subject], None]) -> Check:
        @functools.wraps(body)
        def check(stage: object) -> None:
            subject = Subject.of(stage)  # type: ignore[arg-type]
            try:
                body(subject)
            except _BrokenError as seen:
                raise AssertionError(f"{subject.stage!r} breaks a promise. {words}\n{seen}") from None
            except Exception as error:
                raise AssertionError(
                    f"{subject.stage!r} breaks a promise. {words}\n"
                    f"Seen: {type(error).__name__}: {error} (its traceback is above)."
                ) from error

        return check

    return decorate


class _BrokenError(AssertionError):
    """Something else than promised was seen."""


def demand(holds: bool, seen: str, subject: Subject, trial: Trial | None = None) -> None:
    """Raise an AssertionError with what was seen and a reproducer, unless it holds."""
    if not holds:
        how = "" if trial is None else f"\nReproduce:\n{reproducer(subject, trial)}"
        raise _BrokenError(f"Seen: {seen}{how}")


def reproducer(subject: Subject, trial: Trial) -> str:
    """Return code that shows the failing call."""
    lines = ["    import torch", f"    x = {_literal(trial.x)}"]
    pivot = ""
    if trial.pivot is not None:
        lines.append(f"    pivot = {_literal(trial.pivot)}")
        pivot = ", pivot=pivot"
    return "\n".join([*lines, f"    {subject.stage!r}.aggregate(x{pivot})"])


def _literal(x: Tensor) -> str:
    if x.numel() > LARGEST_SHOWN:
        return f"...  # {tuple(x.shape)}, {x.dtype}"
    numbers = str(x.tolist()).replace("nan", 'float("nan")').replace("inf", 'float("inf")')
    return f"torch.tensor({numbers}, dtype={x.dtype})"


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Tell whether two tensors hold the same bits, NaN and the sign of zero included."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(torch.equal(_bytes(a), _bytes(b)))


def _bytes(x: Tensor) -> Tensor:
    return x.detach().contiguous().reshape(-1).view(torch.uint8)


def close(a: Tensor, b: Tensor, tolerance: float, scale: float = 1.0) -> bool:
    """Tell whether two tensors of one shape differ by at most ``tolerance * scale`` anywhere."""
    if a.shape != b.shape:
        return False
    if not a.numel():
        return True
    difference = (a.detach().double() - b.detach().double()).abs().max()
    return bool(difference <= tolerance * scale)


def rounding(dtype: torch.dtype) -> float:
    """Return what two orders of the same sums may differ by, relative to the largest number."""
    return 8 * torch.finfo(dtype).eps
