"""A file, words and flags make one experiment; the later win."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from varangian.aggregators import Average, Krum, Median, TrimmedMean
from varangian.attacks import ALittleIsEnough, Optimal, SignFlip
from varangian.cli.choices import experiment_of
from varangian.core.chain import chain
from varangian.errors import VarangianError
from varangian.mixers import NearestNeighborMixing


def written(text: str) -> str:
    Path("e.toml").write_text(text, encoding="utf-8")
    return "e.toml"


def test_without_anything_the_defaults() -> None:
    spec = experiment_of([], {"data": None, "rule": None})
    assert (spec.data, spec.workers, spec.byzantine, spec.attack) == ("digits", 20, 4, Optimal())
    assert spec.rule == chain(NearestNeighborMixing(f=4), TrimmedMean(f=4))


def test_a_file_replaces_the_defaults() -> None:
    spec = experiment_of([written("workers = 7\nbyzantine = 2")], {})
    assert (spec.workers, spec.byzantine, spec.rule, spec.attack) == (7, 2, Average(), None)


def test_flags_over_words_over_the_file() -> None:
    file = written('workers = 9\nbyzantine = 1\nsteps = 5\nrule = "krum"\nattack = "alie"')
    spec = experiment_of(["steps=6", file, "byzantine=2", "workers=11"], {"byzantine": 3, "steps": None})
    assert (spec.workers, spec.byzantine, spec.steps) == (11, 3, 6)
    assert (spec.rule, spec.attack) == (Krum(f=3), ALittleIsEnough())


def test_f_is_declared_apart_from_the_liars() -> None:
    assert experiment_of(["f=2", "byzantine=5"], {"rule": "median"}).rule == Median(f=2)


def test_no_attack_can_be_asked_for() -> None:
    assert experiment_of(["attack=none"], {}).attack is None
    assert experiment_of(["attack=none"], {"attack": "signflip"}).attack == SignFlip()


def test_a_folder_with_an_equals_sign_is_no_field() -> None:
    folder = Path("runs/a=b")
    folder.mkdir(parents=True)
    (folder / "e.toml").write_text("workers = 3", encoding="utf-8")
    assert experiment_of([str(folder / "e.toml")], {}).workers == 3


@pytest.mark.parametrize(
    ("words", "flags", "said"),
    [
        (["steps"], {}, "neither a TOML file nor field=value"),
        (["nowhere.toml"], {}, "nowhere.toml cannot be read"),
        (["stepz=3"], {}, "'steps'"),
        (["steps=0"], {}, "steps must be at least 1"),
        (["split=dirichlet"], {}, "dirichlet:0.3"),
        ([], {"rule": "krumm"}, "'krum'"),
        ([], {"rule": "krum:g=1"}, "no field of Krum"),
        ([], {"attack": "alei"}, "'alie'"),
        ([], {"workers": 8}, "Add at least 1 worker"),
        ([], {"rule": "nnm"}, "end it with a rule"),
    ],
)
def test_what_cannot_be_is_refused(words: list[str], flags: dict[str, Any], said: str) -> None:
    with pytest.raises(VarangianError, match=re.escape(said)):
        experiment_of(words, flags)


def test_bad_toml_names_the_file_and_the_place() -> None:
    with pytest.raises(VarangianError, match=r"e\.toml is not TOML: .*line 1"):
        experiment_of([written("workers = = 3\n")], {})


def test_two_files_are_refused() -> None:
    with pytest.raises(VarangianError, match="one at a time"):
        experiment_of([written(""), written("")], {})
