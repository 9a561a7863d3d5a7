"""The rupture step from canonical tables to results, and what it says where a study has nothing to give it."""

from __future__ import annotations

import importlib.util

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_coding_system, load_criteria, load_published
from attachment_outcomes.errors import ConfigError
from attachment_outcomes.files import read_table
from attachment_outcomes.flow import COLUMNS as FLOW_COLUMNS
from attachment_outcomes.inference.estimate import read_estimates, select
from attachment_outcomes.job import plain_job
from attachment_outcomes.rupture.inputs import outcome_scores
from attachment_outcomes.rupture.stage import READS, REPAIR, RUPTURE
from attachment_outcomes.study import contracts

OUTPUTS = {
    step: {k: list(v) for a in found for k, v in a.tables.items()} for step, found in (("rupture", RUPTURE), ("repair", REPAIR))
}
COLUMNS = {name: columns for tables in OUTPUTS.values() for name, columns in tables.items()}
INSTRUMENTS = {
    "wai_sr": {"scales": {"total": {"direction": "higher is better", "range": [1, 5]}}},
    "core10": {"scales": {"total": {"direction": "higher is worse", "range": [0, 40]}}},
}
SETTINGS = {
    "alliance": "wai_sr.total", "rater": "self", "criteria": ["control_chart", "within_person_drop"], "outcome": "core10.total",
    "baseline": "first", "end": "last",
}  # fmt: skip
N = 90  # clients, a third each: no dip, a dip that mends, a dip that stays


@pytest.fixture(scope="module")
def scripts(root):
    found = {}
    for step in OUTPUTS:
        spec = importlib.util.spec_from_file_location(f"{step}_script", root / "scripts" / f"{step}.py")
        found[step] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[step])
    return found


@pytest.fixture(scope="module")
def canonical():
    """Canonical tables with 90 clients whose dips are known."""
    rng = np.random.default_rng(11)
    clients = [f"c{i:02d}" for i in range(N)]
    kind = np.arange(N) % 3
    wai = 4 + 0.05 * np.tile([1, -1], (N, 7)) + rng.normal(0, 0.01, (N, 14))
    wai[kind == 1, 7] -= 2
    wai[kind == 2, 9:] -= 1.6
    post = 12 + np.select([kind == 1, kind == 2], [-3, 4], 0) + rng.normal(0, 2, N)
    pre = rng.normal(20, 3, N)
    common = {"about_person_id": None, "rater": "self", "n_items": 10, "n_answered": 10, "prorated": False, "scale": "total"}
    sessions = [
        {"person_id": c, "treatment_id": "t", "session_number": s + 1, "alliance": wai[i, s]}
        for i, c in enumerate(clients)
        for s in range(14)
    ]
    scores = [
        {
            "person_id": r["person_id"],
            "session_number": r["session_number"],
            "instrument": "wai_sr",
            "score": r["alliance"],
            **common,
        }
        for r in sessions
    ] + [
        {"person_id": c, "wave": wave, "instrument": "core10", "score": value[i], **common}
        for i, c in enumerate(clients)
        for wave, value in ((0, pre), (1, post))
    ]
    treatments = [{"person_id": c, "treatment_id": "t", "therapist_id": f"th{i % 15}"} for i, c in enumerate(clients)]
    return {"scores": pd.DataFrame(scores), "sessions": pd.DataFrame(sessions), "treatments": pd.DataFrame(treatments)}


@pytest.fixture
def run_scripts(scripts, canonical, tmp_path):
    """Run both steps and return their tables by name, the estimates and flows of both as one."""

    def run(settings, **replaced):
        paths = {}
        for name in READS:
            paths[name] = tmp_path / f"{name}.parquet"
            contracts.write({**canonical, **replaced}.get(name, contracts.empty(name)), name, paths[name])
        params = {
            "settings": settings,
            "criteria": load_criteria("rupture"),
            "instruments": INSTRUMENTS,
            "published": load_published("rupture")["results"],
            "coding": load_coding_system("3rs"),
            "ci_level": 0.95,
            "seed": 1,
        }
        found, both = {}, {"estimates": [], "flow": []}
        for step, script in scripts.items():
            output = {name: tmp_path / f"{step}_{name}.parquet" for name in (*OUTPUTS[step], "estimates", "flow")}
            script.main(plain_job(input=paths, output=output, params=params, rule=step))
            found |= {name: read_table(path) for name, path in output.items()}
            both["estimates"].append(read_estimates(str(output["estimates"])))
            both["flow"].append(found["flow"])
        return found | {name: pd.concat(parts, ignore_index=True) for name, parts in both.items()}

    return run


def test_known_dips_are_found_and_related_to_outcome(run_scripts):
    out = run_scripts(SETTINGS)
    for name, columns in COLUMNS.items():
        assert list(out[name].columns) == columns
    clients = out["rupture_clients"].query("primary")
    assert clients["group"].value_counts().to_dict() == {"none": 30, "repaired": 30, "unrepaired": 30}
    assert set(clients["criterion"]) == {"control_chart"}
    primary = out["episodes"].query("primary")
    assert set(primary["onset"]) == {8, 10}
    assert len(out["rupture_series"]) == N * 14
    assert out["rupture_outcomes"][["group", "therapist_id"]].notna().all().all()

    est = out["estimates"]
    assert set(est["study"]) == {"test"}
    share = select(est, estimand="share_with_rupture", definition="control_chart").iloc[0]
    assert (share["estimate"], share["n"], share["outcome"]) == (pytest.approx(2 / 3), 90, "wai_sr.total")
    noise = select(est, estimand="expected_on_noise", definition="control_chart").iloc[0]
    assert noise["ci_high"] < share["ci_low"]
    contrasts = select(est, analysis="rupture_outcome", primary=True).set_index("estimand")
    assert contrasts.loc["repaired_minus_none", "ci_high"] < 0
    assert contrasts.loc["unrepaired_minus_none", "ci_low"] > 0
    assert contrasts.loc["repair_minus_avoidance", "ci_low"] > 0
    assert set(contrasts["definition"]) == {"control_chart"}
    assert set(contrasts["n_clusters"]) == {15}
    assert list(out["flow"].columns) == FLOW_COLUMNS


def test_ratings_may_stand_in_the_sessions_table(run_scripts):
    by_score = run_scripts(SETTINGS)
    by_column = run_scripts({**SETTINGS, "alliance": "alliance"})
    pd.testing.assert_frame_equal(by_score["episodes"], by_column["episodes"])
    assert set(select(by_column["estimates"], estimand="share_with_rupture")["outcome"]) == {"alliance"}


def test_one_question_has_one_primary_answer(run_scripts):
    primary = run_scripts(SETTINGS)["estimates"].query("primary and estimand != 'not testable'")
    assert not primary.duplicated(["analysis", "estimand", "outcome", "group"]).any()


def test_results_repeat(run_scripts):
    pd.testing.assert_frame_equal(run_scripts(SETTINGS)["estimates"], run_scripts(SETTINGS)["estimates"])


@pytest.mark.parametrize("settings", [None, {**SETTINGS, "alliance": "srs.total"}])
def test_without_ratings_the_tables_are_empty_and_the_estimates_say_why(run_scripts, settings):
    out = run_scripts(settings)
    for name, columns in COLUMNS.items():
        assert out[name].empty
        assert list(out[name].columns) == columns
    assert sorted(out["estimates"]["analysis"]) == sorted(name for step in (RUPTURE, REPAIR) for a in step for name in a.names)
    assert (out["estimates"]["estimand"] == "not testable").all()
    silent = out["estimates"]["note"].str.startswith("no session-by-session alliance ratings")
    # Some ask first for what else they need, and these settings name none of it.
    others = {"observer_ratings", "alliance_within", "session_breaks"} if settings else set()
    assert set(out["estimates"]["analysis"][~silent]) <= others


def test_without_an_outcome_only_prevalence_is_told(run_scripts):
    out = run_scripts({k: v for k, v in SETTINGS.items() if k != "outcome"})
    row = select(out["estimates"], analysis="rupture_outcome").iloc[0]
    assert (row["estimand"], row["note"]) == ("not testable", "no outcome score is named (rupture, key outcome)")
    assert len(select(out["estimates"], estimand="share_with_rupture")) == 2


def test_an_outcome_nobody_has_twice_is_not_testable_under_any_criterion(run_scripts, canonical):
    scores = canonical["scores"].query("wave != 1")
    rows = select(run_scripts(SETTINGS, scores=scores)["estimates"], analysis="rupture_outcome")
    assert rows["definition"].tolist() == SETTINGS["criteria"]
    assert (rows["estimand"] == "not testable").all()
    assert rows["note"].str.contains("core10.total at start and end").all()


def test_short_treatments_are_not_assessable(run_scripts, canonical):
    few = canonical["sessions"].query("session_number <= 3")
    out = run_scripts({**SETTINGS, "alliance": "alliance"}, sessions=few)
    rows = select(out["estimates"], analysis="rupture_prevalence")
    assert rows["definition"].tolist() == SETTINGS["criteria"]
    assert rows["note"].str.contains("no client is assessable").all()
    assert out["rupture_clients"]["n_ruptures"].isna().all()


def test_a_client_with_two_treatments_counts_once_in_the_outcome(run_scripts, canonical):
    again = canonical["sessions"].query("person_id == 'c00' and session_number <= 8").assign(treatment_id="t2")
    treatments = pd.concat([canonical["treatments"], pd.DataFrame([{"person_id": "c00", "treatment_id": "t2"}])])
    settings = {**SETTINGS, "alliance": "alliance"}
    out = run_scripts(settings, sessions=pd.concat([canonical["sessions"], again]), treatments=treatments)
    assert len(out["rupture_clients"].query("primary and client == 'c00'")) == 2
    assert out["rupture_outcomes"].query("client == 'c00'")["n_sessions"].tolist() == [14]
    note = select(out["estimates"], estimand="share_with_rupture", primary=True).iloc[0]["note"]
    assert "91 treatments of 90 clients" in note


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alliance": "allience"}, "Did you mean 'alliance'"),
        ({"alliance": "core10.total"}, "higher where the alliance is worse"),
        ({"outcome": "gad7.total"}, "no direction"),
        ({"criteria": ["control_chrt"]}, "Did you mean 'control_chart'"),
    ],
)
def test_settings_that_name_nothing_are_refused(run_scripts, changed, message):
    with pytest.raises(ConfigError, match=message):
        run_scripts({**SETTINGS, **changed})


def test_occasions_of_the_outcome():
    common = {"instrument": "core10", "scale": "total", "rater": "self"}
    rows = [("a", 0, 20.0), ("a", 1, 15.0), ("a", 2, 10.0), ("b", 0, 18.0), ("c", 1, None), ("c", 2, 9.0)]
    scores = pd.DataFrame([{"person_id": p, "wave": w, "session_number": None, "score": s, **common} for p, w, s in rows])
    scores = scores.astype({"wave": "Int64", "session_number": "Int64", "score": "float64"})
    ends = outcome_scores(scores, outcome="core10.total")
    assert ends["pre"].to_dict() == {"a": 20, "b": 18, "c": 9}
    assert ends["post"].dropna().to_dict() == {"a": 10}
    ends = outcome_scores(scores, outcome="core10.total", baseline=0, end=1)
    assert ends.loc["a"].tolist() == [20, 15]
    by_session = scores.rename(columns={"wave": "session_number", "session_number": "wave"})
    assert outcome_scores(by_session, outcome="core10.total")["post"].dropna().to_dict() == {"a": 10}
