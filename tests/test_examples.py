"""Every example of a distributed job runs, is short, and comes to what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from launched import launched, torchrun

FOLDER = Path(__file__).parent.parent / "examples"
MOST_LINES = 60
RANKS = {"ddp": 4, "fsdp": 4, "diloco": 4, "lora": None}


def printed(name: str) -> str:
    """Return what an example prints, on as many ranks as it is meant for."""
    script, ranks = FOLDER / f"{name}.py", RANKS[name]
    return (torchrun(ranks, script) if ranks else launched(script)).stdout


def test_every_example_is_known_and_short() -> None:
    scripts = {script.stem: script.read_text(encoding="utf-8").splitlines() for script in FOLDER.glob("*.py")}
    assert set(RANKS) <= set(scripts)
    assert all(len(lines) < MOST_LINES for lines in scripts.values())


def test_lora_adapters_are_aggregated_as_products() -> None:
    robust, averaged, honest = (int(number) for number in re.findall(r"(\d+)%", printed("lora")))
    assert robust < 10
    assert averaged > 50
    assert honest > 50


def test_ddp() -> None:
    said = printed("ddp")
    assert float(re.findall(r"([\d.]+)% right", said)[0]) > 88
    assert "named as wrong: [3]" in said


@pytest.mark.slow
def test_fsdp() -> None:
    assert all(float(loss) < 0.01 for loss in re.findall(r"\d+\.\d+", printed("fsdp")))


@pytest.mark.slow
def test_diloco() -> None:
    assert float(re.findall(r"([\d.]+)% right", printed("diloco"))[0]) > 85
