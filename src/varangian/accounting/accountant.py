"""A meter beside a training loop: keeps what each step came to, stops where nothing is proven any more."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from varangian.accounting.account import Account, Party, Suspicion
from varangian.accounting.clipping import clipped_mass
from varangian.accounting.coefficient import coefficient, of_set
from varangian.accounting.deviations import Deviations
from varangian.accounting.geometry import Geometry
from varangian.accounting.report import as_csv, as_report
from varangian.core.parties import Parties
from varangian.core.run import Aggregation
from varangian.core.stages import Stage
from varangian.errors import ParameterError, ShapeError, SuspicionError, ToleranceError

logger = logging.getLogger("varangian")

SIGNS = ("far from the others", "a long vector")
Policy = Literal["log", "raise"]


class Accountant:
    """Keeps, for every step of a training loop, how sound it was, and who is suspected on what evidence.

    Hand it what the rule took and what it gave: ``accountant.step(updates, aggregate)``. As soon as more
    parties are suspected than the rule declares (or ``f``), nothing is proven any more: policy "raise" then
    raises SuspicionError, before the aggregate is applied, and at every step from there on; "log" warns
    through Python's logging. A suspicion lasts as long as it is remembered, ``keep`` steps.

    A party is suspected if its vector is not finite, or if in one step the vector's distance from the others,
    or its length, is out of proportion. ``rate`` is the expected number of false accusations per step, over
    all parties, if honest parties differ for good by a factor of ``differ`` at most (1 where all hold data of
    one kind, 3 where each holds a class or two), and by chance as the module ``deviations`` says. A suspicion
    is a reason to ask, not a verdict. Nothing is compared before step ``warm``. Lies within the honest spread
    show in no evidence; the coefficient tells what they do.

    Cost        a step reads the vectors and the aggregate once; what follows takes O(C(n, f) n^2) for at most
                3000 sets of n - f vectors, else O(n^3); memory is that of ``keep`` steps of n numbers
    Raises      ParameterError for an impossible field

    >>> import varangian as vg
    >>> rule, accountant = vg.Median(f=1), vg.Accountant(vg.Median(f=1))
    >>> x = torch.tensor([[1.0], [2.0], [4.0], [99.0]])
    >>> account = accountant.step(x, rule.aggregate(x))
    >>> round(account.coefficient, 2), account.proven, round(account.core_coefficient, 3), account.holds
    (0.5, 9.0, 0.286, False)
    >>> [round(moved, 2) for moved in account.influence.values()]
    [0.0, -0.4, 1.2, 0.53]
    """

    def __init__(
        self,
        rule: Stage,
        *,
        f: int | None = None,
        policy: Policy = "raise",
        rate: float = 1e-6,
        differ: float = 3.0,
        warm: int = 20,
        keep: int = 1000,
    ) -> None:
        if not isinstance(rule, Stage) or rule.stages()[-1].mixes:
            raise ParameterError(f"Accountant({rule!r}): pass a rule, or a chain that ends in one.")
        self.f = (rule.f or 0) if f is None else f
        if policy not in ("log", "raise"):
            raise ParameterError(f'Accountant(policy={policy!r}): the policy is "log" or "raise".')
        if not 0 < rate < 1:
            raise ParameterError(f"Accountant(rate={rate!r}): accusations per step lie between 0 and 1.")
        if not 1 <= differ < math.inf:
            raise ParameterError(
                f"Accountant(differ={differ!r}): a factor between honest parties is 1 or more."
            )
        for name, value, least in (("f", self.f, 0), ("warm", warm, 0), ("keep", keep, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ParameterError(
                    f"Accountant({name}={value!r}): {name} is a whole number from {least} on."
                )
        self.rule, self.policy, self.rate, self.differ, self.keep = rule, policy, rate, differ, keep
        self.steps = 0
        self.history: deque[Account] = deque(maxlen=keep)
        self.suspects: dict[Party, Suspicion] = {}
        self._deviations = Deviations(SIGNS, rate, warm=warm, allowance=math.log(differ), slow=False)
        self._exceeded = False

    def __repr__(self) -> str:
        return f"Accountant({self.rule!r}, f={self.f}, policy={self.policy!r}, rate={self.rate:g})"

    def step(self, updates: Any, aggregate: Any, *, parties: Sequence[Party] | None = None) -> Account:
        """Return what a step came to.

        ``aggregate`` is what the rule returned for the ``updates``: a vector, or a whole ``Aggregation``,
        which tells weights, too. ``parties`` are their names, by default 0 to n - 1.

        Shape       (n, d) and (d,), or any other kind that a rule takes
        Raises      SuspicionError, see above; ToleranceError for n <= 2f; InputError, ShapeError
        """
        whole = isinstance(aggregate, Aggregation)
        geometry = Geometry.of(updates, aggregate.value if whole else aggregate)
        return self.account(geometry, weights=aggregate.weights if whole else None, parties=parties)

    def account(
        self,
        geometry: Geometry,
        *,
        weights: Tensor | None = None,
        parties: Sequence[Party] | None = None,
        shares: Parties | None = None,
        refused: Mapping[Party, str] | None = None,
        quiet: bool = False,
    ) -> Account:
        """Do the same for whoever has measured already.

        ``shares`` are what the parties weighed before the rule. ``refused`` are those who sent nothing that
        could be used, and why: they count among the suspected of this step. Who is ``quiet`` logs nothing.
        """
        named = tuple(range(geometry.n)) if parties is None else tuple(parties)
        gone = dict(refused or {})
        self._check(geometry.n, named, gone)
        self.steps += 1
        known = max(0, self.f - len(gone))
        size = geometry.n - known
        found, exact = coefficient(geometry.between, geometry.to_aggregate, size)
        ratio = geometry.variance_to_norm(size)
        bound = self.rule.variance_bound(geometry.n, geometry.d)
        account = Account(
            step=self.steps,
            n=geometry.n,
            coefficient=found,
            exact=exact,
            proven=None if shares is not None or known != self.rule.f else self.rule.kappa(geometry.n),
            core_coefficient=of_set(geometry.between, geometry.to_aggregate, geometry.core(size)),
            variance_to_norm=ratio,
            holds=None if bound is None else ratio <= bound,
            clipped=clipped_mass(self.rule, geometry.norms, weights, shares),
            influence=dict(zip(named, geometry.influence(size).tolist(), strict=True)),
            suspicions=self._suspicions(geometry, named),
        )
        self.history.append(account)
        self._remember(account, quiet)
        self._judge(gone, quiet)
        return account

    def report(self) -> dict[str, Any]:
        """Return what was kept, as plain data for JSON; what is not finite is None."""
        return as_report(self)

    def csv(self) -> str:
        """Return what was kept as CSV, a line for every party in every step."""
        return as_csv(self.history)

    @property
    def expected(self) -> float:
        """Return how many false accusations are expected among the remembered, by the rate."""
        return self.rate * len(self.history)

    def _check(self, n: int, named: tuple[Party, ...], gone: Mapping[Party, str]) -> None:
        if len(named) != n or len({*named}) != n:
            raise ShapeError(f"{len(named)} names arrived for {n} vectors; each party has one of its own.")
        if n <= 2 * max(0, self.f - len(gone)):
            raise ToleranceError(
                f"Accountant(f={self.f}) received n = {n} vectors; with half of them suspected, nobody knows "
                f"who is right. Account for at least {2 * self.f + 1}, or declare f <= {(n - 1) // 2}."
            )

    def _suspicions(self, geometry: Geometry, named: tuple[Party, ...]) -> tuple[Suspicion, ...]:
        """Return this step's suspicions, one of a party at most."""
        broken = geometry.nonfinite > 0
        found = {
            place: Suspicion(self.steps, named[place], "values not finite")
            for place in torch.nonzero(broken).flatten().tolist()
        }
        for row, sign, size in self._deviations.judge(_measures(geometry, broken), named):
            found.setdefault(row, Suspicion(self.steps, named[row], sign, size))
        return tuple(found[place] for place in sorted(found))

    def _remember(self, account: Account, quiet: bool) -> None:
        """Keep the suspicions that are young enough."""
        first = self.steps - self.keep
        self.suspects = {party: one for party, one in self.suspects.items() if one.step > first}
        for one in account.suspicions:
            if one.party not in self.suspects and not quiet:
                logger.warning("Accountant: %s", one)
            self.suspects[one.party] = one

    def _judge(self, gone: Mapping[Party, str], quiet: bool) -> None:
        """Refuse to go on where more are suspected than declared. Raises SuspicionError."""
        count = len({*self.suspects, *gone})
        before, self._exceeded = self._exceeded, count > self.f
        if not self._exceeded:
            return
        evidence = [
            *map(str, self.suspects.values()),
            *(f"{party}: refused, {gone[party]}" for party in gone),
        ]
        who = "party is" if count == 1 else "parties are"
        said = (
            f"{count} {who} suspected, and f = {self.f} were declared: from here on {self.rule!r} "
            f"proves nothing. {'; '.join(evidence)}. By chance, {self.expected:.2g} accusations were to be "
            f"expected in {len(self.history)} steps, if honest parties differ by a factor of "
            f"{self.differ:g} at most. Ask those parties, leave them out, or declare a larger f."
        )
        if self.policy == "raise":
            raise SuspicionError(said)
        if not before and not quiet:
            logger.error("Accountant: %s", said)


def _measures(geometry: Geometry, broken: Tensor) -> np.ndarray:
    """Return how far each vector is from the others, and how long: logarithms, NaN where broken."""
    measures = np.full((geometry.n, len(SIGNS)), np.nan)
    sound = torch.nonzero(~broken).flatten()
    if len(sound) < 3:
        return measures
    between = geometry.between[sound][:, sound].sqrt()
    others = between.masked_fill(torch.eye(len(sound), dtype=torch.bool), torch.nan)
    away, norms = others.nanmedian(-1).values, geometry.norms[sound]
    tiny = max(1e-6 * float(norms.median()), 1e-300)
    measures[sound.numpy()] = (torch.stack([away, norms], dim=-1) + tiny).log().numpy()
    return measures
