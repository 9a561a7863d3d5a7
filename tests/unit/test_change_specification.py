"""The specification curve against an independent table in R, its summaries, its test by signs, and what is refused."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.change.occasions import pairs
from attachment_outcomes.change.outcomes import outcome_change
from attachment_outcomes.change.specification.choices import occasion_choices, reliability_sources
from attachment_outcomes.change.specification.curve import COLUMNS, specification_table
from attachment_outcomes.change.specification.expected import expected_shares
from attachment_outcomes.change.specification.handlings import HANDLINGS
from attachment_outcomes.change.specification.kernels import Spread, pooled, standardised
from attachment_outcomes.change.specification.signs import MeanPart, mean_parts, sign_flip_curve
from attachment_outcomes.change.specification.stage import analyse
from attachment_outcomes.change.specification.summary import summarise
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.inference.imputation import combine_imputations
from attachment_outcomes.inference.individual_change.definitions import resolve
from attachment_outcomes.inference.individual_change.significance import Cutoff
from attachment_outcomes.inference.specification_summary import variance_shares

R_DIGITS = 1e-9
NAMES = {"w0": 0, "w1": 1, "w2": 2}


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("specification")


def long_of(data: pd.DataFrame) -> pd.DataFrame:
    wide = data.assign(person_id=[f"p{i:03d}" for i in range(len(data))])
    long = wide.melt("person_id", list(NAMES), var_name="occasion", value_name="value").dropna()
    return long.assign(occasion=long["occasion"].map(NAMES)).sort_values(["person_id", "occasion"], ignore_index=True)


@pytest.fixture(scope="module")
def toy(reference: Reference) -> pd.DataFrame:
    return long_of(reference.frame("data"))


@pytest.fixture(scope="module")
def therapists(reference: Reference) -> pd.Series:
    data = reference.frame("data")
    return pd.Series(data["therapist"].to_numpy(), index=[f"p{i:03d}" for i in range(len(data))])


@pytest.fixture(scope="module")
def scale(reference: Reference) -> dict:
    return {
        "direction": "higher is worse", "range": [0, 60],
        "reliability": [{"value": reference["reliability"]["alpha"], "kind": "alpha", "verified": True}],
        "norms": [{"population": "functional", **reference["functional"], "verified": True}],
        "cutoffs": [{"value": reference["instrument"], "inclusive": True, "verified": True}],
    }  # fmt: skip


DEFINITIONS = [{"reliability": 0.9, "cutoff": "c", "verified": True}]


@pytest.fixture(scope="module")
def table(toy, scale, therapists) -> pd.DataFrame:
    return specification_table(
        toy, scale=scale, definitions=DEFINITIONS, therapists=therapists, outcome="toy.total", rules=["JT", "GLN"],
        handlings=["complete pairs", "last value carried forward", "best case", "worst case"],
    )  # fmt: skip


def test_every_specification_agrees_with_r(reference, table):
    theirs = reference.frame("specifications")
    keys = ["occasions", "handling", "estimand", "rule", "reliability_source", "cutoff"]
    ours = table[table["handling"] != "worst case"].set_index([*keys, "clusters"]).sort_index()
    assert len(theirs) == 126
    assert len(ours) == 2 * len(theirs)
    theirs = theirs.rename(columns={"source": "reliability_source"}).set_index(keys).sort_index()
    for way, end in (("independent", ""), ("therapists", "_therapists")):
        mine = ours.xs(way, level="clusters").loc[theirs.index]
        assert (mine["refused"] == "").all()
        assert mine["estimate"].to_numpy() == pytest.approx(theirs["estimate"].to_numpy(), rel=R_DIGITS, abs=1e-12)
        assert mine["ci_low"].to_numpy() == pytest.approx(theirs[f"low{end}"].to_numpy(), rel=R_DIGITS, abs=1e-12)
        assert mine["ci_high"].to_numpy() == pytest.approx(theirs[f"high{end}"].to_numpy(), rel=R_DIGITS, abs=1e-12)
        assert mine["n"].tolist() == theirs["n"].tolist()


def test_the_primary_specification_is_what_the_study_estimates(toy, scale, therapists, table):
    found = outcome_change(
        pairs(toy), score="toy.total", scale=scale, definitions=[{**DEFINITIONS[0], "name": "d"}], clusters=therapists
    )
    rows = {(e.estimand, e.group): e for e in found.estimates}
    chosen = table[table["primary"]].set_index("estimand")
    assert sorted(chosen.index) == ["recovered", "reliably_improved", "standardised_improvement"]
    for name, key, sign in (
        ("recovered", ("share", "recovered"), 1), ("reliably_improved", ("reliably_improved", ""), 1),
        ("standardised_improvement", ("standardised_change", ""), -1),
    ):  # fmt: skip
        row = rows[key]
        assert chosen.loc[name, "estimate"] == pytest.approx(sign * row.estimate, rel=1e-12)
        assert chosen.loc[name, "std_error"] == pytest.approx(row.std_error, rel=1e-9)
        assert sorted([chosen.loc[name, "ci_low"], chosen.loc[name, "ci_high"]]) == pytest.approx(
            sorted([sign * row.ci_low, sign * row.ci_high]), rel=1e-9
        )


def test_nothing_that_cannot_be_had_is_dropped(toy, scale, therapists):
    whole = specification_table(toy, scale=scale, definitions=DEFINITIONS, therapists=therapists)
    assert {c: str(t) for c, t in whole.dtypes.items()} == COLUMNS
    assert ((whole["refused"] != "") == whole["estimate"].isna()).all()
    refused = whole[whole["refused"] != ""].groupby("rule")["refused"].first()
    assert "needs control_post_mean" in refused["HLL"]
    assert "not checked" in refused["NK post SD"]
    sizes = whole[(whole["estimand"] == "recovered") & whole["rule"].isin(["JT", "HLL"])].groupby("rule").size()
    assert sizes["JT"] == sizes["HLL"]  # as many rows refused as there would be otherwise


def test_a_rule_without_a_reliability_counts_once_and_equal_reliabilities_are_one(toy, scale):
    whole = specification_table(
        toy, scale={**scale, "reliable_change": [{"value": 6, "verified": True}]}, definitions=DEFINITIONS,
        rules=["JT", "criterion"], handlings=["complete pairs"], occasions=["study"], estimands=["reliably_improved"],
    )  # fmt: skip
    assert whole.groupby("rule")["reliability_source"].apply(list).to_dict() == {
        "JT": ["study", "alpha"],
        "criterion": ["not used"],
    }
    same = reliability_sources({"reliability": 0.82, "verified": True}, scale)
    assert same == [("study, alpha", 0.82, "")]


def test_a_study_that_takes_no_cutoff_is_asked_for_none(toy, scale):
    whole = specification_table(toy, scale=scale, definitions=[{"reliability": 0.9, "cutoff": "none"}], rules=["JT"])
    recovered = whole[whole["estimand"] == "recovered"]
    assert recovered["refused"].str.contains("takes no cutoff").all()
    named = specification_table(toy, scale=scale, definitions=[{"reliability": 0.9, "cutoff": "none"}], rules=["JT"], cutoffs=["b"])
    assert set(named.loc[named["refused"] == "", "cutoff"]) == {"b", "not used"}


def test_occasions_are_the_study_s_own_the_observed_and_the_planned():
    labels = [o.label for o in occasion_choices(baseline=0, end=3, planned_end=4)]
    assert labels == ["wave 0 to wave 3", "first to last", "wave 0 to wave 4"]
    assert [o.label for o in occasion_choices(baseline="first", end="last", planned_end=4)] == ["first to last", "first to wave 4"]
    sessions = occasion_choices(baseline="first", end="last", kind="session", planned_end=40)
    assert "sessions have no end" in sessions[1].refused


def test_handlings_count_whom_they_should(toy, table):
    sizes = table[table["estimand"] == "standardised_improvement"].groupby(["occasions", "handling"])["n"].first()
    assert sizes["first to wave 2", "complete pairs"] == 41
    assert sizes["first to wave 2", "last value carried forward"] == sizes["first to wave 2", "worst case"] == 48
    by = table[(table["estimand"] == "reliably_improved") & (table["rule"] == "JT")].set_index("handling")["estimate"]
    assert (by["worst case"].to_numpy() < by["best case"].to_numpy()).all()
    assert set(table.loc[table["standing"] == "bound", "handling"]) == {"best case", "worst case"}
    assert set(table.loc[table["standing"] == "discredited", "handling"]) == {"last value carried forward"}


def test_models_of_who_is_missing_are_among_the_handlings(toy, scale, therapists):
    whole = specification_table(
        toy, scale=scale, definitions=DEFINITIONS, therapists=therapists, rules=["JT"], rng=np.random.default_rng(5),
        handlings=["complete pairs", "multiple imputation", "inverse-probability weights"], occasions=["planned"],
    )  # fmt: skip
    own = whole[(whole["occasions"] == "first to wave 2") & (whole["clusters"] == "therapists")]
    assert (own["refused"] == "").all()
    means = own[own["estimand"] == "standardised_improvement"].set_index("handling")
    assert means.loc["multiple imputation", "n"] == 48
    assert means.loc["inverse-probability weights", "n"] == 41
    assert means["estimate"].max() - means["estimate"].min() < 0.3  # 7 of 48 are missing
    assert means["estimate"].nunique() == 3


def test_sets_of_scores_are_combined_by_rubin_s_rules():
    q, u = [0.31, 0.42, 0.28], [0.012, 0.010, 0.015]
    ours = pooled([Spread(np.array([a]), np.array([b]), 39.0) for a, b in zip(q, u, strict=True)], weighted=False, clustered=True)
    theirs = combine_imputations(q, u, df_complete=39)
    assert (ours.estimate[0], np.sqrt(ours.variance[0]), ours.df[0]) == pytest.approx(
        (theirs.estimate, theirs.std_error, theirs.df), rel=1e-12
    )


def test_expected_without_change_agrees_with_brute_force(scale):
    """A million people whose end differs from their baseline by error alone; the grid is to be right to about .001."""
    rng = np.random.default_rng(11)
    true, r = rng.standard_normal(1_000_000), 0.8
    pre, post = (20 + 5 * (np.sqrt(r) * true + np.sqrt(1 - r) * rng.standard_normal(len(true))) for _ in range(2))
    ready = resolve({"reliability": r, "method": "JT", "cutoff": "none"}, scale, pre, post, primary=True)
    cut = Cutoff("x", 18.0)
    improved, (recovered,) = expected_shares(ready, pre[:20_000], [cut])
    better = (post - pre) < -1.959964 * 5 * np.sqrt(2 * (1 - r))
    assert improved == pytest.approx(0.025, abs=1e-12)
    assert better.mean() == pytest.approx(0.025, abs=0.0006)
    assert recovered == pytest.approx((better & (pre > 18) & (post < 18)).mean(), abs=0.0015)


def test_variance_shares_agree_with_sequential_sums_of_squares_over_all_orders(reference, table):
    rows = table[(table["estimand"] == "recovered") & (table["clusters"] == "independent")]
    rows = rows[rows["handling"].isin(["complete pairs", "last value carried forward"])]
    rows = rows[~((rows["rule"] == "GLN") & (rows["cutoff"] == "a"))]
    found = variance_shares(rows["estimate"], rows[["rule", "reliability_source", "cutoff", "occasions", "handling"]])
    rest = found.pop("combinations")
    found["source"] = found.pop("reliability_source")
    reference["variance_shares"].check(found, rel=1e-8)
    assert sum(found.values()) + rest == pytest.approx(1)


def test_variance_shares_of_a_full_design_by_hand():
    choices = pd.DataFrame({"a": ["x", "x", "y", "y"], "b": ["p", "q", "p", "q"], "c": ["z"] * 4})
    found = variance_shares([1.0, 2.0, 3.0, 5.0], choices)  # SS 8.75: a 6.25, b 2.25, interaction .25
    assert found == pytest.approx({"a": 6.25 / 8.75, "b": 2.25 / 8.75, "c": 0.0, "combinations": 0.25 / 8.75})
    assert variance_shares([2.0, 2.0, 2.0, 2.0], choices) == {}
    with pytest.raises(StatisticsError, match="one for each row"):
        variance_shares([1.0], choices)


def test_a_summary_by_hand():
    curve = pd.DataFrame(
        {
            "estimate": [0.1, 0.2, 0.3, 0.9, np.nan], "ci_low": [0.0, 0.06, 0.2, 0.8, np.nan],
            "expected": [0.05, 0.05, np.nan, 0.0, 0.0], "standing": ["defensible"] * 3 + ["bound", "defensible"],
            "clusters": ["independent"] * 5, "n": [9.0, 10, 8, 12, np.nan],
            "primary": [False, True, False, False, False], "refused": ["", "", "", "", "no"],
        }
    )  # fmt: skip
    found = summarise(curve)
    assert found == pytest.approx(
        {"median": 0.2, "first_quartile": 0.15, "third_quartile": 0.25, "lowest": 0.1, "highest": 0.3, "share_beyond_expected": 0.5,
         "primary_rank": 0.5, "bound_low": 0.9, "bound_high": 0.9, "n_specifications": 3, "n_refused": 1, "n": 10}
    )  # fmt: skip


def test_turned_signs_agree_with_all_patterns(reference):
    case = reference["sign_flips"]
    pre = np.asarray(case["pre"], dtype=float)
    people = np.array([f"p{i}" for i in range(8)], dtype=object)
    parts = [
        MeanPart(people=people, influence=standardised(pre, np.asarray(case[name], dtype=float), np.ones(8), -1.0))
        for name in ("first", "second")
    ]
    found = sign_flip_curve(parts, rng=np.random.default_rng(3), permutations=40_000)
    assert found.median == pytest.approx(case["median"], rel=1e-12)
    assert found.p_median == pytest.approx(case["p"], abs=0.0015)  # three Monte-Carlo errors


def test_the_signs_of_a_therapist_s_clients_turn_together_and_few_are_refused(toy, therapists):
    when = occasion_choices(baseline="first", end="last", planned_end=2)
    parts = mean_parts(toy, higher_is_better=False, occasions=when, handlings=HANDLINGS, range_=(0, 60), therapists=therapists)
    assert len(parts) == 6  # two ends; complete pairs, weights, carried forward
    found = sign_flip_curve(parts, rng=np.random.default_rng(1), therapists=therapists, permutations=999)
    assert (found.units, found.specifications) == (8, 6)
    assert found.p_median == pytest.approx(2 / 256, abs=0.012)
    with pytest.raises(StatisticsError, match="3 therapists whose signs can turn"):
        sign_flip_curve(parts, rng=np.random.default_rng(1), therapists=therapists % 3)
    with pytest.raises(StatisticsError, match="no mean change"):
        sign_flip_curve([], rng=np.random.default_rng(1))
    with pytest.raises(StatisticsError, match="rng is a numpy Generator"):
        sign_flip_curve(parts, rng=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"handlings": ["complete pair"]}, "no handling 'complete pair'.*Did you mean 'complete pairs'"),
        ({"cutoffs": ["d"]}, "no cutoff 'd'"),
        ({"estimands": ["recovery"]}, "no estimand 'recovery'"), ({"occasions": ["all"]}, "no occasions 'all'"),
    ],
)  # fmt: skip
def test_levels_that_do_not_exist_are_refused(toy, scale, change, message):
    with pytest.raises(StatisticsError, match=message):
        specification_table(toy, scale=scale, definitions=DEFINITIONS, **change)


def test_bad_data_is_told_in_every_row(toy, scale):
    once = specification_table(toy[toy["occasion"] == 0], scale=scale, definitions=DEFINITIONS, rules=["JT"])
    assert once["refused"].str.contains("0 people with both scores").all()
    alike = specification_table(toy.assign(value=np.where(toy["occasion"] == 0, 20.0, toy["value"])), scale=scale, rules=["JT"],
                                definitions=DEFINITIONS)  # fmt: skip
    assert alike["refused"].str.contains("nobody differs at baseline").all()
    with pytest.raises(StatisticsError, match="no better direction"):
        specification_table(toy, scale={**scale, "direction": "neutral"})
    unknown = specification_table(toy, scale={**scale, "reliability": []}, definitions=[{}], rules=["JT"], occasions=["study"])
    shares = unknown[unknown["estimand"] != "standardised_improvement"]
    assert (shares["refused"] != "").all()
    assert (unknown.loc[unknown["estimand"] == "standardised_improvement", "refused"] == "").any()


def study(toy: pd.DataFrame, scale: dict, therapists: pd.Series, **block) -> ChangeData:
    scores = toy.rename(columns={"occasion": "wave", "value": "score"}).assign(
        instrument="toy", scale="total", rater="self", session_number=None
    )
    people = pd.DataFrame({"person_id": therapists.index, "role": "client"})
    treatments = pd.DataFrame(
        {"person_id": therapists.index, "treatment_id": "1", "therapist_id": therapists.astype(str).to_numpy(), "start_week": 0.0}
    )
    empty = pd.DataFrame()
    settings = {"outcomes": [{"score": "toy.total", "definitions": DEFINITIONS}], "specification": block}
    return ChangeData(
        scores=scores, styles=empty, waves=empty, people=people, treatments=treatments, sessions=empty, classifications=empty,
        answers=empty, settings=settings, instruments={"toy": {"scales": {"total": scale}}}, seed=4,
    )  # fmt: skip


def test_a_study_gets_its_curves_and_the_order_of_rows_changes_nothing(toy, scale, therapists):
    block = {"rules": ["JT", "GLN", "EN"], "permutations": 199}
    part = analyse(study(toy, scale, therapists, **block))
    frame = estimates_frame(part.estimates)
    assert set(frame["group"]) == {"recovered", "reliably_improved", "standardised_improvement"}
    share = frame[(frame["estimand"] == "variance_share") & (frame["group"] == "recovered")].set_index("definition")["estimate"]
    assert share.sum() == pytest.approx(1)
    assert frame.loc[frame["estimand"] == "sign_flip_median", "p_value"].item() < 0.05
    again = analyse(study(toy[::-1], scale, therapists[::-1], **block))
    pd.testing.assert_frame_equal(again.tables["specifications"], part.tables["specifications"], rtol=1e-9)
    pd.testing.assert_frame_equal(estimates_frame(again.estimates), frame, rtol=1e-9)
    other = analyse(study(toy, scale, therapists, outcomes=["toy.total"], estimands=["recovered"], permutations=0))
    assert set(estimates_frame(other.estimates)["group"]) == {"recovered"}


def test_a_thousand_specifications_take_seconds(scale):
    rng = np.random.default_rng(2)
    n = 600
    values = 20 + 5 * rng.standard_normal((n, 1)) - np.array([0, 2, 4]) + 4 * rng.standard_normal((n, 3))
    long = long_of(pd.DataFrame(values, columns=list(NAMES)))
    own = pd.Series(np.arange(n) % 40, index=[f"p{i:03d}" for i in range(n)])
    start = time.process_time()
    whole = specification_table(long, scale=scale, definitions=DEFINITIONS, therapists=own,
                                handlings=["complete pairs", "last value carried forward", "best case", "worst case"])  # fmt: skip
    assert (whole["refused"] == "").sum() > 1000
    assert time.process_time() - start < 10
