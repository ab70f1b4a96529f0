"""Every error the library raises on purpose: what arrived, what is needed, what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class VarangianError(Exception):
    """The root of the tree; catching it catches everything raised on purpose."""


class ParameterError(VarangianError, ValueError):
    """A field of a rule, an attack or an experiment has an impossible value."""


class InputError(VarangianError, ValueError):
    """The vectors handed to a rule or an attack cannot be read as n vectors of d coordinates."""


class ShapeError(InputError):
    """Vectors of different lengths, too few axes, or no vectors at all."""


class DtypeError(InputError, TypeError):
    """Vectors that are not floating point, or not all of one type."""


class WeightsError(InputError):
    """Weights of the parties that cannot be weights, or that the rule cannot honour."""


class ToleranceError(VarangianError, ValueError):
    """Too few vectors for the faults that the rule declares."""


class ChainError(VarangianError, ValueError):
    """Stages in an order, or with declared faults, that do not fit together."""


class SearchLimitError(VarangianError, RuntimeError):
    """An exact search met its limit of nodes before it could prove its answer."""


class DataError(VarangianError, OSError):
    """A data set that is missing, unreadable, truncated or not what it should be."""


class KernelError(VarangianError, OSError):
    """The kernel refused to queue or to route as asked: no rights, no such device, somebody else's queue."""

    def __str__(self) -> str:
        return str(self.strerror)


class RunError(VarangianError, RuntimeError):
    """Some runs of a sweep ended with an error; the others are finished."""


class RankError(VarangianError, RuntimeError):
    """A rank of a distributed job that is gone, late, or does something else."""


class FaultError(VarangianError, RuntimeError):
    """Ranks of a distributed job compute wrong, and that was to be an error."""


class SuspicionError(VarangianError, RuntimeError):
    """More parties are suspected than were declared, so that nothing is proven from here on."""


class UnknownNameError(VarangianError, LookupError):
    """A name that no catalogue holds; the nearest valid one is in the message.

    ``listed`` are the names to tell where none is near, if ``known`` holds more than one spelling of each.
    """

    def __init__(
        self, kind: str, name: str, known: Iterable[str], listed: Iterable[str] | None = None
    ) -> None:
        known = sorted(set(known))
        near = difflib.get_close_matches(name.lower(), [k.lower() for k in known], n=1, cutoff=0.5)
        spelled = {k.lower(): k for k in known}
        hint = f"Did you mean {spelled[near[0]]!r}?" if near else f"Known: {', '.join(listed or known)}."
        super().__init__(f"There is no {kind} called {name!r}. {hint}")


class MissingExtraError(VarangianError, ImportError):
    """An optional dependency that this call needs is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional dependency: pip install 'varangian[{extra}]'")
