"""The example of a report, whole and cut down to what the schema insists on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parents[1] / "example-report.json"


def whole() -> dict[str, Any]:
    return dict(json.loads(EXAMPLE.read_text("utf-8")))


def bare() -> dict[str, Any]:
    """Return a report of a rule alone: no pictures, no clients, no plane, no attack."""
    report = whole()
    report |= {"series": {}, "clients": [], "plane": None, "worst_attack": None, "checks": [], "numbers": {}}
    report["subject"] |= {"kind": "rule", "d": None, "rounds": 0, "specification": None}
    return report
