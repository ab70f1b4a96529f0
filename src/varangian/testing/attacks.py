"""The checks of an attack, one by one and all at once."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import varangian
from varangian.aggregators import TrimmedMean
from varangian.attacks.attack import Attack, DataAttack
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.testing.kinds import kinds_on
from varangian.testing.promises import Check, close, same_bits
from varangian.testing.purity import layouts, quiet_run
from varangian.testing.shapes import DTYPES

CLASSES = 10
SAMPLES = 6


@dataclass(frozen=True)
class AttackSubject:
    """An attack under test: h honest vectors of d coordinates, b liars, and the rule under attack."""

    attack: Attack
    h: int = 8
    b: int = 2
    d: int = 4
    rule: Stage | None = None
    device: str = "cpu"

    @property
    def target(self) -> Stage:
        """Return the rule under attack: a trimmed mean that tolerates b, unless another was given."""
        return TrimmedMean(f=self.b) if self.rule is None else self.rule

    def honest(self, *batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return gaussian honest vectors."""
        generator = Stream(0).at("honest").generator()
        x = torch.randn(*batch, self.h, self.d, generator=generator, dtype=torch.float64) + 0.5
        return x.to(device=self.device, dtype=dtype)

    def forged(self, honest: Any, seed: int = 0, b: int | None = None) -> Any:
        """Return what the liars send."""
        return self.attack(honest, b=self.b if b is None else b, rule=self.target, stream=Stream(seed))


class _BrokenError(AssertionError):
    """Something else than promised was seen."""


def _demand(holds: bool, seen: str) -> None:
    if not holds:
        raise _BrokenError(f"Seen: {seen}")


def _promise(words: str, *, data: bool = False) -> Callable[[Callable[[AttackSubject], None]], Check]:
    """Turn a body into a check of attacks that forge vectors, or with ``data`` of those that poison data."""

    def decorate(body: Callable[[AttackSubject], None]) -> Check:
        @functools.wraps(body)
        def check(attack: object) -> None:
            subject = attack if isinstance(attack, AttackSubject) else AttackSubject(attack)  # type: ignore[arg-type]
            if isinstance(subject.attack, DataAttack) is not data:
                return
            try:
                body(subject)
            except _BrokenError as seen:
                raise AssertionError(f"{subject.attack!r} breaks a promise. {words}\n{seen}") from None
            except Exception as error:
                raise AssertionError(
                    f"{subject.attack!r} breaks a promise. {words}\n"
                    f"Seen: {type(error).__name__}: {error} (its traceback is above)."
                ) from error

        return check

    return decorate


def _equal(a: Tensor, b: Tensor, tolerance: float) -> bool:
    """Tell whether two tensors are as near as that, and not finite at the same places in the same way."""
    if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
        return False
    same = torch.equal(a.isnan(), b.isnan()) and torch.equal(a == torch.inf, b == torch.inf)
    finite = a.isfinite()
    x, y = a[finite].double(), b[finite].double()
    scale = float(y.abs().max()) if y.numel() else 1.0
    return same and close(x, y, tolerance, max(1.0, scale))


def is_value(attack: object) -> None:
    """Check that the attack is a frozen, hashable, picklable value whose repr makes it again."""
    given = attack.attack if isinstance(attack, AttackSubject) else attack
    words = f"{given!r} breaks a promise. An attack is a value."
    if not dataclasses.is_dataclass(given) or isinstance(given, type):
        raise AssertionError(f"{words}\nSeen: no dataclass. Decorate it with @dataclass(frozen=True).")
    if not given.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        raise AssertionError(
            f"{words}\nSeen: its fields can be set. Decorate it with @dataclass(frozen=True)."
        )
    space = {**vars(varangian), **vars(varangian.attacks), type(given).__name__: type(given)}
    for copied in (dataclasses.replace(given), pickle.loads(pickle.dumps(given)), eval(repr(given), space)):
        if copied != given or hash(copied) != hash(given):
            raise AssertionError(f"{words}\nSeen: a copy {copied!r} that differs.")


@_promise("(*batch, h, d) gives (*batch, b, d) for any b, b = 0 and more liars than honest ones included.")
def shape(subject: AttackSubject) -> None:
    """Check the shape for several b and batches."""
    for b in (0, 1, subject.b):
        got = subject.forged(subject.honest(), b=b)
        _demand(tuple(got.shape) == (b, subject.d), f"shape {tuple(got.shape)} for b = {b}.")
    for batch in ((3,), (2, 3)):
        got = subject.forged(subject.honest(*batch))
        want = (*batch, subject.b, subject.d)
        _demand(tuple(got.shape) == want, f"shape {tuple(got.shape)} where {want} was due.")


@_promise("An impossible b is a ParameterError.")
def refusal(subject: AttackSubject) -> None:
    """Check that b < 0 and a bool are refused."""
    for b in (-1, True):
        try:
            subject.attack(subject.honest(), b=b, rule=subject.target, stream=Stream(0))
        except ParameterError:
            continue
        _demand(False, f"b = {b!r} was accepted.")


@_promise("The dtype and device of the honest vectors are kept.")
def dtype(subject: AttackSubject) -> None:
    """Check every dtype against float64."""
    for kind in DTYPES:
        honest = subject.honest(dtype=kind)
        got = subject.forged(honest)
        _demand(
            got.dtype == kind and got.device == honest.device, f"{got.dtype} on {got.device} from {kind}."
        )


@_promise("Every kind of container gives the same numbers, in its own kind.")
def kind(subject: AttackSubject) -> None:
    """Check arrays and lists."""
    honest = subject.honest()
    want = subject.forged(honest)
    for form in kinds_on(subject.device):
        got = subject.forged(form.rows(honest))
        _demand(form.holds_rows(got), f"{type(got).__name__} from {form.name}.")
        numbers = form.back_rows(got)
        _demand(_equal(numbers, want, 1e-4), f"{numbers} from {form.name}, {want} from a tensor.")


@_promise("The honest vectors are left as they were, and the forged ones share no memory with them.")
def untouched(subject: AttackSubject) -> None:
    """Check several layouts, bit for bit."""
    for name, view, memory in layouts(subject.honest()):
        before = memory.detach().clone()
        for b in (1, subject.b):
            got = subject.forged(view, b=b)
            _demand(not got.requires_grad, f"forged vectors that require gradients, from {name}.")
            got.fill_(5.0)
            _demand(same_bits(memory, before), f"changed numbers in {name}.")


@_promise("The same stream gives the same bits, another stream other ones if the attack is randomised.")
def deterministic(subject: AttackSubject) -> None:
    """Check two calls, and two streams."""
    honest = subject.honest()
    first = subject.forged(honest)
    _demand(same_bits(subject.forged(honest), first), "other bits at the second call.")
    if not subject.attack.randomised:
        _demand(
            same_bits(subject.forged(honest, seed=1), first),
            "other bits from another stream; say randomised = True.",
        )


@_promise("The global random generators are neither read nor moved.")
def global_generators(subject: AttackSubject) -> None:
    """Check the states of random, NumPy and PyTorch, and that their seeds change nothing."""
    (one, two), moved = quiet_run(lambda: subject.forged(subject.honest()))
    _demand(not moved, f"the global generator of {', '.join(moved)} moved. Draw from the scene's stream.")
    _demand(same_bits(one, two), "forged vectors that depend on a global seed.")


@_promise("A batch (R, h, d) gives what R calls give.")
def batch(subject: AttackSubject) -> None:
    """Check that problems do not meet in a batch."""
    honest = subject.honest(3, dtype=torch.float64)
    whole = subject.forged(honest)
    for i, x in enumerate(honest):
        one = subject.forged(x)
        _demand(_equal(whole[i], one, 1e-6), f"{whole[i]} in place {i} of a batch, {one} alone.")


def _poisoned(subject: AttackSubject, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    inputs = torch.rand(SAMPLES, subject.d, generator=Stream(0).at("inputs").generator())
    labels = torch.arange(SAMPLES) % CLASSES
    assert isinstance(subject.attack, DataAttack)
    before = inputs.clone(), labels.clone()
    after = subject.attack.poison(inputs, labels, CLASSES, Stream(seed))
    _demand(same_bits(inputs, before[0]) and same_bits(labels, before[1]), "changed inputs or labels.")
    return *before, *after


@_promise("Poisoned data has the shape and dtype of clean data, labels within the classes.", data=True)
def poison(subject: AttackSubject) -> None:
    """Check shapes, labels, repetition and the global generators."""
    clean_inputs, clean_labels, inputs, labels = _poisoned(subject)
    _demand(inputs.shape == clean_inputs.shape and inputs.dtype == clean_inputs.dtype, f"inputs {inputs}.")
    _demand(labels.shape == clean_labels.shape and labels.dtype == clean_labels.dtype, f"labels {labels}.")
    _demand(bool(((labels >= 0) & (labels < CLASSES)).all()), f"labels {labels} of {CLASSES} classes.")
    (one, two), moved = quiet_run(lambda: _poisoned(subject)[2:])
    _demand(not moved, f"the global generator of {', '.join(moved)} moved. Draw from the stream.")
    same = all(same_bits(a, b) for a, b in zip(one, two, strict=True))
    _demand(same, "other bits from the same stream.")


ATTACK_CHECKS: tuple[tuple[str, Check], ...] = tuple(
    (check.__name__, check)
    for check in (
        is_value,
        shape,
        refusal,
        dtype,
        kind,
        untouched,
        deterministic,
        global_generators,
        batch,
        poison,
    )
)
"""Every promise of an attack: its name, and a function of an attack or an ``AttackSubject``."""


def check_attack(
    attack: Attack, h: int = 8, b: int = 2, d: int = 4, *, rule: Stage | None = None, device: str = "cpu"
) -> None:
    """Check every promise of an attack.

    Raises AssertionError, which names the broken promise.

    >>> import varangian.attacks
    >>> check_attack(varangian.attacks.SignFlip())
    """
    subject = AttackSubject(attack, h, b, d, rule, device)
    for _, check in ATTACK_CHECKS:
        check(subject)
