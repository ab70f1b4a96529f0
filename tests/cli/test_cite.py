"""Who is cited for what."""

from __future__ import annotations

import re

import pytest
from cli.running import Run

import varangian
from varangian.attacks import ATTACKS
from varangian.cli.cite import publications


def test_a_rule_by_its_short_name(run: Run) -> None:
    first, *bibtex = run("cite", "NNM").out.splitlines()
    assert first == "NearestNeighborMixing: Allouah et al., AISTATS 2023"
    assert bibtex[0].startswith("@inproceedings{")
    assert bibtex[-1] == "}"


def test_a_chain_is_cited_stage_by_stage(run: Run) -> None:
    out = run("cite", "nnm+cc:radius=1.5,steps=3").out
    assert re.findall(r"^(\w+): ", out, re.M) == ["NearestNeighborMixing", "CenteredClipping"]


def test_one_entry_for_what_is_cited_twice(run: Run) -> None:
    out = run("cite", "median", "trmean").out
    assert out.count("@inproceedings") == 1
    assert "TrimmedMean: Yin et al., ICML 2018 (above)" in out


@pytest.mark.parametrize("name", publications())
def test_every_name_can_be_cited(name: str, run: Run) -> None:
    done = run("cite", name)
    assert (done.code, done.err) == (0, "")
    assert done.out


def test_an_attack_without_publication_says_so(run: Run) -> None:
    assert any(kind.reference is None for kind in ATTACKS)
    assert run("cite", "sign-flip").out.startswith("SignFlip: no publication")


def test_alone_it_cites_the_library(run: Run) -> None:
    out = run("cite").out
    assert "@software{varangian" in out
    assert f"version = {{{varangian.__version__}}}" in out
