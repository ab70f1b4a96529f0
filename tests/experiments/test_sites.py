"""Sites of unequal size: what each rule costs with nobody lying, and what each site alone can do."""

from __future__ import annotations

import pytest

from varangian.errors import ParameterError
from varangian.experiments.sites import SIZES, SiteErrors, site_errors


@pytest.mark.parametrize("seed", [1, 2])
def test_a_chain_that_keeps_weights_costs_little_and_bounds_every_site_of_a_tenth(seed: int) -> None:
    found = {one.name: one for one in site_errors(seed=seed)}
    plain = found["weighted mean"]
    for name in ("ARC + weighted trimmed mean", "weighted centred clip"):
        assert found[name].calm < 2 * plain.calm
        assert found[name].worst(SIZES, up_to=0.105) < 0.2
    assert plain.worst(SIZES, up_to=0.006) > 1
    for name in ("mean", "trimmed mean", "median"):
        assert found[name].calm > 2 * plain.calm, "What ignores sizes pays for it, liars or not."


def test_a_majority_is_beyond_any_rule_that_keeps_its_weight_and_a_cap_is_the_way_out() -> None:
    found = {one.name: one for one in site_errors()}
    assert found["ARC + weighted trimmed mean"].attacked[0] > 100
    assert found["ARC + weighted trimmed mean, cap 0.3"].attacked[0] < 0.5


def test_shares_that_are_none_are_refused() -> None:
    for sizes in ((0.5, 0.4), (1.5, -0.5)):
        with pytest.raises(ParameterError, match="shares of the data"):
            site_errors(sizes)


def test_the_worst_looks_at_small_sites_only() -> None:
    assert SiteErrors("any", 0.0, (9.0, 2.0, 1.0)).worst((0.6, 0.3, 0.1), up_to=0.3) == 2.0
