"""Agreement of rules, their patterns and sensitivity against vcd and R, by hand, and as a study's analysis."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from tests.references import Reference, load_reference

from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.change.rules_compared import (
    ANALYSIS,
    MINIMAL,
    PERCENTAGE,
    TABLES,
    analyse,
    anchor_values,
    no_tables,
)
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.inference.individual_change.agreement import (
    expected_recovered,
    pairwise_counts,
    rule_agreement,
    rule_codes,
    rule_patterns,
    sensitivity_to_mid,
    sensitivity_to_reliability,
)
from attachment_outcomes.inference.individual_change.reliable import reliable_change, setting_from
from attachment_outcomes.inference.individual_change.significance import Cutoff

R_DIGITS = 1e-9
NAMES = ["a", "b", "c"]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("change_compared")["agreement"]


@pytest.fixture(scope="module")
def sample() -> Reference:
    return load_reference("change_compared")["sample"]


@pytest.mark.parametrize(("weights", "key"), [("none", "plain"), ("linear", "linear")])
def test_kappa_and_its_error_match_vcd(weights: str, key: str, reference: Reference) -> None:
    found = rule_agreement(np.array(reference["code"]), NAMES, weights=weights)
    z = norm.ppf(0.975)
    for k, wanted in enumerate(reference[key]):
        row = found.iloc[k]
        error = (row["ci_high"] - row["ci_low"]) / (2 * z)
        wanted.check({"kappa": row["kappa"], "error": error, "agreement": row["agreement"]}, abs=R_DIGITS)
    assert found[["rule_a", "rule_b"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert (found["n"] == 150).all()


def test_kappa_by_therapists_matches_influence_values_in_r(reference: Reference) -> None:
    found = rule_agreement(np.array(reference["code"]), NAMES, clusters=reference["therapist"])
    for k, wanted in enumerate(reference["clustered"]):
        wanted.check({"low": found["ci_low"].iloc[k], "high": found["ci_high"].iloc[k]}, abs=R_DIGITS)


def test_pairs_are_counted_as_in_a_table() -> None:
    codes = np.array([[0, 0], [0, 1], [2, 2], [2, 2], [1, -1], [-1, 1]], dtype=np.int8)
    counts = pairwise_counts(codes)
    assert counts[0, 1].tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 2]]
    assert (counts[1, 0] == counts[0, 1].T).all()
    assert np.diag(counts[0, 0]).tolist() == [2, 1, 2]


def test_counts_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    codes = np.random.default_rng(1).integers(-1, 3, (1000, 4)).astype(np.int8)
    whole = pairwise_counts(codes)
    monkeypatch.setattr("attachment_outcomes.inference.individual_change.agreement.BLOCK", 33)
    assert (pairwise_counts(codes) == whole).all()


def test_rules_that_always_agree_or_have_one_category() -> None:
    codes = np.array([[0, 0, 1, 1], [1, 1, 1, 1], [2, 2, 1, 1], [0, 0, 1, 1]], dtype=np.int8)
    found = rule_agreement(codes, ["a", "same", "one", "one too"]).set_index(["rule_a", "rule_b"])
    assert found.loc[("a", "same"), ["kappa", "ci_low", "ci_high", "agreement"]].tolist() == [1, 1, 1, 1]
    single = found.loc[("a", "one")]
    assert single["kappa"] == pytest.approx(0)
    assert np.isnan(single["ci_low"])
    assert np.isnan(found.loc[("one", "one too"), "kappa"])
    nobody = rule_agreement(np.array([[-1, 0], [0, -1]]), ["a", "b"]).iloc[0]
    assert np.isnan(nobody["kappa"])
    assert nobody["n"] == 0


def test_patterns_are_sets_of_rules_and_rare_ones_are_pooled() -> None:
    codes = np.concatenate([np.repeat([[0, 0, 1]], 12, 0), np.repeat([[1, 1, 1]], 30, 0), [[0, 2, 2]], [[2, 2, -1]] * 4])
    told = rule_patterns(codes, NAMES, least=5)
    # 4 people nobody calls improved join the 30; the one that only a calls so would stand alone, so 12 more are pooled.
    assert told.to_dict("list") == {"pattern": ["no rule", "other"], "n": [34, 13]}
    every = rule_patterns(codes, NAMES, least=0)
    assert every.to_dict("list") == {"pattern": ["no rule", "a + b", "a"], "n": [34, 12, 1]}
    worse = rule_patterns(codes, NAMES, called=2, least=0)
    assert dict(zip(worse["pattern"], worse["n"], strict=True)) == {"no rule": 42, "a + b": 4, "b + c": 1}
    assert rule_patterns(codes, NAMES, least=0, most=1).to_dict("list") == {"pattern": ["no rule", "other"], "n": [34, 13]}


def test_sensitivity_is_the_rule_at_each_reliability() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(20, 6, 90).round()
    after = (before - 4 + rng.normal(0, 6, 90)).round()
    cutoff = Cutoff("instrument", 13.0, inclusive=True)
    setting = setting_from(before, after, reliability=0.88)
    found = sensitivity_to_reliability(before, after, setting=setting, values=[0.7, 0.95], higher_is_better=False, cutoff=cutoff)
    assert found.loc[found["in_use"], "value"].unique().tolist() == [0.88]
    for value in (0.7, 0.88, 0.95):
        told = reliable_change(before, after, reliability=value, methods="JT")["category"]
        share = found[(found["value"] == value)].set_index("estimand")["share"]
        assert share["improved"] == pytest.approx((told == "improved").mean())
        assert share["deteriorated"] == pytest.approx((told == "deteriorated").mean())
        both = (told == "improved").to_numpy() & (before >= 13) & (after < 13)
        assert share["recovered"] == pytest.approx(both.mean())
    expected = found.loc[found["estimand"] != "recovered", "expected_without_change"]
    np.testing.assert_allclose(expected, 0.025, atol=1e-12)  # JT keeps its error rate whatever the reliability


def test_sensitivity_to_the_least_change_counts_change_at_it() -> None:
    before, after = np.array([20.0, 20, 20, 20]), np.array([15.0, 16, 20, 25])
    setting = setting_from(before + np.arange(4), after + np.arange(4), reliability=0.9)
    found = sensitivity_to_mid(before, after, setting=setting, values=[4, 6], in_use=5, higher_is_better=False)
    improved = found[found["estimand"] == "improved"].set_index("value")
    assert improved["share"].to_dict() == {4.0: 0.5, 5.0: 0.25, 6.0: 0.0}
    assert improved.index[improved["in_use"]].tolist() == [5.0]
    assert improved["expected_without_change"].to_numpy() == pytest.approx(norm.cdf(-np.array([4, 5, 6]) / setting.s_diff))


def test_recovered_without_change_matches_an_integral_in_r(sample: Reference) -> None:
    setting = setting_from(sample["pre"], sample["post"], reliability=sample["reliability"])
    cutoff = Cutoff("c", sample["cutoffs"]["c"])
    found = expected_recovered(np.array(sample["pre"], dtype=float), setting, "JT", cutoff, False)
    sample.check({"expected_recovered": found}, abs=R_DIGITS)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rule_agreement(np.zeros((3, 2)), ["a", "b"]), "whole numbers, people by rules"),
        (lambda: rule_agreement(np.zeros((3, 2), dtype=int), ["a"]), "for 1 rules"),
        (lambda: rule_agreement(np.zeros((3, 2), dtype=int), ["a", "a"]), "two rules bear one name"),
        (lambda: rule_agreement(np.full((3, 2), 3), ["a", "b"]), "found codes from 3 to 3"),
        (lambda: rule_agreement(np.zeros((3, 2), dtype=int), ["a", "b"], weights="lineal"), "Did you mean 'linear'"),
        (lambda: rule_agreement(np.zeros((3, 2), dtype=int), ["a", "b"], clusters=[1]), "found 1 labels for 3 units"),
        (lambda: rule_patterns(np.zeros((3, 63), dtype=int), [str(k) for k in range(63)]), "63 rules; allowed: up to 62"),
    ],
)
def test_codes_that_cannot_be_are_refused(call: object, message: str) -> None:
    with pytest.raises(StatisticsError, match=message):
        call()  # type: ignore[operator]


def test_sensitivity_refuses_what_cannot_be() -> None:
    setting = setting_from([1.0, 2.0, 4.0], [3.0, 4.0, 1.0], reliability=0.9, criterion=2.0)
    kwargs = {"setting": setting, "higher_is_better": True}
    with pytest.raises(StatisticsError, match="criterion does not rest on a reliability"):
        sensitivity_to_reliability([1, 2, 4], [3, 4, 1], method="criterion", values=[0.8], **kwargs)
    with pytest.raises(StatisticsError, match="not between 0 and 1"):
        sensitivity_to_reliability([1, 2, 4], [3, 4, 1], values=[1.0], **kwargs)
    with pytest.raises(StatisticsError, match="not positive"):
        sensitivity_to_mid([1, 2, 4], [3, 4, 1], values=[0.0], **kwargs)
    with pytest.raises(StatisticsError, match="nobody has both"):
        sensitivity_to_mid([1, np.nan], [np.nan, 2], values=[1.0], **kwargs)
    with pytest.raises(StatisticsError, match="2 scores before but 3 after"):
        sensitivity_to_mid([1, 2], [1, 2, 3], values=[1.0], **kwargs)


# ---- A study.

SCALE = {
    "direction": "higher is worse", "range": [0, 40], "reliability": [{"value": 0.9, "kind": "alpha", "verified": True}],
    "norms": [{"population": "functional", "mean": 5.0, "sd": 4.8, "n": 500, "verified": True, "source": "made up"}],
    "cutoffs": [], "reliable_change": [{"value": 6, "verified": True}],
}  # fmt: skip


def study(*, n: int = 120, waves: int = 3, change: dict | None = None, **more: object) -> ChangeData:
    """Return a made-up study: symptoms, and a second score that goes with them and serves as an anchor."""
    rng = np.random.default_rng(4)
    people = [f"p{k:03d}" for k in range(n)]
    start = rng.normal(20, 6, n)
    course = start[:, None] - np.linspace(0, 6, waves) * (1 + 0.6 * rng.normal(size=(n, 1))) + rng.normal(0, 2.5, (n, waves))
    second = 0.8 * course + rng.normal(0, 1.5, (n, waves))
    rows = [
        {
            "person_id": person, "about_person_id": None, "wave": float(w), "session_number": np.nan, "instrument": "core",
            "scale": scale, "rater": "self", "score": float(np.clip(np.round(values[k, w]), 0, 40)),
        }
        for scale, values in (("total", course), ("other", second))
        for k, person in enumerate(people)
        for w in range(waves)
    ]  # fmt: skip
    settings = {
        "outcomes": [{"score": "core.total", "definitions": [{"name": "JT c", "cutoff": "c"}]}],
        "rules_compared": {"replicates": 99},
        "minimal_change": {"replicates": 99, "anchors": [{"score": "core.other", "improved": 4, "a_little": [4, 7]}]},
        **(change or {}),
    }  # fmt: skip
    roles = pd.DataFrame({"person_id": people, "role": "client"})
    weeks = pd.DataFrame([{"person_id": p, "wave": w, "weeks": 8.0 * w} for p in people for w in range(waves)])
    treatments = pd.DataFrame(
        {
            "person_id": people, "treatment_id": 1, "therapist_id": [f"t{k % 12}" for k in range(n)], "start_week": 0.0,
            "planned_sessions": 12,
        }
    )  # fmt: skip
    given = {
        "scores": pd.DataFrame(rows), "styles": pd.DataFrame(), "waves": weeks, "people": roles, "treatments": treatments,
        "sessions": pd.DataFrame(), "classifications": pd.DataFrame(), "answers": pd.DataFrame(), "settings": settings,
        "instruments": {"core": {"scales": {"total": SCALE, "other": SCALE}}}, "seed": 7, **more,
    }  # fmt: skip
    return ChangeData(**given)


@pytest.fixture(scope="module")
def result() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    found = analyse(study())
    return estimates_frame(found.estimates), found.tables


def test_a_study_gets_every_table_in_its_types(result: tuple[pd.DataFrame, dict[str, pd.DataFrame]]) -> None:
    _, tables = result
    assert set(tables) == set(TABLES) == set(no_tables())
    for name, columns in TABLES.items():
        assert list(tables[name].columns) == list(columns)
        assert tables[name].dtypes.equals(no_tables()[name].dtypes)
        assert len(tables[name]) > 0
    assert "person_id" not in {c for t in tables.values() for c in t.columns}


def test_all_pairs_of_rules_are_compared(result: tuple[pd.DataFrame, dict[str, pd.DataFrame]]) -> None:
    _, tables = result
    rules = {*tables["rule_agreement"]["rule_a"], *tables["rule_agreement"]["rule_b"]}
    assert rules >= {"JT", "GLN", "EN", "NK", "HA", "criterion", PERCENTAGE, "HLM"}
    assert len(tables["rule_agreement"]) == len(rules) * (len(rules) - 1) // 2
    patterns = tables["rule_patterns"].groupby("direction")["n"].sum()
    assert patterns.to_dict() == {"improved": 120, "deteriorated": 120}
    assert (tables["rule_patterns"]["n"] >= 10).all()


def test_estimates_of_a_study_do_not_meet_those_of_reliable_change(result: tuple[pd.DataFrame, dict[str, pd.DataFrame]]) -> None:
    estimates, _ = result
    assert set(estimates["analysis"]) == {ANALYSIS, MINIMAL}
    own = estimates[(estimates["analysis"] == ANALYSIS) & (estimates["definition"] == "JT") & (estimates["estimand"] == "share")]
    assert own["estimate"].sum() == pytest.approx(1)
    assert own["primary"].all()
    assert ((own["ci_low"] <= own["estimate"]) & (own["estimate"] <= own["ci_high"])).all()
    cut = estimates[estimates["estimand"] == "cutoff_c"].iloc[0]
    assert "norm of 500 people drawn too" in cut["note"]
    assert (cut["n"], cut["n_clusters"]) == (120, 12)
    # Sums that would give away a hidden share stay with the analysis whose sums are watched.
    assert not estimates["estimand"].isin(["reliably_improved", "reliably_deteriorated"]).any()


def test_mids_of_a_study_come_from_its_anchor(result: tuple[pd.DataFrame, dict[str, pd.DataFrame]]) -> None:
    estimates, _ = result
    mids = estimates[estimates["analysis"] == MINIMAL].set_index("estimand")
    assert mids.loc["auc", "estimate"] > 0.7
    assert "anchor eligible" in mids.loc["auc", "note"]
    assert 1 < mids.loc["roc_youden", "estimate"] < 9
    assert mids.loc["half_sd", "estimate"] == pytest.approx(3, abs=0.7)
    assert mids.loc["predictive_adjusted", "primary"]
    assert mids.loc["roc_youden", "definition"] == "core.other changed towards better by 4 or beyond"


def test_the_order_of_rows_changes_nothing(result: tuple[pd.DataFrame, dict[str, pd.DataFrame]]) -> None:
    data = study()
    mixed = study(scores=data.scores.sample(frac=1, random_state=3), treatments=data.treatments.sample(frac=1, random_state=5))
    found = analyse(mixed)
    pd.testing.assert_frame_equal(estimates_frame(found.estimates), result[0])
    for name, table in result[1].items():
        pd.testing.assert_frame_equal(found.tables[name], table)


def test_an_anchor_at_the_end_is_read_in_its_own_points() -> None:
    data = study()
    people = data.pairs({"score": "core.total"})["person_id"]
    value, improved, little = anchor_values(data, {"score": "core.other", "of": "end", "improved": 10, "a_little": [8, 10]}, people)
    end = data.pairs({"score": "core.other"}).set_index("person_id")["post"].reindex(people)
    assert (value.to_numpy(dtype=float) == -end.to_numpy()).all()  # lower is better
    assert (improved.to_numpy(dtype=bool) == (end <= 10).to_numpy()).all()
    assert (little.to_numpy(dtype=bool) == end.between(8, 10).to_numpy()).all()


def reasons(data: ChangeData) -> str:
    estimates = estimates_frame(analyse(data).estimates)
    return "; ".join(estimates.loc[estimates["estimand"] == "not testable", "note"])


def test_what_cannot_be_answered_says_why() -> None:
    assert "none is named under change.minimal_change.anchors" in reasons(study(change={"minimal_change": {"replicates": 99}}))
    alone = {"anchors": [{"score": "core.total", "improved": 4}], "replicates": 99}
    assert "no anchor but the score itself" in reasons(study(change={"minimal_change": alone}))
    nobody = {"anchors": [{"score": "core.other", "improved": 39}], "replicates": 99}
    assert "0 improved and 120 not improved" in reasons(study(change={"minimal_change": nobody}))
    once = study(waves=1)
    assert "0 people have this score at baseline and at the end" in reasons(once)
    assert all(len(t) == 0 for t in analyse(once).tables.values())
    bare = {"core": {"scales": {"total": {**SCALE, "reliability": []}, "other": SCALE}}}
    assert "no reliability" in reasons(study(instruments=bare))
    neutral = {"core": {"scales": {"total": {**SCALE, "direction": "neutral"}, "other": SCALE}}}
    assert "no better direction" in reasons(study(instruments=neutral))
    assert "rules of a person's own slope" in reasons(study(waves=2))


def test_scores_about_several_people_are_not_testable() -> None:
    data = study()
    doubled = study(scores=pd.concat([data.scores, data.scores.head(3)], ignore_index=True))
    assert "hold more than one value" in reasons(doubled)


def test_codes_are_those_of_reliable_change() -> None:
    rng = np.random.default_rng(2)
    before, after = rng.normal(20, 6, 50), rng.normal(15, 6, 50)
    after[3] = np.nan
    setting = setting_from(before, after, reliability=0.8)
    codes = rule_codes(before, after, setting=setting, names=["JT", "GLN"], higher_is_better=False)
    told = reliable_change(before, after, reliability=0.8, methods=["JT", "GLN"])
    assert codes[:, 0].tolist() == told.loc[told["method"] == "JT", "category"].cat.codes.tolist()
    assert codes[3].tolist() == [-1, -1]
