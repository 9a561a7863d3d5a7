"""Shares, rates and what pure noise would give."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE
from attachment_outcomes.rupture.against_noise import above_noise
from attachment_outcomes.rupture.criteria import Criterion, as_criteria, detect
from attachment_outcomes.rupture.noise import (
    OnNoise,
    Scale,
    autocorrelation,
    expected_on_noise,
    found_on_noise,
    noise_rows,
    simulate_noise,
    spread,
)
from attachment_outcomes.rupture.rules import Signal, control_chart
from attachment_outcomes.rupture.series import Series, read_series
from attachment_outcomes.rupture.summary import client_summary, prevalence

DROP = {"rule": "attachment_outcomes.rupture.rules:within_person_drop", "settings": {"k": 1.0}}


def summary(people, preset=DROP):
    frame = pd.concat(
        pd.DataFrame({"person_id": f"p{i:02d}", "session_number": range(1, len(s) + 1), "wai": s}) for i, s in enumerate(people)
    )
    series = read_series(frame, score="wai")
    found = detect(series, as_criteria({"x": preset})[0])
    return client_summary(series, found), found


def grid(n_clients, n_sessions):
    """Series of n sessions each with unit SD, to be replaced by noise."""
    values = np.tile(np.linspace(-1.0, 1.0, n_sessions), n_clients)
    clients = pd.DataFrame(
        {"client": [str(i) for i in range(n_clients)], "treatment_id": pd.Series([None] * n_clients, dtype="str")}
    )
    starts = np.arange(n_clients + 1) * n_sessions
    return Series(values / values[:n_sessions].std(ddof=1), np.tile(np.arange(1, n_sessions + 1), n_clients), starts, clients)


def test_shares_and_rate_by_hand():
    steady, repaired = (5, 5, 5, 5, 5), (5, 5, 5, 3, 5)
    clients, found = summary([steady] * 7 + [repaired] * 3 + [(5, 5)])
    rows = {(r.estimand, r.group): r for r in prevalence(clients, found, outcome="wai_sr.total")}
    share = rows["share_with_rupture", ""]
    # Wilson's interval of 3 of 10 at 95 %: 0.1078 to 0.6032 (Newcombe 1998 method 3, by hand).
    assert (share.estimate, round(share.ci_low, 4), round(share.ci_high, 4)) == (0.3, 0.1078, 0.6032)
    assert (share.n, share.unit, share.note) == (10, "proportion", "1 of 11 clients not assessable")
    assert [rows["share", g].estimate for g in ("none", "repaired", "unrepaired", "censored")] == [0.7, 0.3, 0, 0]
    # 3 ruptures in 50 sessions; residuals y - R x: 7 of -0.3 and 3 of 0.7, so SE = sqrt(10 / 9 * 2.1) / 50.
    rate = rows["rate_per_session", ""]
    assert rate.estimate == pytest.approx(0.06)
    assert rate.std_error == pytest.approx(math.sqrt(10 / 9 * 2.1) / 50)
    assert rate.unit == "ruptures per session"


def test_clients_whose_limit_lies_below_the_scale_are_counted():
    clients, found = summary([(1, 1.2, 1, 1.3, 1), (5, 5, 5, 3, 5)])
    notes = {r.note for r in prevalence(clients, found, outcome="wai_sr.total", lowest=1.0) if r.estimand == "share_with_rupture"}
    assert notes == {"0 of 2 clients not assessable"}
    clients, found = summary([(1, 1.2, 1, 1.3, 1), (5, 5, 5, 3, 5)], {**DROP, "settings": {"k": 3.0}})
    (note,) = {r.note for r in prevalence(clients, found, outcome="wai_sr.total", lowest=1.0) if r.estimand == "share_with_rupture"}
    assert "1 cannot show a rupture" in note


def test_depth_time_and_repairs_by_hand():
    # One SD of a dip of 2 in five is .89: the score must be back within .22. The second dips to 3, 3.5 and is back at once after.
    clients, found = summary([(5, 5, 5, 3, 5), (5, 5, 3, 3.5, 5, 5), (5, 5, 2, 2, 2, 2, 2), (5, 5, 5, 5, 3)])
    assert clients["n_unrepaired"].tolist() == [0, 0, 1, 0]
    assert clients["share_repaired"].fillna(-1).tolist() == [1, 1, 0, -1]
    assert clients["mean_depth"].tolist() == [2, 2, 3, 2]
    assert clients["time_in_rupture"].tolist() == [1 / 5, 2 / 6, 5 / 7, 1 / 5]
    rows = {r.estimand: r for r in prevalence(clients, found, outcome="wai_sr.total") if not r.group}
    assert rows["mean_depth"].estimate == pytest.approx(9 / 4)
    assert rows["time_in_rupture"].estimate == pytest.approx(9 / 23)
    repaired = rows["share_repaired"]
    assert (repaired.estimate, repaired.n, repaired.n_clusters) == (pytest.approx(2 / 3), 3, 3)
    assert repaired.note.startswith("n is ruptures, not clients; those whose end nobody saw are left out")


def test_prevalence_of_nobody_is_refused():
    clients, found = summary([(5, 5)])
    with pytest.raises(StatisticsError, match="none of 1 clients has enough"):
        prevalence(clients, found, outcome="wai_sr.total")


def both_negative(series, **_):
    """Flags series whose first two scores are both below zero."""
    n = len(series.values)
    begins = np.zeros(n, dtype=bool)
    begins[1:] = (series.rank[1:] == 1) & (series.values[1:] < 0) & (series.values[:-1] < 0)
    zeros = np.zeros(n)
    return Signal(begins, zeros, zeros, series.values, zeros, zeros, np.ones(len(series.lengths), dtype=bool))


@pytest.mark.parametrize(("step", "rho"), [(1, 0.5), (2, 0.5), (1, -0.4)])
def test_noise_has_the_stated_autocorrelation_also_across_gaps(step, rho):
    # Sheppard (1899): two standard normals with correlation r are both negative with probability 1/4 + asin(r) / (2 pi).
    series = grid(400, 5)
    series = Series(series.values, series.sessions * step, series.starts, series.clients)
    noise = simulate_noise(series, rho, 50, np.random.default_rng(1), own_sd=np.ones(400))
    share = both_negative(noise).begins.sum() / (400 * 50)
    expected = 0.25 + math.asin(rho**step) / (2 * math.pi)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 20_000))  # four Monte-Carlo errors
    assert noise.values.std() == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("rho", [-0.3, 0.0, 0.4, 0.7])
def test_autocorrelation_is_recovered_from_short_series(rho):
    series = grid(3000, 12)
    noise = simulate_noise(series, rho, 1, np.random.default_rng(7), own_sd=np.ones(3000))
    assert autocorrelation(noise) == pytest.approx(rho, abs=0.025)  # 33,000 pairs: error .006, here doubled by the mean


def test_autocorrelation_where_there_is_nothing_to_learn_from():
    flat = read_series(pd.DataFrame({"person_id": "a", "session_number": range(5), "wai": 3.0}), score="wai")
    assert autocorrelation(flat) == 0
    sparse = read_series(pd.DataFrame({"person_id": "a", "session_number": [1, 3, 5, 7], "wai": [1.0, 2, 1, 3]}), score="wai")
    assert autocorrelation(sparse) == 0


def test_expected_on_noise_follows_from_the_rule():
    row = expected_on_noise(grid(500, 6), Criterion("x", both_negative), rng=np.random.default_rng(2), outcome="wai_sr.total")
    assert (row.analysis, row.estimand, row.unit, row.n) == ("rupture_prevalence", "expected_on_noise", "proportion", 500)
    # The grid rises steadily, so its autocorrelation is high: more than independent scores' 1/4, at most 1/2.
    assert 0.25 < row.estimate < 0.5
    assert row.ci_low < row.estimate < row.ci_high


def test_expected_on_noise_repeats_with_its_seed_and_grows_with_length():
    chart = Criterion("chart", control_chart)
    rng = np.random.default_rng(5)
    white = {n: simulate_noise(grid(300, n), 0.0, 1, rng, own_sd=np.ones(300)) for n in (8, 30)}
    shares = {n: expected_on_noise(white[n], chart, rng=np.random.default_rng(3)).estimate for n in white}
    assert shares[8] < shares[30]
    assert shares[30] == expected_on_noise(white[30], chart, rng=np.random.default_rng(3)).estimate


def test_expected_on_noise_needs_series_and_replicates():
    with pytest.raises(StatisticsError, match="no client has enough"):
        expected_on_noise(grid(5, 3), Criterion("chart", control_chart), rng=np.random.default_rng(1))
    with pytest.raises(StatisticsError, match="replicates"):
        expected_on_noise(grid(5, 9), Criterion("chart", control_chart), rng=np.random.default_rng(1), replicates=1)


def test_the_spread_of_noise_is_that_of_the_series_less_what_chance_adds():
    rng = np.random.default_rng(11)
    alike = simulate_noise(grid(2000, 12), 0.3, 1, rng, own_sd=np.full(2000, 2.0))
    found = spread(alike, 0.3)
    # The SDs of 12 sessions vary by a fifth and more by chance alone; the truth is 2 for everybody.
    assert found.mean() == pytest.approx(2, rel=0.03)
    assert found.std() < 0.15
    truth = rng.choice([1.0, 3.0], 2000)
    found = spread(simulate_noise(grid(2000, 12), 0.0, 1, rng, own_sd=truth), 0.0)
    assert np.log(found).std() == pytest.approx(np.log(truth).std(), rel=0.06)
    assert np.corrcoef(found, truth)[0, 1] > 0.9


def test_a_series_without_variation_stays_without_in_noise():
    frame = pd.DataFrame({"person_id": np.repeat(["a", "b"], 6), "session_number": [1, 2, 3, 4, 5, 6] * 2})
    series = read_series(frame.assign(wai=[4.1] * 6 + [1, 2, 3, 2, 1, 3]), score="wai")
    found = spread(series, 0.0)
    assert found[0] == 0
    assert found[1] > 0
    noise = simulate_noise(series, 0.0, 2, np.random.default_rng(1))
    assert noise.values[:6].tolist() == pytest.approx([4.1] * 6)


def test_noise_on_a_scale_has_only_its_values():
    noise = simulate_noise(grid(50, 8), 0.2, 3, np.random.default_rng(1), own_sd=np.full(50, 2.0), scale=Scale(-1, 2, 0.5))
    assert set(np.unique(noise.values)) == {-1, -0.5, 0, 0.5, 1, 1.5, 2}


def on_noise(ruptures, repaired, told, sessions):
    """Return findings of (replicates, clients) counts, everybody assessable."""
    shape = np.array(ruptures).shape
    return OnNoise(
        np.arange(shape[1]), np.array(sessions), np.ones(shape, dtype=bool), *(np.array(c) for c in (ruptures, repaired, told)),
        rho=0.1, replicates=shape[0],
    )  # fmt: skip


def test_what_is_above_noise_by_hand(monkeypatch):
    clients, _ = summary([(5, 5, 5, 3, 5), (5, 5, 5, 5, 5), (5, 5, 5, 3, 5), (5, 5, 2, 2, 2, 2, 2)])
    # Observed: 3 of 4 clients, 3 ruptures in 22 sessions, 2 of 3 repaired. In noise 2 of 8, 3 in 44, 1 of 2 repaired.
    noise = on_noise([[1, 0, 0, 0], [0, 2, 0, 0]], [[1, 0, 0, 0], [0, 0, 0, 0]], [[1, 0, 0, 0], [0, 1, 0, 0]], [5, 5, 5, 7])
    simulated = {r.estimand: r.estimate for r in noise_rows(noise, "x")}
    assert simulated == {
        "expected_on_noise": 0.25, "noise_rate_per_session": pytest.approx(3 / 44), "noise_share_repaired": 0.5,
    }  # fmt: skip
    (untold,) = (r for r in above_noise(clients, noise) if r.estimand == NOT_TESTABLE)
    assert untold.note == "repairs above noise: the end of 3 ruptures is known; at least 10 needed"
    monkeypatch.setattr("attachment_outcomes.rupture.against_noise.MIN_RUPTURES", 3)
    rows = {r.estimand: r for r in above_noise(clients, noise)}
    assert rows["share_above_noise"].estimate == pytest.approx(0.5)
    assert rows["rate_above_noise"].estimate == pytest.approx(3 / 22 - 3 / 44)
    assert rows["repaired_above_noise"].estimate == pytest.approx(2 / 3 - 1 / 2)
    # By client: observed 1, 0, 1, 1 less .75, noise .5, .5, 0, 0 less .25; their difference 0, -1, .5, .5. No replicate differs.
    assert rows["share_above_noise"].std_error == pytest.approx(math.sqrt(4 / 3 * (0 + 1 + 0.25 + 0.25)) / 4)
    assert rows["share_above_noise"].n_clusters == 4


def test_everybody_with_a_rupture_still_has_an_interval():
    clients, _ = summary([(5, 5, 5, 3, 5)] * 8)
    noise = on_noise([[1] * 8, [0] * 8], [[0] * 8] * 2, [[1] * 8, [0] * 8], [5] * 8)
    row = next(r for r in above_noise(clients, noise) if r.estimand == "share_above_noise")
    # Wilson's limits of 8 of 8 are .6756 and 1; noise has half.
    assert (row.estimate, round(row.ci_low, 4), row.ci_high) == (0.5, 0.1756, 0.5)
    assert row.note.startswith("all alike")


def test_noise_is_repaired_too():
    """Nothing happens, and most that looks like a rupture looks repaired: what fell by chance comes back by itself."""
    series = simulate_noise(grid(400, 20), 0.0, 1, np.random.default_rng(6), own_sd=np.ones(400))
    chart = Criterion("chart", control_chart)
    noise = {r.estimand: r for r in noise_rows(found_on_noise(series, chart, rng=np.random.default_rng(1)), "chart")}
    # Below three SDs, the next three sessions are each above the mean with one half: 1 - 1/8, but for who has no three left.
    assert noise["noise_share_repaired"].estimate == pytest.approx(7 / 8, abs=0.08)
    clients = client_summary(series, detect(series, chart))
    above = {r.estimand: r for r in above_noise(clients, found_on_noise(series, chart, rng=np.random.default_rng(1)))}
    assert above["share_above_noise"].ci_low < 0 < above["share_above_noise"].ci_high


def test_a_part_of_the_clients_is_enough_for_the_noise(monkeypatch):
    series = simulate_noise(grid(300, 12), 0.0, 1, np.random.default_rng(6), own_sd=np.ones(300))
    chart = Criterion("chart", control_chart)
    whole = found_on_noise(series, chart, rng=np.random.default_rng(1))
    monkeypatch.setattr("attachment_outcomes.rupture.noise.MAX_CLIENTS", 60)
    part = found_on_noise(series, chart, rng=np.random.default_rng(1))
    assert (len(whole.chosen), len(part.chosen)) == (300, 60)
    clients = client_summary(series, detect(series, chart))
    one, two = (next(above_noise(clients, noise)) for noise in (whole, part))
    assert (one.n, two.n) == (300, 300)
    assert two.std_error > one.std_error
