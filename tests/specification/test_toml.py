"""Experiments from TOML files and from words."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import varangian as vg
from varangian.errors import DataError, ParameterError, ToleranceError, UnknownNameError, VarangianError
from varangian.specification import from_strings, from_toml
from varangian.specification.toml import read_pair

WHOLE = """
data = "digits"
model = "logistic"
workers = 11
byzantine = 2
rule = "nnm+trmean"
attack = "optimal:ipm"
split = "dirichlet:0.3"
learning_rate = { initial = 0.5, decay = 10, every = 5 }
momentum_at = "server"
nesterov = true
clip = 2
steps = 7
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "experiment.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_whole_file(tmp_path: Path) -> None:
    spec = from_toml(written(tmp_path, WHOLE))
    assert spec == vg.Experiment(
        data="digits",
        model="logistic",
        workers=11,
        byzantine=2,
        rule=vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
        attack=vg.Optimal(vg.InnerProductManipulation()),
        split=vg.Dirichlet(0.3),
        learning_rate=vg.InverseDecay(0.5, 10, 5),
        momentum_at="server",
        nesterov=True,
        clip=2,
        steps=7,
    )


def test_fields_given_go_over_the_file(tmp_path: Path) -> None:
    spec = from_toml(written(tmp_path, WHOLE), steps=3, attack="none", f=3, byzantine=1)
    assert (spec.steps, spec.attack, spec.byzantine) == (3, None, 1)
    assert spec.rule == vg.chain(vg.NearestNeighborMixing(f=3), vg.TrimmedMean(f=3))


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert from_toml(written(tmp_path, "")) == vg.Experiment()


def test_f_is_declared_or_the_number_of_liars() -> None:
    assert from_strings({"byzantine": 3, "rule": "median"}).rule == vg.Median(f=3)
    assert from_strings({"byzantine": 3, "f": 1, "rule": "median"}).rule == vg.Median(f=1)
    assert from_strings({"rule": "median"}).rule == vg.Median(f=0)
    assert from_strings({"byzantine": 3, "rule": "median:f=2"}).rule == vg.Median(f=2)


def test_values_pass_as_they_are() -> None:
    spec = from_strings(
        {"rule": vg.Krum(f=1), "attack": vg.SignFlip(), "split": vg.IID(), "learning_rate": 0.5}
    )
    assert (spec.rule, spec.attack, spec.learning_rate) == (vg.Krum(f=1), vg.SignFlip(), 0.5)


SCHEDULES: list[tuple[dict[str, Any], Any]] = [
    ({"initial": 0.5, "decay": 10}, vg.InverseDecay(0.5, 10)),
    ({"initial": 0.5, "decay": 10, "every": 3}, vg.InverseDecay(0.5, 10, 3)),
    ({"steps": [0, 5], "rates": [0.1, 0.2]}, vg.Piecewise(((0, 0.1), (5, 0.2)))),
]


@pytest.mark.parametrize(("table", "schedule"), SCHEDULES)
def test_schedules(table: dict[str, Any], schedule: Any) -> None:
    assert from_strings({"learning_rate": table}).learning_rate == schedule


WRONG: list[tuple[dict[str, Any], type[VarangianError], str]] = [
    ({"step": 3}, UnknownNameError, "Did you mean 'steps'"),
    ({"learningrate": 3}, UnknownNameError, "Did you mean 'learning_rate'"),
    ({"qqqqqq": 3}, UnknownNameError, "Known: .*workers"),
    ({"rule": "krumm"}, UnknownNameError, "Did you mean 'krum'"),
    ({"attack": "aliee"}, UnknownNameError, "Did you mean 'alie'"),
    ({"split": "dirichle:1"}, UnknownNameError, "Did you mean 'dirichlet'"),
    ({"split": "dirichlet"}, ParameterError, "dirichlet:0.3"),
    ({"workers": 5, "byzantine": 2, "rule": "krum"}, ToleranceError, "n = 5"),
    ({"rule": "krum", "f": -1}, ParameterError, "f must be at least 0"),
    ({"learning_rate": {}}, ParameterError, "write a number"),
    ({"learning_rate": {"initial": 1}}, ParameterError, "write a number"),
    ({"learning_rate": {"initial": 1, "decay": 2, "often": 3}}, ParameterError, "write a number"),
    ({"learning_rate": {"steps": [0, 5], "rates": [0.1]}}, ParameterError, "of one length"),
    ({"learning_rate": {"steps": [3], "rates": [0.1]}}, ParameterError, "start at 0"),
]


@pytest.mark.parametrize(("fields", "kind", "words"), WRONG, ids=lambda value: str(value)[:60])
def test_fields_that_cannot_be_read(fields: dict[str, Any], kind: type[VarangianError], words: str) -> None:
    with pytest.raises(kind, match=words):
        from_strings(fields)


def test_f_beside_a_rule_that_does_not_take_it_is_not_ignored() -> None:
    """A declared f that reaches no rule would be believed and protect nobody."""
    with pytest.raises(ParameterError, match="f"):
        from_strings({"f": 3, "rule": vg.Krum(f=1)})


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_files_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        from_toml(tmp_path / name)


def test_a_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any, **options: Any) -> str:
        raise PermissionError(13, os.strerror(13))

    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(DataError, match="Permission denied"):
        from_toml(tmp_path / "experiment.toml")


@pytest.mark.parametrize("content", [b"a = = 3", b"\xff\xfe", b"[rule", b"a = 1\na = 2"])
def test_files_that_are_no_toml(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ParameterError, match=r"bad\.toml is not TOML"):
        from_toml(path)


PAIRS: list[tuple[str, tuple[str, Any]]] = [
    ("steps=3", ("steps", 3)),
    ("learning_rate=0.1", ("learning_rate", 0.1)),
    ("rule=nnm+trmean", ("rule", "nnm+trmean")),
    ("rule=cc:radius=1.5,steps=3", ("rule", "cc:radius=1.5,steps=3")),
    ("attack=none", ("attack", "none")),
    ("clip=none", ("clip", None)),
    ("nesterov=true", ("nesterov", True)),
    ("device=cuda", ("device", "cuda")),
    ("loss=mse", ("loss", "mse")),
    ("data_dir=/a=b", ("data_dir", "/a=b")),
    ("data_dir=2024", ("data_dir", "2024")),
]


@pytest.mark.parametrize(("text", "pair"), PAIRS)
def test_pairs(text: str, pair: tuple[str, Any]) -> None:
    got = read_pair(text)
    assert got == pair
    assert type(got[1]) is type(pair[1])


@pytest.mark.parametrize("text", ["steps", "=3", "", "steps:3"])
def test_words_that_are_no_pairs(text: str) -> None:
    with pytest.raises(ParameterError, match="neither a TOML file nor field=value"):
        read_pair(text)
