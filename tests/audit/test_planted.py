"""Jobs with known answers: the audit must find what was planted, and say it in a valid report."""

from __future__ import annotations

import json
import math
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from audit.recorded import apart, honest, save
from jsonschema import Draft202012Validator

import varangian as vg
from varangian.audit import Report, audit, replay, schema
from varangian.errors import DataError, ParameterError, ToleranceError, WeightsError

SOUND = vg.chain(vg.NearestNeighborMixing(f=1), vg.TrimmedMean(f=1))


def valid(report: Report) -> Report:
    Draft202012Validator(schema()).validate(json.loads(report.to_json()))
    for finding in report.findings:
        assert set(finding.series) <= set(report.series), finding.id
    return report


def test_a_sound_chain_passes(tmp_path: Path) -> None:
    report = valid(audit(save(tmp_path / "rounds", honest()), SOUND))
    assert report.status == "pass"
    assert report.finding("heterogeneity").value == pytest.approx(0, abs=0.2)
    assert 0 < report.finding("coefficient").value < SOUND.kappa(8)
    assert {"coefficient", "attacks", "breakdown_real", "breakdown_declared", "influence"} <= set(
        report.series
    )
    assert report.threat_model.not_covered
    assert set(report.provenance["updates_sha256"]) == {f"round-{number}.npy" for number in (1, 2)}


def test_averaging_tolerates_nobody(tmp_path: Path) -> None:
    report = valid(audit(save(tmp_path / "rounds", honest()), vg.Average()))
    assert report.status == "fail"
    assert report.finding("coefficient").shown == "unbounded"
    assert math.isinf(report.numbers["coefficient"])


def test_too_small_an_f_fails_and_the_curve_breaks_where_it_was_declared(tmp_path: Path) -> None:
    folder = save(tmp_path / "rounds", honest())
    report = valid(audit(folder, vg.Krum(f=1), byzantine=3))
    assert report.finding("declared").status == "fail"
    assert "Declare f = 3" in report.finding("declared").change
    (line,) = valid(audit(folder, vg.TrimmedMean(f=1))).series["breakdown_real"].lines
    errors = dict(zip(line.x, line.y, strict=True))
    assert errors[0.0] < errors[1.0] < 1
    assert math.isinf(errors[2.0])


def test_a_site_above_one_half_is_refused_with_the_reason(tmp_path: Path) -> None:
    folder = save(tmp_path / "rounds", honest())
    weights = [52, 18, 10, 8, 6, 3, 2, 1]
    rule = vg.chain(vg.AdaptiveClipping(f=1), vg.Average(f=1))
    report = valid(audit(folder, rule, weights=weights))
    assert report.status == "refused"
    finding = report.finding("weights")
    assert "52.0%" in finding.shown
    assert "half" in finding.meaning
    assert "Cap the shares" in finding.change
    assert report.worst is None
    capped = valid(audit(folder, rule, weights=weights, cap=0.25))
    assert capped.status != "refused"
    assert capped.numbers["largest_share"] == pytest.approx(0.25)
    assert len(capped.series["breakdown_weight"].lines[0].x) == 8


def test_heterogeneity_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    report = valid(audit(save(tmp_path / "rounds", apart()), vg.TrimmedMean(f=2)))
    assert report.status == "refused"
    finding = report.finding("heterogeneity")
    assert finding.status == "refused"
    assert finding.value > finding.limit == (8 - 4) / 2


def test_who_differs_in_every_round_is_named_without_a_verdict(tmp_path: Path) -> None:
    rule = vg.ComparativeGradientElimination(f=1)
    rounds = honest(rounds=5)
    for vectors in rounds:
        vectors[3] += 0.5
    report = valid(audit(save(tmp_path / "rounds", rounds), rule))
    assert [client.name for client in report.clients if client.differs] == ["client 3"]
    assert report.status == "warn"
    assert "no verdict" in report.finding("evidence").meaning
    calm = valid(audit(save(tmp_path / "calm", honest(rounds=5)), rule))
    assert not any(client.differs for client in calm.clients)


def test_the_worst_attack_replays_to_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "rounds", honest())
    for embedded in (10**6, 10):
        monkeypatch.setattr(import_module("varangian.audit.replay"), "EMBEDDED", embedded)
        report = audit(folder, vg.GeometricMedian(f=1))
        report.write(tmp_path / "out")
        again = replay(tmp_path / "out" / report.worst.file)
        assert again.same
        assert again.number == report.worst.number == report.numbers["coefficient"]
    vectors = np.load(folder / "round-1.npy")
    for file in folder.iterdir():
        np.save(file, vectors + 1)
    with pytest.raises(DataError, match="is not the file"):
        replay(tmp_path / "out" / report.worst.file)
    with pytest.raises(DataError, match="no attack that an audit saved"):
        replay(folder / "round-1.npy")


def test_a_report_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = audit(vg.TrimmedMean(f=1), n=5, fail_if=["coefficient > 100", "lower_bound > 0.2"])
    assert [check.holds for check in report.checks] == [False, True]
    assert report.failed
    out = tmp_path / "out"
    files = report.write(out)
    assert sorted(file.name for file in out.iterdir()) == sorted(files)
    before = (out / "report.json").read_bytes()
    assert before == report.to_json().encode()

    def broken(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", broken)
        with pytest.raises(DataError, match="No space left"):
            report.write(out)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (out / "report.json").read_bytes() == before
    report.write(out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("dear to me")
    with pytest.raises(DataError, match="other things than a report"):
        report.write(tmp_path / "mine")
    with pytest.raises(DataError, match="there is no folder"):
        report.write(tmp_path / "nowhere" / "out")


def test_the_same_audit_says_the_same(tmp_path: Path) -> None:
    folder = save(tmp_path / "rounds", honest())
    one, two = (audit(folder, vg.Krum(f=1), seed=3) for _ in range(2))
    assert one.attachments == two.attachments
    timed = ("cost_seconds",)
    assert {k: v for k, v in one.numbers.items() if k not in timed} == {
        k: v for k, v in two.numbers.items() if k not in timed
    }


def test_what_cannot_be_audited_is_refused(tmp_path: Path) -> None:
    folder = save(tmp_path / "rounds", honest(rounds=1))
    with pytest.raises(ToleranceError, match="received n = 8"):
        audit(folder, vg.Krum(f=3))
    with pytest.raises(ParameterError, match="take 0 to 6"):
        audit(folder, vg.Krum(f=1), byzantine=7)
    with pytest.raises(ParameterError, match="need the rule"):
        audit(folder)
    with pytest.raises(ParameterError, match="needs the number of vectors"):
        audit(vg.Krum(f=1))
    with pytest.raises(ParameterError, match="returns many vectors"):
        audit(folder, vg.NearestNeighborMixing(f=1))
    with pytest.raises(WeightsError, match="cannot honour weights"):
        audit(folder, vg.Krum(f=1), weights=[1] * 8)
    with pytest.raises(WeightsError, match="give weights as well"):
        audit(folder, vg.TrimmedMean(f=1), cap=0.3)
    with pytest.raises(ParameterError, match="does not measure"):
        audit(folder, vg.Krum(f=1), fail_if=["worst_accuracy < 1"])
    with pytest.raises(ParameterError, match="share of the accuracy"):
        audit(folder, vg.Krum(f=1), allowed=3)
