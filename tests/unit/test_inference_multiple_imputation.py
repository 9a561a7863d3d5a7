"""Imputation against mice, Little's test against lavaan's estimates, and what a proper draw must do."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.imputation import combine_imputations
from attachment_outcomes.inference.mcar import little_test, normal_fit
from attachment_outcomes.inference.multiple_imputation import (
    AUGMENTED,
    CLUSTERED,
    MONOTONE,
    Imputations,
    default_imputations,
    impute,
)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("missing")


def panel(n: int = 120, seed: int = 1, *, holes: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y = 20 + rng.normal(0, 4, n)[:, None] + rng.normal(0, 3, (n, 4)) - 1.5 * np.arange(4)
    y[rng.random(n) < 0.2, 2:] = np.nan
    y[rng.random(n) < holes, 1] = np.nan
    return y


def pooled(found: Imputations):
    change = found.values[:, :, -1] - found.values[:, :, 0]
    return combine_imputations(change.mean(axis=1), change.var(axis=1, ddof=1) / change.shape[1])


@pytest.mark.parametrize(("name", "method"), [("drop_out", MONOTONE), ("intermittent", AUGMENTED)])
def test_pooled_change_is_that_of_mice(reference, name, method):
    """Both draw at random: estimates agree within four Monte-Carlo errors, variances between within 40 % (200 and 1,000 draws)."""
    case = reference[name]
    data = np.array(case["data"], dtype=float)
    found = impute(data[:, 1:], imputations=1000, rng=np.random.default_rng(5), covariates=data[:, :1])
    assert found.method == method
    ours = pooled(found)
    mc = math.sqrt(case["between"] / case["m"] + ours.between / 1000)
    assert abs(ours.estimate - case["estimate"]) < 4 * mc
    # The relative error of a variance of m draws is sqrt(2 / (m - 1)): 0.1 of mice's.
    assert ours.between == pytest.approx(case["between"], rel=0.4)
    assert ours.within == pytest.approx(case["within"], rel=0.02)
    change = found.values[:, :, -1] - found.values[:, :, 0]
    arm = data[:, 0] == 1
    difference = change[:, arm].mean(axis=1) - change[:, ~arm].mean(axis=1)
    assert abs(difference.mean() - case["arm_difference"]) < 5 * 2 * mc  # a difference of halves has twice the error


def test_chains_and_exact_draws_agree():
    """Drop-out alone, once exactly and once (one more hole at the end of a short run) by chains: the same distribution."""
    y = panel(150, holes=0.0)
    exact = pooled(impute(y, imputations=400, rng=np.random.default_rng(1)))
    y[0, 1] = np.nan
    chains = pooled(impute(y, imputations=400, rng=np.random.default_rng(2)))
    assert abs(exact.estimate - chains.estimate) < 4 * math.sqrt(2 * exact.between / 400) + 0.01
    assert chains.between == pytest.approx(exact.between, rel=0.35)


def test_a_known_regression_is_drawn_with_its_whole_uncertainty():
    """Two occasions: the mean of the missing has the variance that regression theory gives, parameters' part included."""
    rng = np.random.default_rng(8)
    n, gone = 60, 30
    x = rng.normal(0, 1, n)
    y = np.column_stack([x, 0.7 * x + rng.normal(0, 0.6, n)])
    y[:gone, 1] = np.nan
    found = impute(y, imputations=20_000, rng=np.random.default_rng(9))
    design = np.column_stack([np.ones(n), x])
    seen, mean = design[gone:], design[:gone].mean(axis=0)
    beta, rss, _, _ = np.linalg.lstsq(seen, y[gone:, 1], rcond=None)
    df = n - gone - 2
    expected = rss[0] / (df - 2) * (1 / gone + mean @ np.linalg.inv(seen.T @ seen) @ mean)  # E[sigma²] is rss / (df - 2)
    drawn = found.values[:, :gone, 1].mean(axis=1)
    assert drawn.var() == pytest.approx(expected, rel=0.06)
    assert drawn.mean() == pytest.approx(mean @ beta, abs=4 * math.sqrt(expected / 20_000))


def test_what_was_seen_stays_and_correlations_are_kept():
    y = panel(400)
    found = impute(y, imputations=5, rng=np.random.default_rng(1))
    seen = ~np.isnan(y)
    assert (found.values[:, seen] == y[seen]).all()
    assert not np.isnan(found.values).any()
    r = np.corrcoef(found.values[:, :, 0].ravel(), found.values[:, :, 3].ravel())[0, 1]
    assert r == pytest.approx(16 / 25, abs=0.08)  # the variance between people over all


def test_therapists_stay_alike_in_what_is_imputed():
    """Half of the ends missing at random; the share of variance between therapists in the imputed ones is the true one, 0.3."""
    rng = np.random.default_rng(3)
    therapist = np.repeat(np.arange(60), 20)
    u = rng.normal(0, math.sqrt(0.3), 60)[therapist]
    y = np.column_stack([rng.normal(0, 1, 1200), u + rng.normal(0, math.sqrt(0.7), 1200)])
    y[rng.random(1200) < 0.5, 1] = np.nan

    def share(found: Imputations) -> float:
        ends = found.values[:, :, 1]
        sums = np.array([ends[:, therapist == j].mean(axis=1) for j in range(60)])
        return float((sums.var(axis=0, ddof=1) - 0.7 / 20).mean())

    with_them = impute(y, imputations=20, rng=np.random.default_rng(4), clusters=therapist)
    without = impute(y, imputations=20, rng=np.random.default_rng(4))
    assert with_them.method == CLUSTERED
    assert share(with_them) == pytest.approx(u[::20].var(ddof=1), rel=0.2)
    assert share(without) < 0.5 * u[::20].var(ddof=1)  # what leaving the therapist out would do


def test_a_seed_decides_also_in_threads_and_no_global_state_is_touched():
    y = panel()
    first = impute(y, imputations=3, rng=np.random.default_rng(7)).values
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    results: dict[int, np.ndarray] = {}

    def work(i: int) -> None:
        results[i] = impute(y, imputations=3, rng=np.random.default_rng(7)).values

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all((results[i] == first).all() for i in range(4))
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002


def test_chains_that_have_not_settled_are_told():
    """Two occasions that are hardly ever seen in the same person: their correlation is nearly unknown, and chains are slow."""
    rng = np.random.default_rng(2)
    y = rng.normal(0, 1, (60, 3))
    y[:28, 1] = np.nan
    y[32:, 2] = np.nan
    found = impute(y, imputations=4, rng=np.random.default_rng(1), iterations=20)
    assert found.iterations > 20
    slow = found.r_hat >= 1.1
    assert ("not settled" in found.note) == slow


def test_default_number_of_imputations():
    missing = np.zeros((200, 3), dtype=bool)
    assert default_imputations(missing) == 20
    missing[:69, 2] = True
    assert default_imputations(missing) == 35  # 34.5 % incomplete
    assert default_imputations(~np.zeros((9, 2), dtype=bool)) == 100


def test_nothing_missing_is_no_reason_to_draw():
    y = np.nan_to_num(panel(), nan=12.0)
    found = impute(y, imputations=2, rng=np.random.default_rng(1))
    assert (found.values == y).all()
    assert found.method == "nothing is missing"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": [[1.0], [2.0]]}, "two or more occasions"),
        ({"imputations": 1}, "found 1 imputations"),
        ({"iterations": 5}, "found 5 iterations"),
        ({"rng": 3}, "numpy Generator"),
        ({"covariates": np.full((120, 1), np.nan)}, "a covariate is missing"),
        ({"covariates": np.ones((120, 1))}, "determine one another"),
        ({"covariates": np.ones((3, 1))}, r"shape \(3, 1\) for 120 people"),
        ({"scores": np.column_stack([panel()[:, 0], np.full(120, np.nan)])}, "0 people were seen at occasion 2"),
        ({"scores": np.column_stack([panel()[:, 0], np.full(120, 4.0)])}, "have the same score"),
        ({"clusters": [1, 2]}, "2 labels for 120 units"),
        ({"scores": [["a", "b"]] * 9}, "not numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_imputed_is_refused(change, message):
    given = {"scores": panel(), "imputations": 3, "rng": np.random.default_rng(1)} | change
    with pytest.raises(StatisticsError, match=message):
        impute(given.pop("scores"), **given)


def test_a_model_that_too_few_scores_determine_is_refused():
    """Fourteen people of whom hardly two share two occasions besides the first: no covariance to draw from."""
    y = np.random.default_rng(1).normal(0, 1, (14, 4))
    y[:7, 1:3] = np.nan
    y[7:, 3] = np.nan
    x = np.random.default_rng(2).normal(0, 1, (14, 1))
    with pytest.raises(StatisticsError, match="too few to determine the model"):
        impute(y, imputations=20, rng=np.random.default_rng(3), covariates=x, iterations=2000)


def test_maximum_likelihood_is_lavaans(reference):
    data = np.array(reference["intermittent"]["data"], dtype=float)[:, 1:]
    found = normal_fit(data)
    reference["little"].check({"mean": found.mean, "covariance": found.covariance}, rel=2e-6)


def test_littles_statistic(reference):
    data = np.array(reference["intermittent"]["data"], dtype=float)[:, 1:]
    found = little_test(data)
    ours = {"statistic": found.statistic, "df": found.df, "p": found.p_value, "patterns": found.patterns}
    reference["little"].check(ours, rel=2e-6)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.arange(12.0).reshape(6, 2), "determine one another"),
        (panel(holes=0.0)[:, :2], "nothing to compare"),
        (np.column_stack([panel()[:, 0], np.ones(120)]), "fewer than two different values"),
        (np.ones(5), "two or more columns"),
        (np.array([[1.0, np.nan], [np.nan, 2.0], [2.0, np.nan], [np.nan, 1.0]]), "0 people are complete"),
    ],
)
def test_what_littles_test_refuses(values, message):
    with pytest.raises(StatisticsError, match=message):
        little_test(values)


def test_littles_test_keeps_its_level_and_sees_what_depends_on_the_score():
    """Under chance 5 % of 400 tests reject, within three Monte-Carlo errors; where the lower leave, nearly all do."""
    rng = np.random.default_rng(6)
    rejected = {"chance": 0, "score": 0}
    for _ in range(400):
        y = rng.normal(0, 1, (150, 1)) + rng.normal(0, 1, (150, 3))
        for name in rejected:
            seen = y.copy()
            leaves = rng.random(150) < (0.3 if name == "chance" else np.where(y[:, 0] < 0, 0.5, 0.1))
            seen[leaves, 2] = np.nan
            rejected[name] += little_test(seen).p_value < 0.05
    assert abs(rejected["chance"] / 400 - 0.05) < 3 * math.sqrt(0.05 * 0.95 / 400)
    assert rejected["score"] / 400 > 0.95
