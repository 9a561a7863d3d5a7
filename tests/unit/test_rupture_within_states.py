"""States of rupture and repair, breaks, and what a study's settings make of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tests.references import Reference, load_reference
from tests.unit.test_rupture_within import made_panel

from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.rupture.criteria import as_criteria, detect, series_for
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.rupture.within import breaks_by_attachment, repair_next_session
from attachment_outcomes.rupture.within.breaks import CHANGE, LEVEL, break_rows, breaks_table
from attachment_outcomes.rupture.within.lagged import mixed_parts, questions, usable
from attachment_outcomes.rupture.within.moderation import attachment_of, moderated_by_attachment, moderated_by_break
from attachment_outcomes.rupture.within.panel import Panel, pairs_of, panel_of
from attachment_outcomes.rupture.within.states import session_states
from attachment_outcomes.rupture.within.study import BREAK_TABLES, TABLES, analyse, analyse_breaks


@pytest.fixture(scope="module")
def reference() -> Reference:
    return load_reference("rupture_within")


@pytest.fixture(scope="module")
def panel(reference: Reference) -> Panel:
    return made_panel(reference.frame("data"))


@pytest.fixture(scope="module")
def z(panel: Panel, reference: Reference) -> np.ndarray:
    scores = reference.frame("attachment").set_index("client")
    return attachment_of(panel, {"anxiety": scores["anxiety"], "avoidance": scores["avoidance"]})


def test_changes_across_breaks_agree_with_lmer(panel: Panel, z: np.ndarray, reference: Reference) -> None:
    rows = breaks_by_attachment(panel, panel.alliance, z, outcome="alliance", direction="higher is better")
    found = {(r.definition, r.estimand): r for r in rows}
    names = ("across_break", "break_by_anxiety", "break_by_avoidance")
    for definition, key, digits in ((LEVEL, "level", 1e-4), (CHANGE, "change", 1e-3)):
        ours = [found[definition, name].estimate for name in names]
        assert ours == pytest.approx(reference[key]["estimate"], rel=digits, abs=1e-5)
    ours = [found[CHANGE, name].std_error for name in names]
    assert ours == pytest.approx(reference["change_cr2"], rel=0.025)  # another metric of CR2, see validation/README.md
    assert found[LEVEL, "break_sd"].estimate == pytest.approx(reference["level_sd"], rel=0.02)
    assert [r.definition for r in rows if r.primary] == [LEVEL] * 3
    assert all("not effect" in r.note and "breaks of 2 weeks or more" in r.note for r in rows)


def test_attachment_is_scaled_over_clients_not_sessions() -> None:
    rows = pd.DataFrame(
        {"client": ["a"] * 5 + ["b", "c"], "session": [1, 2, 3, 4, 5, 1, 1], "therapist": "t", "alliance": 1.0, "symptoms": 1.0}
    )
    scores = pd.Series({"a": 2.0, "b": 4.0})
    found = attachment_of(made_panel(rows), {"anxiety": scores, "avoidance": scores})
    # Mean 3 and SD sqrt(2) of the two clients who have it; c has none.
    assert found[:, 0] == pytest.approx([-1 / np.sqrt(2), 1 / np.sqrt(2), np.nan], nan_ok=True)


def test_break_rows_by_hand() -> None:
    rows = pd.DataFrame(
        {
            "client": "a", "session": [1, 2, 3, 4, 6], "therapist": "t", "alliance": [4.0, 3, 3.5, np.nan, 4],
            "symptoms": 1.0, "gap": [np.nan, 3, 1, 1, 2],
        }
    )  # fmt: skip
    panel = made_panel(rows)
    found = break_rows(panel, panel.alliance, None, weeks=2)
    # 1 to 2 across three weeks; 2 to 3 is ordinary and follows a break; 3 to 4 has no rating; 6 does not follow 5.
    assert found[["change", "broken", "broken_before"]].to_numpy().tolist() == [[-1, 1, 0], [0.5, 0, 1]]
    assert found["own"].tolist() == [0.5, -0.5]
    later = break_rows(panel, panel.alliance, None, weeks=4)
    assert later["broken"].sum() == 0


def test_too_few_breaks_are_not_testable(panel: Panel, z: np.ndarray) -> None:
    (row,) = breaks_by_attachment(panel, panel.alliance, z, outcome="alliance", direction="higher is better", weeks=10)
    assert (row.estimand, row.analysis, row.outcome) == ("not testable", "session_breaks", "alliance")
    assert "0 breaks of 10 weeks or more of 0 clients, rated on both sides; at least 20 of each" in row.note


def test_table_of_breaks_counts_every_change_once_a_dimension(panel: Panel, z: np.ndarray) -> None:
    table = breaks_table(panel, panel.alliance, z, outcome="alliance", weeks=2)
    everybody = table[table["third"] == "all"]
    for dimension in ("anxiety", "avoidance"):
        part = table[table["dimension"] == dimension]
        assert part.groupby("across")["n_changes"].sum().tolist() == everybody["n_changes"].tolist()
    rows = break_rows(panel, panel.alliance, z, weeks=2)
    means = rows[rows["broken"] > 0].groupby("person")["change"].mean()
    assert everybody["mean_change"].tolist()[0] == pytest.approx(means.mean())
    assert everybody["std_error"].tolist()[0] == pytest.approx(means.std() / np.sqrt(len(means)))


def ruptured(n: int, rng: np.random.Generator, *, after_rupture: float, after_repair: float) -> pd.DataFrame:
    """Return clients with 16 sessions: alliance about 5 with a fall to 2 for up to three, and symptoms that answer."""
    parts = []
    for i in range(n):
        alliance = 5 + 0.1 * rng.standard_normal(16)
        onset, length = int(rng.integers(4, 11)), int(rng.integers(1, 4))
        alliance[onset : onset + length] = 2
        symptoms, level = np.empty(16), rng.standard_normal()
        symptoms[0] = 10 + level
        for t in range(15):
            inside, back = onset <= t < onset + length, t == onset + length
            shift = after_rupture * inside + after_repair * back
            symptoms[t + 1] = 6 + 0.4 * symptoms[t] + level + shift + rng.standard_normal()
        parts.append(
            pd.DataFrame(
                {"client": f"c{i:03d}", "session": range(1, 17), "therapist": "t", "alliance": alliance, "symptoms": symptoms}
            )
        )
    return pd.concat(parts, ignore_index=True)


PRESET = {"drop": {"rule": "attachment_outcomes.rupture.rules:within_person_drop", "settings": {"k": 1.5, "tolerance": 0.5}}}


def test_what_follows_rupture_and_repair_is_found_again() -> None:
    data = ruptured(200, np.random.default_rng(3), after_rupture=1.0, after_repair=-0.5)
    panel = made_panel(data)
    named = data.rename(columns={"client": "person_id", "session": "session_number"}).assign(treatment_id="1")
    found = detect(read_series(named, score="alliance"), as_criteria(PRESET)[0])
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    rows = {r.estimand: r for r in repair_next_session(panel, found, question)}
    truth = {"rupture_next_session": 1.0, "repair_next_session": -0.5, "repair_minus_rupture": -1.5}
    for name, value in truth.items():
        assert abs(rows[name].estimate - value) < 3 * rows[name].std_error < 0.5
        assert (rows[name].definition, rows[name].primary, rows[name].unit) == ("drop", True, "score points")
    assert "read from the alliance of the whole series" in rows["repair_next_session"].note
    assert "late returns count as repair too" in rows["repair_next_session"].note


def test_states_of_sessions_by_hand() -> None:
    """A fall at session 4, back at 6; a client of three sessions cannot be judged."""
    data = pd.DataFrame(
        {
            "client": ["a"] * 8 + ["b"] * 3, "session": [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3], "therapist": "t",
            "alliance": [5.0, 5.1, 5, 2, 2.1, 5, 5.1, 5, 5, 2, 5], "symptoms": 1.0,
        }
    )  # fmt: skip
    panel = made_panel(data)
    named = data.rename(columns={"client": "person_id", "session": "session_number"}).assign(treatment_id="1")
    found = detect(read_series(named, score="alliance"), as_criteria(PRESET)[0])
    judged, rupture, repair = session_states(panel, found)
    assert judged.tolist() == [True] * 8 + [False] * 3
    assert np.flatnonzero(rupture).tolist() == [3, 4]
    assert np.flatnonzero(repair).tolist() == [5]
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    (row,) = repair_next_session(panel, found, question, primary=False)
    assert (row.estimand, row.definition, row.primary) == ("not testable", "drop", False)
    assert (
        "fewer than 5 sessions in rupture and fewer than 5 of repair are followed by a rated one; at least 20 of each" in row.note
    )


def test_a_report_is_repaired_in_its_own_session_and_nowhere_else() -> None:
    """Client a reports and resolves sessions 3 and 6, her last; b reports 2, resolved at 4, and 6, the last row of all."""
    data = pd.DataFrame(
        {
            "client": ["a"] * 6 + ["b"] * 6, "session": [*range(1, 7)] * 2, "therapist": "t", "alliance": 5.0, "symptoms": 1.0,
            "reported": [0.0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 1],
            "resolved": [np.nan, np.nan, 4, np.nan, np.nan, 4, np.nan, 1, np.nan, 4, np.nan, 4],
        }
    )  # fmt: skip
    rule = "attachment_outcomes.rupture.rules:reported_rupture"
    preset = {"report": {"rule": rule, "reads": ["reported", "resolved"], "settings": {"resolution": "resolved"}}}
    (criterion,) = as_criteria(preset)
    named = data.rename(columns={"client": "person_id", "session": "session_number"}).assign(treatment_id="1")
    found = detect(series_for(criterion, named, score=""), criterion)
    _, rupture, repair = session_states(made_panel(data), found)
    assert np.flatnonzero(repair).tolist() == [2, 5, 9, 11]  # not session 4 of a, and not session 1 of b
    assert np.flatnonzero(rupture).tolist() == [7, 8]


def test_a_late_return_counts_as_repair() -> None:
    """A fall at session 4 and a return at 9, five sessions later: the episode is unrepaired, the session one of return."""
    alliance = [5.0, 5.1, 5, 2, 2.1, 2, 2, 2, 5, 5.1, 5, 5, 5.1, 5, 5, 5]
    data = pd.DataFrame({"client": "a", "session": range(1, 17), "therapist": "t", "alliance": alliance, "symptoms": 1.0})
    named = data.rename(columns={"client": "person_id", "session": "session_number"}).assign(treatment_id="1")
    found = detect(read_series(named, score="alliance"), as_criteria({"drop": {**PRESET["drop"], "episode": {"window": 3}}})[0])
    assert found.episodes.outcome.tolist() == [1]
    _, rupture, repair = session_states(made_panel(data), found)
    assert np.flatnonzero(repair).tolist() == [8]
    assert np.flatnonzero(rupture).tolist() == [3, 4, 5, 6, 7]


def study_of(data: pd.DataFrame, **settings: object) -> RuptureData:
    named = data.rename(columns={"client": "person_id", "session": "session_number", "gap": "gap_weeks"}).assign(treatment_id="1")
    people = named.drop_duplicates("person_id")
    treatments = people[["person_id", "treatment_id"]].assign(therapist_id=people["therapist"])
    scores = pd.DataFrame(
        {
            "person_id": np.repeat(people["person_id"].to_numpy(), 2), "instrument": "ecr", "rater": "self", "wave": 0,
            "scale": np.tile(["anxiety", "avoidance"], len(people)), "session_number": pd.NA,
            "score": np.random.default_rng(1).normal(4, 1, 2 * len(people)),
        }
    )  # fmt: skip
    tables = {"sessions": named.astype({"alliance": float, "symptoms": float}), "treatments": treatments, "scores": scores}
    chosen = {"alliance": "alliance", "criteria": ["drop"], "symptoms": "symptoms", **settings}
    return RuptureData(tables, chosen, PRESET, {})


def test_a_study_gets_every_answer_once_and_its_tables(reference: Reference) -> None:
    attachment = {"anxiety": "ecr.anxiety", "avoidance": "ecr.avoidance"}
    data = study_of(reference.frame("data"), attachment=attachment, breaks={"weeks": 2})
    part, gaps = analyse(data), analyse_breaks(data)
    frame = estimates_frame([*part.estimates, *gaps.estimates])  # refuses doubles
    assert set(frame["analysis"]) == {"alliance_within", "session_breaks"}
    assert {"drop", "moderation by attachment", "moderation by breaks"} <= set(frame["definition"])
    bins = part.tables["alliance_within_bins"]
    assert bins.columns.tolist() == list(TABLES["alliance_within_bins"])
    assert bins.groupby("outcome")["bin"].agg(list).tolist() == [list(range(1, 11))] * 2
    assert bins.groupby("outcome")["n_pairs"].sum().tolist() == [reference["n_pairs"]] * 2
    assert gaps.tables["session_breaks"].columns.tolist() == list(BREAK_TABLES["session_breaks"])
    assert set(gaps.tables["session_breaks"]["outcome"]) == {"alliance", "symptoms"}
    counted = data.flow.frame().set_index("step").loc["alliance within clients: pairs of sessions"]
    assert counted["n_out"] == reference["n_pairs"]


@pytest.mark.parametrize(("baseline", "wave"), [("first", 1), (2, 2), ("last", 1)])
def test_a_score_before_treatment_is_of_the_baseline_wave_only(reference: Reference, baseline: object, wave: int) -> None:
    """Clients a and b are measured at waves 1 and 2, c at wave 2 only, d never: c has no score before treatment at wave 1."""
    data = study_of(reference.frame("data"), baseline=baseline)
    rows = [("a", 1, 1.0), ("a", 2, 2.0), ("b", 2, 4.0), ("b", 1, 3.0), ("c", 2, 5.0), ("d", 1, np.nan)]
    scores = pd.DataFrame(rows, columns=["person_id", "wave", "score"])
    data.tables["scores"] = scores.assign(instrument="ecr", scale="anxiety", rater="self", session_number=pd.NA)
    data.tables["treatments"] = pd.DataFrame({"person_id": list("abcda"), "treatment_id": list("11112")})
    expected = {1: {"a": 1.0, "b": 3.0}, 2: {"a": 2.0, "b": 4.0, "c": 5.0}}[wave]
    assert data.baseline_scores("ecr.anxiety").to_dict() == expected
    counted = data.flow.frame().set_index("step").loc["rupture: ecr.anxiety before treatment"]
    assert (counted["n_in"], counted["n_out"]) == (4, len(expected))


def test_a_client_of_two_treatments_is_one_cluster_of_the_mixed_model() -> None:
    """Thirty clients, fifteen of them in two treatments; no therapist is known."""
    rng = np.random.default_rng(8)
    rows = pd.DataFrame(
        [(f"c{i:02d}", str(k), t) for i in range(30) for k in range(1 + i % 2) for t in range(1, 9)],
        columns=["person_id", "treatment_id", "session_number"],
    )
    rows = rows.assign(alliance=rng.normal(5, 1, len(rows)), symptoms=rng.normal(10, 2, len(rows)))
    series = [read_series(rows, score=name) for name in ("alliance", "symptoms")]
    panel = panel_of(*series, rows, pd.Series([None] * 45, dtype="str"))
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    fit, _, _ = mixed_parts(usable(panel, question, 1, own=True), question)
    assert fit.n_clusters == 30


def test_what_is_not_named_is_said(reference: Reference) -> None:
    bare = study_of(reference.frame("data"), symptoms=None)
    with pytest.raises(StatisticsError, match="no session-by-session symptoms are named"):
        analyse(bare)
    reasons = {(r.outcome, r.definition): r.note for r in analyse_breaks(bare).estimates if r.estimand == "not testable"}
    assert "no scores of attachment anxiety and avoidance are named" in reasons["", "by attachment"]
    assert "no session-by-session symptoms" in reasons["symptoms", ""]
    with pytest.raises(StatisticsError, match="no weeks between sessions are known"):
        analyse_breaks(study_of(reference.frame("data").drop(columns="gap")))
    with pytest.raises(ConfigError, match="key breaks"):
        analyse_breaks(study_of(reference.frame("data"), breaks={"weeks": 0}))


def test_two_treatments_of_a_client_are_units_of_one_cluster() -> None:
    rows = pd.DataFrame(
        {
            "person_id": "a", "treatment_id": ["1", "1", "2", "2"], "session_number": [1, 2, 1, 2], "alliance": [4.0, 5, 3, 2],
            "symptoms": [1.0, 2, 3, 4], "gap_weeks": [np.nan, 1.0, np.nan, 4.0],
        }
    )  # fmt: skip
    series = [read_series(rows, score=name) for name in ("alliance", "symptoms")]
    panel = panel_of(*series, rows, pd.Series(["t", "u"]))
    found = pairs_of(panel, 1)
    assert list(zip(found.now, found.then, strict=True)) == [(0, 1), (2, 3)]
    assert (found.n_clients, found.unit.tolist(), found.cluster.tolist()) == (1, [0, 1], [0, 0])
    assert panel.units["therapist_id"].tolist() == ["t", "u"]


def test_ratings_without_a_treatment_and_without_a_calendar_still_pair() -> None:
    """Scores do not say which treatment they are of; with no row in the sessions table no break is known."""
    rows = pd.DataFrame({"person_id": "a", "session_number": [1, 2, 3], "alliance": [4.0, 5, 3], "symptoms": [1.0, np.nan, 3]})
    series = [read_series(rows, score=name) for name in ("alliance", "symptoms")]
    nothing = pd.DataFrame({name: pd.Series(dtype="str") for name in ("person_id", "treatment_id")})
    nothing = nothing.assign(session_number=pd.Series(dtype="int64"), gap_weeks=pd.Series(dtype="float64"))
    panel = panel_of(*series, nothing, pd.Series([None], dtype="str"))
    assert np.isnan(panel.gap).all()
    assert len(pairs_of(panel, 1).now) == 2
    assert panel.units["treatment_id"].tolist() == [""]
    alone = panel_of(series[0], None, nothing, pd.Series([None], dtype="str"))
    assert np.isnan(alone.symptoms).all()


def test_one_session_a_client_leaves_nothing_to_ask() -> None:
    data = pd.DataFrame({"client": [f"c{i}" for i in range(30)], "session": 1, "therapist": "t", "alliance": 4.0, "symptoms": 2.0})
    part = analyse(study_of(data))
    assert {r.estimand for r in part.estimates} == {"not testable"}
    assert part.tables["alliance_within_bins"].empty
    assert any("0 clients have two pairs" in r.note for r in part.estimates)


def test_slopes_that_differ_by_attachment_and_across_breaks_are_found_again() -> None:
    """Slope -0.3, 0.2 lower per SD of anxiety, as it is by avoidance, 0.4 lower across a break."""
    rng = np.random.default_rng(11)
    n, t = 250, 16
    z = rng.normal(size=(n, 2))
    z = (z - z.mean(axis=0)) / z.std(axis=0, ddof=1)
    level, alliance = rng.normal(size=n), rng.normal(size=(n, t))
    gap = np.where(rng.random((n, t)) < 0.15, 3.0, 1.0)
    symptoms = np.empty((n, t))
    symptoms[:, 0] = 10 + level
    for k in range(t - 1):
        slope = -0.3 - 0.2 * z[:, 0] - 0.4 * (gap[:, k + 1] > 1)
        symptoms[:, k + 1] = 6 + 0.4 * symptoms[:, k] + slope * alliance[:, k] + level + rng.normal(size=n)
    data = pd.DataFrame(
        {
            "client": np.repeat([f"c{i:03d}" for i in range(n)], t), "session": np.tile(np.arange(1, t + 1), n), "therapist": "t",
            "alliance": alliance.ravel(), "symptoms": symptoms.ravel(), "gap": gap.ravel(),
        }
    )  # fmt: skip
    panel = made_panel(data)
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    rows = [*moderated_by_attachment(panel, question, z), *moderated_by_break(panel, question, weeks=2)]
    found = {r.estimand: r for r in rows}
    share = float((gap[:, 1:] > 1).mean())
    truth = {
        "within_at_mean": -0.3 - 0.4 * share, "within_by_anxiety": -0.2, "within_by_avoidance": 0.0, "within_without_break": -0.3,
        "within_by_break": -0.4,
    }  # fmt: skip
    for name, value in truth.items():
        assert abs(found[name].estimate - value) < 3 * found[name].std_error < 0.3, name
