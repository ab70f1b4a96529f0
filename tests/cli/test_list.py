"""The lists hold every entry of the catalogues, whole."""

from __future__ import annotations

import json

import pytest
from cli.running import Run
from rich.console import Console

from varangian.aggregators import RULES
from varangian.attacks import ATTACKS
from varangian.cli.catalogues import CATALOGUES, SPLITS
from varangian.cli.console import entries
from varangian.data import DATASETS, parse_split
from varangian.data import SPLITS as KINDS
from varangian.mixers import MIXERS
from varangian.models import MODELS
from varangian.neurons import FAULTS
from varangian.specification import parse_attack, parse_rule

SIZES = {
    "rules": len(RULES),
    "mixers": len(MIXERS),
    "attacks": len(ATTACKS),
    "datasets": len(DATASETS),
    "models": len(MODELS),
    "splits": len(KINDS),
    "faults": len(FAULTS),
}

SHOWN = {"True": "yes", "False": "no", "None": ""}


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_line_for_each_and_nothing_cut(name: str, run: Run) -> None:
    done = run("list", name)
    assert (done.code, done.err) == (0, "")
    _, *lines = done.out.splitlines()
    assert len(lines) == SIZES[name]
    for line, row in zip(lines, CATALOGUES[name](), strict=True):
        assert line == line.rstrip()
        for value in row.values():
            words = value if isinstance(value, list) else [value]
            assert all(SHOWN.get(str(word), str(word)) in line for word in words)


@pytest.mark.parametrize("name", CATALOGUES)
def test_json_holds_the_same(name: str, run: Run) -> None:
    assert json.loads(run("list", name, "--json").out) == CATALOGUES[name]()


def test_listed_names_are_names_that_train_takes() -> None:
    for row in [*CATALOGUES["rules"](), *CATALOGUES["mixers"]()]:
        for name in (row["name"], *row["short names"]):
            parse_rule(f"{name}:radius=1.0" if "radius" in row["fields"] else name, f=1)
    for row in CATALOGUES["attacks"]():
        for name in (row["name"], *row["short names"]):
            parse_attack(name)


def test_every_split_is_listed() -> None:
    assert [type(parse_split(text)) for text in SPLITS] == list(KINDS)


def test_a_narrow_terminal_gets_paragraphs_of_whole_words() -> None:
    console = Console(width=40, record=True, force_terminal=False)
    console.print(entries(["name", "is", "not"], [["krum", "n >= 2f + 3", ""], ["mean", "one read", "x"]]))
    words = " ".join(console.export_text().split())
    assert words == "krum is: n >= 2f + 3 mean is: one read; not: x"
