"""The decision rules and the ledger of claims."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.claims.rules import CONTRADICTED, INCONCLUSIVE, NOT_TESTABLE, SUPPORTED, combine, decide
from attachment_outcomes.claims.verdicts import ledger
from attachment_outcomes.config import load_claims, schema
from attachment_outcomes.errors import ConfigError
from attachment_outcomes.inference.estimate import Estimate, estimates_frame, not_testable
from attachment_outcomes.plan import make_plan

WORDS = {"$outcome": "core10.total", "$anxiety": "ecr_r.anxiety", "$avoidance": "ecr_r.avoidance", "$alliance": "srs"}


@pytest.mark.parametrize(
    ("low", "high", "rule", "more", "verdict"),
    [
        (0.1, 0.5, "above", {}, SUPPORTED),
        (-0.5, -0.1, "above", {}, CONTRADICTED),
        (-0.1, 0.5, "above", {}, INCONCLUSIVE),
        (0.0, 0.5, "above", {}, INCONCLUSIVE),  # an interval that touches no effect does not exclude it
        (1.2, 3.0, "above", {"null": 1}, SUPPORTED),
        (-0.5, -0.1, "below", {}, SUPPORTED),
        (-3.0, -1.0, "improving", {"direction": "lower is better"}, SUPPORTED),
        (-3.0, -1.0, "improving", {"direction": "higher is better"}, CONTRADICTED),
        (0.71, 0.74, "inside", {"bounds": (0.70, 0.75)}, SUPPORTED),
        (0.70, 0.75, "inside", {"bounds": (0.70, 0.75)}, SUPPORTED),
        (0.40, 0.60, "inside", {"bounds": (0.70, 0.75)}, CONTRADICTED),
        (0.76, 0.80, "inside", {"bounds": (0.70, 0.75)}, CONTRADICTED),
        (0.60, 0.72, "inside", {"bounds": (0.70, 0.75)}, INCONCLUSIVE),
        (0.60, 0.90, "inside", {"bounds": (0.70, 0.75)}, INCONCLUSIVE),
        (0.1, 0.5, "descriptive", {}, INCONCLUSIVE),
        (math.nan, 0.5, "above", {}, NOT_TESTABLE),
    ],
)
def test_a_rule_gives_the_verdict_that_its_interval_implies(low, high, rule, more, verdict):
    assert decide(low, high, rule=rule, **more) == verdict


def test_rules_that_lack_what_they_need_are_refused():
    with pytest.raises(ConfigError, match="two bounds"):
        decide(0.1, 0.2, rule="inside")
    with pytest.raises(ConfigError, match="direction"):
        decide(0.1, 0.2, rule="improving")
    with pytest.raises(ConfigError, match="no decision rule 'near'"):
        decide(0.1, 0.2, rule="near")


@given(st.floats(-5, 5), st.floats(0, 5), st.floats(-5, 5))
def test_above_and_below_are_mirror_images(low, width, null):
    mirror = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED, INCONCLUSIVE: INCONCLUSIVE}
    high = low + width
    assert decide(low, high, rule="below", null=null) == mirror[decide(low, high, rule="above", null=null)]


def test_all_rules_of_a_claim_must_support_it():
    assert combine([SUPPORTED, SUPPORTED]) == SUPPORTED
    assert combine([SUPPORTED, INCONCLUSIVE]) == INCONCLUSIVE
    assert combine([CONTRADICTED, INCONCLUSIVE]) == CONTRADICTED
    assert combine([SUPPORTED, NOT_TESTABLE]) == NOT_TESTABLE
    assert combine([]) == NOT_TESTABLE


def test_without_any_estimate_all_24_claims_are_not_testable_and_each_says_why():
    table = ledger(load_claims(), estimates_frame([]), words={}, level=0.95)
    assert table["claim"].tolist() == [f"C{i:02}" for i in range(1, 25)]
    assert set(table["verdict"]) == {NOT_TESTABLE}
    assert (table["missing"].str.len() > 10).all()


def _estimate(**more):
    base = {"analysis": "rupture_outcome", "estimand": "repaired_minus_none", "method": "m", "direction": "lower is better"}
    return Estimate(**{**base, "estimate": -2.0, "ci_low": -3.0, "ci_high": -1.0, "n": 80.0, **more})


def test_a_claim_reads_the_primary_estimate_and_says_what_it_rests_on():
    rows = estimates_frame([_estimate(definition="control_chart"), _estimate(definition="other", primary=False, ci_high=1.0)])
    row = ledger(load_claims(), rows, words=WORDS, level=0.95).set_index("claim").loc["C06"]
    assert row["verdict"] == SUPPORTED
    assert (row["estimate"], row["ci_low"], row["ci_high"], row["n"]) == (-2.0, -3.0, -1.0, 80.0)
    assert "95% interval beyond 0 in the improving direction" in row["rule"]
    assert "association" in row["note"]


def test_a_refused_analysis_tells_its_reason_in_the_ledger():
    rows = estimates_frame([not_testable("rupture_outcome", "no session-by-session alliance ratings")])
    row = ledger(load_claims(), rows, words=WORDS, level=0.95).set_index("claim").loc["C06"]
    assert (row["verdict"], row["missing"]) == (NOT_TESTABLE, "no session-by-session alliance ratings")


@pytest.mark.parametrize(("claim", "estimand"), [("C06", "repaired_minus_none"), ("C07", "repair_minus_avoidance")])
def test_what_stands_in_for_the_alliance_decides_no_claim_about_it(claim, estimand):
    rows = estimates_frame([_estimate(estimand=estimand)])
    words = make_plan({"studies": ["schramm2017"]}).words("schramm2017")  # its sessions have symptoms only, which stand in
    row = ledger(load_claims(), rows, words={**WORDS, **words}, level=0.95).set_index("claim").loc[claim]
    assert row["verdict"] in (SUPPORTED, CONTRADICTED)
    row = ledger(load_claims(), rows, words=words, level=0.95).set_index("claim").loc[claim]
    assert (row["verdict"], row["missing"]) == (NOT_TESTABLE, "the data have not session-by-session alliance ratings")
    assert math.isnan(row["estimate"])


def test_what_claims_require_are_words_that_a_plan_knows():
    words = set(make_plan({"studies": ["example"]}).words("example"))
    required = {word for claim in load_claims() for word in claim["requires"]}
    assert {"$alliance"} == required <= words
    assert set(schema("claims")["$defs"]["claim"]["properties"]["requires"]["items"]["enum"]) <= words


def test_a_share_is_held_against_what_no_true_change_would_give():
    common = {"analysis": "reliable_change", "direction": "", "outcome": "ecr_r.anxiety"}
    growth = {"analysis": "growth", "estimand": "change_to_end"}
    rows = [_estimate(**growth, outcome=o) for o in ("ecr_r.anxiety", "ecr_r.avoidance")]
    for outcome in ("ecr_r.anxiety", "ecr_r.avoidance"):
        own = {**common, "outcome": outcome}
        rows.append(_estimate(**own, estimand="reliably_improved", estimate=0.3, ci_low=0.2, ci_high=0.4))
        rows.append(_estimate(**own, estimand="improved_expected_without_change", estimate=0.25, ci_low=math.nan, ci_high=math.nan))
    row = ledger(load_claims(), estimates_frame(rows), words=WORDS, level=0.95).set_index("claim").loc["C01"]
    assert row["verdict"] == INCONCLUSIVE  # the changes support it; the shares' intervals cover .25


def test_a_selection_that_picks_two_estimates_is_refused():
    rows = estimates_frame([_estimate(definition="a"), _estimate(definition="b")])
    with pytest.raises(ConfigError, match="picks 2 estimates"):
        ledger(load_claims(), rows, words=WORDS, level=0.95)


def test_the_ledger_has_the_columns_that_others_build_on():
    table = ledger(load_claims(), estimates_frame([]), words={}, level=0.95)
    assert table.columns[:8].tolist() == ["claim", "verdict", "estimate", "ci_low", "ci_high", "rule", "missing", "note"]
    assert isinstance(table, pd.DataFrame)
