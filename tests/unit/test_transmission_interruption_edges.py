"""Interruption at its edges: incomplete tables of earlier samples, families, children who are all alike, columns that lack."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from tests.unit.test_transmission_interruption import changed, estimates, frame, run, study_tables, value

from attachment_outcomes.errors import DataError, StatisticsError
from attachment_outcomes.inference.agreement import Interval, wilson
from attachment_outcomes.inference.prevented_fraction import combination, number_needed
from attachment_outcomes.study.contracts import typed
from attachment_outcomes.transmission.interruption import functioning_change, interrupted_transmission, unchanged_class


def earlier(**columns):
    """The share of earlier samples; of S3 with S1, values or standings may be changed, a list one a cell."""
    tables = study_tables()
    first = tables["samples"].query("sample_id == 'S1'")
    third = first.assign(**{"sample_id": "S3", "value": [5.0, 15.0, 10.0, 10.0], **columns})
    tables["samples"] = typed(pd.concat([tables["samples"], third], ignore_index=True), "samples")
    _, _, found = run(tables)
    return found[found["group"] == "earlier samples, parent insecure"].iloc[0]


def test_a_table_of_an_earlier_sample_counts_whole_or_not_at_all():
    whole = earlier()
    assert (whole["estimate"], whole["n"], whole["n_clusters"]) == (pytest.approx(25 / 50), 50, 2)
    for told in ({"standing": ["recalled", "stored", "stored", "stored"]}, {"value": [math.nan, 15.0, 10.0, 10.0]}):
        part = earlier(**told)
        assert (part["estimate"], part["n"]) == (pytest.approx(10 / 30), 30)
    assert earlier(standing="derived")["n"] == 50  # pooled as well where samples are


def test_earlier_samples_of_one_cluster_are_one():
    tables = study_tables()
    first = tables["samples"].query("sample_id == 'S1'")
    more = [first.assign(sample_id=f"S{i}", value=[20.0 - i, 10.0 + i, 8.0, 22.0]) for i in range(3, 9)]
    alone = pd.concat([first, *more], ignore_index=True)
    together = alone.assign(cluster=alone["sample_id"].map(lambda s: "A" if s < "S5" else "B"))
    found = []
    for rows in (alone, together):
        _, _, told = run({**tables, "samples": typed(rows, "samples")})
        found.append(told[told["group"] == "earlier samples, parent insecure"].iloc[0])
    assert [row["n_clusters"] for row in found] == [7, 2]
    assert found[1]["ci_high"] - found[1]["ci_low"] > found[0]["ci_high"] - found[0]["ci_low"]


def test_an_impossible_count_of_an_earlier_sample_is_refused():
    with pytest.raises(DataError, match="a negative or fractional count"):
        earlier(value=[-1.0, 15.0, 10.0, 10.0])


def test_a_family_that_is_told_twice_tells_no_more_of_children_not_seen():
    pairs = pd.DataFrame({"arm": ["treated", "comparison"] * 30, "before": "insecure"})
    pairs["child"] = ["secure", "secure", "insecure", "insecure", None, None] * 10
    twice = pairs.loc[pairs.index.repeat(2)].reset_index(drop=True).assign(cluster=np.repeat(range(60), 2))
    one, two = (estimates(interrupted_transmission(p)) for p in (pairs, twice))
    for estimand, group, families in (
        ("child_not_seen", "treated", 30),
        ("child_secure_difference_lowest", "parent insecure", 60),
        ("child_secure_difference_highest", "parent insecure", 60),
    ):
        widths = [value(f, estimand, group, "ci_high") - value(f, estimand, group, "ci_low") for f in (one, two)]
        assert value(one, estimand, group) == pytest.approx(value(two, estimand, group))
        assert 1 <= widths[1] / widths[0] < 1.1
        assert value(two, estimand, group, "n") == 2 * value(one, estimand, group, "n")
        assert value(two, estimand, group, "n_clusters") == families


def test_the_share_of_secure_parents_is_not_told_in_a_note():
    pairs = frame(("treated", "insecure", "secure", "secure", 15), ("comparison", "insecure", "insecure", "insecure", 14))
    one = frame(("treated", "secure", "secure", "secure", 1))
    found = estimates(unchanged_class(pd.concat([pairs, one], ignore_index=True), retest={"kappa": 0.7}))
    assert value(found, "became_secure_by_error") == pytest.approx(0.3 / 30)
    note = value(found, "became_secure_by_error", column="note")
    assert "before treatment" in note
    assert not any(c.isdigit() for c in note)


def test_what_a_second_interview_needs_is_asked_for_and_checked():
    pairs = changed()
    with pytest.raises(DataError, match="has no column 'after'"):
        unchanged_class(pairs.drop(columns="after"))
    with pytest.raises(DataError, match=r"pairs\.after: holds another word than secure, insecure"):
        unchanged_class(pairs.assign(after="Secure"))
    with pytest.raises(DataError, match="has no column 'after'"):
        functioning_change(pairs.drop(columns="after"))
    for column in ("functioning_before", "functioning_after"):
        with pytest.raises(DataError, match=f"has no column '{column}'"):
            functioning_change(pairs.drop(columns=column))
        for wrong in ("high", math.inf):
            with pytest.raises(DataError, match=rf"pairs\.{column}: holds something else than finite numbers") as error:
                functioning_change(pairs.assign(**{column: wrong}))
            assert "high" not in str(error.value)
    interrupted_transmission(pairs.drop(columns=["after", "functioning_before"]))  # which needs neither


def test_a_rating_that_is_missing_leaves_its_pair_out_in_whatever_type():
    pairs = changed().round(0)
    pairs.loc[0, "functioning_after"] = np.nan
    plain_numbers, whole = (functioning_change(p) for p in (pairs, pairs.astype({"functioning_after": "Int64"})))
    assert plain_numbers[0].n == whole[0].n == 39
    assert plain_numbers[0].estimate == whole[0].estimate


def families_of_two(*cells):
    pairs = frame(*cells)
    return pairs.assign(cluster=np.arange(len(pairs)) // 2)


def test_children_who_are_all_alike_leave_an_interval_with_a_length():
    pairs = families_of_two(
        *((a, b, None, "secure", k) for a in ("treated", "comparison") for b, k in (("insecure", 20), ("secure", 10)))
    )
    found = estimates(interrupted_transmission(pairs))
    of_ten, of_five = wilson(10, 10), wilson(5, 5)
    hand = {
        ("child_secure_difference", "parent insecure"): combination([1, -1], [of_ten, of_ten]),
        ("child_secure_difference", "parent secure"): combination([1, -1], [of_five, of_five]),
        ("interaction_risk_difference", ""): combination([1, -1, -1, 1], [of_ten, of_ten, of_five, of_five]),
    }
    for key, by_hand in hand.items():
        assert value(found, *key) == 0
        assert value(found, *key, "ci_low") == pytest.approx(by_hand.ci_low)
        assert value(found, *key, "ci_high") == pytest.approx(by_hand.ci_high)
        assert "all alike" in value(found, *key, "note")
        assert "MOVER" in value(found, *key, "method")
        assert math.isnan(value(found, *key, "p_value"))
    assert "one pair a family" in value(found, "child_secure", "treated, parent insecure", "note")
    assert math.isnan(value(found, "number_needed_to_treat"))
    assert "no number is enough" in value(found, "number_needed_to_treat", column="note")


def test_one_group_all_alike_lets_only_the_contrasts_with_it_leave_the_regression():
    other = [("secure", 7), ("insecure", 9)]
    pairs = families_of_two(
        ("treated", "insecure", None, "secure", 16),
        *(("comparison", "insecure", None, c, k) for c, k in other),
        *((a, "secure", None, c, k) for a in ("treated", "comparison") for c, k in other),
    )
    found = estimates(interrupted_transmission(pairs))
    assert value(found, "child_secure_difference", "parent insecure", "ci_high") <= 1
    assert "MOVER" in value(found, "child_secure_difference", "parent insecure", "method")
    assert "MOVER" in value(found, "interaction_risk_difference", column="method")
    assert "CR2" in value(found, "child_secure_difference", "parent secure", "method")


def test_all_alike_with_one_pair_a_family_is_as_sure_as_independent_pairs():
    pairs = frame(*((a, "insecure", None, "secure", 10) for a in ("treated", "comparison")))
    last = frame(*(("treated", "secure", None, "secure", 1) for _ in range(2))).assign(cluster=99)
    found = estimates(interrupted_transmission(pd.concat([pairs.assign(cluster=np.arange(20)), last], ignore_index=True)))
    row = found[(found["estimand"] == "child_secure") & (found["group"] == "treated, parent insecure")].iloc[0]
    assert row["ci_low"] == pytest.approx(wilson(10, 10).ci_low)
    assert row["note"] == ""


def test_a_rounding_error_is_no_difference_to_need_a_number_for():
    found = number_needed(Interval(2.3e-16, 1e-17, 5e-17, 4e-16))
    assert math.isinf(found.estimate)
    assert found.through_infinity
    assert found.benefit_from == found.harm_from == math.inf


def test_children_all_alike_are_a_reason_for_no_association_with_functioning():
    with pytest.raises(StatisticsError, match="all children are alike"):
        functioning_change(changed().assign(child="secure"))
