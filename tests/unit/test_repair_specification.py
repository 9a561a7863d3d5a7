"""The specification curve of repair: its designs, readings, test by exchange, summary, and what is refused."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.inference.specification_summary import spread
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.figures import repair_specification
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.effects.contrasts import repair_effect
from attachment_outcomes.rupture.effects.landmark import groups_at
from attachment_outcomes.rupture.specification.curve import COLUMNS, Compared, specification_table
from attachment_outcomes.rupture.specification.designs import ESTIMANDS, build
from attachment_outcomes.rupture.specification.readings import OWN, Reading, readings
from attachment_outcomes.rupture.specification.reshuffle import Exchange, _parted, exchange_of, reshuffle_curve, strata_of
from attachment_outcomes.rupture.specification.stage import analyse
from attachment_outcomes.rupture.summary import GROUPS

Numbers = NDArray[np.float64]
SAME = 1e-10


def clients(n: int = 240, therapists: int = 12, seed: int = 1, effect: float = 0.0) -> dict[str, NDArray]:
    rng = np.random.default_rng(seed)
    therapist = np.arange(n) % therapists
    sessions = rng.integers(6, 30, n).astype(float)
    group = (rng.random(n) < 0.2 + sessions / 60).astype(np.int64)
    group[(group == 1) & (rng.random(n) < 0.4)] = 2
    pre = 20 + 5 * rng.standard_normal(n)
    noise = 4 * rng.standard_normal(n) + 1.5 * rng.standard_normal(therapists)[therapist]
    post = 8 + 0.5 * pre - 0.1 * sessions + noise - effect * (group == 1)
    return {"post": post, "group": group, "pre": pre, "n_sessions": sessions, "therapist": therapist.astype(np.int64)}


def built(d: dict[str, NDArray], *, within: bool = False, known: bool = True):
    covariates = np.column_stack([d["pre"], d["n_sessions"]])
    therapist = d["therapist"] if known else np.full(len(d["post"]), -1)
    return build(d["post"], d["group"], covariates, therapist, within=within, higher_is_better=False, ci_level=0.95)


@pytest.mark.parametrize("known", [True, False])
def test_a_design_gives_what_the_study_s_own_contrast_gives(known: bool) -> None:
    d = clients()
    frame = pd.DataFrame({k: d[k] for k in ("post", "pre", "n_sessions")})
    frame["group"] = np.array(["none", "repaired", "unrepaired"])[d["group"]]
    frame["therapist_id"] = pd.Series(d["therapist"]).map("t{}".format) if known else None
    theirs = {e.estimand: e for e in repair_effect(frame, outcome="core10.total")}
    _, ours = built(d, known=known)
    for name, mine in zip(ESTIMANDS, ours, strict=True):
        sign = 1 if name == "repair_minus_avoidance" else -1  # where lower is better, improvement is the other way round
        assert mine.estimate == pytest.approx(sign * theirs[name].estimate, rel=SAME)
        assert mine.std_error == pytest.approx(theirs[name].std_error, rel=SAME)
        assert mine.p_value == pytest.approx(theirs[name].p_value, rel=1e-8)


@pytest.mark.parametrize(("within", "known"), [(False, True), (True, True), (False, False)])
def test_refitting_the_outcome_itself_gives_the_same_numbers(within: bool, known: bool) -> None:
    d = clients()
    d["group"][::7] = -1
    design, ours = built(d, within=within, known=known)
    estimates, errors = design.refitted(np.vstack([d["post"], 2 * d["post"] + 3]))
    assert estimates[0] == pytest.approx([c.estimate for c in ours], rel=SAME)
    assert errors[0] == pytest.approx([c.std_error for c in ours], rel=SAME)
    assert estimates[1] == pytest.approx(2 * estimates[0], rel=SAME)
    assert errors[1] == pytest.approx(2 * errors[0], rel=SAME)


def test_within_therapists_is_the_regression_with_a_column_for_each() -> None:
    # CR2 by its definition with dense matrices; each therapist's own column makes I - H singular there, so the root is a
    # pseudo-inverse's.
    d = clients()
    design, ours = built(d, within=True)
    dummies = (d["therapist"][:, None] == np.arange(12)).astype(float)
    x = np.column_stack([dummies, d["pre"], d["n_sessions"], *((d["group"] == code).astype(float) for code in (1, 2))])
    bread = np.linalg.inv(x.T @ x)
    beta = bread @ x.T @ d["post"]
    residual = d["post"] - x @ beta
    meat = np.zeros((x.shape[1], x.shape[1]))
    for j in range(12):
        own = d["therapist"] == j
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - x[own] @ bread @ x[own].T)
        root = (vectors * np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0.0)) @ vectors.T
        score = x[own].T @ root @ residual[own]
        meat += np.outer(score, score)
    error = np.sqrt((bread @ meat @ bread)[-2, -2])
    assert ours[0].estimate == pytest.approx(-beta[-2], rel=1e-9)
    assert ours[0].std_error == pytest.approx(error, rel=1e-8)
    assert 2 < ours[0].df < 12
    assert design.n_units == 12


def test_contrasts_by_hand() -> None:
    # None 10, 12; repaired 6, 8; unrepaired 14, 14, no covariates: R − N = −4, so 4 points better; U − N = 3, so 3 worse.
    # Any rupture in the observed proportions: (7 + 7 + 14 + 14)/4 = 10.5; N − A = .5 worse where lower is better, so −.5 … of
    # improvement; R − U = 7 points better; (R − U) − (N − A) in improvement: 7 − (−.5) = 7.5.
    post, group = np.array([10.0, 12, 6, 8, 14, 14]), np.array([0, 0, 1, 1, 2, 2])
    _, found = build(
        post, group, np.empty((6, 0)), np.full(6, -1), within=False, higher_is_better=False, ci_level=0.95, min_group=2
    )
    assert [c.estimate for c in found] == pytest.approx([4.0, 7.0 - (10.5 - 11.0), 7.0])


def test_what_cannot_be_compared_is_refused() -> None:
    d = clients()
    with pytest.raises(StatisticsError, match=r"^groups too small for a comparison \(at least 10 in each\)$"):
        built({**d, "group": np.where(d["group"] == 1, -1, d["group"])})
    with pytest.raises(StatisticsError, match=r"^too few therapists known; at least 5 are needed"):
        built({**d, "therapist": d["therapist"] % 4}, within=True)


# --- Readings --------------------------------------------------------------------------------------------------------------------


def study(n: int = 60, seed: int = 3, **settings):
    """Return a made-up study: a dip at session 4 of two clients of three, back at 5 (repaired), at 8 (late), or never."""
    rng = np.random.default_rng(seed)
    sessions, scores, treatments = [], [], []
    for i in range(n):
        person, kind, length = f"p{i:03d}", i % 4, 9 + i % 5
        values = np.full(length, 5.0)
        if kind:
            values[3 : {1: 4, 2: 7, 3: length}[kind]] -= 2.5
        sessions += [(person, "1", s, v) for s, v in enumerate(values, 1)]
        treatments.append((person, "1", f"t{i % 11:02d}"))
        pre = 20 + 4 * rng.standard_normal()
        scores += [
            (person, "core10", "total", "self", 0, pd.NA, pre),
            (person, "core10", "total", "self", 1, pd.NA, 0.5 * pre + 1.5 * rng.standard_normal() + (3 if kind == 3 else 0)),
        ]
    keys = ["person_id", "treatment_id"]
    tables = {
        "sessions": pd.DataFrame(sessions, columns=[*keys, "session_number", "srs"]).astype({"session_number": "Int64"}),
        "treatments": pd.DataFrame(treatments, columns=[*keys, "therapist_id"]).assign(end_reason=pd.NA),
        "scores": pd.DataFrame(
            scores, columns=["person_id", "instrument", "scale", "rater", "wave", "session_number", "score"]
        ).astype({"wave": "Int64", "session_number": "Int64", "score": "float64"}),
    }
    rule = "attachment_outcomes.rupture.rules:within_person_drop"
    presets = {
        "drop": {"rule": rule, "settings": {"k": 1.0}, "episode": {"window": 3}},
        "deep": {"rule": rule, "settings": {"k": 1.5}, "episode": {"window": 3, "min_sessions": 8}},
    }
    block = {"alliance": "srs", "criteria": ["drop", "deep"], "outcome": "core10.total", "landmarks": [6], **settings}
    instruments = {"core10": {"scales": {"total": {"direction": "higher is worse", "range": [0, 40]}}}}
    return RuptureData(tables, block, presets, instruments, seed=5)


def read(data: RuptureData, which: int = 0, **levels) -> dict[tuple[int, str, int], Reading]:
    people = [f"p{i:03d}" for i in range(60)]
    found = readings(data.detections[which], data.clients[which], people, **levels)
    return {(r.window, r.min_sessions, r.landmark): r for r in found}


def test_a_wider_window_repairs_more_and_the_own_reading_is_the_study_s() -> None:
    data = study()
    by = read(data, windows=[2, 4], min_sessions=[10], landmarks=[6])
    own = by[3, OWN, 0]
    assert own.primary
    assert sum(r.primary for r in by.values()) == 1
    words = np.array(["none", "repaired", "unrepaired"])[own.group]
    assert words.tolist() == data.clients[0]["group"].tolist()
    assert (by[4, OWN, 0].group[2::4] == 1).all()  # back after four sessions
    assert (by[3, OWN, 0].group[2::4] == 2).all()
    # Ten sessions or more: those with nine are not assessable.
    lengths = np.array([9 + i % 5 for i in range(60)])
    assert ((by[3, "10", 0].group == -1) == (lengths < 10)).all()


def test_at_a_landmark_nothing_later_is_known() -> None:
    data = study()
    by = read(data, windows=[2, 4], min_sessions=[], landmarks=[6, 7])
    early, later = by[3, OWN, 6], by[3, OWN, 7]
    assert (early.group[1::4] == 1).all()  # back at session 5
    assert (early.group[3::4] == -1).all()  # two sessions after the onset: still open
    assert (later.group[3::4] == 2).all()
    assert early.exposure == "landmark session 6"
    assert not early.primary


def twice(n: int = 60) -> RuptureData:
    """Return a study whose every second client dips at 4, is back at 5, and dips at 9 again for good."""
    data = study(n)
    sessions = data.tables["sessions"].copy()
    again = sessions["person_id"].str[1:].astype(int) % 2 == 1
    number = sessions["session_number"].astype(int)
    sessions.loc[again, "srs"] = np.where((number == 4) | (number >= 9), 2.5, 5.0)[again]
    return RuptureData({**data.tables, "sessions": sessions}, data.settings, data.criteria, data.instruments, seed=5)


@pytest.mark.parametrize("which", [0, 1])
def test_groups_at_a_landmark_are_those_of_the_study_also_after_a_repair(which: int) -> None:
    # Repaired at 5, open from 9 on: nobody knows at 9, 10 or 11 how the second rupture ends.
    data, landmarks, windows = twice(), range(5, 13), (2, 3, 4)
    by = read(data, which, windows=windows, min_sessions=[], landmarks=landmarks)
    criterion = data.detections[which].criterion
    repaired_and_open = 0
    for window, landmark in itertools.product(windows, landmarks):
        clients = groups_at(data.series, replace(criterion, window=window), landmark).clients.set_index("client")
        theirs = clients["group"].reindex([f"p{i:03d}" for i in range(60)]).map({g: i for i, g in enumerate(GROUPS)})
        assert by[window, OWN, landmark].group.tolist() == theirs.fillna(-1).astype(int).tolist(), (window, landmark)
        repaired_and_open += int(((clients["n_repaired"] > 0) & (clients["state"] == "censored")).sum())
    assert repaired_and_open > 20


def test_fewer_sessions_than_the_criterion_asks_for_are_refused() -> None:
    by = read(study(), which=1, windows=[3], min_sessions=[6, 8, 10])
    assert by[3, "6", 0].refused == "the criterion itself asks for 8 rated sessions"
    assert (3, "8", 0) not in by  # its own
    assert not by[3, "10", 0].refused


# --- The curve -------------------------------------------------------------------------------------------------------------------


def test_a_study_s_curve_its_primary_row_and_what_is_refused() -> None:
    data = study(specification={"windows": [2, 4], "min_sessions": [6, 10], "permutations": 99})
    part = analyse(data)
    table = part.tables["repair_specifications"]
    assert {c: str(t) for c, t in table.dtypes.items()} == COLUMNS
    # Two criteria x (own, 6, 10) x three windows x (whole, landmark) x two adjustments x two comparisons, three estimands.
    assert len(table) == 3 * 2 * 3 * 3 * 2 * 2 * 2
    assert ((table["refused"] != "") == table["estimate"].isna()).all()
    primary = table[table["primary"]]
    assert primary["estimand"].tolist() == list(ESTIMANDS)
    assert (primary[["window", "min_sessions", "exposure"]] == ["3", "own", "whole treatment"]).all(axis=None)
    own = {
        e.estimand: e
        for e in repair_effect(data.with_outcome(data.clients[0]), outcome="core10.total", definition="drop")
    }  # fmt: skip
    for row in primary.itertuples():
        sign = 1 if row.estimand == "repair_minus_avoidance" else -1
        assert row.estimate == pytest.approx(sign * own[row.estimand].estimate, rel=SAME)
        assert row.std_error == pytest.approx(own[row.estimand].std_error, rel=SAME)
    reasons = set(table["refused"])
    assert "the number of sessions is decided after the landmark" in reasons
    assert "the criterion itself asks for 8 rated sessions" in reasons
    assert (table.loc[table["refused"] == "", "expected"].notna()).all()


def test_the_summary_is_that_of_the_table() -> None:
    data = study(specification={"windows": [], "min_sessions": [], "permutations": 99})
    part = analyse(data)
    rows = estimates_frame(part.estimates)
    curve = part.tables["repair_specifications"].query("estimand == 'repaired_minus_unrepaired' and refused == ''")
    own = rows[(rows["group"] == "repaired_minus_unrepaired") & (rows["definition"] == "")].set_index("estimand")["estimate"]
    assert own["median"] == pytest.approx(curve["estimate"].median())
    assert own["highest"] == curve["estimate"].max()
    assert own["share_above"] == pytest.approx((curve["ci_low"] > 0).mean())
    assert own["n_specifications"] == len(curve)
    assert own["exchange_median"] == pytest.approx(own["median"])
    shares = rows[(rows["estimand"] == "variance_share") & (rows["group"] == "repaired_minus_unrepaired")]
    assert shares["estimate"].sum() == pytest.approx(1.0)
    assert "combinations" in set(shares["definition"])
    # Unrepaired clients were made to end 3 points worse.
    assert own["median"] > 1
    p = rows[(rows["estimand"] == "exchange_median") & (rows["group"] == "repaired_minus_unrepaired")]["p_value"].iloc[0]
    assert p < 0.05


def test_without_an_outcome_or_with_small_groups_the_reason_is_given() -> None:
    data = study(n=16)
    part = analyse(data)
    assert {e.estimand for e in part.estimates} == {"not testable"}
    assert any("groups too small" in e.note for e in part.estimates)
    assert len(part.tables["repair_specifications"])
    nothing = study()
    empty = {**nothing.tables, "scores": nothing.tables["scores"].iloc[:0]}
    with pytest.raises(StatisticsError, match=r"no client has core10\.total at start and end"):
        analyse(RuptureData(empty, nothing.settings, nothing.criteria, nothing.instruments))


def test_no_reason_tells_how_many_clients_a_group_has() -> None:
    # Free text is not looked through for small counts when tables are released, so it must hold none.
    part = analyse(study(n=16))
    said = [*part.tables["repair_specifications"]["refused"].unique(), *(e.note for e in part.estimates)]
    assert "groups too small for a comparison (at least 10 in each)" in said
    assert not [reason for reason in said if re.search(r"(none|repaired|unrepaired) \d", reason)]


@pytest.mark.parametrize("absent", [True, False])
def test_where_only_another_criterion_has_clients_with_an_outcome_there_is_no_test_and_a_reason(absent: bool) -> None:
    # Those with an outcome have no alliance rating, those with ratings no outcome; the second criterion reads another column.
    data = study(n=120, specification={"windows": [], "min_sessions": [], "permutations": 19}, alliance="wai.total", range=[0, 10])
    sessions, scores = (data.tables[t] for t in ("sessions", "scores"))
    ratings = sessions.assign(instrument="wai", scale="total", rater="self", wave=pd.NA).rename(columns={"srs": "score"})
    rated = ratings["person_id"] >= "p060"
    ratings = ratings[rated] if absent else ratings.assign(score=ratings["score"].where(rated))
    both = pd.concat([scores[scores["person_id"] < "p060"], ratings.drop(columns="treatment_id")])
    tables = {**data.tables, "scores": both.astype({"wave": "Int64"})}
    instruments = {**data.instruments, "wai": {"scales": {"total": {"direction": "higher is better", "range": [0, 10]}}}}
    for reads in (["srs"], []):
        presets = {**data.criteria, "deep": {**data.criteria["deep"], "reads": reads}}
        part = analyse(RuptureData(tables, data.settings, presets, instruments, seed=5))
        refused = [e for e in part.estimates if e.estimand == "not testable"]
        assert [e.group for e in refused] == list(ESTIMANDS)
        assert not any(e.estimand.startswith("exchange") for e in part.estimates)
        assert part.tables["repair_specifications"]["estimate"].notna().any() == bool(reads)
        reason = "by the primary criterion nobody with an outcome has sessions" if reads else "no client has enough ratings"
        assert all(reason in e.note for e in refused)


def test_no_test_is_made_where_none_is_asked_for() -> None:
    part = analyse(study(specification={"windows": [], "min_sessions": [], "permutations": 0}))
    assert not any(e.estimand.startswith("exchange") for e in part.estimates)
    assert part.tables["repair_specifications"]["expected"].isna().all()


# --- The test by exchange --------------------------------------------------------------------------------------------------------


def simple(d: dict[str, NDArray]) -> tuple[list, Exchange]:
    group = d["group"]
    designs = [
        build(d["post"], g, np.column_stack([d["pre"], d["n_sessions"]]), d["therapist"], within=False, higher_is_better=False,
              ci_level=0.95)[0]
        for g in (group, np.where(np.arange(len(group)) % 9 == 0, -1, group))
    ]  # fmt: skip
    exchange = exchange_of(d["post"], [np.column_stack([d["pre"], d["n_sessions"]])], d["n_sessions"], d["therapist"])
    return designs, exchange


def test_the_statistics_are_those_of_the_specifications() -> None:
    d = clients(effect=2.0)
    designs, exchange = simple(d)
    found = reshuffle_curve(designs, [0, 0], [(0, 0), (1, 0)], exchange, rng=np.random.default_rng(1), permutations=199)
    own = [design.refitted(d["post"][None, :])[0][0, 0] for design in designs]
    assert found[0].median == pytest.approx(np.median(own))
    assert found[0].p_median == pytest.approx(1 / 200)  # 2 points are far outside what chance brings
    assert found[0].people == 240
    again = reshuffle_curve(designs, [0, 0], [(0, 0), (1, 0)], exchange, rng=np.random.default_rng(1), permutations=199)
    np.testing.assert_array_equal(found[0].expected, again[0].expected)


def test_all_exchanges_of_a_small_study_by_hand() -> None:
    # 20 people without covariates or therapists, one specification: the distribution over all exchanges has mean 0 and the
    # variance that the finite population gives: for a difference of means, s²·n/(n1·n2)·… with n1 = n2 = 10 of none and repaired.
    rng = np.random.default_rng(2)
    post = rng.standard_normal(30)
    group = np.repeat([0, 1, 2], 10)
    design = build(post, group, np.empty((30, 0)), np.full(30, -1), within=False, higher_is_better=True, ci_level=0.95)[0]
    exchange = exchange_of(post, [np.empty((30, 0))], np.ones(30), np.full(30, -1))
    found = reshuffle_curve([design], [0], [(0, 0)], exchange, rng=np.random.default_rng(3), permutations=4999)[0]
    sd = np.sqrt(2 * post.var(ddof=1) / 10)
    observed = post[10:20].mean() - post[:10].mean()
    assert found.median == pytest.approx(observed)
    assert abs(found.median_expected) < 4 * sd / np.sqrt(4999)
    shuffles = np.array([rng.permutation(post) for _ in range(20000)])
    theirs = (np.abs(shuffles[:, 10:20].mean(axis=1) - shuffles[:, :10].mean(axis=1)) >= abs(observed)).mean()
    assert found.p_median == pytest.approx(theirs, abs=0.03)


def test_clients_are_exchanged_within_strata_of_sessions_only() -> None:
    sessions = np.array([*range(1, 101), np.nan], dtype=float)
    strata = strata_of(sessions)
    assert len(np.unique(strata)) == 11
    assert np.bincount(strata)[np.unique(strata)].tolist() == [10] * 10 + [1]
    assert (np.diff(strata[:-1]) >= 0).all()
    # An outcome that is only the number of sessions stays what it is where every number is a stratum of its own.
    d = clients(n=200, therapists=10)
    few = np.repeat([5.0, 10.0], 100)
    exchange = exchange_of(few, [np.empty((200, 0))], few, np.full(200, -1))
    design = build(d["post"], d["group"], np.empty((200, 0)), np.full(200, -1), within=False, higher_is_better=True, ci_level=0.95)
    found = reshuffle_curve([design[0]], [0], [(0, 0)], exchange, rng=np.random.default_rng(1), permutations=50)[0]
    assert found.median_expected == pytest.approx(found.median)
    assert found.p_median == 1.0


def test_the_parts_of_therapists_and_clients_vary_as_the_residuals_do() -> None:
    rng = np.random.default_rng(4)
    therapist = np.repeat(np.arange(60), 8)
    residual = rng.standard_normal(60)[therapist] + 2 * rng.standard_normal(480)
    unit, u, w = _parted(residual - residual.mean(), therapist, True)
    means = pd.Series(residual).groupby(therapist).mean()
    within = pd.Series(residual).groupby(therapist).var(ddof=1).mean()
    assert (w**2).mean() == pytest.approx(within, rel=1e-9)  # balanced: exactly the variance within
    assert (u**2).mean() == pytest.approx(means.var(ddof=1) - within / 8, rel=0.05)  # the variance between, by moments
    assert _parted(residual, np.full(480, -1), True)[1].tolist() == [0.0]
    assert (unit == therapist).all()


def test_too_few_people_too_much_work_and_no_specification_are_refused() -> None:
    d = clients()
    designs, exchange = simple(d)
    with pytest.raises(StatisticsError, match="no specification has an estimate"):
        reshuffle_curve(designs, [0, 0], [], exchange, rng=np.random.default_rng(1))
    with pytest.raises(StatisticsError, match="outcomes to refit"):
        reshuffle_curve(designs, [0, 0], [(0, 0)], exchange, rng=np.random.default_rng(1), permutations=10**9)
    with pytest.raises(StatisticsError, match="12 people; at least 20"):
        exchange_of(d["post"][:12], [np.empty((12, 0))], d["n_sessions"][:12], d["therapist"][:12])


def test_specifications_that_share_their_clients_are_fitted_once() -> None:
    d = clients()
    people = Compared(outcome=d["post"], covariates={"pre": d["pre"]}, therapist=d["therapist"])
    one = Reading(criterion="a", window=3, min_sessions=OWN, landmark=0, group=d["group"], primary=True)
    other = Reading(criterion="a", window=4, min_sessions=OWN, landmark=0, group=d["group"].copy())
    curve = specification_table([(one, people), (other, people)], higher_is_better=False, adjustments=[("pre",)])
    assert len(curve.fits) == 2  # all clients, and within therapists
    assert len(curve.table) == 2 * 2 * 3
    assert sorted(set(curve.of_row)) == [0, 1]
    for e, ways in itertools.product(ESTIMANDS, ["all clients", "within therapists"]):
        rows = curve.table[(curve.table["estimand"] == e) & (curve.table["comparison"] == ways)]
        assert rows["estimate"].max() == rows["estimate"].min()


def test_spread_by_hand() -> None:
    found = spread([3.0, 1.0, 2.0, 2.0], [False, False, True, False])
    assert (found["lowest"], found["median"], found["highest"]) == (1.0, 2.0, 3.0)
    assert found["primary_rank"] == 0.5  # one below, two tied (half each), one above
    assert np.isnan(spread([], [])["median"])
    assert np.isnan(spread([1.0], [False])["primary_rank"])


# --- The picture -----------------------------------------------------------------------------------------------------------------


def test_the_picture_shows_the_curves_of_claims_and_marks_the_primary_specification() -> None:
    part = analyse(study(specification={"windows": [2, 4], "min_sessions": [10], "permutations": 99}))
    tables = {**part.tables, "estimates": estimates_frame(part.estimates)}
    drawing = repair_specification.draw(tables, {"ci_level": 0.95})
    seen = part.tables["repair_specifications"].query("refused == ''")
    assert len(drawing.data) == len(seen)
    assert drawing.data.groupby("estimand")["primary"].sum().tolist() == [1, 1, 1]
    assert (drawing.data.groupby("estimand")["estimate"].diff().dropna() >= 0).all()
    titles = [ax.get_title(loc="left").split(":")[0] for ax in drawing.figure.axes[::2]]
    assert titles == ["Repaired beside no rupture", "Repair beside avoidance"]
    assert "repaired beside unrepaired" in drawing.caption.lower(), "what is not drawn is told"
    ticks = [t.get_text() for t in drawing.figure.axes[1].get_yticklabels()]
    assert {"drop", "deep", "criterion's own", "10", "within therapists", "whole treatment"} <= set(ticks)
    assert "median beside what chance brings p" in drawing.caption
    assert "combinations are not possible" in drawing.caption
    assert drawing.caption.endswith("Associations, not effects.")
    assert svg_text(drawing) == svg_text(repair_specification.draw(tables, {"ci_level": 0.95}))
    with pytest.raises(NothingToDraw, match="no specification could be estimated"):
        repair_specification.draw({**tables, "repair_specifications": seen.iloc[:0]}, {})
