"""Honest vectors for a rule of which nothing else is known: the shapes in which rules are at their worst."""

from __future__ import annotations

import torch

from varangian.audit.recording.rounds import Round
from varangian.core.randomness import Stream

WIDTH = 32
"""Coordinates of a cloud."""


def clouds(h: int, b: int, stream: Stream) -> list[Round]:
    """Return h honest vectors as a Gaussian, as some far from the rest, and on a line.

    With ``b`` of them apart, no rule can do better than f / (n - 2f): liars who copy the others, or these,
    make two camps that nobody can tell apart. As few as liars can make a majority are the worst of a median.
    """
    generator = stream.at("clouds").generator()
    noise = torch.randn(h, WIDTH, generator=generator, dtype=torch.float64)
    spot = torch.zeros(WIDTH, dtype=torch.float64)
    spot[0] = 1.0
    shapes = {"Gaussian": 1.0 + noise}
    for apart in sorted({1, b, (h + b) // 2 + 1 - b, h // 2}):
        if 0 < apart < h:
            shapes[f"{apart} apart"] = 1e-3 * noise + spot * (torch.arange(h) < apart).double()[:, None]
    shapes["a line"] = 1e-3 * noise + spot * torch.linspace(-1, 1, h, dtype=torch.float64)[:, None]
    clients = tuple(f"vector {i}" for i in range(h))
    return [Round.of(name, vectors, clients) for name, vectors in shapes.items()]
