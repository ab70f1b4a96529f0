"""What must hold at the end of a history, by protocol: theorems as functions that raise ``Broken``."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from varangian.engines.network.histories.broken import Broken
from varangian.protocols import Averaging, Body, ByWitness, Group

SLACK = 1e-9


def spread(vectors: Mapping[int, Body]) -> Body:
    """Return the range of every coordinate, ``(d,)``."""
    rows = np.stack(list(vectors.values()))
    width: Body = rows.max(axis=0) - rows.min(axis=0)
    return width


def diameter(vectors: Mapping[int, Body]) -> float:
    """Return the greatest distance between two vectors."""
    rows = np.stack(list(vectors.values()))
    return float(np.linalg.norm(rows[:, None] - rows[None], axis=-1).max())


def nobody_waits(waited: frozenset[int], finished: Mapping[int, bool], steps: Mapping[int, int]) -> None:
    """Refuse an honest node that waits for ever: all faults are over, and nothing is on its way any more."""
    stuck = {party: steps.get(party) for party in sorted(waited) if not finished.get(party)}
    if stuck:
        raise Broken(
            "nobody waits", f"parties {stuck} (at these steps) wait for ever; all stand at {dict(steps)}"
        )


def drift(way: type[Averaging], group: Group, exchanges: int) -> float:
    """Return the constant C: how far the honest mean moves in so many exchanges, in honest diameters.

    By witness, nothing leaves the honest range of a coordinate, however often: C = 1 in each. By diameter, an
    exchange moves a party from the honest mean by at most c = (n - q + f) / (n - f) + f / (q - f) diameters,
    which is what q - 2f honest vectors of n - f can differ by in the mean, and f lies at a distance of one.
    Each exchange leaves a share r of the diameter, so C = c (1 + r + r^2 + ...) over the exchanges.
    """
    if way is ByWitness:
        return 1.0
    n, f, q = group.n, group.f, group.quorum
    once = (n - q + f) / (n - f) + f / (q - f)
    return once * sum(way.factor(group) ** k for k in range(exchanges))


def averages(
    way: type[Averaging], group: Group, rounds: int, given: Mapping[int, Body], out: Mapping[int, Body]
) -> float:
    """Return what share of the honest diameter is left of an averaging agreement.

    Each round at least halves it, and the honest mean moves by no more than ``drift``. The diameter is that
    of the vectors by diameter, and the range of each coordinate by witness. ``given`` and ``out`` are those
    of the sound parties.
    """
    if len(out) < 2:
        return 0.0
    coordinates = way is ByWitness
    before = spread(given) if coordinates else np.array([diameter(given)])
    after = spread(out) if coordinates else np.array([diameter(out)])
    if not (after <= before / 2**rounds + SLACK).all():
        raise Broken("halves", f"{rounds} rounds left {after} of {before}")
    moved = np.mean(list(out.values()), axis=0) - np.mean(list(given.values()), axis=0)
    moved = abs(moved) if coordinates else np.array([np.linalg.norm(moved)])
    constant = drift(way, group, way.exchanges(group, rounds))
    if not (moved <= constant * before + SLACK).all():
        raise Broken("drift", f"the mean moved by {moved}, more than {constant} times {before}")
    return float((after / np.maximum(before, SLACK)).max()) if rounds else 1.0


def gathers(before: Mapping[int, Body], after: Mapping[int, Body]) -> float | None:
    """Return what share of the honest servers' spread is left of a gather, or None if there was none.

    None of them leaves the range of their models. That they come closer is true of the mean of many
    histories: a schedule can be so bad that they do not.
    """
    rows = np.stack(list(before.values()))
    for server, model in after.items():
        if not ((rows.min(axis=0) - SLACK <= model) & (model <= rows.max(axis=0) + SLACK)).all():
            raise Broken("gather", f"server {server} went to {model}, outside of {rows}")
    wide = spread(before).max()
    return float(spread(after).max() / wide) if wide > SLACK else None


def believes(worker: int, theta: Body, models: Mapping[int, Body], near: float) -> None:
    """Refuse a worker that took a model further than ``near`` from the range of honest servers' models."""
    rows = np.stack(list(models.values()))
    outside = np.maximum(rows.min(axis=0) - theta, 0) + np.maximum(theta - rows.max(axis=0), 0)
    if not np.linalg.norm(outside) <= near + SLACK:
        raise Broken("believes", f"worker {worker} took {theta}, further than {near} from all of {rows}")


def broadcasts(
    sound: frozenset[int],
    values: Mapping[int, Body],
    delivered: Mapping[int, Mapping[int, Body]],
) -> None:
    """Hold what sound parties delivered to the four properties of reliable broadcast.

    Validity    what a sound party broadcasts, every sound party delivers
    Integrity   what is delivered as a sound party's is what it broadcast
    Agreement   no two sound parties deliver different values of the same origin
    Totality    what one sound party delivers, every sound party delivers
    """
    for origin in sorted({origin for party in sound for origin in delivered[party]} | sound):
        taken = {party: delivered[party][origin] for party in sorted(sound) if origin in delivered[party]}
        missing = sorted(sound.difference(taken))
        if origin in sound and missing:
            raise Broken("validity", f"{missing} never took the value of {origin}")
        if origin in sound and any(one.tobytes() != values[origin].tobytes() for one in taken.values()):
            raise Broken("integrity", f"the value of {origin} was taken as {taken}, and was {values[origin]}")
        if len({one.tobytes() for one in taken.values()}) > 1:
            raise Broken("agreement", f"the value of {origin} was taken as {taken}")
        if missing:
            raise Broken("totality", f"{sorted(taken)} took the value of {origin}, and {missing} never did")
