"""Everything impossible is refused by name, and the message says what to change."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import varangian as vg
from varangian.errors import (
    ChainError,
    DtypeError,
    InputError,
    ParameterError,
    SearchLimitError,
    ShapeError,
    ToleranceError,
    VarangianError,
    WeightsError,
)

X = torch.arange(28.0).reshape(7, 4).sin()
ROW = X[0].clone()


def weighing(weights: Any, **options: Any) -> Callable[[], Any]:
    return lambda: vg.TrimmedMean(f=1)(X, weights=weights, **options)


def field(make: Callable[..., Any], *args: Any, **fields: Any) -> Callable[[], Any]:
    return lambda: make(*args, **fields)


ONES = [1.0] * 7

INPUTS: list[tuple[str, type[VarangianError], Callable[[], Any], list[str]]] = [
    ("an empty list", ShapeError, lambda: vg.Median(f=0)([]), ["empty"]),
    ("no rows", ShapeError, lambda: vg.Median(f=0)(torch.zeros(0, 3)), ["n = 0"]),
    ("no rows in NumPy", ShapeError, lambda: vg.Median(f=0)(np.zeros((0, 3))), ["n = 0"]),
    ("one axis", ShapeError, lambda: vg.Median(f=0)(ROW), ["(4,)", "x[None, :]"]),
    ("no axis", ShapeError, lambda: vg.Median(f=0)(torch.tensor(1.0)), ["(..., n, d)"]),
    ("a string", InputError, lambda: vg.Median(f=0)("gradients"), ["str", "array"]),
    ("a number", InputError, lambda: vg.Median(f=0)(3.0), ["float", "array"]),
    ("nothing", InputError, lambda: vg.Median(f=0)(None), ["NoneType", "array"]),
    ("a dict", InputError, lambda: vg.Median(f=0)({"w": X}), ["dict", "list"]),
    ("a generator", InputError, lambda: vg.Median(f=0)(row for row in X), ["generator", "list"]),
    ("a list of strings", InputError, lambda: vg.Median(f=0)(["a", "b"]), ["str", "array"]),
    ("a list of numbers", InputError, lambda: vg.Median(f=0)([1.0, 2.0]), ["float", "array"]),
    (
        "different lengths",
        ShapeError,
        lambda: vg.Median(f=0)([ROW, ROW[:3]]),
        ["Vector 1", "(3,)", "same length"],
    ),
    ("different shapes", ShapeError, lambda: vg.Median(f=0)([[ROW], [ROW[None]]]), ["Vector 1", "(1, 4)"]),
    ("different dtypes", DtypeError, lambda: vg.Median(f=0)([ROW, ROW.double()]), ["Vector 1", "one dtype"]),
    ("different kinds", InputError, lambda: vg.Median(f=0)([ROW, [ROW]]), ["Vector 1", "one kind"]),
    ("a list and a dict", InputError, lambda: vg.Median(f=0)([[ROW], {0: ROW}]), ["Vector 1", "one kind"]),
    ("different counts", ShapeError, lambda: vg.Median(f=0)([[ROW], [ROW, ROW]]), ["Vector 1", "entries"]),
    (
        "different names",
        ShapeError,
        lambda: vg.Median(f=0)([{"w": ROW}, {"b": ROW}]),
        ["Vector 1", "'b'", "'w'"],
    ),
    ("no entries", ShapeError, lambda: vg.Median(f=0)([[], []]), ["no entries"]),
    ("an entry that is no array", InputError, lambda: vg.Median(f=0)([[ROW], ["w"]]), ["Vector 1", "array"]),
    ("numbers in a list of arrays", ShapeError, lambda: vg.Median(f=0)([torch.tensor(1.0)] * 3), ["axis"]),
    ("integers", DtypeError, lambda: vg.Median(f=0)(X.int()), ["int32", "float32"]),
    ("NumPy integers", DtypeError, lambda: vg.Median(f=0)(np.ones((3, 2), dtype=int)), ["int64", "float32"]),
    ("unsigned bytes", DtypeError, lambda: vg.Median(f=0)(X.byte()), ["uint8", "float32"]),
    ("booleans", DtypeError, lambda: vg.Median(f=0)(X > 0), ["bool", "float32"]),
    ("complex", DtypeError, lambda: vg.Median(f=0)(X.to(torch.complex64)), ["complex64", "float32"]),
    (
        "NumPy complex",
        DtypeError,
        lambda: vg.Median(f=0)(np.ones((3, 2), dtype=complex)),
        ["complex128", "float32"],
    ),
    ("NumPy objects", DtypeError, lambda: vg.Median(f=0)(np.array([[None], [None]])), ["object", "float32"]),
    ("integers in a list", DtypeError, lambda: vg.Median(f=0)([ROW.int(), ROW.int()]), ["Vector 0", "int32"]),
    (
        "too few vectors",
        ToleranceError,
        lambda: vg.Krum(f=3)(X),
        ["n = 7", "2f + 3 = 9", "2 workers", "f <= 2"],
    ),
    ("more liars than vectors", ToleranceError, lambda: vg.Krum(f=9)(X), ["n = 7", "= 21", "f <= 2"]),
    ("a mean of fewer than f", ToleranceError, lambda: vg.Average(f=7)(X), ["n = 7", "= 8", "f <= 6"]),
    (
        "too few after bucketing",
        ToleranceError,
        lambda: vg.chain(vg.Bucketing(f=2, s=2), vg.Median(f=2))(X),
        ["n = 7", "Add at least 2 workers", "f <= 1"],
    ),
    ("a missing pivot", InputError, lambda: vg.MoNNA(f=1)(X), ["MoNNA", "pivot=..."]),
    ("a missing pivot of FLTrust", InputError, lambda: vg.FLTrust()(X), ["FLTrust", "pivot=..."]),
    ("a superfluous pivot", InputError, lambda: vg.Median(f=1)(X, pivot=ROW), ["Median", "leave pivot= out"]),
    ("a pivot of NaN", InputError, lambda: vg.MoNNA(f=1)(X, pivot=ROW * torch.nan), ["NaN"]),
    ("an infinite pivot", InputError, lambda: vg.MoNNA(f=1)(X, pivot=ROW / 0), ["infinite"]),
    ("a short pivot", ShapeError, lambda: vg.MoNNA(f=1)(X, pivot=ROW[:3]), ["(3,)", "4"]),
    (
        "a pivot that is no array",
        InputError,
        lambda: vg.MoNNA(f=1)(X, pivot=[1.0] * 4),
        ["list", "same kind"],
    ),
    (
        "a state of NaN",
        InputError,
        lambda: vg.CenteredClipping(f=1, radius=1.0)(X, state=ROW * torch.nan),
        ["NaN"],
    ),
    (
        "a short state",
        ShapeError,
        lambda: vg.CenteredClipping(f=1, radius=1.0)(X, state=ROW[:3]),
        ["(3,)", "4"],
    ),
]

WEIGHTS: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("negative", weighing([1.0, -2.0, *ONES[2:]]), ["Weight 1", "-2", "negative"]),
    ("NaN", weighing([1.0, math.nan, *ONES[2:]]), ["Weight 1", "finite"]),
    ("infinite", weighing([*ONES[:6], math.inf]), ["Weight 6", "finite"]),
    ("too few", weighing(ONES[:6]), ["(6,)", "7"]),
    ("too many", weighing(np.ones(8)), ["(8,)", "7"]),
    ("a table", weighing(np.ones((7, 1))), ["(7, 1)", "7"]),
    ("all zero", weighing([0.0] * 7), ["zero"]),
    ("no numbers", weighing(["a"] * 7), ["number"]),
    ("None among them", weighing([None] * 7), ["number"]),
    ("one number", weighing(3.0), ["number"]),
    ("one number of NumPy", weighing(np.float64(3)), ["number"]),
    ("too large for float64", weighing([10**400, *ONES[1:]]), ["Weight 0", "float64", "finite"]),
    ("numbers as texts", weighing(["1"] * 7), ["number"]),
    ("a text", weighing("1111111"), ["number"]),
    ("masked", weighing(np.ma.array(np.ones(7), mask=[1] + [0] * 6)), ["masked", "weights.filled(0)"]),
    ("masked among them", weighing([np.ma.masked, *ONES[1:]]), ["number"]),
    ("complex", weighing(np.ones(7, dtype=complex)), ["complex128"]),
    ("cap below 1/n", weighing(ONES, cap=0.1), ["cap = 0.1", "0.1429"]),
    ("cap above one", weighing(ONES, cap=1.5), ["cap = 1.5", "1"]),
    ("cap of zero", weighing(ONES, cap=0.0), ["cap = 0"]),
    ("cap with too few holders", weighing([1.0, 1.0, 0, 0, 0, 0, 0], cap=0.4), ["2 parties", "0.5"]),
    ("mass of one half", weighing(ONES, mass=0.5), ["mass = 0.5", "half", "cap"]),
    ("negative mass", weighing(ONES, mass=-0.1), ["mass = -0.1"]),
    ("a party above one half", weighing([10.0, *ONES[1:]]), ["62.5%", "half", "cap"]),
    ("cap without weights", lambda: vg.TrimmedMean(f=1)(X, cap=0.5), ["weights="]),
    ("mass without weights", lambda: vg.TrimmedMean(f=1)(X, mass=0.1), ["weights="]),
    *(
        (
            f"{stage!r} cannot",
            lambda stage=stage: stage(X, weights=ONES),
            ["cannot honour weights", "TrimmedMean"],
        )
        for stage in (
            vg.Median(f=1),
            vg.Krum(f=1),
            vg.NearestNeighborMixing(f=1),
            vg.MinimumDiameterAveraging(f=1),
            vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1)),
            vg.chain(vg.Bucketing(f=1), vg.Average(f=1)),
        )
    ),
]

CHAINS: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("no stage", field(vg.chain), ["at least one"]),
    (
        "a rule before a mixer",
        field(vg.chain, vg.Median(f=1), vg.NearestNeighborMixing(f=1)),
        ["Median", "mixers first"],
    ),
    ("two rules", field(vg.chain, vg.Median(f=1), vg.Krum(f=1)), ["one vector", "rule last"]),
    (
        "a rule in the middle",
        field(vg.chain, vg.Bucketing(f=1), vg.Krum(f=1), vg.Krum(f=1)),
        ["Krum", "rule last"],
    ),
    (
        "a chain before a rule",
        field(vg.chain, vg.chain(vg.Bucketing(f=1), vg.Krum(f=1)), vg.Krum(f=1)),
        ["Krum", "rule last"],
    ),
    ("a rule that is a chain", field(vg.chain, vg.Bulyan(f=1), vg.Median(f=1)), ["Bulyan", "rule last"]),
    (
        "two f",
        field(vg.chain, vg.NearestNeighborMixing(f=1), vg.Median(f=2)),
        ["different f", "allow_different_f=True"],
    ),
]

ONLY_F: tuple[Any, ...] = tuple(
    kind for kind in (*vg.RULES, *vg.MIXERS) if kind not in (vg.CenteredClipping, vg.Clipping)
)

FIELDS: list[tuple[str, Callable[[], Any], list[str]]] = [
    *((f"{kind.__name__}, f = -1", lambda kind=kind: kind(f=-1), ["f=-1", "at least 0"]) for kind in ONLY_F),
    *(
        (f"{kind.__name__}, f = True", lambda kind=kind: kind(f=True), ["f=True", "integer"])
        for kind in ONLY_F
    ),
    ("centred clipping, f", field(vg.CenteredClipping, f=-1, radius=1.0), ["f", "at least 0"]),
    ("m = 0", field(vg.MultiKrum, f=1, m=0), ["MultiKrum(m=0)", "at least 1"]),
    ("neighbours = 0", field(vg.Krum, f=1, neighbours=0), ["neighbours=0", "at least 1"]),
    ("neighbours of Multi-Krum", field(vg.MultiKrum, f=1, neighbours=-1), ["neighbours=-1", "at least 1"]),
    ("theta too small", field(vg.Bulyan, f=2, theta=4), ["theta=4", "at least 5"]),
    ("theta too small to select", field(vg.BulyanSelection, f=2, theta=4), ["theta=4", "at least 5"]),
    ("drop below f", field(vg.MeanAroundMedian, f=2, drop=1), ["drop=1", "at least f"]),
    ("negative drop", field(vg.MeanAroundMedian, f=0, drop=-1), ["drop=-1", "at least 0"]),
    ("keep", field(vg.Aksel, f=1, keep="half"), ["keep='half'", "'mid' or 'n-f'"]),
    ("nu negative", field(vg.GeometricMedian, f=1, nu=-0.1), ["nu=-0.1"]),
    ("nu NaN", field(vg.GeometricMedian, f=1, nu=math.nan), ["nu=nan", "finite"]),
    ("no steps", field(vg.GeometricMedian, f=1, steps=0), ["steps=0", "at least 1"]),
    ("no tolerance", field(vg.GeometricMedian, f=1, tolerance=0.0), ["tolerance=0", "above 0"]),
    ("radius zero", field(vg.CenteredClipping, f=1, radius=0.0), ["radius=0", "above 0"]),
    ("radius negative", field(vg.Clipping, radius=-1.0), ["radius=-1", "above 0"]),
    ("radius infinite", field(vg.Clipping, radius=math.inf), ["radius=inf", "finite"]),
    ("no inner steps", field(vg.CenteredClipping, f=1, radius=1.0, steps=0), ["steps=0", "at least 1"]),
    ("s = 0", field(vg.Bucketing, f=1, s=0), ["s=0", "at least 1"]),
    ("p zero", field(vg.Condense, f=1, p=0.0), ["p=0", "above 0"]),
    ("p above one", field(vg.Condense, f=1, p=1.5), ["p=1.5", "at most 1"]),
    ("no iterations", field(vg.DnC, f=1, iterations=0), ["iterations=0", "at least 1"]),
    ("no coordinates", field(vg.DnC, f=1, coordinates=0), ["coordinates=0", "at least 1"]),
    ("c zero", field(vg.DnC, f=1, c=0.0), ["c=0", "at least 1"]),
    ("c that keeps a liar", field(vg.DnC, f=1, c=0.5), ["c=0.5", "at least 1"]),
    ("a search without nodes", field(vg.MinimumDiameterAveraging, f=1, nodes=0), ["nodes=0", "at least 1"]),
    ("SMEA without nodes", field(vg.SMEA, f=1, nodes=0), ["nodes=0", "at least 1"]),
]

TYPES: list[tuple[str, str, list[str]]] = [
    *(
        (f"vg.{kind.__name__}(f={f})", "ParameterError", ["f=", "integer of at least 0"])
        for kind in ONLY_F
        for f in ("1.5", "'2'", "float('nan')")
    ),
    ("vg.MultiKrum(f=1, m=1.5)", "ParameterError", ["m=1.5", "integer"]),
    ("vg.Bulyan(f=1, theta=3.5)", "ParameterError", ["theta=3.5", "integer"]),
    ("vg.Bucketing(f=1, s=2.0)", "ParameterError", ["s=2.0", "integer"]),
    ("vg.Clipping(radius='1')", "ParameterError", ["radius='1'", "finite number"]),
    ("vg.Clipping(radius=True)", "ParameterError", ["radius=True", "finite number"]),
    *(
        (f"vg.TrimmedMean(f=1)(X, weights=[1] * 7, {bound})", "WeightsError", [bound[:3], "and 1"])
        for bound in (
            *("cap='0.5'", "cap=[]", "cap=torch.tensor([.5, .5])", "cap=1j", "cap=10**400"),
            *("mass='0.2'", "mass=b'0.2'", "mass=np.array('0.2')", "mass=np.ma.masked"),
        )
    ),
    ("vg.TrimmedMean(f=1)(X, weights=[1] * 7, cap=torch.tensor(.5), mass=np.float32(.2))", "", []),
    *(
        (f"vg.Stream({seed})", "ParameterError", ["Stream(seed=", "whole number"])
        for seed in ("'a'", "'1'", "None", "1.0")
    ),
    *((f"vg.Median(f=0)(X, stream={seed})", "InputError", ["Stream(seed)"]) for seed in ("0", "3", "False")),
    ("json.dumps(vg.Stream(np.int64(3)).seed)", "", []),
    ("vg.chain(vg.NearestNeighborMixing(f=1), 'median')", "ChainError", ["'median'", "str"]),
    ("vg.chain(vg.NearestNeighborMixing(f=1), vg.Median)", "ChainError", ["Median", "mixers and rules"]),
]
"""Values of a wrong type: source, the error (none: accepted), and words of its message."""

TRY_ALL = """
import json, sys
import numpy as np, torch, varangian as vg
X = torch.arange(28.0).reshape(7, 4).sin()
seen = []
for source in json.load(sys.stdin):
    try:
        eval(source)
        seen.append(["", ""])
    except Exception as error:
        seen.append([type(error).__name__, str(error)])
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def seen_without_type_checks() -> dict[str, tuple[str, str]]:
    """Try the values of a wrong type where no type checker, as under these tests, refuses them first."""
    sources = [source for source, _, _ in TYPES]
    done = subprocess.run(
        [sys.executable, "-c", TRY_ALL], check=True, capture_output=True, text=True, input=json.dumps(sources)
    )
    return dict(zip(sources, map(tuple, json.loads(done.stdout)), strict=True))


@pytest.mark.parametrize(("source", "error", "words"), TYPES, ids=[source for source, _, _ in TYPES])
def test_wrong_types(
    source: str, error: str, words: list[str], seen_without_type_checks: dict[str, tuple[str, str]]
) -> None:
    name, message = seen_without_type_checks[source]
    assert name == error, message
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in {message!r}"


def refused(error: type[VarangianError], call: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(error) as raised:
        call()
    message = str(raised.value)
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in {message!r}"


@pytest.mark.parametrize(
    ("error", "call", "words"), [case[1:] for case in INPUTS], ids=[case[0] for case in INPUTS]
)
def test_bad_vectors(error: type[VarangianError], call: Callable[[], Any], words: list[str]) -> None:
    refused(error, call, words)


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in WEIGHTS], ids=[case[0] for case in WEIGHTS])
def test_bad_weights(call: Callable[[], Any], words: list[str]) -> None:
    refused(WeightsError, call, words)


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in CHAINS], ids=[case[0] for case in CHAINS])
def test_bad_chains(call: Callable[[], Any], words: list[str]) -> None:
    refused(ChainError, call, words)


@pytest.mark.parametrize(("call", "words"), [case[1:] for case in FIELDS], ids=[case[0] for case in FIELDS])
def test_bad_fields(call: Callable[[], Any], words: list[str]) -> None:
    refused(ParameterError, call, words)


def test_different_f_may_be_allowed() -> None:
    mixed = vg.chain(vg.NearestNeighborMixing(f=2), vg.Median(f=1), allow_different_f=True)
    assert mixed.f == 2
    assert mixed(X).shape == (4,)


def test_a_chain_with_different_f_is_remade_by_its_repr() -> None:
    mixed = vg.chain(vg.NearestNeighborMixing(f=2), vg.Median(f=1), allow_different_f=True)
    assert eval(repr(mixed), vars(vg)) == mixed


@pytest.mark.parametrize("kind", [vg.MinimumDiameterAveraging, vg.SMEA], ids=lambda kind: kind.__name__)
def test_a_search_that_runs_out_says_so(kind: Any) -> None:
    with pytest.raises(SearchLimitError, match=re.escape("nodes=")):
        kind(f=2, nodes=1)(X)


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        (vg.MultiKrum(f=1, m=5, neighbours=20), 21),
        (vg.MultiKrum(f=1, m=5, neighbours=6), 8),
        (vg.MultiKrum(f=1, m=2, neighbours=3), 5),
        (vg.MultiKrum(f=1, neighbours=7), 8),
    ],
    ids=repr,
)
def test_multi_krum_needs_room_for_m_and_for_neighbours(rule: vg.Stage, least: int) -> None:
    with pytest.raises(ToleranceError):
        rule(torch.ones(least - 1, 2))
    assert rule(torch.ones(least, 2)).shape == (2,)


@pytest.mark.parametrize("error", [ParameterError, InputError, ToleranceError, ChainError])
def test_errors_are_value_errors(error: type[Exception]) -> None:
    assert issubclass(error, ValueError)
    assert issubclass(error, VarangianError)


@pytest.mark.parametrize(
    "stage",
    [
        vg.Krum(f=2),
        vg.Bulyan(f=1),
        vg.Average(f=2),
        vg.DnC(f=2, c=3.0),
        vg.MultiKrum(f=1, m=5),
        vg.MultiKrum(f=1, m=5, neighbours=20),
        vg.MeanAroundMedian(f=1, drop=4),
        vg.Krum(f=0, neighbours=6),
        vg.Bulyan(f=1, theta=6),
        vg.Condense(f=2),
        vg.chain(vg.Bucketing(f=2, s=3), vg.Krum(f=2)),
    ],
    ids=repr,
)
def test_the_advice_of_a_refusal_holds(stage: Any) -> None:
    n = stage.condition().minimum - 1
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ToleranceError) as raised:
        stage(x)
    message = str(raised.value)
    assert repr(stage) in message
    assert f"n = {n}" in message
    added = int(re.search(r"Add at least (\d+) worker", message)[1])  # type: ignore[index]
    assert torch.isfinite(stage(torch.cat([x, x[:1].expand(added, -1)]))).all()
    declared = re.search(r"declare f <= (\d+)", message)
    if declared:
        from varangian.core.guard import declare

        assert torch.isfinite(declare(stage, int(declared[1]))(x)).all()
