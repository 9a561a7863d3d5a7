"""Chains of three generations: the tests, odds ratios, fits and projections against R, hand-worked values and edge cases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.references import load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.transmission.generations import hidden, markov, odds, projection
from attachment_outcomes.transmission.generations.resampled import Layout, family_cells, kappas
from attachment_outcomes.transmission.misclassification.reliability import Reliability

REFERENCE = load_reference("generations_reference")


def table(name: str) -> np.ndarray:
    return np.asarray(REFERENCE[name]["table"], dtype=int)


def by_parent(chains: np.ndarray) -> np.ndarray:
    return np.moveaxis(chains, 1, 0)


@pytest.mark.parametrize("name", ["two", "three", "four"])
def test_conditional_independence_is_that_of_log_linear_models_and_of_mantel_and_haenszel(name: str) -> None:
    found = markov.conditional_independence(by_parent(table(name)))
    ours = {"g2": found.g2, "x2": found.x2, "df": found.df, "cmh": found.cmh, "cmh_p": found.cmh_p, "cmh_df": found.cmh_df,
            "kappa": found.kappa}  # fmt: skip
    REFERENCE[name].check(ours, rel=1e-9)
    assert math.isnan(found.x2_exact)


def test_common_odds_ratios_are_those_of_mantelhaen_test() -> None:
    strata = by_parent(table("two"))
    plain, exact = odds.mantel_haenszel(strata), odds.exact_common_odds(strata)
    for key, found in (("mantel_haenszel", plain), ("exact", exact)):
        ours = {name: getattr(found, name) for name in ("odds_ratio", "ci_low", "ci_high", "p_value")}
        # R's uniroot stops at 1e-4 of the odds ratio's scale.
        REFERENCE[key].check(ours, rel=1e-9 if key == "mantel_haenszel" else 2e-4)
    assert odds.log_common_odds(strata) == pytest.approx(math.log(plain.odds_ratio), abs=1e-12)
    small = odds.exact_common_odds(by_parent(table("small")))
    assert (small.odds_ratio, small.ci_low, small.p_value) == (0, 0, pytest.approx(1))
    assert small.ci_high == pytest.approx(REFERENCE["small"]["ci_high"], rel=2e-4)


def test_the_exact_interval_is_that_of_one_table_worked_by_hand() -> None:
    # Margins 2, 2 and 2, 2: the first cell is 0, 1 or 2 with weights 1, 4 and 1. At 2 the upper limit is without end, and
    # P(2) = t^2 / (1 + 4 t + t^2) = .025 gives t.
    found = odds.exact_common_odds([[[2, 0], [0, 2]]])
    assert found.p_value == pytest.approx(2 / 6)
    assert (found.odds_ratio, found.ci_high) == (math.inf, math.inf)
    t = found.ci_low
    assert t**2 / (1 + 4 * t + t**2) == pytest.approx(0.025)


def test_the_exact_interval_holds_in_large_tables_where_probabilities_are_too_small_for_numbers() -> None:
    strata = 30 * by_parent(table("two"))
    plain, exact = odds.mantel_haenszel(strata), odds.exact_common_odds(strata)
    assert exact.odds_ratio == pytest.approx(plain.odds_ratio, rel=0.01)
    assert (exact.ci_low, exact.ci_high) == pytest.approx((plain.ci_low, plain.ci_high), rel=0.01)


def test_projections_are_powers_of_the_matrix() -> None:
    part = REFERENCE["projection"]
    matrix = projection.transitions(np.asarray(part["counts"]))
    start = np.asarray(part["start"])
    found = projection.project(start, matrix, 4)
    left = projection.difference_left(matrix)
    ours = {
        "matrix": matrix, "after_1": found[1], "after_4": found[4], "power_4": projection.powers(matrix, 4)[4],
        "long_run": projection.long_run(start, matrix), "left": left, "half_life": projection.half_life(left),
    }  # fmt: skip
    part.check(ours, rel=1e-9)


def test_a_chain_read_with_error_is_fitted_as_by_a_general_optimiser() -> None:
    part = REFERENCE["hidden"]
    found = hidden.fit_hidden_chain(
        np.asarray(part["table"]), [Reliability(kappa=part["kappa"])] * 3, tolerance=1e-10, iterations=50_000
    )
    assert bool(found.converged)
    part.check({"g2": float(found.g2), "read": found.read}, rel=1e-4, abs=1e-5)
    assert found.older.sum(axis=0) == pytest.approx(found.younger.sum(axis=1))


def test_without_error_the_hidden_chain_is_the_chain_itself() -> None:
    chains = table("two")
    found = hidden.fit_hidden_chain(chains, [Reliability(kappa=1.0)] * 3)
    assert float(found.g2) == pytest.approx(markov.conditional_independence(by_parent(chains)).g2, abs=1e-4)
    assert found.read * chains.sum() == pytest.approx(np.moveaxis(markov.fitted(by_parent(chains)), 0, 1), abs=1e-3)


def test_error_alone_makes_grandparents_seem_to_matter_and_no_more_than_that() -> None:
    shares, stays = np.array([0.55, 0.45]), 0.5
    matrix = stays * np.eye(2) + (1 - stays) * shares
    true = shares[:, None, None] * matrix[:, :, None] * matrix[None]
    errors = Reliability(kappa=0.6).matrices(shares[None])[0]
    read = np.round(np.einsum("abc,ag,bp,cd->gpd", true, errors, errors, errors) * 20_000)
    assert float(markov.conditional_kappa(by_parent(true))) == pytest.approx(0, abs=1e-12)
    plain = markov.conditional_independence(by_parent(read))
    found = hidden.explained_by_error(read, [Reliability(kappa=0.6)] * 3, rng=np.random.default_rng(1), draws=99)
    assert plain.g2_p < 1e-6
    assert found.conditional_kappa == pytest.approx(plain.kappa, abs=2e-3)
    assert found.p_value > 0.5


def test_shuffles_give_the_probability_of_the_tables_themselves() -> None:
    # One stratum of 3 and 3 by 3 and 3: of 20 tables' weight, the two most extreme have 1 each.
    found = markov.conditional_independence([[[3, 0], [0, 3]]], rng=np.random.default_rng(5), draws=20_000)
    for p in (found.g2_exact, found.x2_exact, found.cmh_exact, found.kappa_exact):
        assert p == pytest.approx(0.1, abs=0.007)


def test_signs_of_families_of_one_chain_agree_with_shuffles() -> None:
    chains = table("two")
    codes = np.argwhere(chains >= 0).repeat(chains.ravel(), axis=0)[:, [1, 0, 2]]
    rng = np.random.default_rng(2)
    plain = markov.conditional_independence(by_parent(chains), rng=rng)
    signs = markov.family_conditional_independence(codes, np.arange(len(codes)), shape=(2, 2, 2), rng=rng)
    assert (signs.x2, signs.cmh, signs.kappa) == pytest.approx((plain.x2, plain.cmh, plain.kappa))
    assert signs.x2_exact == pytest.approx(plain.x2_exact, abs=0.01)
    assert math.isnan(signs.g2_p)
    # Each family three times over is no more than the family itself.
    threefold = markov.family_conditional_independence(
        np.repeat(codes, 3, axis=0), np.repeat(np.arange(len(codes)), 3), shape=(2, 2, 2), rng=rng
    )
    assert threefold.cmh_exact == pytest.approx(signs.cmh_exact, abs=0.01)
    assert markov.conditional_independence(3 * by_parent(chains)).cmh_p < 1e-5 < threefold.cmh_exact


def test_what_no_table_can_answer_is_said() -> None:
    nothing = markov.conditional_independence([[[5, 3], [0, 0]], [[0, 0], [2, 2]]], rng=np.random.default_rng(1))
    assert nothing.df == 0
    assert nothing.note == markov.NOTHING
    assert math.isnan(nothing.x2)
    assert odds.mantel_haenszel([[[5, 0], [0, 3]]]).note.startswith("no interval")
    assert odds.mantel_haenszel([[[5, 3], [0, 0]]]).note == "not defined: empty cells"
    assert math.isnan(odds.exact_common_odds([[[5, 3], [0, 0]]]).p_value)
    for bad, words in (
        (np.zeros((2, 2, 2)), "empty"),
        ([[1, 2], [3, 4]], "shape"),
        ([[[1, -2], [3, 4]]], "negative"),
        ([[[1, 2.5], [3, 4]]], "fractional"),
        ([[[1, math.nan], [3, 4]]], "missing"),
        ([[["a", "b"], ["c", "d"]]], "not numbers"),
    ):
        with pytest.raises(StatisticsError, match=words):
            markov.conditional_independence(bad)
    with pytest.raises(StatisticsError, match="2 x 2"):
        odds.mantel_haenszel(np.ones((2, 3, 3)))
    with pytest.raises(StatisticsError, match="no chain"):
        hidden.explained_by_error(np.zeros((2, 2, 2)), [Reliability(kappa=0.6)] * 3, rng=np.random.default_rng(1))


def test_what_is_projected_without_knowing_is_missing() -> None:
    only_children = projection.transitions([[5, 2, 1], [2, 6, 0], [0, 0, 0]])
    assert np.isnan(only_children).all()
    nobody = projection.transitions([[5, 2, 0], [2, 6, 0], [0, 0, 0]])
    assert projection.project([0.5, 0.5, 0], nobody, 3).sum(axis=1) == pytest.approx(1)
    assert projection.difference_left(nobody) == pytest.approx(5 / 7 + 6 / 8 - 1)
    assert np.isnan(projection.half_life([0.0, 1.0, -0.2])).all()
    assert projection.half_life(0.5) == pytest.approx(1)
    identity = projection.long_run([0.3, 0.7], np.eye(2))
    assert identity == pytest.approx([0.3, 0.7])
    back_and_forth = projection.long_run([1, 0], [[0, 1], [1, 0]])
    assert back_and_forth == pytest.approx([0.5, 0.5])


def test_two_published_agreements_leave_all_the_room_there_is_to_a_first_order_chain() -> None:
    a, b = 0.8, 0.75
    low, high = projection.agreement_bounds(a, b)
    found = []
    # Shares of the parents' classes, and how often grandparent and child are like a parent of each class, chosen to reach the ends.
    for m, like_elder, like_child in (
        ([0.5, 0.5], [1, 2 * a - 1], [2 * b - 1, 1]),
        ([b, 1 - b], [1, (a - b) / (1 - b)], [1, 0]),
    ):
        elder, child = (np.where(np.eye(2) == 1, np.array(x)[:, None], 1 - np.array(x)[:, None]) for x in (like_elder, like_child))
        joint = np.einsum("p,pg,pc->gpc", m, elder, child)
        assert np.trace(joint.sum(axis=2)) == pytest.approx(a)
        assert np.trace(joint.sum(axis=0)) == pytest.approx(b)
        assert float(markov.conditional_kappa(np.moveaxis(joint, 1, 0))) == pytest.approx(0)
        found.append(np.trace(joint.sum(axis=1)))
    assert found == pytest.approx([low, high])
    rng = np.random.default_rng(1)
    for k in (2, 3):  # and no chain whatever lies outside
        g, p, c = np.indices((k, k, k))
        for joint in rng.dirichlet(np.full(k**3, 0.2), size=200).reshape(-1, k, k, k):
            low, high = projection.agreement_bounds(joint[g == p].sum(), joint[p == c].sum(), classes=k)
            assert low - 1e-12 <= joint[g == c].sum() <= high + 1e-12


def test_sums_of_families_give_back_the_tables_statistics() -> None:
    for name, k in (("two", 2), ("three", 3), ("four", 4)):
        chains = table(name)
        codes = np.argwhere(chains >= 0).repeat(chains.ravel(), axis=0)
        layout = Layout("way", k, 1, 2, 0, [Reliability(kappa=0.8)] * 3)
        sums = family_cells([layout], [[codes, codes[:, :2], codes[:, 1:]]]).sum(axis=0)
        found = dict(zip(layout.labels(), layout.statistics(sums[None])[0], strict=True))
        older, younger = chains.sum(axis=2), chains.sum(axis=0)
        assert found["kappa", "grandparent and child"] == pytest.approx(float(kappas(chains.sum(axis=1).astype(float))))
        assert found["conditional_kappa", ""] == pytest.approx(REFERENCE[name]["kappa"])
        expected = np.trace(chains.sum(axis=1)) / chains.sum() - np.trace(projection.product_table(chains))
        assert found["agreement_beyond_markov", ""] == pytest.approx(expected)
        matrix = projection.transitions(older + younger)
        start = younger.sum(axis=1) / younger.sum()
        assert found["projected from all", "2"] == pytest.approx(projection.project(start, matrix, 2)[2, 1])
        assert found["projected from 1", "2"] == pytest.approx((matrix @ matrix)[1, 1])
        if k == 2:
            assert math.exp(found["log_common_odds", ""]) == pytest.approx(REFERENCE["mantel_haenszel"]["odds_ratio"])
            # The error leaves shares as they are and takes .8 of what is passed on.
            true = found["difference_left", "corrected"]
            assert found["difference_left", ""] < true
            margins = older.sum(axis=1) / older.sum(), older.sum(axis=0) / older.sum()
            joint = (older / older.sum() - 0.2 * np.outer(*margins)) / 0.8
            below = (younger / younger.sum() - 0.2 * np.outer(younger.sum(axis=1), younger.sum(axis=0)) / younger.sum() ** 2) / 0.8
            assert true == pytest.approx(np.trace(projection.transitions(joint + below)) - 1)
