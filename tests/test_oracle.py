"""The oracle against cases computed by hand."""

import numpy as np
import oracle
import pytest
from oracle import Ambiguous

LINE = np.array([[0.0], [1.0], [3.0], [7.0], [100.0]])
SQUARE = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 0.0], [6.0, 8.0]])  # norms 0, 5, 0, 10


def column(*values):
    return np.array(values, dtype=float)[:, None]


CASES = {
    "average": (oracle.average(LINE), [22.2]),
    "average, weighted": (oracle.average(LINE, [3, 1, 0, 0, 0]), [0.25]),
    "median": (oracle.median(LINE), [3]),
    "median, even": (oracle.median(LINE[:4]), [2]),
    "median, lower": (oracle.median(LINE[:4], lower=True), [1]),
    "trimmed mean": (oracle.trimmed_mean(LINE, 1), [11 / 3]),
    "trimmed mean, f = 0": (oracle.trimmed_mean(LINE, 0), [22.2]),
    # weights .1 .4 .3 .2, mass .2: .1 of 0 and .1 of 1 go, .2 of 7 goes: .3 of 1, .3 of 3
    "weighted trimmed mean": (oracle.weighted_trimmed_mean(LINE[:4], [1, 4, 3, 2], 0.2), [2]),
    "weighted trimmed mean, order": (
        oracle.weighted_trimmed_mean(LINE[3::-1], [2, 3, 4, 1], 0.2),
        [2],
    ),
    "weighted trimmed mean, no mass": (oracle.weighted_trimmed_mean(LINE, np.ones(5), 0), [22.2]),
    "mean around median": (oracle.mean_around_median(LINE, 4), [11 / 4]),
    "mean around median, tie": (oracle.mean_around_median(column(4, 2, 0), 2), [1]),
    "mean around lower median": (oracle.mean_around_median(LINE[:4], 2, lower=True), [0.5]),
    "phocas": (oracle.phocas(LINE, 1), [11 / 4]),
    "phocas, tie": (oracle.phocas(column(6, 3, 0), 1), [1.5]),
    "sign majority": (oracle.sign_majority(np.array([[1, -1], [5, 2], [-9, 0]])), [1, 0]),
    "condense": (oracle.condense(SQUARE[[3, 1, 0]], np.array([True, False])), [3, 8]),
    # 2 neighbours: 0: 1+9, 1: 1+4, 3: 4+9, 7: 16+36
    "krum scores": (oracle.krum_scores(LINE, 1), [10, 5, 13, 52, 93**2 + 97**2]),
    "krum scores, unsquared": (oracle.krum_scores(LINE, 1, squared=False), [4, 3, 5, 10, 190]),
    "krum scores, 1 neighbour": (oracle.krum_scores(LINE, 1, 1), [1, 1, 4, 16, 93**2]),
    "krum": (oracle.krum(LINE, 1), [1]),
    "krum, tie": (oracle.krum(LINE, 1, neighbours=1), [0]),
    "krum, n = 3": (oracle.krum(column(9, 0, 1), 0), [0]),
    "multi-krum": (oracle.multi_krum(LINE, 1), [0.5]),
    "multi-krum, m = 3": (oracle.multi_krum(LINE, 1, m=3), [4 / 3]),
    "bulyan, n = 3": (oracle.bulyan(column(9, 0, 1), 0), [0]),
    "multi-bulyan, n = 3": (oracle.multi_bulyan(column(9, 0, 1), 0), [0]),
    # squared diameters of the subsets of 3: {0, 1, 3} wins
    "mda": (oracle.mda(LINE, 2), [4 / 3]),
    "mda, tie": (oracle.mda(column(0, 1, 2), 1), [0.5]),
    "mda, f = 0": (oracle.mda(LINE, 0), [22.2]),
    # median 3: squared distances 9, 4, 0, 16
    "aksel": (oracle.aksel(LINE), [4 / 3]),
    "aksel, n - f": (oracle.aksel(LINE, keep=4), [11 / 4]),
    "aksel, tie": (oracle.aksel(column(2, 0, 1), keep=2), [1.5]),
    "aksel, lower": (oracle.aksel(LINE[:4], lower=True), [0.5]),
    "cge": (oracle.cge(SQUARE, 1), [1, 4 / 3]),
    "cge, tie": (oracle.cge(column(1, -1, 1), 1), [0]),
    "monna": (oracle.monna(LINE, np.array([7.0]), 2), [11 / 3]),
    "monna, tie": (oracle.monna(column(2, 0, 1), np.array([1.0]), 1), [1.5]),
    "geometric median, no step": (oracle.geometric_median(LINE, 0, 1e-9), [22.2]),
    # from 2: betas 1/2, 1/2, 1/4
    "geometric median": (oracle.geometric_median(column(0, 0, 6), 1, 1e-9), [1.2]),
    "geometric median, on a point": (oracle.geometric_median(column(-1, 0, 1), 1, 0.5), [0]),
    "exact geometric median, odd line": (oracle.exact_geometric_median(LINE), [3]),
    "exact geometric median, even line": (oracle.exact_geometric_median(LINE[:4]), [2]),
    "exact geometric median, held": (oracle.exact_geometric_median(SQUARE), [1.5, 2]),
    # the diagonals of a convex quadrilateral cross there
    "exact geometric median, diagonals": (
        oracle.exact_geometric_median(np.array([[0, 0], [4, 4], [0, 2], [2, 0.0]])),
        [1, 1],
    ),
    # an angle above 120 degrees holds
    "exact geometric median, blunt": (
        oracle.exact_geometric_median(np.array([[0, 0], [10, 1], [-10, 1.0]])),
        [0, 0],
    ),
    "exact geometric median, weighted": (oracle.exact_geometric_median(LINE, [3, 1, 1, 0, 0]), [0]),
    "centered clipping": (oracle.centered_clipping(column(0, 1, 11), 2.0, 1, [0.0]), [1]),
    # from 1: -1, 0, 2
    "centered clipping, twice": (oracle.centered_clipping(column(0, 1, 11), 2, 2, [0]), [4 / 3]),
    "centered clipping, weighted": (
        oracle.centered_clipping(column(0, 1, 11), 2, 1, [0], [1, 1, 2]),
        [1.25],
    ),
    "smea": (oracle.smea(LINE, 2), [4 / 3]),
    "smea, direction": (
        # the longest side is 4 without the last, 10 with it and either first
        oracle.smea(np.array([[0.0, 0], [4, 0], [0, 3], [10, 10]]), 1),
        [4 / 3, 1],
    ),
    "caf, f = 0": (oracle.caf(LINE, 0), [22.2]),
    "caf, no spread": (oracle.caf(column(2, 2, 2), 1), [2]),
    # the outliers tie and leave together; the rest has no spread
    "caf, duplicates": (oracle.caf(column(0, 0, 0, 0, 0, 10, 10), 3), [0]),
    # mean 2; squared projections 4 4 4 36: c = 8/9 8/9 8/9 0, sum 8/3 > 2, then no spread
    "caf": (oracle.caf(column(0, 0, 0, 8), 1), [0]),
    "dnc": (oracle.dnc(SQUARE, 1, [np.array([True, True])], 1.0), [1, 4 / 3]),
    # the first column drops the last row, the second drops the first
    "dnc, two masks": (
        oracle.dnc(
            np.array([[0.0, 9], [1, 0], [2, 0], [9, 1]]),
            1,
            [np.array([True, False]), np.array([False, True])],
            1.0,
        ),
        [1.5, 0],
    ),
    "dnc, nothing dropped": (oracle.dnc(LINE, 1, [np.array([True])], 0.5), [22.2]),
    "dnc, no spread": (oracle.dnc(column(1, 1, 1), 1, [np.array([True])], 1.0), [1]),
    # (3, 4) has cosine .6 and becomes (1.2, 1.6); (-1, 0) has none; (0, 0) neither
    "fltrust": (oracle.fltrust([[3, 4], [-1, 0], [0, 0], [5, 0]], [2, 0]), [1.7, 0.6]),
    "fltrust, no trust": (oracle.fltrust([[-1.0, 0]], [2, 0]), [0, 0]),
    "fltrust, no pivot": (oracle.fltrust([[-1.0, 0]], [0, 0]), [0, 0]),
    "nnm": (oracle.nearest_neighbor_mixing(LINE[:4], 2), [[0.5], [0.5], [2], [5]]),
    "nnm, tie": (oracle.nearest_neighbor_mixing(column(2, 1, 0), 1), [[1.5], [1.5], [0.5]]),
    "bucketing": (oracle.bucketing(LINE, [4, 0, 2, 1, 3], 2), [[50], [2], [7]]),
    "clipping": (oracle.clipping(SQUARE, 5), [[0, 0], [3, 4], [0, 0], [3, 4]]),
    "clipping to nothing": (oracle.clipping(SQUARE, 0), np.zeros((4, 2))),
    # n = 4, f = 1: k = floor(6/4) = 1
    "arc": (oracle.adaptive_clipping(SQUARE, 1), [[0, 0], [3, 4], [0, 0], [3, 4]]),
    "arc, f = 0": (oracle.adaptive_clipping(SQUARE, 0), SQUARE),
    # threshold .375; the longest alone weighs .6
    "weighted arc": (oracle.weighted_adaptive_clipping(SQUARE, [1, 2, 1, 6], 0.25), SQUARE),
    # threshold .375; .1, then .3, then .65: a zero norm
    "weighted arc, zero": (
        oracle.weighted_adaptive_clipping(SQUARE, [7, 4, 7, 2], 0.25),
        np.zeros((4, 2)),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_by_hand(case):
    result, expected = CASES[case]
    assert result.dtype == np.float64
    assert np.isfinite(result).all()
    np.testing.assert_allclose(result, expected, rtol=1e-14, atol=1e-14)


def test_caf_is_not_stalled_by_an_outlier_it_removed():
    # c = 15/16 for the others, sum 3.75 > 3; mean 2.75; without 7 the sum is below 3
    np.testing.assert_allclose(oracle.caf(column(0, 1, 3, 7, 1e12), 1), [2.75], rtol=1e-9)


# 7 values, f = 1: Bulyan keeps 3 of them by Krum on 7, 6, 5 with 4, 3, 2 neighbours
BULYAN = column(0, 1, 2, 4, 9, 20, 50)


def test_bulyan_recomputes_each_krum():
    # 7 left: 1+4+16+81, 1+1+9+64 = 75, 4+1+4+49 = 58, 16+9+4+25 = 54, ...   -> 4
    # {0 1 2 9 20 50}, 3: 1+4+81, 1+1+64 = 66, 4+1+49 = 54, 81+64+49, ...    -> 2
    # {0 1 9 20 50}, 2: 1+81 = 82, 1+64 = 65, 81+64 = 145, ...               -> 1
    np.testing.assert_array_equal(oracle.bulyan_selection(BULYAN, 1), column(4, 2, 1))
    np.testing.assert_array_equal(oracle.bulyan(BULYAN, 1), [2])  # beta = 1: the median


def test_multi_bulyan_prunes_and_keeps_its_neighbours():
    # k = 0: 102 75 58 54 219 ...: the 4 best are 4 2 1 0 -> 7/4; remove 4
    # k = 1: 86 66 54 194 ...: 2 1 0 -> 1; remove 2
    # k = 2: 82 65 145 ...: 1 0 -> 1/2
    selected = oracle.multi_bulyan_selection(BULYAN, 1)
    np.testing.assert_array_equal(selected, column(1.75, 1, 0.5))
    np.testing.assert_array_equal(oracle.multi_bulyan(BULYAN, 1), [1])


# Here pruning changes which vector is removed second
RELEASED = column(0, 3, 5, 6, 8, 20, 21)


def test_pruning_shows():
    # Unsquared, with the 4 nearest:
    #   0: 3 5 6 8 = 22     3: 3 2 3 5 = 13 (neighbours 0 5 6 8)   5: 5 2 1 3 = 11 (0 3 6 8)
    #   6: 6 3 1 2 = 12 (0 3 5 8)   8: 8 5 3 2 = 18 (0 3 5 6)   20: 1 12 14 15 = 42   21: 46
    # Never pruned: k = 0: 5 6 3 8 -> 5.5; remove 5; k = 1: 6 3 8 -> 17/3; remove 6
    # k = 2: 3 8 -> 5.5
    released = oracle.multi_bulyan_selection(RELEASED, 1, squared=False, pruned=False)
    np.testing.assert_allclose(released, column(5.5, 17 / 3, 5.5), rtol=1e-15)
    np.testing.assert_array_equal(oracle.bulyan_as_released(RELEASED, 1), [5.5])
    # Pruned: without 5: 0: 17, 3: 11, 6: 11, 8: 15: 3 wins the tie; without 3: 0: 14, 6: 8, 8: 10
    pruned = oracle.multi_bulyan_selection(RELEASED, 1, squared=False)
    np.testing.assert_allclose(pruned, column(5.5, 17 / 3, 7), rtol=1e-15)


def test_far_outliers_with_competing_neighbours_are_no_ambiguity():
    x = np.vstack([BULYAN, [[1e12]]])  # beyond MARGIN, all others are equally far from it
    np.testing.assert_array_equal(oracle.multi_bulyan_selection(x, 1)[0], [3.2])


def test_bulyan_other_theta():
    np.testing.assert_array_equal(oracle.bulyan_selection(BULYAN, 1, theta=5)[:3, 0], [4, 2, 1])
    assert oracle.bulyan(BULYAN, 1, theta=5).shape == (1,)


def test_duplicates_and_zero_rows():
    same = np.full((11, 3), 0.1)
    one = np.ones(3, dtype=bool)
    rules = {
        "average": oracle.average(same),
        "median": oracle.median(same),
        "trimmed_mean": oracle.trimmed_mean(same, 2),
        "weighted_trimmed_mean": oracle.weighted_trimmed_mean(same, np.ones(11), 2 / 11),
        "mean_around_median": oracle.mean_around_median(same, 9),
        "phocas": oracle.phocas(same, 2),
        "krum": oracle.krum(same, 2),
        "multi_krum": oracle.multi_krum(same, 2),
        "bulyan": oracle.bulyan(same, 2),
        "multi_bulyan": oracle.multi_bulyan(same, 2),
        "bulyan_as_released": oracle.bulyan_as_released(same, 2),
        "mda": oracle.mda(same, 2),
        "aksel": oracle.aksel(same),
        "cge": oracle.cge(same, 2),
        "geometric_median": oracle.geometric_median(same, 3, 1e-12),
        "centered_clipping": oracle.centered_clipping(same, 1.0, 2, np.zeros(3)),
        "monna": oracle.monna(same, same[0], 2),
        "smea": oracle.smea(same, 2),
        "caf": oracle.caf(same, 2),
        "dnc": oracle.dnc(same, 2, [one, one], 1.0),
        "fltrust": oracle.fltrust(same, same[0]),
        "condense": oracle.condense(same, one),
    }
    for name, result in rules.items():
        np.testing.assert_allclose(result, same[0], rtol=1e-12, err_msg=name)
    zeros = np.zeros((3, 2))
    for mixed in (
        oracle.clipping(zeros, 1),
        oracle.adaptive_clipping(zeros, 1),
        oracle.weighted_adaptive_clipping(zeros, np.ones(3), 1 / 3),
        oracle.nearest_neighbor_mixing(zeros, 1),
        oracle.bucketing(zeros, [2, 0, 1], 2)[:1],
    ):
        np.testing.assert_array_equal(mixed, np.zeros_like(mixed))


@pytest.mark.parametrize("n", range(1, 12))
def test_equal_weights_change_nothing(n):
    x = np.random.default_rng(n).normal(size=(n, 4))
    x[n // 2] *= 1e9
    for f in range((n + 1) // 2):
        np.testing.assert_allclose(
            oracle.weighted_trimmed_mean(x, np.ones(n), f / n),
            oracle.trimmed_mean(x, f),
            rtol=1e-9,
        )
        np.testing.assert_array_equal(
            oracle.weighted_adaptive_clipping(x, np.ones(n), f / n), oracle.adaptive_clipping(x, f)
        )


def test_spectra_agree_with_the_other_gram_matrix():
    # eigenvalues of J G J / (n - f), the n x n side of the same covariance
    x = np.random.default_rng(0).normal(size=(7, 3))
    tops = {}
    for subset in oracle.itertools.combinations(range(7), 5):
        centred = x[list(subset)] - x[list(subset)].mean(0)
        tops[subset] = np.linalg.eigvalsh(centred @ centred.T / 5)[-1]
    best = min(tops, key=tops.__getitem__)
    np.testing.assert_allclose(oracle.smea(x, 2), x[list(best)].mean(0), rtol=1e-12)


def test_smallest_n():
    rng = np.random.default_rng(1)
    for f in range(3):
        for n, rules in {
            2 * f + 1: (oracle.trimmed_mean, oracle.phocas, oracle.mda, oracle.cge, oracle.smea),
            2 * f + 3: (oracle.krum, oracle.multi_krum),
            4 * f + 3: (oracle.bulyan, oracle.multi_bulyan, oracle.bulyan_as_released),
        }.items():
            x = rng.normal(size=(n, 5))
            for rule in rules:
                assert np.isfinite(rule(x, f)).all()
        x = rng.normal(size=(2 * f + 1, 5))
        assert np.isfinite(oracle.caf(x, f)).all()


def test_float32_is_computed_in_float64():
    x = np.array([[1.0], [1.0 + 2**-20], [2.0**10]], dtype=np.float32)
    assert oracle.average(x)[0] == (2 + 2**-20 + 2**10) / 3
    assert oracle.krum_scores(x, 0)[0] == 2.0**-40


ROWWISE = {
    "median": oracle.median,
    "trimmed_mean": lambda x: oracle.trimmed_mean(x, 2),
    "mean_around_median": lambda x: oracle.mean_around_median(x, 9),
    "phocas": lambda x: oracle.phocas(x, 2),
    "krum": lambda x: oracle.krum(x, 2),
    "multi_krum": lambda x: oracle.multi_krum(x, 2),
    "bulyan": lambda x: oracle.bulyan(x, 2),
    "multi_bulyan": lambda x: oracle.multi_bulyan(x, 2),
    "bulyan_as_released": lambda x: oracle.bulyan_as_released(x, 2),
    "mda": lambda x: oracle.mda(x, 2),
    "aksel": oracle.aksel,
    "geometric_median": lambda x: oracle.geometric_median(x, 5, 1e-6),
    "smea": lambda x: oracle.smea(x, 2),
    "caf": lambda x: oracle.caf(x, 2),
    "dnc": lambda x: oracle.dnc(x, 2, [np.arange(4) < 3, np.arange(4) > 0], 1.0),
}


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize("seed", range(3))
def test_order_translation_scale(name, seed):
    rng = np.random.default_rng(seed)
    x, shift = rng.normal(size=(11, 4)), rng.normal(size=4)
    x[4] *= 30
    rule = ROWWISE[name]
    expected = rule(x)
    np.testing.assert_allclose(rule(x[rng.permutation(11)]), expected, rtol=1e-9)
    np.testing.assert_allclose(rule(x + shift) - shift, expected, rtol=1e-9)
    if name != "geometric_median":  # nu has a scale
        np.testing.assert_allclose(rule(3 * x) / 3, expected, rtol=1e-9)


NUDGE = 1 + 1e-13
PLUS = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])


@pytest.mark.parametrize(
    "rule",
    [
        lambda: oracle.krum(column(0, 1, 2 * NUDGE, 100), 0, neighbours=1),
        lambda: oracle.multi_krum(column(0, 1, 2 * NUDGE, 100), 0, m=1, neighbours=1),
        lambda: oracle.bulyan_selection(column(0, 3, 6 * NUDGE), 0),
        lambda: oracle.multi_bulyan_selection(column(0, 3, 6 * NUDGE), 0),
        lambda: oracle.mda(column(0, 1, 2 * NUDGE), 1),
        lambda: oracle.aksel(column(0, 1, 2 * NUDGE), 2),
        lambda: oracle.cge(column(1, -NUDGE, 0), 1),
        lambda: oracle.monna(column(0, 2 * NUDGE), np.array([1.0]), 1),
        lambda: oracle.nearest_neighbor_mixing(column(0, 1, 2 * NUDGE), 1),
        lambda: oracle.smea(column(0, 1, 2), 1),
        lambda: oracle.caf(PLUS, 1),
        lambda: oracle.dnc(PLUS, 1, [np.array([True, True])], 1.0),
        lambda: oracle.dnc(column(0, 1, 2), 3, [np.array([True])], 1.0),
    ],
)
def test_ambiguous(rule):
    with pytest.raises(Ambiguous):
        rule()


@pytest.mark.parametrize(
    "rule",
    [
        lambda: oracle.krum(column(0, 1), 1),
        lambda: oracle.trimmed_mean(column(0, 1), 1),
        lambda: oracle.weighted_trimmed_mean(column(0, 1), [1, 1], 0.5),
        lambda: oracle.mean_around_median(column(0, 1), 3),
        lambda: oracle.average(column(0, 1), [0, 0]),
        lambda: oracle.bucketing(column(0, 1), [0, 0], 1),
        lambda: oracle.average(np.zeros((0, 2))),
    ],
)
def test_refused(rule):
    with pytest.raises(ValueError, match=r"\d|permutation"):
        rule()
