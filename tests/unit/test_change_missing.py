"""Missing data of a study: who is missing, each handling by hand, tipping points, and refusals told by name."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference

from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.change.missing import TABLES, Panel, analyse, attrition, by_complete_cases, stay_rows, tipping_points
from attachment_outcomes.change.missing.from_study import coded, panel_of
from attachment_outcomes.change.missing.handling import (
    CARRIED,
    COMPLETE,
    IMPUTED,
    LAST_SEEN,
    WEIGHTED,
    Pooled,
    by_carrying_forward,
    by_imputation,
    by_weighting,
)
from attachment_outcomes.change.missing.panel import BY_REASON, BY_SCORES
from attachment_outcomes.change.missing.who import BASELINE, predictors_of_being_seen
from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.inference.multiple_imputation import Imputations, impute

NAN = math.nan
SCALE = {"direction": "higher is worse", "range": [0, 40], "reliability": [], "norms": [], "cutoffs": []}


def made(n: int = 160, waves: int = 4, seed: int = 1, *, left: bool = True) -> dict[str, Any]:
    """A study of n clients of 16 therapists; the worse leave more often; each tenth misses the second wave."""
    rng = np.random.default_rng(seed)
    ids = [f"p{i:04d}" for i in range(n)]
    y = 20 + rng.normal(0, 4, n)[:, None] + rng.normal(0, 3, (n, waves)) - 2 * np.arange(waves)
    if left:
        for t in range(1, waves):
            y[np.isnan(y[:, t - 1]) | (rng.random(n) < 1 / (1 + np.exp(3 - 0.15 * (y[:, t - 1] - 10)))), t] = np.nan
        y[::10, 1 : min(waves, 2)] = np.nan
    rows, columns = np.nonzero(~np.isnan(y))
    scores = pd.DataFrame(
        {
            "person_id": [ids[i] for i in rows], "instrument": "made", "scale": "total", "rater": "self",
            "wave": columns.astype(float),
            "session_number": NAN, "score": y[rows, columns],
        }
    )  # fmt: skip
    people = pd.DataFrame({"person_id": ids, "role": "client", "gender": np.where(np.arange(n) % 3, "woman", "man")})
    treatments = pd.DataFrame(
        {
            "person_id": ids, "treatment_id": "1", "therapist_id": [f"t{i % 16:02d}" for i in range(n)], "start_week": 0.0,
            "planned_sessions": 12 + np.arange(n) % 4, "end_reason": np.where(np.isnan(y[:, -1]), "dropped out", "completed"),
        }
    )  # fmt: skip
    return {"scores": scores, "people": people, "treatments": treatments}


def study(tables: dict[str, Any] | None = None, *, definition: dict | None = None, **settings: Any) -> ChangeData:
    tables = made() if tables is None else tables
    empty = pd.DataFrame()
    outcome = {"score": "made.total", "definitions": [{"reliability": 0.8, "cutoff": "a"} if definition is None else definition]}
    return ChangeData(
        **tables, styles=empty, waves=empty, sessions=empty, classifications=empty, answers=empty,
        settings={"outcomes": [outcome], **settings}, instruments={"made": {"scales": {"total": SCALE}}}, seed=3,
    )  # fmt: skip


def panel(scores: np.ndarray, **more: Any) -> Panel:
    n, t = scores.shape
    given: dict[str, Any] = {"occasions": tuple(range(t)), "covariates": np.empty((n, 0)), "names": (), "clusters": None}
    given["ended_early"] = np.isnan(scores[:, -1])
    return Panel(scores=scores, **{**given, **more})


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("missing")


@pytest.fixture(scope="module")
def whole() -> tuple[pd.DataFrame, dict[str, pd.DataFrame]]:
    part = analyse(study())
    return estimates_frame(part.estimates), part.tables


def one(rows: pd.DataFrame, **wanted: object) -> pd.Series:
    for column, value in wanted.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, wanted
    return rows.iloc[0]


# ---------------------------------------------------------------- who is missing


def test_attrition_by_hand():
    scores = [[1, 1, 1], [1, NAN, 1], [1, 1, NAN], [1, NAN, NAN], [NAN, 2, NAN]]
    found = attrition(scores, [0, 2, 5], never=2)
    assert found["occasion"].tolist() == [0, 2, 5]
    expected = {
        "n_expected": [7, 7, 7], "n_seen": [4, 3, 2], "n_dropout": [0, 1, 3], "n_intermittent": [0, 1, 0], "n_later": [1, 0, 0],
        "n_never": [2, 2, 2],
    }  # fmt: skip
    assert {k: found[k].tolist() for k in expected} == expected


def test_odds_of_being_seen_with_one_category_by_hand():
    """30 of 40 women and 20 of 40 men are seen: odds 3 and 1."""
    woman = np.repeat([1.0, 0.0], 40)
    end = np.concatenate([np.repeat([1.0, NAN], [30, 10]), np.repeat([1.0, NAN], [20, 20])])
    base = np.tile([9.0, 11.0], 40)
    found, notes = predictors_of_being_seen(panel(np.column_stack([base, end]), covariates=woman[:, None], names=("woman",)))
    odds = {name: math.exp(row.estimate) for name, row in found}
    assert odds == pytest.approx({BASELINE: 1.0, "woman": 3.0})
    assert notes == []


def test_a_category_where_everybody_is_seen_is_joined_and_told():
    end = np.repeat([1.0, NAN], [60, 20])
    all_seen = np.r_[np.ones(12), np.zeros(68)]
    found, notes = predictors_of_being_seen(
        panel(np.column_stack([np.tile([9.0, 10.0, 11.0, 12.0], 20), end]), covariates=all_seen[:, None], names=("site: b",))
    )
    assert [name for name, _ in found] == [BASELINE]
    assert notes == ["site: b is joined with the reference: everybody or nobody there is seen"]


def test_predictors_are_coded_as_told():
    known = pd.DataFrame(
        {
            "gender": pd.Series(["woman"] * 30 + ["man"] * 15 + ["another"] * 3 + [None] * 12, dtype="str"),
            "planned_sessions": np.r_[np.repeat([10.0, 20.0], 29), NAN, NAN],
            "arm": pd.Series([None] * 60, dtype="str"),
        }
    )
    x, names, notes = coded(known, None)
    assert names == ("gender: man", "gender: not known", "planned_sessions (per SD)")
    assert x[:, 0].sum() == 15  # the three others, too few for a category of their own, are with the most frequent
    assert set(np.round(x[:, 2], 12)) == {-1.0, 0.0, 1.0}
    assert notes == (
        "gender: categories of fewer than 10 people are joined",
        "planned_sessions of 2 people not known, put at the mean",
    )
    with pytest.raises(ConfigError, match=r"change.missing.predictors: no column 'gendr'.*Did you mean 'gender'"):
        coded(known, ["gendr"])


def test_what_other_predictors_determine_is_left_out_and_told():
    known = pd.DataFrame({"gender": ["woman", "man"] * 20, "subgroup": ["a", "b"] * 20})
    _, names, notes = coded(known, None)
    assert names == ("gender: woman",)
    assert notes == ("subgroup: b left out: the other predictors determine it",)


def test_who_ended_early_by_reason_or_by_scores():
    data = study()
    by_reason = panel_of(data, data.outcomes[0])
    assert by_reason.how_ended == BY_REASON
    tables = made()
    tables["treatments"]["end_reason"] = pd.Series([None] * 160, dtype="str")
    data = study(tables)
    by_scores = panel_of(data, data.outcomes[0])
    assert by_scores.how_ended == BY_SCORES
    assert by_scores.ended_early.sum() < by_reason.ended_early.sum()  # who missed the last wave only is no drop-out by scores
    assert not by_scores.ended_early[~by_scores.missing_end].any()


# ---------------------------------------------------------------- handling


def improved(pre: np.ndarray, post: np.ndarray, _: int) -> np.ndarray:
    return np.asarray(pre - post > 3)


SIX = np.array([[10, 8, 4], [10, 9, 9], [12, 6, 6], [12, NAN, NAN], [14, 9, NAN], [14, 14, 13]], dtype=float)


def test_plain_handlings_by_hand():
    complete = by_complete_cases(panel(SIX), {"improved": improved})
    assert [(h.estimate, h.n) for h in complete] == [(pytest.approx(-3.5), 4), (0.5, 4)]
    carried = by_carrying_forward(panel(SIX), {"improved": improved})
    assert [(h.estimate, h.n) for h in carried] == [(pytest.approx((-14 - 0 - 5) / 6), 6), (pytest.approx(3 / 6), 6)]
    assert "comparison only" in carried[0].note


def test_imputed_change_is_the_mean_of_completed_changes():
    rng = np.random.default_rng(1)
    y = 20 + rng.normal(0, 4, 80)[:, None] + rng.normal(0, 3, (80, 3))
    y[:20, 2] = NAN
    found = impute(y, imputations=20, rng=rng)
    mean, share = by_imputation(panel(y), found, {"improved": improved})
    change = found.values[:, :, 2] - found.values[:, :, 0]
    assert mean.estimate == pytest.approx(change.mean())
    # Rubin's total variance with the squared errors of 20 paired t tests.
    within, between = (change.var(axis=1, ddof=1) / 80).mean(), change.mean(axis=1).var(ddof=1)
    assert mean.std_error == pytest.approx(math.sqrt(within + 1.05 * between))
    assert share.estimate == pytest.approx((-change > 3).mean(), abs=0.002)  # pooled on the logit scale
    assert f"Monte-Carlo error {math.sqrt(between / 20):.2g} score points" in mean.note


def test_steps_of_people_who_leave():
    """Six people, three waves: two steps; who missed the second wave and came again stays."""
    scores = SIX.copy()
    scores[0, 1] = NAN
    x, stays, person, names = stay_rows(panel(scores))
    assert names == ["step to occasion 1", "step to occasion 2", "baseline score", "last score seen"]
    assert person.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 4, 5]
    assert stays.tolist() == [1, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1]
    spread = scores[:, 0].std(ddof=1)
    assert x[6, 3] == pytest.approx((10 - 12) / spread)  # person 0: the baseline score is the last that was seen
    assert x[7, 3] == pytest.approx((9 - 12) / spread)
    with pytest.raises(StatisticsError, match="everybody who began was seen"):
        stay_rows(panel(np.nan_to_num(SIX, nan=7.0)))


def test_weights_undo_drop_out_by_the_last_score_seen():
    """30,000 people whose worse leave: complete cases are off by half a point and more, weights by less than 0.1."""
    rng = np.random.default_rng(4)
    n = 30_000
    y = 20 + np.cumsum(rng.normal([0, -3, -3], 3, (n, 3)), axis=1)  # steps that add up: who got worse stays worse
    truth = float((y[:, 2] - y[:, 0]).mean())
    y[rng.random(n) < 1 / (1 + np.exp(1 - 0.4 * (y[:, 1] - 17))), 2] = NAN
    (complete,), ((weighted,), weights) = (
        by_complete_cases(panel(y), {}),
        by_weighting(panel(y), {}, truncate=1, least_probability=0),
    )
    assert abs(complete.estimate - truth) > 0.5
    assert abs(weighted.estimate - truth) < 0.1
    assert weights.effective_n < (~np.isnan(y[:, 2])).sum()


# ---------------------------------------------------------------- tipping points


@pytest.fixture
def stored(reference) -> Imputations:
    case = reference["tipping"]
    ends = np.array(case["ends"]).T
    values = np.stack([np.broadcast_to(case["baseline"], ends.shape), ends], axis=2)
    gone = np.column_stack([np.zeros(ends.shape[1], dtype=bool), np.array(case["missing"]) == 1])
    return Imputations(values=values, missing=gone, method="stored", iterations=0, r_hat=1.0)


def test_tipping_point_agrees_with_r(reference, stored):
    case = reference["tipping"]
    gone = stored.missing[:, 1]
    curve, (tip,) = tipping_points(stored, {"all": gone}, deltas=[2, -1.5], spread=5.0, scale_range=(0, 60), events={})
    case.check({"tipping_point": tip.delta}, rel=1e-8)
    for delta, name in ((2, "at_2"), (-1.5, "at_minus_1.5")):
        row = one(curve, delta=delta)
        case.check({name: [row["estimate"], row["ci_low"], row["ci_high"]]}, rel=1e-9)
    last = curve.iloc[-1]  # the tipping point lies beyond the deltas asked for, so the curve goes on to it
    assert last["delta"] == tip.delta
    assert last["ci_high"] == pytest.approx(0, abs=1e-8)
    assert bool(last["reached"])
    assert not curve["reached"].iloc[:-1].any()


def test_no_tipping_point_within_the_scale_is_told(stored):
    gone = stored.missing[:, 1]
    _, (tip,) = tipping_points(stored, {"all": gone}, deltas=[1], spread=5.0, scale_range=(0, 20), events={})
    assert math.isnan(tip.delta)
    assert tip.note == "no tipping point within the scale's range"
    assert tip.reach == pytest.approx(20 - stored.values[:, gone, 1].mean())


def test_an_interval_that_holds_the_null_tips_without_a_shift(stored):
    values = stored.values.copy()
    values[:, :, 0] = values[:, :, 1].mean(axis=0)
    flat = Imputations(values=values, missing=stored.missing, method="stored", iterations=0, r_hat=1.0)
    _, (tip,) = tipping_points(flat, {"all": stored.missing[:, 1]}, deltas=[1], spread=5.0, scale_range=None, events={})
    assert tip.delta == 0
    assert "without any shift" in tip.note


def test_a_share_tips_where_its_interval_reaches_the_expected_share(stored):
    gone = stored.missing[:, 1]

    def better(pre: np.ndarray, post: np.ndarray, _: int) -> np.ndarray:
        return np.asarray(post < pre - 4)

    at_zero = float(np.mean(stored.values[:, :, 1] < stored.values[:, :, 0] - 4))
    _, tips = tipping_points(
        stored, {"all": gone}, deltas=[1], spread=5.0, scale_range=(0, 60), events={"better": (better, at_zero - 0.15)}
    )
    (tip,) = (t for t in tips if t.estimand == "better")
    assert tip.delta > 0
    pooled = Pooled(stored, gone, None)
    low = [1 / (1 + math.exp(-pooled.proportion(better, tip.delta + step)[0].ci_low)) for step in (-1e-6, 1e-6)]
    assert low[0] > at_zero - 0.15 >= low[1]  # a share moves in jumps: before the point above, after it not


def test_shifting_is_the_same_as_analysing_shifted_data(stored):
    gone = stored.missing[:, 1]
    moved = stored.values.copy()
    moved[:, gone, 1] += 3.3
    clusters = pd.Series(np.arange(len(gone)) % 13)
    again = Imputations(values=moved, missing=stored.missing, method="stored", iterations=0, r_hat=1.0)
    for labels in (None, clusters):
        shifted, direct = Pooled(stored, gone, labels), Pooled(again, gone, labels)
        assert shifted.mean_change(3.3).std_error == pytest.approx(direct.mean_change().std_error)
        assert shifted.mean_change(3.3).df == pytest.approx(direct.mean_change().df)
        assert shifted.proportion(improved, 3.3)[0] == direct.proportion(improved)[0]


# ---------------------------------------------------------------- the whole analysis


def test_tables_have_their_types_and_counts_add_up(whole):
    rows, tables = whole
    assert set(tables) == set(TABLES)
    for name, columns in TABLES.items():
        assert list(tables[name].columns) == list(columns)
        assert len(tables[name]), name
    counts = tables["missingness"]
    parts = counts[["n_seen", "n_dropout", "n_intermittent", "n_later", "n_never"]].sum(axis=1)
    assert (parts == counts["n_expected"]).all()
    assert (counts["n_expected"] == 160).all()
    assert (rows["analysis"] == "missing_data").all()


def test_each_handling_has_its_row_and_one_is_primary(whole):
    rows, tables = whole
    means = rows[rows["estimand"] == "mean_change"]
    assert set(means["group"]) == {COMPLETE, LAST_SEEN, CARRIED, IMPUTED, WEIGHTED}
    assert means.loc[means["primary"], "group"].tolist() == [IMPUTED]
    assert set(tables["missing_estimates"]["estimand"]) == {"mean_change", "reliably_improved", "recovered"}
    imputed = one(means, group=IMPUTED)
    assert abs(imputed["estimate"] + 6) < 4 * imputed["std_error"]
    assert imputed["n"] == 160
    assert imputed["n_clusters"] == 16
    odds = one(rows, estimand="odds_ratio_seen_at_end", group=BASELINE, definition="seen at the first occasion")
    assert odds["estimate"] < 1  # the worse leave


def test_rows_do_not_depend_on_the_order_of_data(whole):
    rows, tables = whole
    shuffled = {name: table.sample(frac=1, random_state=1) for name, table in made().items()}
    part = analyse(study(shuffled))
    pd.testing.assert_frame_equal(estimates_frame(part.estimates), rows)
    for name, table in tables.items():
        pd.testing.assert_frame_equal(part.tables[name], table)


def test_settings_are_followed():
    part = analyse(study(missing={"imputations": 7, "delta_range": [0, 1], "predictors": ["gender"], "truncate": 1}))
    rows = estimates_frame(part.estimates)
    assert "; 7 imputations" in one(rows, estimand="mean_change", group=IMPUTED)["method"]
    assert set(part.tables["missing_balance"]["predictor"]) == {"baseline score", "gender: man"}
    assert part.tables["tipping_point"]["delta_sd"].min() == 0
    refused = estimates_frame(analyse(study(missing={"least_probability": 0.99})).estimates)
    assert "positivity" in one(refused, estimand="not testable", group=WEIGHTED)["note"]


def reasons(rows: list[Estimate]) -> str:
    return " | ".join(r.note for r in rows if r.estimand == "not testable")


def test_what_cannot_be_told_is_told_by_name():
    assert "end of their own" in reasons(analyse(study(occasions="session")).estimates)
    assert "taken at 1 occasion; two are needed" in reasons(analyse(study(made(waves=1))).estimates)
    nobody = analyse(study(made(left=False)))
    assert "everybody who began was seen at the end" in reasons(nobody.estimates)
    assert nobody.tables["tipping_point"].empty
    no_reliability = analyse(study(definition={"cutoff": "none"}))
    assert "no reliability" in reasons(no_reliability.estimates)
    few = analyse(study(made(n=12)))
    assert "10 of each are needed" in reasons(few.estimates)
    tables = made()
    tables["scores"] = tables["scores"][tables["scores"]["wave"] > 0]
    tables["scores"].loc[tables["scores"].index[0], "wave"] = 0.0
    assert reasons(analyse(study(tables)).estimates) == "1 person was seen at the first occasion; 10 are needed"


def test_a_range_that_goes_down_and_an_infinite_score_are_refused():
    with pytest.raises(ConfigError, match=r"delta_range: found 1\.5 to -0\.5; the first must be below the second"):
        analyse(study(missing={"delta_range": [1.5, -0.5]}))
    tables = made()
    tables["scores"].loc[tables["scores"].index[3], "score"] = np.inf
    assert reasons(analyse(study(tables)).estimates) == "1 infinite score; leave a missing score empty"


def test_a_reason_names_its_handling_once():
    refused = reasons(analyse(study(missing={"least_probability": 0.99})).estimates)
    assert "inverse-probability weights: " in refused
    assert "inverse-probability weights: inverse-probability weights" not in refused


def test_twice_the_people_take_no_more_than_a_few_seconds():
    start = time.process_time()
    analyse(study(made(n=600, waves=5)))
    assert time.process_time() - start < 10
