"""Exact searches for the best subset of n - f points, on a table of squared distances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from varangian.errors import SearchLimitError

Table = NDArray[np.float64]
MDA_WORK = 25_000_000
"""How many nodes, times vectors, a search for the least diameter may visit where nobody says otherwise."""
SMEA_WORK = 1.5e8
"""What a search for the least spread may cost where nobody says otherwise: some ten seconds of a core."""
TIE = 1e-12


def per_problem(distances: Tensor, search: Callable[[Table], Sequence[int]]) -> Tensor:
    """Return the weights of the mean over the subset that ``search`` finds in each table of the batch."""
    n = distances.shape[-1]
    tables = distances.detach().cpu().reshape(distances[..., 0, 0].numel(), n, n).numpy()
    weights = torch.zeros(len(tables), n, dtype=torch.float64, device="cpu")
    for row, table in zip(weights, tables, strict=True):
        chosen = list(search(table))
        row[chosen] = 1 / len(chosen)
    return weights.reshape(distances.shape[:-1]).to(distances.device)


class Cover:
    """Vertex covers of bounded size in a graph given by bit masks of neighbours."""

    def __init__(self, limit: int, what: str) -> None:
        self.visited = 0
        self.limit = limit
        self.what = what

    def exists(self, neighbours: Sequence[int], alive: int, size: int) -> bool:
        """Tell whether ``size`` vertices among the alive touch every edge between the alive."""
        stack = [(alive, size)]
        while stack:
            alive, size = stack.pop()
            self.visited += 1
            if self.visited > self.limit:
                raise SearchLimitError(
                    f"{self.what} visited {self.limit} nodes without a proof; raise nodes=, or use a rule "
                    "without a search (NearestNeighborMixing before TrimmedMean, or CAF)."
                )
            reduced = _reduce(neighbours, alive, size)
            if reduced is None:
                continue
            alive, size, widest, edges = reduced
            if not edges:
                return True
            around = neighbours[widest] & alive
            degree = around.bit_count()
            if edges > size * degree or _cliques_need(neighbours, alive) > size:
                continue
            rest = alive & ~(1 << widest)
            if degree <= size:
                stack.append((rest & ~around, size - degree))
            stack.append((rest, size - 1))  # looked at first
        return False


def _reduce(neighbours: Sequence[int], alive: int, size: int) -> tuple[int, int, int, int] | None:
    """Take every vertex that a cover must (or may as well) take; None if ``size`` cannot suffice.

    Returns what is left alive, the size left, the vertex of largest degree, and the number of edges.
    """
    taken = True
    while taken:
        taken, widest, most, twice = False, -1, 0, 0
        for v in bits(alive):
            if not alive >> v & 1:
                continue
            around = neighbours[v] & alive
            degree = around.bit_count()
            if degree == 0:
                alive &= ~(1 << v)
                continue
            if degree == 1 or degree > size:
                if size == 0:
                    return None
                alive &= ~(around if degree == 1 else 1 << v)
                size -= 1
                taken = True
                continue
            twice += degree
            if degree > most:
                widest, most = v, degree
    return alive, size, widest, twice // 2


def _cliques_need(neighbours: Sequence[int], alive: int) -> int:
    """Return a lower bound on a cover: in each clique of a greedy partition, all vertices but one."""
    need = 0
    while alive:
        v = (alive & -alive).bit_length() - 1
        alive &= ~(1 << v)
        common = neighbours[v] & alive
        while common:
            u = (common & -common).bit_length() - 1
            alive &= ~(1 << u)
            common &= neighbours[u]
            need += 1
    return need


def bits(mask: int) -> list[int]:
    """Return the places of the ones in a mask, lowest first.

    >>> bits(0b1010)
    [1, 3]
    """
    places = []
    while mask:
        low = mask & -mask
        places.append(low.bit_length() - 1)
        mask ^= low
    return places


def _conflicts(table: Table, diameter: float) -> list[int]:
    """Return, as masks, which points are further than ``diameter`` from each point."""
    packed = np.packbits(table > diameter, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def least_diameter(table: Table, f: int, nodes: int | None = None) -> list[int]:
    """Return the first subset, in lexicographic order, of n - f points with the least largest distance.

    Such a subset of diameter t exists iff the graph of pairs further than t has a vertex cover of at
    most f vertices: binary search on t, then decide the vertices in order.
    """
    n = len(table)
    everyone = (1 << n) - 1
    limit = max(1, MDA_WORK // n) if nodes is None else nodes
    cover = Cover(limit, f"MinimumDiameterAveraging(f={f}) on n = {n} vectors")
    candidates = np.unique(table[np.triu_indices(n, 1)]) if n > 1 else np.zeros(1)
    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if cover.exists(_conflicts(table, candidates[middle]), everyone, f):
            high = middle
        else:
            low = middle + 1
    neighbours = _conflicts(table, candidates[high])
    alive, spare = everyone, f
    chosen: list[int] = []
    for v in range(n):
        if len(chosen) == n - f:
            break
        if not alive >> v & 1:
            continue
        around = neighbours[v] & alive
        lost = around.bit_count()
        rest = alive & ~(1 << v)
        if lost <= spare and cover.exists(neighbours, rest & ~around, spare - lost):
            chosen.append(v)
            alive, spare = rest & ~around, spare - lost
        else:
            alive, spare = rest, spare - 1
    return chosen


def least_spread(table: Table, f: int, nodes: int | None) -> list[int]:
    """Return the first subset, in lexicographic order, of n - f points with the least top eigenvalue.

    The scatter matrix of a subset only grows with the subset, so its top eigenvalue bounds that of every
    completion: depth first, all children of a node in one batch. Without ``nodes`` the work is bounded.
    """
    n = len(table)
    size = n - f
    try:
        start = least_diameter(table, f, nodes)
    except SearchLimitError:
        start = list(range(size))
    best_value = _spreads(table, np.array([start]))[0]
    best: list[int] | None = None
    visited, work = 0, 0.0
    stack: list[tuple[int, ...]] = [()]
    while stack:
        partial = stack.pop()
        first = partial[-1] + 1 if partial else 0
        last = n - (size - len(partial))
        children = np.array([[*partial, j] for j in range(first, last + 1)])
        if work > SMEA_WORK if nodes is None else visited + len(children) > nodes:
            raise SearchLimitError(
                f"SMEA(f={f}) on n = {n} vectors visited {visited} subsets without a proof; raise nodes=, "
                "or use CAF or MinimumDiameterAveraging, which need no such search."
            )
        visited += len(children)
        work += len(children) * _work(children.shape[1])
        bounds = _spreads(table, children)
        if children.shape[1] < size:
            stack.extend(
                tuple(child)
                for child, bound in zip(children[::-1], bounds[::-1], strict=True)
                if bound <= best_value * (1 + TIE)
            )
            continue
        for child, value in zip(children, bounds, strict=True):
            if value < best_value * (1 - TIE) or (best is None and value <= best_value * (1 + TIE)):
                best, best_value = child.tolist(), min(value, best_value)
    assert best is not None
    return best


def _work(k: int) -> float:
    """Return what the spread of k points costs, as measured, in parts of about 0.08 microseconds."""
    return 75 + k**2 + k**3 / 500


def _spreads(table: Table, subsets: NDArray[Any]) -> Table:
    """Return the top eigenvalue of the scatter matrix of each subset, by its centred inner products."""
    parts = table[subsets[:, :, None], subsets[:, None, :]]
    rows = parts.mean(2)
    centred = 0.5 * (rows[:, :, None] + rows[:, None, :] - rows.mean(1)[:, None, None] - parts)
    values: Table = np.linalg.eigvalsh(centred)[:, -1]
    return np.maximum(values, 0.0)
