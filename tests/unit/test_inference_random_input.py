"""What the functions that draw at random refuse (words, seeds, statistics that are not there), and what must not matter to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.monte_carlo import monte_carlo_interval
from attachment_outcomes.inference.permutation import permutation_test, sign_flip_test
from attachment_outcomes.inference.resampling import cluster_bootstrap, cluster_bootstrap_rows

NAMES = ["Anna Smith", "1", "2", "3"]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250101)


def ratio(sums):
    return sums[:, 0] / sums[:, 1]


def test_a_statistic_that_is_not_there_is_refused(rng):
    found = cluster_bootstrap(lambda s: np.column_stack([s, s, s]), [1.0, 2.0, 3.0], rng=rng, replicates=20)
    for which in (3, -1, "mean"):
        with pytest.raises(StatisticsError, match=r"3 statistics, found number .*; allowed: 0 to 2"):
            found.interval(which)


@pytest.mark.parametrize("strata", [None, "site"])
@pytest.mark.parametrize(
    "name",
    [lambda g: g * 7 % 12, lambda g: f"family {g}", lambda g: g if g % 2 else f"family {g}"],
    ids=["number", "word", "mixed"],
)
def test_limits_do_not_depend_on_the_order_of_rows(rng, name, strata):
    family = rng.permutation(np.repeat(np.arange(12), 5))
    rows = pd.DataFrame({"x": rng.normal(size=60), "one": 1.0, "family": [name(int(g)) for g in family], "site": family % 3})

    def limits(rows):
        given = {"clusters": rows["family"], "strata": rows[strata] if strata else None, "replicates": 199}
        x = rows["x"].to_numpy()
        sums = cluster_bootstrap(ratio, rows[["x", "one"]], rng=np.random.default_rng(7), **given)
        drawn = cluster_bootstrap_rows(lambda at, _: x[at].mean(), rng=np.random.default_rng(7), **given)
        return [(found.ci_low, found.ci_high) for found in (sums.interval(), drawn.interval(method="percentile"))]

    for seed in range(3):
        np.testing.assert_allclose(limits(rows.sample(frac=1, random_state=seed)), limits(rows), rtol=1e-10)


@pytest.mark.parametrize(
    "call",
    [
        lambda rng: cluster_bootstrap(ratio, pd.DataFrame({"x": NAMES, "one": 1.0}), rng=rng),
        lambda rng: cluster_bootstrap(ratio, NAMES, rng=rng),
        lambda rng: cluster_bootstrap_rows(lambda rows, _: NAMES[rows[0]], rng=rng, clusters=range(4)),
        lambda rng: cluster_bootstrap_rows(lambda rows, _: float(NAMES[rows[0]]), rng=rng, clusters=range(4)),
        lambda rng: cluster_bootstrap_rows(lambda rows, _: pd.Series(NAMES, dtype=object)[rows].mean(), rng=rng, clusters=range(4)),
        lambda rng: sign_flip_test(NAMES, rng=rng),
        lambda rng: sign_flip_test(pd.Series(NAMES), rng=rng),
        lambda rng: permutation_test(lambda g: g[0], NAMES, rng=rng),
        lambda rng: permutation_test(lambda g: g[:, 0], NAMES, rng=rng, vectorised=True),
        lambda rng: monte_carlo_interval(NAMES[:1], [[1.0]], np.sqrt, rng=rng),
        lambda rng: monte_carlo_interval([1.0], [NAMES[:1]], np.sqrt, rng=rng),
    ],
)
def test_words_for_numbers_are_refused_without_telling_them(rng, call):
    with pytest.raises(StatisticsError, match=r"are not numbers\. Hint: recode words") as told:
        call(rng)
    assert "Anna" not in str(told.value)
    assert told.value.__suppress_context__


@pytest.mark.parametrize(
    "call",
    [
        lambda rng: cluster_bootstrap(ratio, [[1.0, 1], [2, 1]], rng=rng),
        lambda rng: cluster_bootstrap_rows(lambda rows, _: rows.mean(), rng=rng, clusters=range(4)),
        lambda rng: permutation_test(lambda g: g[0], [0, 1], rng=rng),
        lambda rng: sign_flip_test([1.0, 2.0], rng=rng),
        lambda rng: monte_carlo_interval([1.0], [[1.0]], np.sqrt, rng=rng),
    ],
)
def test_a_seed_for_a_generator_is_refused(call):
    for seed in (1, None, np.random.RandomState(1)):
        with pytest.raises(StatisticsError, match=r"rng is a numpy Generator: numpy.random.default_rng\(seed\)"):
            call(seed)


def test_other_errors_of_a_statistic_are_told_as_they_are(rng):
    with pytest.raises(KeyError):
        cluster_bootstrap_rows(lambda rows, _: {}[0], rng=rng, clusters=range(4))
    with pytest.raises(ValueError, match="my own"):
        sign_flip_test([1.0, 2.0], rng=rng, statistic=lambda _: (_ for _ in ()).throw(ValueError("my own")))
