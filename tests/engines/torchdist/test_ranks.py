"""What rules do to the gradients of real processes, compared with DDP, and with the rule in one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from launched import launched, torchrun

LAUNCH = Path(__file__).with_name("launch.py")
CHECKS = "hooked,sharded,watched"
ALL = 2, 3, 4
Found = dict[int, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Return what each rank found, by the number of ranks; two ranks are torchrun's."""
    folder = tmp_path_factory.mktemp("ranks")
    torchrun(2, LAUNCH, folder, CHECKS)
    launched(LAUNCH, folder, CHECKS, 3, 4)
    return {n: [json.loads((folder / f"{n}-{rank}.json").read_text()) for rank in range(n)] for n in ALL}


@pytest.mark.parametrize("n", ALL)
def test_the_average_is_that_of_ddp(found: Found, n: int) -> None:
    """Two ranks agree to the bit; of more, DDP adds in float32 in another order, the rule in float64."""
    for rank in found[n]:
        assert rank["average"]["units"] <= (0 if n == 2 else n)
        assert rank["average"]["d"] % n != 0 or n == 2


@pytest.mark.parametrize("n", ALL)
def test_as_many_bytes_are_sent_as_by_an_all_reduce(found: Found, n: int) -> None:
    assert found[n][0]["average"]["sent"] == pytest.approx(2 * (n - 1) / n, rel=0.01)


@pytest.mark.parametrize("n", ALL)
def test_every_rule_is_the_rule_in_process(found: Found, n: int) -> None:
    rules = found[n][0]["every_rule"]
    assert len(rules) >= (19 if n > 2 else 10)
    wrong = {
        rule: apart for rank in found[n] for rule, apart in rank["every_rule"].items() if max(apart) > 1e-6
    }
    assert not wrong


@pytest.mark.parametrize("n", ALL)
def test_half_precision_and_mixed_parameters(found: Found, n: int) -> None:
    for rank in found[n]:
        mixed = rank["halves"].pop("mixed")
        assert mixed < 2**-7  # a bfloat16 has 8 bits
        assert max(rank["halves"].values()) == 0


@pytest.mark.parametrize("n", ALL)
def test_accumulated_gradients_are_aggregated_once(found: Found, n: int) -> None:
    for rank in found[n]:
        assert rank["accumulated"]["apart"] < 1e-6
        assert rank["accumulated"]["quiet"] == 0


@pytest.mark.parametrize("n", ALL)
def test_uneven_batches_end_together_with_the_same_model(found: Found, n: int) -> None:
    assert [rank["joined"]["spread"] for rank in found[n]] == [0.0] * n


@pytest.mark.parametrize("n", ALL)
def test_memory_begins_anew_when_buckets_are_rebuilt_and_lasts_from_then_on(found: Found, n: int) -> None:
    for rank in found[n]:
        assert rank["memory"]["rebuilt"] == [True, False, False]
        assert max(rank["memory"]["apart"]) < 1e-6


@pytest.mark.parametrize("n", ALL)
def test_anything_else_is_reduced_in_place(found: Found, n: int) -> None:
    for rank in found[n]:
        assert rank["reduced"].pop("groups left") == 0
        assert max(rank["reduced"].values()) < 1e-12


def test_nothing_that_was_lent_to_threads_is_kept(found: Found) -> None:
    for rank in found[4]:
        assert rank["returned"]["lent"] > 10
        assert rank["returned"]["held"] == 0


@pytest.mark.parametrize("n", ALL)
def test_an_accountant_keeps_the_same_books_beside_the_hook(found: Found, n: int) -> None:
    for rank in found[n]:
        books = rank["accounted"]
        assert len(books["apart"]) == 9
        assert max(books["apart"].values()) < 1e-4
        assert all(books["same"])
        kind, said = books["lied"]
        assert (kind == "SuspicionError") == (n > 2)  # of two, nobody knows who is wrong
        assert n == 2 or "1 party is suspected, and f = 0 were declared" in said


@pytest.mark.parametrize("n", [3, 4])
def test_one_rank_of_nan_spoils_nobody(found: Found, n: int) -> None:
    assert all(all(rank["poisoned"].values()) for rank in found[n])


def test_a_watch_sees_what_each_rank_computed(found: Found) -> None:
    for rank in found[3]:
        assert len(rank["seen"]) == 2
        assert all(max(passes) < 1e-6 for passes in rank["seen"].values())


def test_a_watch_sees_passes_of_several_runs(found: Found) -> None:
    for rank in found[3]:
        assert len(rank["settled"]) == 26
        assert all(max(passes) < 1e-6 for passes in rank["settled"].values())


def test_a_watched_model_is_freed(found: Found) -> None:
    assert all(rank["forgotten"]["freed"] for rank in found[3])


def test_mistakes_are_refused_with_the_fix(found: Found) -> None:
    for rank in (*found[2], *found[3]):
        said = rank["refused"]
        kinds = {mistake: kind for mistake, (kind, _) in said.items()}
        assert kinds == {
            "few": "ToleranceError",
            "rules": "ParameterError",
            "shapes": "ParameterError",
            "model": "ParameterError",
            "bug": "ZeroDivisionError",
            "drawn": "ParameterError",
            "pivot": "ParameterError",
        }
        assert "draws a number for every coordinate" in said["drawn"][1]
        assert "rank 0 with Median(f=0); rank 1 with TrimmedMean(f=0)" in said["rules"][1]
        assert "(3,), torch.float32; rank 1 with Median(f=0) of (4,)" in said["shapes"][1]
        assert "the rule's own bug" in said["bug"][1]


def test_a_rank_that_does_not_arrive_is_an_error_within_the_timeout(found: Found) -> None:
    for rank in found[3][:2]:
        for place in ("register", "backward"):
            kind, text, seconds = rank["missing"][place]
            assert kind == "RankError"
            assert "did not arrive within 0:00:03" in text
            assert seconds < 30  # the timeout, and what a busy machine takes: the others have 60


@pytest.mark.parametrize("n", [2, 4])
def test_what_fsdp_shards_is_aggregated_by_rank(found: Found, n: int) -> None:
    for rank in found[n]:
        said = rank["by_rank"]
        assert "set_gradient_divide_factor" in said.pop("factor")[1]
        assert "judges whole gradients" in said.pop("geometric")[1]
        assert "nothing is sharded" in said.pop("plain")[1]
        assert said.pop("float16") < 2**-9
        assert max(said.values()) < 1e-6


def test_a_worker_may_be_a_group_of_ranks(found: Found) -> None:
    for rank in found[4]:
        assert len(rank["by_group"]) == 3
        assert max(rank["by_group"].values()) < 1e-6


@pytest.mark.parametrize("n", [3, 4])
def test_the_watch_names_the_wrong_rank_and_does_as_it_was_told(found: Found, n: int) -> None:
    for rank in found[n]:
        said = rank["watched"]
        assert said["apart"] == 0
        assert said["views"] == 0
        assert said["bytes"] < 1000
        assert [policy["named"] for policy in said["policies"].values()] == [[n - 1]] * 3
        assert said["policies"]["raise"]["error"] == [
            "FaultError",
            f"rank {n - 1}, step 0: values not finite",
        ]
        assert said["policies"]["drop"]["finite"]
        assert said["dropped"] < 1e-6
        assert said["named"] == {kind: [[25, n - 1]] for kind in ("flip", "stale", "copy", "zero")}
        assert said["beside"] == [[n - 1], True]
        assert said["refused"][0] == "ParameterError"


def test_ddp_averages_as_ever_beside_a_watch(found: Found) -> None:
    for place, rank in enumerate(found[3]):
        said = rank["beside"]
        assert said["error"] == said["error of buckets"] == "FaultError"
        for after in ("after an error", "after an error of buckets"):
            assert said[after] < 1e-6  # in other buckets, sums round otherwise
        assert said["steps"] == [2, 0, 1]
        assert said["another hook"] == said["bfloat16"] == 0
        assert said["unused"] == said["static"] == said["of bfloat16"] == [2]
        assert said["joined"] == 0
        if place == 0:
            flip, nan = said["told"]
            assert 25 <= flip < 25 + 8
            assert nan == 37


def test_two_ranks_cannot_be_told_apart(found: Found) -> None:
    assert {rank["few"][0] for rank in found[2]} == {"ToleranceError"}


@pytest.mark.slow
def test_a_faulty_rank_ruins_averaging_and_not_the_hook_and_is_named(tmp_path: Path) -> None:
    launched(LAUNCH, tmp_path, "faulty", 4, seconds=3000)
    ranks = [json.loads((tmp_path / f"4-{rank}.json").read_text()) for rank in range(4)]
    said = ranks[0]
    clean = said["nothing, DDP"]["accuracy"]
    for way in ("DDP", "hook"):
        assert said[f"nothing, {way}"]["named"] == []
        assert {rank for _, rank in said[f"labels, {way}"]["named"]} == {3}
    for fault in ("labels", "nan", "flips"):
        first = said[f"{fault}, DDP"]["named"][
            0
        ]  # averaged, what ruins one rank ruins all from the next step
        assert first[1] == 3
        assert {rank for _, rank in said[f"{fault}, hook"]["named"]} == {3}
        assert said[f"{fault}, DDP"]["accuracy"] < clean - 0.01
        assert said[f"{fault}, hook"]["accuracy"] >= clean - 0.01
    must = ranks[3]["flips, hook"]["must"]
    assert must
    assert set(must) <= {step for step, _ in said["flips, hook"]["named"]}
