"""Lanes share out what is done on the processor, and nothing that is done on a card."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from varangian.kernels.orders import each_on, spread_on


@pytest.fixture(autouse=True)
def _some_lanes() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("share_out", [each_on, spread_on])
@pytest.mark.parametrize(("device", "here"), [("cpu", False), ("cuda:0", True)])
def test_a_card_gets_its_orders_from_the_caller(share_out: object, device: str, here: bool) -> None:
    me = threading.get_ident()
    told = share_out(torch.device(device), lambda item: (item, threading.get_ident()), range(8))  # type: ignore[operator]
    assert [item for item, _ in told] == list(range(8))
    assert all((thread == me) == here for _, thread in told)
