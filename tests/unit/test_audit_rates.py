"""Denominators and intervals of the service rates, worked by hand and against R."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.references import load_reference

from attachment_outcomes.audit.completeness import completeness_table
from attachment_outcomes.audit.rates import dropout_events, outcome_events, rate_estimate
from attachment_outcomes.errors import DataError, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.study.contracts import empty, typed

R_TOLERANCE = 1e-9  # prop.test finds the same roots; R prints 15 digits


def people_change(rows: list[tuple[str, str | None, bool | None, bool | None]]) -> pd.DataFrame:
    """Return the primary rows of one outcome: person, category, clinical at baseline, crossed."""
    return pd.DataFrame(
        {
            "person_id": [r[0] for r in rows],
            "outcome": "core10.total",
            "definition": "JT",
            "method": "JT",
            "primary": True,
            "pre": [20.0] * len(rows),
            "post": [None if r[1] is None else 10.0 for r in rows],
            "category": pd.Series([r[1] for r in rows], dtype="str"),
            "clinical_at_baseline": pd.Series([r[2] for r in rows], dtype="boolean"),
            "crossed": pd.Series([r[3] for r in rows], dtype="boolean"),
        }
    )


EIGHT = [
    ("a", "recovered", True, False),
    ("b", "unchanged", True, True),
    ("c", "improved", True, False),
    ("d", "unchanged", True, False),
    ("e", "improved", False, False),
    ("f", "harmed", False, False),
    ("g", "deteriorated", True, False),
    ("h", None, None, None),
]


def share(events: pd.DataFrame, rate: str) -> tuple[int, int]:
    part = events[events["rate"] == rate]
    return int(part["event"].sum()), len(part)


def test_each_rate_has_its_own_denominator() -> None:
    events = outcome_events(people_change(EIGHT), outcome="core10.total")
    assert share(events, "recovery") == (2, 5)
    assert share(events, "reliable_recovery") == (1, 5)
    assert share(events, "reliable_improvement") == (3, 7)
    assert share(events, "reliable_deterioration") == (2, 7)


def test_those_left_out_are_counted() -> None:
    flow = Flow()
    outcome_events(people_change(EIGHT), outcome="core10.total", flow=flow)
    assert [line[1:3] for line in flow.lines] == [(8, 7), (7, 5)]


def test_nobody_is_recovered_without_a_cutoff() -> None:
    rows = [("a", "improved", None, None), ("b", "unchanged", None, None)]
    events = outcome_events(people_change(rows), outcome="core10.total")
    assert set(events["rate"]) == {"reliable_improvement", "reliable_deterioration"}


def test_secondary_definitions_and_other_outcomes_are_left_alone() -> None:
    frame = people_change(EIGHT)
    secondary = frame.assign(primary=False, category="recovered")
    other = frame.assign(outcome="phq9.total", category="recovered")
    events = outcome_events(pd.concat([frame, secondary, other]), outcome="core10.total")
    assert share(events, "reliable_recovery") == (1, 5)


def test_two_primary_rows_of_a_person_are_refused() -> None:
    frame = people_change(EIGHT)
    with pytest.raises(DataError, match="two rows of the primary definition"):
        outcome_events(pd.concat([frame, frame]), outcome="core10.total")


@given(st.lists(st.sampled_from([r[1:] for r in EIGHT]), min_size=1, max_size=30))
def test_reliable_recovery_is_never_more_than_recovery_or_improvement(
    kinds: list[tuple[str | None, bool | None, bool | None]],
) -> None:
    events = outcome_events(people_change([(str(i), *k) for i, k in enumerate(kinds)]), outcome="core10.total")
    assert share(events, "reliable_recovery")[0] <= share(events, "recovery")[0]
    assert share(events, "reliable_recovery")[0] <= share(events, "reliable_improvement")[0]
    improved, n = share(events, "reliable_improvement")
    assert improved + share(events, "reliable_deterioration")[0] <= n


def test_dropout_is_out_of_the_treatments_whose_end_is_known() -> None:
    reasons = ["completed", "dropped out", "referred on", "ongoing", None, "dropped out"]
    treatments = typed(
        pd.DataFrame({"person_id": list("abcdef"), "treatment_id": "1", "end_reason": pd.Series(reasons, dtype="str")}),
        "treatments",
    )
    flow = Flow()
    events = dropout_events(treatments, flow=flow)
    assert (events["event"].sum(), len(events)) == (2, 4)
    assert flow.lines[0][1:3] == (6, 4)


def test_wilson_interval_matches_r() -> None:
    for case in load_reference("audit_reference")["wilson"]:
        row = rate_estimate("recovery", case["events"], case["n"], ci_level=case["level"])
        low, high = row.ci_low, row.ci_high
        assert low == pytest.approx(case["low"], abs=R_TOLERANCE)
        assert high == pytest.approx(case["high"], abs=R_TOLERANCE)


def test_a_rate_of_nobody_is_missing_not_zero() -> None:
    row = rate_estimate("recovery", 0, 0, ci_level=0.95)
    assert pd.isna(row.estimate)
    assert pd.isna(row.ci_low)


def test_more_events_than_units_are_refused() -> None:
    with pytest.raises(StatisticsError, match="found 5 of 3"):
        rate_estimate("recovery", 5, 3, ci_level=0.95)


def scores(rows: list[tuple]) -> pd.DataFrame:
    names = ["person_id", "wave", "session_number", "instrument", "scale", "rater", "score"]
    return typed(pd.DataFrame(rows, columns=names), "scores")


def people(**roles: str) -> pd.DataFrame:
    return typed(pd.DataFrame({"person_id": list(roles), "role": list(roles.values())}), "people")


def test_completeness_expects_everybody_with_the_part_that_answers() -> None:
    table = completeness_table(
        scores(
            [
                ("a", 0, None, "core10", "total", "self", 1.0),
                ("b", 0, None, "core10", "total", "self", 2.0),
                ("c", 0, None, "core10", "total", "self", None),
                ("a", 1, None, "core10", "total", "self", 1.0),
            ]
        ),
        people(a="client", b="client", c="client", t="therapist"),
    )
    assert table.values.tolist() == [["core10", "wave 0", 3, 2, 2 / 3], ["core10", "wave 1", 3, 1, 1 / 3]]


def test_a_questionnaire_with_a_scale_missing_is_not_complete() -> None:
    table = completeness_table(
        scores(
            [
                ("a", 0, None, "ecr", "anxiety", "self", 1.0),
                ("a", 0, None, "ecr", "avoidance", "self", 1.0),
                ("b", 0, None, "ecr", "anxiety", "self", 1.0),
                ("b", 0, None, "ecr", "avoidance", "self", None),
            ]
        ),
        people(a="client", b="client"),
    )
    assert table["n_present"].tolist() == [1]


def test_a_session_is_expected_only_while_therapy_lasted() -> None:
    rows = [("a", None, n, "wai_sr", "total", "self", 1.0) for n in (1, 2, 4)]
    rows += [("b", None, n, "wai_sr", "total", "self", 1.0) for n in (1, 2)]
    table = completeness_table(scores(rows), people(a="client", b="client"))
    assert table["occasion"].tolist() == ["session 1", "session 2", "session 4"]
    assert table["n_expected"].tolist() == [2, 2, 1]
    assert table["n_present"].tolist() == [2, 2, 1]


def test_raters_are_told_apart() -> None:
    rows = [("a", None, 1, "wai_sr", "total", "self", 1.0), ("a", None, 1, "wai_sr", "total", "therapist", 1.0)]
    table = completeness_table(scores(rows), people(a="client"))
    assert table["instrument"].tolist() == ["wai_sr", "wai_sr (therapist)"]


def test_no_scores_give_an_empty_table() -> None:
    assert completeness_table(empty("scores"), people(a="client")).empty
