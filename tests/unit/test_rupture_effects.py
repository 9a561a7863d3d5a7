"""The outcome contrast: directions, refusals, and its coverage where there is no effect."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import DataError
from attachment_outcomes.rupture import repair_effect, standardised_means
from attachment_outcomes.rupture.effects.contrasts import e_value_rows, fitted


def cohort(rng, n=90, *, effect=(0.0, 0.0), therapists=0):
    group = np.array(["none", "repaired", "unrepaired"])[np.arange(n) % 3]
    pre = rng.normal(20, 5, n)
    shift = np.select([group == "repaired", group == "unrepaired"], effect, 0.0)
    return pd.DataFrame(
        {
            "client": [f"c{i}" for i in range(n)],
            "therapist_id": [f"t{i % therapists}" for i in range(n)] if therapists else pd.Series([None] * n, dtype="str"),
            "group": group,
            "pre": pre,
            "post": 5 + 0.5 * pre + shift + rng.normal(0, 3, n),
            "n_sessions": rng.integers(6, 25, n),
        }
    )


def by_name(rows):
    return {r.estimand: r for r in rows}


def test_signs_follow_the_outcome_and_improvement_is_always_up():
    data = cohort(np.random.default_rng(1), effect=(-4.0, 4.0))
    lower = by_name(repair_effect(data, outcome="core10.total", higher_is_better=False))
    higher = by_name(repair_effect(data, outcome="srs.total", higher_is_better=True))
    for name in ("repaired_minus_none", "unrepaired_minus_none", "repaired_minus_unrepaired", "none_minus_any"):
        assert lower[name].estimate == higher[name].estimate
        assert (lower[name].direction, higher[name].direction) == ("lower is better", "higher is better")
    assert lower["repair_minus_avoidance"].estimate == -higher["repair_minus_avoidance"].estimate > 0
    assert lower["repair_minus_avoidance"].direction == "higher is better"
    contrast = lower["repaired_minus_unrepaired"].estimate - lower["none_minus_any"].estimate
    assert lower["repair_minus_avoidance"].estimate == pytest.approx(-contrast)


def test_every_row_is_filled_in_and_says_it_is_an_association():
    for row in repair_effect(cohort(np.random.default_rng(2)), outcome="core10.total", definition="control_chart", primary=False):
        assert (row.analysis, row.unit, row.definition, row.primary) == ("rupture_outcome", "score points", "control_chart", False)
        assert (row.n, row.n_clusters, row.method) == (90, 90, "OLS, HC3")
        assert "association, not effect" in row.note
        assert "immortal time" in row.note
        assert "none 30, repaired 30, unrepaired 30" in row.note
        assert "fewer than 5 therapists" in row.note


def test_small_groups_are_not_compared_and_the_sizes_are_named():
    data = cohort(np.random.default_rng(3)).query("group != 'unrepaired' or pre > 24")
    n = (data["group"] == "unrepaired").sum()
    assert n < 10
    (row,) = repair_effect(data, outcome="core10.total", definition="control_chart")
    assert (row.estimand, row.definition) == ("not testable", "control_chart")
    assert f"none 30, repaired 30, unrepaired {n}" in row.note
    assert len(repair_effect(data, outcome="core10.total", min_group=2)) == 5


def test_clients_without_group_or_scores_are_left_out_and_counted():
    data = cohort(np.random.default_rng(4))
    data.loc[[0, 1], "group"] = None
    data.loc[5, "post"] = np.nan
    data.loc[8, "pre"] = np.nan
    row = repair_effect(data, outcome="core10.total")[0]
    assert row.n == 86
    assert "4 clients left out" in row.note


def test_clients_without_a_therapist_are_clusters_of_their_own():
    data = cohort(np.random.default_rng(5), therapists=12)
    assert repair_effect(data, outcome="core10.total")[0].n_clusters == 12
    data.loc[:5, "therapist_id"] = None
    row = repair_effect(data, outcome="core10.total")[0]
    assert row.n_clusters == 12 + 6
    assert "CR2" in row.method


def test_few_therapists_give_hc3_and_say_so():
    row = repair_effect(cohort(np.random.default_rng(6), therapists=4), outcome="core10.total")[0]
    assert row.method == "OLS, HC3"
    assert "fewer than 5 therapists known: intervals not clustered" in row.note


def test_covariates_can_be_left_out_and_constant_ones_are():
    data = cohort(np.random.default_rng(7)).assign(n_sessions=12)
    assert "adjusted for pre;" in repair_effect(data, outcome="core10.total")[0].note
    assert "adjusted for nothing" in repair_effect(data, outcome="core10.total", adjust=())[0].note
    plain = by_name(repair_effect(data, outcome="core10.total", adjust=()))["repaired_minus_none"]
    means = data.groupby("group")["post"].mean()
    assert plain.estimate == pytest.approx(means["repaired"] - means["none"])


def test_order_of_rows_does_not_matter():
    data = cohort(np.random.default_rng(8), therapists=15)
    first = repair_effect(data, outcome="core10.total")
    again = repair_effect(data.sample(frac=1, random_state=1), outcome="core10.total")
    for a, b in zip(first, again, strict=True):
        assert (a.estimate, a.std_error) == pytest.approx((b.estimate, b.std_error), rel=1e-10)


def test_missing_columns_and_unknown_groups_are_refused():
    data = cohort(np.random.default_rng(9))
    with pytest.raises(DataError, match="no column 'pre'"):
        repair_effect(data.drop(columns="pre"), outcome="core10.total")
    with pytest.raises(DataError, match="1 unknown words; allowed: none, repaired, unrepaired"):
        repair_effect(data.assign(group="mended"), outcome="core10.total")


def test_a_covariate_that_decides_the_group_is_not_testable():
    data = cohort(np.random.default_rng(10))
    data["n_sessions"] = (data["group"] == "repaired") * 1.0
    (row,) = repair_effect(data, outcome="core10.total")
    assert row.estimand == "not testable"
    assert "not identified" in row.note


def test_intervals_cover_zero_where_nothing_differs():
    rng = np.random.default_rng(20261121)
    n, covered = 100, dict.fromkeys(("repaired_minus_none", "repair_minus_avoidance"), 0)
    for _ in range(n):
        rows = by_name(repair_effect(cohort(rng, 60), outcome="core10.total"))
        for name in covered:
            covered[name] += rows[name].ci_low <= 0 <= rows[name].ci_high
    error = math.sqrt(0.95 * 0.05 / n)  # Monte-Carlo error of a coverage of 95 %
    for count in covered.values():
        assert count / n == pytest.approx(0.95, abs=3 * error)


def test_a_group_that_one_therapist_has_alone_is_not_told_from_the_therapist():
    data = cohort(np.random.default_rng(11), therapists=12)
    data["therapist_id"] = np.where(data["group"] == "unrepaired", "t0", data["therapist_id"])
    (row,) = repair_effect(data, outcome="core10.total", definition="control_chart")
    assert row.estimand == "not testable"
    assert "1 therapists alone decide a coefficient" in row.note
    # Two therapists are enough for an interval, on so few degrees of freedom that the note warns.
    data.loc[data.index[data["group"] == "unrepaired"][::2], "therapist_id"] = "t1"
    row = by_name(repair_effect(data, outcome="core10.total"))["unrepaired_minus_none"]
    assert np.isfinite(row.std_error)
    assert "degrees of freedom: too few to be trusted" in row.note


def test_end_scores_that_are_alike_within_groups_have_no_e_value():
    data = cohort(np.random.default_rng(12)).assign(
        post=lambda d: d["group"].map({"none": 1.0, "repaired": 2.0, "unrepaired": 3.0})
    )
    rows = repair_effect(data, outcome="core10.total")
    assert by_name(rows)["repaired_minus_none"].estimate == pytest.approx(1)
    assert e_value_rows(rows, 0.0) == []
    assert [r.group for r in e_value_rows(rows, 2.0)][::2] == [
        "repaired_minus_none",
        "unrepaired_minus_none",
        "repaired_minus_unrepaired",
    ]


def test_clients_without_an_end_score_are_counted_in_all_and_not_by_group():
    data = cohort(np.random.default_rng(13))
    data.loc[data.index[data["group"] == "unrepaired"][:4], "post"] = np.nan
    data.loc[0, "post"] = np.nan
    note = repair_effect(data, outcome="core10.total")[0].note
    assert "5 clients left out (no group or no scores); no end score: 5; " in note


def test_a_group_of_one_to_four_is_not_told_as_a_number():
    data = cohort(np.random.default_rng(14))
    data = data[(data["group"] != "unrepaired") | (data.index < 9)]
    (row,) = repair_effect(data, outcome="core10.total")
    assert "none 30, repaired 30, unrepaired fewer than 5; at least 10" in row.note
    data = data[data["group"] != "unrepaired"]
    assert "unrepaired 0;" in repair_effect(data, outcome="core10.total")[0].note


@pytest.mark.parametrize("ask", [repair_effect, standardised_means])
@pytest.mark.parametrize("column", ["pre", "post", "n_sessions"])
def test_a_word_among_scores_is_refused_by_its_row_and_never_told(ask, column):
    data = cohort(np.random.default_rng(15)).astype({column: object})
    data.loc[[2, 7], column] = "Mrs Smith"
    with pytest.raises(DataError, match=f"rupture outcome, column {column}: no number in row 3, 8") as told:
        ask(data, outcome="core10.total")
    assert "Smith" not in str(told.value)
    assert told.value.__cause__ is None


def test_within_therapists_clients_of_unknown_ones_do_not_count():
    data = cohort(np.random.default_rng(16), therapists=10)
    known, _ = fitted(data.iloc[9:], adjust=["pre"], cluster="therapist_id", within=True)
    data.loc[:8, "therapist_id"] = None
    rows, found = fitted(data, adjust=["pre"], cluster="therapist_id", within=True)
    assert (len(rows.rows), rows.n_clusters) == (len(known.rows), known.n_clusters) == (81, 10)
    assert len(found.parts) == 10
