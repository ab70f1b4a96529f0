"""Nothing mixes what lies on a card with what does not: on a pretended one, all give what they give here."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from everything import INPUTS, STAGES, F, aggregated, gradients
from pretended import CARD, MixedError, OnCard, Pretended

import varangian as vg
from varangian.core.points import Points
from varangian.core.stages import Stage
from varangian.errors import InputError
from varangian.kernels.cuda import written

ATTACKS: list[vg.Attack] = [
    vg.Optimal(),
    vg.Optimal(vg.MinMax(), candidates=4, rounds=1),
    vg.HiddenVulnerability(),
    vg.HiddenVulnerability(coordinate=None),
    vg.MinSum(),
    vg.InnerProductManipulation(),
    vg.Mimic(),
]
UNDER_ATTACK: list[Stage] = [
    vg.Average(),
    vg.Median(f=F),
    vg.Krum(f=F),
    vg.Bulyan(f=F),
    vg.GeometricMedian(f=F),
    vg.DnC(f=F, coordinates=5),
    vg.chain(vg.NearestNeighborMixing(f=F), vg.TrimmedMean(f=F)),
    vg.chain(vg.AdaptiveClipping(f=F), vg.MultiKrum(f=F)),
]


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Launch nothing: there is no such card."""
    monkeypatch.setattr(written, "_installed", lambda: False)
    with Pretended():
        yield


def there(x: Any) -> Any:
    return [part.to(CARD) for part in x] if isinstance(x, list) else x.to(CARD)


def test_what_is_mixed_is_noticed() -> None:
    x, y, some = torch.ones(3), torch.ones(3, device=CARD), torch.tensor([0, 2])
    for here in (x + y.cpu(), torch.zeros_like(y, device="cpu"), y.new_tensor([1.0], device="cpu"), x[some]):
        assert here.device == x.device
    for card in (x.to(y) + y, x.type_as(y), torch.zeros_like(y), y.new_tensor([1.0]), y[some], y + x[0]):
        assert card.device == CARD
    generator = torch.Generator()
    for mixed in (
        lambda: x + y,
        lambda: torch.cat([x, y]),
        lambda: torch.stack([x[0], y[0]]),
        lambda: x[some.to(CARD)],
        lambda: torch.randn(3, generator=generator, device=CARD),
        lambda: y.normal_(generator=generator),
        y.numpy,
        y.data_ptr,
    ):
        with pytest.raises(MixedError):
            mixed()


@pytest.mark.parametrize("name", INPUTS)
@pytest.mark.parametrize("stage", STAGES, ids=repr)
def test_stages_stay_on_a_card(stage: Stage, name: str) -> None:
    (want, lost), (got, lost_there) = (aggregated(stage, x) for x in (INPUTS[name](), there(INPUTS[name]())))
    tolerance = {"rtol": 2e-3, "atol": 1e-3} if name == "halves" else {"rtol": 1e-5, "atol": 1e-5}
    for one, other in zip(*(v if isinstance(v, list) else [v] for v in (got, want)), strict=True):
        assert isinstance(one, OnCard)
        torch.testing.assert_close(one.held, other, equal_nan=True, **tolerance)
    assert isinstance(lost_there, OnCard)
    assert torch.equal(lost_there.held, lost)


@pytest.mark.parametrize(
    "stage", [vg.Median(f=F), vg.Krum(f=F), vg.Aksel(f=F), vg.Clipping(radius=1.0)], ids=str
)
def test_only_the_caller_gives_orders_to_a_card(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream that the caller has chosen is that of the caller's thread only."""
    seen, threads = Points.seen, list[str]()

    def noted(points: Points, block: Any) -> Any:
        threads.append(threading.current_thread().name)
        return seen(points, block)

    monkeypatch.setattr(Points, "seen", noted)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        stage(there(gradients()))
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {threading.current_thread().name}


@pytest.mark.parametrize(
    "way",
    [torch.clone, list, lambda x: vg.InBlocks(lambda: x.split(50, 1), x.shape)],
    ids=["matrix", "vectors", "blocks"],
)
@pytest.mark.parametrize("card", [True, False])
def test_a_pivot_or_a_state_elsewhere_is_refused(way: Any, card: bool) -> None:
    x, beside = gradients(), gradients()[0]
    x, beside = (x.to(CARD), beside) if card else (x, beside.to(CARD))
    given: list[tuple[Stage, dict[str, Any]]] = [
        (vg.FLTrust(), {"pivot": beside}),
        (vg.CenteredClipping(f=F, radius=15.0), {"state": beside}),
    ]
    for stage, told in given:
        with pytest.raises(InputError, match=r"on (cuda:0|cpu) arrived for vectors on (cpu|cuda:0); move"):
            stage.aggregate(way(x), **told)


@pytest.mark.parametrize("rule", UNDER_ATTACK, ids=str)
@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_attacks_stay_on_a_card(attack: vg.Attack, rule: Stage) -> None:
    x = gradients()[F:]
    options = {"stream": vg.Stream(1)}
    harm = []
    for honest in (x, x.to(CARD)):
        forged = attack(honest, b=F, rule=rule, options=options)
        assert forged.device == honest.device
        moved = rule(torch.cat([honest, forged]), **options) - honest.mean(0)
        harm.append(float(moved.norm()))
    assert harm[0] > 0
    assert harm[1] == pytest.approx(harm[0], rel=1e-3, abs=1e-5)


def test_a_result_is_not_written_elsewhere() -> None:
    x, rule = gradients(), vg.Median(f=F)
    with pytest.raises(InputError, match="out= lies on cpu, and the vectors on cuda:0"):
        rule(x.to(CARD), out=torch.empty_like(x[0]))
    with pytest.raises(InputError, match="out= lies on cuda:0, and the vectors on cpu"):
        rule(x, out=torch.empty_like(x[0]).to(CARD))
