"""The report: its schema, its verdict, and what no JSON can hold."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from varangian.audit import Axis, Curves, Finding, Heatmap, Line, Report, Subject, ThreatModel, schema
from varangian.audit.series import as_csv

EXAMPLE = Path(__file__).with_name("example-report.json")
SUBJECT = Subject("rule", "a rule alone", "Krum(f=1)", "krum:f=1", 5, 1, 1, None, 0)
MODEL = ThreatModel("5 parties", (), (), (), (), ("backdoors",))
PROVENANCE = dict.fromkeys(("varangian", "python", "torch", "numpy", "platform"), "") | {
    "seed": 1,
    "code_sha256": "0" * 64,
}


def finding(status: str, value: float | None = 1.0) -> Finding:
    return Finding(f"it_is_{status.replace(' ', '_')}", "It", status, value, "", "one", "It is so.")


def report(*statuses: str) -> Report:
    return Report(SUBJECT, MODEL, tuple(map(finding, statuses)), {}, {}, PROVENANCE)


def valid(made: Report) -> None:
    Draft202012Validator(schema()).validate(json.loads(made.to_json()))


def test_the_schema_is_one_and_the_example_keeps_it() -> None:
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(json.loads(EXAMPLE.read_text("utf-8")))


@pytest.mark.parametrize("lost", ["verdict", "threat_model", "findings", "provenance"])
def test_a_report_that_lacks_a_part_is_none(lost: str) -> None:
    written = json.loads(EXAMPLE.read_text("utf-8"))
    del written[lost]
    with pytest.raises(ValidationError):
        Draft202012Validator(schema()).validate(written)


@pytest.mark.parametrize(
    ("statuses", "verdict"),
    [
        (("pass", "not covered"), "pass"),
        (("pass", "warn"), "warn"),
        (("warn", "fail", "pass"), "fail"),
        (("fail", "refused"), "refused"),
        (("not covered",), "not covered"),
    ],
)
def test_the_verdict_is_the_gravest_finding(statuses: tuple[str, ...], verdict: str) -> None:
    made = report(*statuses)
    assert made.status == verdict
    assert made.summary
    valid(made)


def test_what_has_no_bound_and_what_was_not_measured_are_told_apart() -> None:
    curves = Curves("", "", Axis("x"), Axis("y"), (Line("a", (1.0, 2.0, 3.0), (math.inf, None, math.nan)),))
    made = replace(
        report("fail"),
        findings=(finding("fail", math.inf),),
        series={"one": curves, "two": Heatmap("", "", "r", "c", ("r",), ("c", "d"), ((math.inf, None),))},
        numbers={"coefficient": math.inf, "epsilon": None},
    )
    valid(made)
    told = json.loads(made.to_json())
    assert told["findings"][0]["value"] == "unbounded"
    assert told["numbers"] == {"coefficient": "unbounded", "epsilon": None}
    assert told["series"]["one"]["lines"][0]["y"] == ["unbounded", None, None]
    assert told["series"]["two"]["worst"] == ["unbounded"]
    assert as_csv(curves).splitlines()[1:] == ["a,1.0,unbounded", "a,2.0,", "a,3.0,"]


def test_the_worst_column_is_the_worst_either_way() -> None:
    values = ((0.2, None, 0.9), (None, None, None))
    rows, columns = ("one", "two"), ("a", "b", "c")
    for better, worst in (("high", (0.2, None)), ("low", (0.9, None))):
        assert Heatmap("", "", "r", "c", rows, columns, values, better=better).worst == worst
