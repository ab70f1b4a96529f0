"""What the library says of a scene of the playground."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch

import varangian as vg

CLOSE = 1e-6


def rule(name: str, f: int) -> Any:
    """Return the rule of the library that the page calls by this name."""
    parts = name.split(" + ")
    if len(parts) > 1:
        return vg.chain(*(rule(part, f) for part in parts))
    radius = re.fullmatch(r"CenteredClipping \(radius (.+)\)", name)
    return vg.CenteredClipping(f=f, radius=float(radius[1])) if radius else getattr(vg, name)(f=f)


def holds(scene: dict[str, Any]) -> int:
    """Hold every number of a scene against the library, and return for how many rules it answered."""
    honest = torch.tensor(scene["honest"], dtype=torch.float64)
    attacker = torch.tensor([scene["attacker"]], dtype=torch.float64)
    received = torch.cat([honest, attacker.expand(scene["liars"], 2)])
    f, n = scene["declared"], len(received)
    spread = (honest - honest.mean(0)).square().sum(1).mean()
    answered = 0
    for told in scene["rules"]:
        ours = rule(told["name"], f)
        if n < ours.condition().minimum:
            assert told["words"] == f"needs n ≥ {ours.condition().minimum}", told
            assert told["now"] is None
            continue
        value = ours(received)
        coefficient = float((value - honest.mean(0)).square().sum() / spread)
        answer = torch.tensor(told["answer"], dtype=torch.float64)
        assert float((answer - value).norm()) <= CLOSE * (1 + float(value.norm())), (told, value, scene)
        assert abs(told["now"] - coefficient) <= CLOSE * (1 + coefficient), (told, coefficient, scene)
        proven = ours.kappa(n) if scene["liars"] <= f else None
        assert told["proven"] == (None if proven is None else pytest.approx(proven, rel=1e-12)), told
        assert told["worst"] >= told["now"]
        answered += 1
    return answered
