"""What a study's tables give for repair and outcome: rows, reasons, and tables, from a small made-up study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_published
from attachment_outcomes.errors import ConfigError
from attachment_outcomes.inference.estimate import estimates_frame
from attachment_outcomes.inference.steps import typed_table
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.effects import landmark, literature, study, timing

DROP = "attachment_outcomes.rupture.rules:within_person_drop"
PRESETS = {
    "drop": {"rule": DROP, "settings": {"k": 1.0}, "episode": {"window": 3, "min_sessions": 4}},
    "steep": {"rule": DROP, "settings": {"k": 30.0}, "episode": {"min_sessions": 4}},
}
INSTRUMENTS = {"core10": {"scales": {"total": {"direction": "higher is worse"}}}}
COURSES = ([5, 5, 5, 5, 5, 5, 5, 5, 5], [5, 5, 3, 5, 5, 5, 5, 5, 5], [5, 5, 3, 3, 3, 3, 3, 3, 3])
POINTS = (10.0, 8.0, 13.0)
SETTINGS = {"alliance": "alliance", "criteria": ["drop", "steep"], "outcome": "core10.total", "landmarks": [4, 7]}


def study_data(n=90, *, settings=None, seed=1, short=0, reasons=("completed", "dropped out")):
    """Clients 0, 3, … have no rupture, 1, 4, … a repaired one, 2, 5, … an unrepaired one; ``short`` leave after session 5."""
    rng = np.random.default_rng(seed)
    people = [f"p{i:03d}" for i in range(n)]
    sessions = [
        (p, "1", t + 1, float(x)) for i, p in enumerate(people) for t, x in enumerate(COURSES[i % 3][: 5 if i < short else 9])
    ]
    pre = rng.normal(20, 5, n)
    post = [POINTS[i % 3] + 0.5 * (pre[i] - 20) + rng.normal(0, 2) for i in range(n)]
    scores = [(p, w, x) for p, ends in zip(people, zip(pre, post, strict=True), strict=True) for w, x in enumerate(ends)]
    tables = {
        "sessions": pd.DataFrame(sessions, columns=["person_id", "treatment_id", "session_number", "alliance"]).astype(
            {"session_number": "Int64"}
        ),
        "scores": pd.DataFrame(scores, columns=["person_id", "wave", "score"]).assign(
            instrument="core10", scale="total", rater="self", session_number=pd.array([pd.NA] * len(scores), dtype="Int64")
        ),
        "treatments": pd.DataFrame(
            {
                "person_id": people,
                "treatment_id": "1",
                "therapist_id": [f"t{(i // 3) % 10}" for i in range(n)],
                "end_reason": [reasons[i % len(reasons)] for i in range(n)],
            }
        ),
    }
    block = {**SETTINGS, **(settings or {})}
    return RuptureData(tables, block, PRESETS, INSTRUMENTS, published=load_published("rupture")["results"])


def rows_of(part, **wanted):
    return [r for r in part.estimates if all(getattr(r, k) == v for k, v in wanted.items())]


def test_the_outcome_step_gives_contrasts_means_e_values_and_other_adjustments():
    part = study.analyse(study_data())
    primary = {r.estimand: r for r in rows_of(part, primary=True, group="")}
    assert primary["repaired_minus_unrepaired"].estimate == pytest.approx(-5, abs=1.5)
    assert primary["repair_minus_avoidance"].direction == "higher is better"
    assert {r.group for r in rows_of(part, estimand="standardised_mean", definition="drop")} == {"none", "repaired", "unrepaired"}
    other = {r.group for r in rows_of(part, estimand="repaired_minus_none", definition="drop", primary=False)}
    # Everybody has nine sessions and starts at 5: these covariates do not vary, so their sets are as the others.
    assert other == {
        "adjusted for nothing", "adjusted for pre", "adjusted for pre, n_sessions, first_alliance",
        "adjusted for pre, n_sessions, therapist",
    }  # fmt: skip
    (within,) = rows_of(part, estimand="repaired_minus_unrepaired", group="adjusted for pre, n_sessions, therapist")
    assert "clients compared with others of their own therapist" in within.note
    e_values = {r.group: r.estimate for r in rows_of(part, estimand="e_value", definition="drop")}
    assert e_values["repaired_minus_unrepaired"] > e_values["repaired_minus_none"] > 1
    assert part.tables["rupture_outcomes"]["group"].value_counts().to_dict() == {"none": 30, "repaired": 30, "unrepaired": 30}
    # Falls of 30 SDs there are none: the other criterion has one group only, and says so.
    (row,) = rows_of(part, definition="steep")
    assert row.estimand == "not testable"
    assert "none 90, repaired 0, unrepaired 0" in row.note
    assert len(estimates_frame(part.estimates)) == len(part.estimates)  # no two rows answer one question


def test_the_settings_name_the_covariates_and_a_wrong_one_is_refused():
    part = study.analyse(study_data(settings={"adjust": ["pre"]}))
    assert all("adjusted for pre;" in r.note for r in rows_of(part, primary=True, group="", estimand="repaired_minus_none"))
    with pytest.raises(ConfigError, match=r"no covariate 'pree'; allowed: pre, n_sessions, first_alliance. Did you mean 'pre'\?"):
        study.analyse(study_data(settings={"adjust": ["pree"]}))


def test_the_timing_step_sets_landmarks_beside_whole_treatments_and_follows_who_leaves():
    data = study_data(120, short=30)
    part = timing.analyse(data)
    found = {(r.group, r.estimand): r for r in rows_of(part, definition="drop")}
    assert found["landmark session 7", "repaired_minus_unrepaired"].estimate == pytest.approx(-5, abs=1.5)
    assert found["landmark session 7", "repaired_minus_unrepaired"].n == 90  # thirty had left after session 5
    assert "30 had left before" in found["landmark session 7", "repaired_minus_none"].note
    assert found["whole treatment", "repaired_minus_none"].n == 110  # ten left with a rupture still open
    # At session 4 every rupture that is not mended is still open (onset 3, window 3).
    assert ("landmark session 4", "unrepaired_minus_none") not in found
    assert "40 in a rupture still open" in found["landmark session 4", "repaired_minus_none"].note
    counts = part.tables["rupture_states"]
    # Four sessions together: 4; 5 with all, 6 to 8 without those who left; 9.
    assert counts.groupby("session_number")["n"].sum().to_dict() == {1: 120, 5: 120 + 3 * 90, 9: 90}
    assert (counts["n_clients"] <= counts["n"]).all()
    typed_table(counts, timing.TABLES["rupture_states"])
    flow = data.flow.frame().set_index("step")
    assert flow.loc["rupture: end of treatment known", ["n_in", "n_out"]].tolist() == [120, 120]


def test_a_landmark_adjusts_for_the_first_rating_of_the_treatment_compared(monkeypatch):
    """Everybody has an earlier, shorter treatment "0" too, that began at 1; the group is of treatment "1", that began at 5."""
    data = study_data(settings={"adjust": ["pre", "first_alliance"], "landmarks": [7]})
    sessions, treatments = data.tables["sessions"], data.tables["treatments"]
    earlier = sessions[sessions["session_number"] <= 5].assign(treatment_id="0", alliance=lambda d: d["alliance"] - 4)
    data.tables["sessions"] = pd.concat([sessions, earlier], ignore_index=True)
    data.tables["treatments"] = pd.concat([treatments, treatments.assign(treatment_id="0")], ignore_index=True)
    seen = []

    def spy(at, ends, **settings):
        one = at.clients.sort_values("n_sessions", ascending=False, kind="stable").drop_duplicates("client")
        seen.extend(one.merge(ends, how="left", left_on="client", right_index=True)["first_alliance"])
        return landmark.landmark_contrasts(at, ends, **settings)

    monkeypatch.setattr(timing, "landmark_contrasts", spy)
    rows = rows_of(timing.analyse(data), definition="drop", group="landmark session 7")
    assert rows[0].n == 90
    assert set(seen) == {5.0}


def test_nobody_left_or_nobody_says_how_it_ended_is_not_testable():
    for reasons, known in ((("completed",), 90), ((None,), 0)):
        data = study_data(reasons=reasons)
        (row,) = rows_of(timing.analyse(data), group="leaving")
        assert row.estimand == "not testable"
        assert "no treatment is known to have ended early" in row.note
        assert data.flow.frame().set_index("step").loc["rupture: end of treatment known", "n_out"] == known


def test_an_end_score_before_the_landmark_is_not_an_outcome_of_it():
    """The outcome of sessions: each client's last is at session 6, so that landmark 7 has none and landmark 4 has all."""
    data = study_data()
    scores = data.tables["scores"]
    scores["session_number"] = scores["wave"].map({0: 1, 1: 6}).astype("Int64")
    scores["wave"] = pd.array([pd.NA] * len(scores), dtype="Int64")
    part = timing.analyse(data)
    (late,) = rows_of(part, definition="drop", group="landmark session 7")
    assert late.estimand == "not testable"
    assert "none 0, repaired 0, unrepaired 0" in late.note
    assert rows_of(part, definition="drop", group="landmark session 4")[0].n == 60


def test_the_literature_step_sets_its_own_beside_the_published():
    data = study_data()
    rng = np.random.default_rng(3)
    sessions = data.tables["sessions"]
    post = data.tables["scores"].query("wave == 1").set_index("person_id")["score"]
    rated = sessions["session_number"].isin([4, 5])
    noise = rng.normal(0, 2, len(sessions))
    sessions["rupture_resolution"] = np.where(rated, 20 - sessions["person_id"].map(post) + noise, np.nan)
    part = literature.analyse(data)
    by = {(r.definition, r.group): r for r in part.estimates if r.estimand == "r"}
    # Repaired 8, unrepaired 13 points at the end, SD within about 3: fewer points are better, so the sign is positive.
    assert by["drop", "share of ruptures repaired"].estimate > 0.5
    assert by["drop", "share of ruptures repaired"].n == 60
    d = 5 / 3.2
    assert by["drop", "repaired against unrepaired"].estimate == pytest.approx(d / np.sqrt(d**2 + 4), abs=0.12)
    assert by["client", "rated resolution"].estimate > 0.3
    assert by["drop", "share of ruptures repaired"].primary
    assert all(r.unit == "r" and "association, not effect" in r.note for r in by.values())
    refused = {(r.definition, r.group) for r in part.estimates if r.estimand == "not testable"}
    assert refused == {("steep", "share of ruptures repaired"), ("steep", "repaired against unrepaired")}
    table = typed_table(part.tables["repair_literature"], literature.TABLES["repair_literature"])
    published = table[table["source"] == "published"].set_index("key")
    assert published.loc["eubanks2018_resolution", ["r", "ci_low", "ci_high", "k", "n"]].tolist() == [0.29, 0.10, 0.47, 11, 1314]
    assert published["verified"].all()
    assert set(published["standing"]) == {"read"}
    assert len(estimates_frame(part.estimates)) == len(part.estimates)


def test_without_an_end_score_every_step_says_why():
    data = study_data()
    data.tables["scores"]["score"] = data.tables["scores"]["score"].where(data.tables["scores"]["wave"] == 0)
    for module in (study, literature, timing):
        part = module.analyse(data)
        answered = [r for r in part.estimates if r.estimand != "not testable" and r.outcome == "core10.total"]
        assert answered == []
        assert all(r.note for r in part.estimates)


def test_without_an_outcome_who_leaves_is_told_all_the_same():
    data = study_data(240, reasons=("completed", "dropped out", "dropped out"), short=120, settings={"outcome": None})
    part = timing.analyse(data)
    first, *rest = part.estimates
    assert (first.estimand, first.note) == ("not testable", "no outcome score is named (rupture, key outcome)")
    assert {r.outcome for r in rest} == {"ending early"}
    assert len(part.tables["rupture_states"])
