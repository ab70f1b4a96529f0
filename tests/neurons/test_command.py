"""``varangian neurons``: tables, pictures and refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from varangian.cli import main
from varangian.neurons import Report

PICTURES = ("n.png", "n.csv", "n-steepness.png", "n-steepness.csv")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VARANGIAN_DATA", raising=False)
    monkeypatch.setenv("VARANGIAN_CACHE", str(tmp_path / "cache"))
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["neurons", *words])
    told = capsys.readouterr()
    return code, told.out, told.err


FACTORY = """
from torch import nn
def network(input_shape, classes):
    layers = nn.Linear(64, 9), nn.Sigmoid(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, classes)
    return nn.Sequential(nn.Flatten(), *layers)
def broken(input_shape, classes):
    raise ValueError("no such shape")
def notanumber(input_shape, classes):
    made = network(input_shape, classes)
    nn.init.constant_(made[1].weight, float("nan"))
    return made
def recurrent(input_shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, classes))
nothing = 3
"""
QUICK = ("--inputs", "60", "--draws", "10")


@pytest.fixture
def code(elsewhere: Path) -> Path:
    """Write a module of factories, and a state dict for one of them; return the folder."""
    (elsewhere / "mynets.py").write_text(FACTORY, encoding="utf-8")
    torch.manual_seed(1)
    sizes = [nn.Linear(64, 9), nn.Sigmoid(), nn.Linear(9, 7), nn.Tanh(), nn.Linear(7, 10)]
    torch.save(nn.Sequential(nn.Flatten(), *sizes).state_dict(), elsewhere / "state.pt")
    return elsewhere


def test_a_report_tells_draws_and_writes(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("mynets:network", "--weights", "state.pt", *QUICK, "--plot", "n.png", "--json", "n.json")
    ended, out, err = run(capsys, "report", *words)
    assert (ended, err) == (0, "")
    assert "64 9" not in out
    for told in (
        "crashes proven",
        "costs most",
        "Bits for weights",
        "Replicas",
        "Proven together",
        *PICTURES,
    ):
        assert told in out
    assert all((code / name).stat().st_size > 100 for name in PICTURES)
    made = json.loads((code / "n.json").read_text(encoding="utf-8"))["neurons"]
    assert set(made) == set(Report.__dataclass_fields__)
    assert made["neurons"] == [9, 7]
    for point in made["curves"]:
        assert point["mean"]["value"] <= point["worst"] <= point["bound"] * (1 + 1e-6)
    with (code / "n.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(made["curves"])
    assert float(rows[0]["bound"]) == pytest.approx(made["curves"][0]["bound"])


def test_a_report_of_an_exported_file(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10), nn.LogSoftmax(-1)
    ).eval()
    torch.export.save(torch.export.export(model, (torch.ones(2, 1, 8, 8),)), code / "m.pt2")
    ended, out, _ = run(capsys, "report", "m.pt2", *QUICK)
    assert ended == 0
    assert out.startswith("m.pt2: 460 parameters, 60 inputs")


def test_replicas(capsys: pytest.CaptureFixture[str]) -> None:
    ended, out, _ = run(capsys, "replicas", "--failure", "0.3333333333")
    assert ended == 0
    assert out.startswith("155 replicas")


def test_speed_beside_a_plain_loop(code: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended, out, _ = run(
        capsys, "speed", "mynets:network", "--data", "digits", "--draws", "70", "--count", "2"
    )
    assert ended == 0
    assert "draws a second" in out
    assert "a plain loop" in out


def test_a_study_of_the_digits(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--data", "digits", "--width", "8", "--steps", "20", "--draws", "50", "--plot", "s.png")
    ended, out, _ = run(capsys, "study", *words, "--json", "s.json")
    assert ended == 0
    assert (elsewhere / "s.png").stat().st_size > 1000
    models = json.loads((elsewhere / "s.json").read_text(encoding="utf-8"))["models"]
    assert [(one["kind"], one["depth"]) for one in models] == [
        (kind, depth) for kind in ("sigmoid", "relu") for depth in (1, 2, 3, 4)
    ]
    assert "power of K" in out
    # Rectifiers are homogeneous: an error passes each layer K times as large, even in a model of 20 steps.
    for one in models[4:]:
        powers = [line["slope"] for line in one["steepness"]["power_of_the_constant"]]
        assert powers == pytest.approx(list(range(one["depth"] - 1, -1, -1)), abs=0.25)


class Evil:
    """What executes when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('It was executed.')",))


REFUSED = [
    (("report", "mlpp"), "Did you mean 'mlp'?"),
    (("report", "missing.pt2"), "No such file"),
    (("report", "evil.pt"), "can execute code"),
    (("report", "evil"), "can execute code"),
    (("report", "mynets:network", "--weights", "evil.pt"), "would execute code"),
    (("report", "mynets:network", "--weights", "none.pt"), "cannot be read"),
    (("report", "mynets:network", "--weights", "short.pt"), "cannot be read as a state dict"),
    (("report", "mlp", "--weights", "state.pt"), "does not fit the model"),
    (("report", "mynets:netwrok"), "has no 'netwrok'"),
    (("report", "nowhere:network"), "cannot be imported"),
    (("report", "mynets:broken"), "no such shape"),
    (("report", "mynets:nothing"), "is a int; name a torch.nn.Module or a function"),
    (("report", "mynets:notanumber"), "not finite"),
    (("report", "mynets:recurrent"), "fold it into the layer before"),
    (("report", "mynets:network", "--lost", "2"), "between 0 and 1"),
    (("report", "mynets:network", "--data", "digts"), "Did you mean 'digits'?"),
    (("report", "mynets:network", "--plot", "n.jpg"), ".png or .svg"),
    (("report", "mynets:network", "--plot", "n.png", "--json", "n-steepness.csv"), "name another file"),
    (("study", "--data", "digits", "--plot", "n.png", "--json", "n.csv"), "name another file"),
    (("speed", "mynets:network", "--data", "digits", "--count", "10"), "cannot fail; it has 9"),
    (("replicas", "--failure", "0.5"), "cannot outvote"),
    (("repotr",), "Did you mean 'report'?"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_refused(code: Path, words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("evil.pt", "evil"):
        torch.save(Evil(), code / name)
    (code / "short.pt").write_bytes(b"\x80\x02.")  # a pickle that ends before anything is in it
    ended, out, err = run(capsys, *words)
    assert (ended, out) == (2, "")
    assert err.startswith("error: ")
    assert told in err
    assert len(err.splitlines()) <= 2
