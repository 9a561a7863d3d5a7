"""Shares, rates and what pure noise would give."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.rupture.criteria import Criterion, as_criteria, detect
from attachment_outcomes.rupture.noise import autocorrelation, expected_on_noise, simulate_noise
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
