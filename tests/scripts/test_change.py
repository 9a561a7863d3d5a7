"""The steps of change from canonical tables to results, and what they say where a study has nothing to give them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.change import stage
from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import ConfigError
from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.flow import COLUMNS as FLOW_COLUMNS
from attachment_outcomes.inference.estimate import COLUMNS, read_estimates, select
from attachment_outcomes.job import plain_job
from attachment_outcomes.measures.styles import COLUMNS as STYLE_COLUMNS
from attachment_outcomes.measures.styles import Split, attachment_styles
from attachment_outcomes.study import contracts

N, THERAPISTS, WAVES = 120, 12, 4
SETTINGS = {
    "occasions": "wave", "baseline": "first", "end": "last", "security": "styles",
    "outcomes": [
        {
            "score": "core10.total", "rater": "self",
            "definitions": [
                {"name": "instrument cutoff", "method": "JT", "reliability": 0.9, "sd": "sample", "cutoff": "instrument"},
                {"name": "regression", "method": "GLN", "reliability": 0.9, "sd": "sample", "cutoff": "a"},
                {"name": "needs a control group", "method": "HLL", "reliability": 0.9, "cutoff": "none"},
            ],
        },
        {"score": "ecr_r.anxiety", "rater": "self", "definitions": [{"cutoff": "none"}]},
        {"score": "ecr_r.avoidance", "rater": "self", "definitions": [{"cutoff": "none"}]},
    ],
    # Few draws: what they are drawn for is tested elsewhere.
    "rules_compared": {"replicates": 199}, "minimal_change": {"replicates": 199}, "timing": {"replicates": 99},
    "missing": {"imputations": 2, "iterations": 20}, "specification": {"permutations": 99, "handlings": ["complete pairs"]},
}  # fmt: skip
ANALYSES = {"change": stage.CHANGE, "course": stage.COURSE, "robustness": stage.ROBUSTNESS}
CHANGE, COURSE = ("change",), ("course",)
TABLES = {step: {name: list(columns) for a in of for name, columns in a.tables.items()} for step, of in ANALYSES.items()}
EVERY_TABLE = {name: columns for of in TABLES.values() for name, columns in of.items()}


@pytest.fixture(scope="module")
def script(root: Path) -> dict[str, Any]:
    """The scripts of the three steps."""
    found = {}
    for step in ANALYSES:
        spec = importlib.util.spec_from_file_location(f"{step}_script", root / "scripts" / f"{step}.py")
        found[step] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[step])
    return found


@pytest.fixture(scope="module")
def canonical() -> dict[str, pd.DataFrame]:
    """120 clients of 12 therapists over four waves; 20 are seen once, 5 only later; a therapist filled in the ECR-R too."""
    rng = np.random.default_rng(20)
    clients = [f"c{i:03d}" for i in range(N)]
    start = {"anxiety": rng.normal(4.3, 1.0, N), "avoidance": rng.normal(4.2, 1.0, N), "total": rng.normal(20, 6, N)}
    change = {"anxiety": -0.25, "avoidance": -0.2, "total": -2.5}
    error = {"anxiety": 0.3, "avoidance": 0.3, "total": 2.0}
    rows, waves = [], []
    for i, client in enumerate(clients):
        seen = [0] if i < 20 else [1, 2, 3] if i < 25 else list(range(WAVES))
        for wave in seen:
            waves.append({"person_id": client, "wave": wave, "weeks": 13.0 * wave})
            for scale in ("anxiety", "avoidance", "total"):
                value = start[scale][i] + change[scale] * wave + rng.normal() * error[scale]
                rows.append((client, wave, "core10" if scale == "total" else "ecr_r", scale, max(value, 0.5)))
    rows += [("t00", 0, "ecr_r", "anxiety", 2.0), ("t00", 0, "ecr_r", "avoidance", 2.0)]
    scores = pd.DataFrame(rows, columns=["person_id", "wave", "instrument", "scale", "score"]).assign(rater="self")
    people = pd.DataFrame({"person_id": [*clients, "t00"], "role": ["client"] * N + ["therapist"]})
    treatments = pd.DataFrame(
        {"person_id": clients, "treatment_id": "1", "therapist_id": [f"t{i % THERAPISTS:02d}" for i in range(N)]}
    )
    both = scores[scores["instrument"] == "ecr_r"].pivot(index=["person_id", "wave"], columns="scale", values="score").reset_index()
    styles = both.assign(
        session_number=pd.array([pd.NA] * len(both), dtype="Int64"), rater="self", name="ecr_r midpoint", primary=True,
        style=attachment_styles(both["anxiety"], both["avoidance"], split=Split("midpoint", 4.0, 4.0)),
    )[STYLE_COLUMNS].astype({"style": "str", "wave": "Int64"})  # fmt: skip
    return {
        "scores": scores, "waves": pd.DataFrame(waves), "people": people, "treatments": treatments, "styles": styles,
        "classifications": pd.DataFrame({"person_id": []}),
    }  # fmt: skip


def run_script(script, tables: dict[str, pd.DataFrame], folder: Path, settings: dict | None, steps=tuple(ANALYSES)) -> dict:
    paths = {}
    for name in (*stage.READS, "styles"):
        paths[name] = str(folder / f"{name}.parquet")
        if name == "styles":
            write_table(tables[name], paths[name])
        else:
            table = stage.READS[name]
            contracts.write(contracts.typed(tables.get(name, pd.DataFrame({"person_id": []})), table), table, paths[name])
    instruments = {name: load_instrument(name) for name in ("core10", "ecr_r")}
    params = {"settings": settings, "instruments": instruments, "overrides": {}, "ci_level": 0.95, "bootstrap": 200, "seed": 1}
    found, estimates, flows = {}, [], []
    for step in steps:
        outputs = {name: str(folder / "out" / step / f"{name}.parquet") for name in [*TABLES[step], "estimates", "flow"]}
        script[step].main(plain_job(input=paths, output=outputs, params=params, study="toy", rule=step))
        found |= {name: read_table(outputs[name]) for name in TABLES[step]}
        estimates.append(read_estimates(outputs["estimates"]))
        flows.append(read_table(outputs["flow"]))
    return {**found, "estimates": pd.concat(estimates, ignore_index=True), "flow": pd.concat(flows).drop_duplicates()}


@pytest.fixture(scope="module")
def results(script, canonical, tmp_path_factory) -> dict[str, pd.DataFrame]:
    return run_script(script, canonical, tmp_path_factory.mktemp("change"), SETTINGS)


def one(results: dict[str, pd.DataFrame], **wanted: object) -> pd.Series:
    found = select(results["estimates"], **wanted)
    assert len(found) == 1, wanted
    return found.iloc[0]


def test_tables_have_their_columns(results) -> None:
    for name, columns in EVERY_TABLE.items():
        assert results[name].columns.tolist() == columns, name
    for name in ("people_change", "rule_agreement", "transitions", "growth", "improvement_curves", "missingness", "specifications"):
        assert len(results[name]), name
    assert results["estimates"].columns.tolist() == COLUMNS
    assert results["flow"].columns.tolist() == FLOW_COLUMNS
    assert (results["estimates"]["study"] == "toy").all()


def test_everybody_is_counted_and_the_therapist_is_not(results) -> None:
    people = results["people_change"].query("outcome == 'ecr_r.anxiety'")
    assert people["person_id"].nunique() == N
    assert people["category"].notna().sum() == N - 20
    flow = results["flow"].set_index("step")
    assert flow.loc["change, ecr_r.anxiety: the treated", ["n_in", "n_out"]].tolist() == [N + 1, N]
    assert flow.loc["change, ecr_r.anxiety: at baseline and end", ["n_in", "n_out"]].tolist() == [N, N - 20]


def test_shares_add_up_and_use_the_therapists(results) -> None:
    for definition in ("instrument cutoff", "regression"):
        shares = select(
            results["estimates"], analysis="reliable_change", estimand="share", outcome="core10.total", definition=definition
        )
        assert shares["group"].tolist() == ["deteriorated", "harmed", "improved", "recovered", "unchanged"]
        assert shares["estimate"].sum() == pytest.approx(1)
        crossed = one(
            results,
            analysis="reliable_change",
            estimand="crossed_without_reliable_change",
            outcome="core10.total",
            definition=definition,
            unit="proportion",
        )
        people = results["people_change"].query("outcome == 'core10.total' and definition == @definition")
        assert crossed["estimate"] == pytest.approx(people["crossed"].sum() / (N - 20))
        assert (crossed["n"], crossed["n_clusters"]) == (N - 20, THERAPISTS)
        assert people.loc[people["crossed"].fillna(False), "category"].eq("unchanged").all()
        assert (shares["n"] == N - 20).all()
        assert (shares["n_clusters"] == THERAPISTS).all()
    assert results["people_change"].query("outcome == 'core10.total'")["crossed"].any()
    uncut = select(
        results["estimates"], analysis="reliable_change", outcome="ecr_r.anxiety", estimand="crossed_without_reliable_change"
    )
    assert uncut.empty
    improved = one(
        results, analysis="reliable_change", estimand="reliably_improved", outcome="core10.total", definition="instrument cutoff"
    )
    parts = select(
        results["estimates"], analysis="reliable_change", estimand="share", outcome="core10.total", definition="instrument cutoff"
    ).set_index("group")
    assert improved["estimate"] == pytest.approx(parts.loc[["recovered", "improved"], "estimate"].sum())
    assert improved["primary"]


def test_every_claim_finds_exactly_one_primary_row(results) -> None:
    for outcome in ("ecr_r.anxiety", "ecr_r.avoidance", "core10.total"):
        assert one(results, analysis="growth", estimand="change_to_end", outcome=outcome)["direction"] == "lower is better"
        one(results, analysis="reliable_change", estimand="reliably_improved", outcome=outcome, primary=True)
        one(results, analysis="reliable_change", estimand="improved_expected_without_change", outcome=outcome, primary=True)
        one(results, analysis="reliable_change", estimand="mean_change", outcome=outcome)
        one(results, analysis="reliable_change", estimand="standardised_change", outcome=outcome)
    one(results, analysis="earned_security", estimand="earned_security", primary=True)


def test_growth_finds_the_change_put_in(results) -> None:
    """−2.5 a wave of 13 weeks, to week 39; −0.25 on anxiety."""
    for outcome, truth in (("core10.total", -7.5), ("ecr_r.anxiety", -0.75)):
        row = one(results, analysis="growth", estimand="change_to_end", outcome=outcome)
        assert abs(row["estimate"] - truth) < 4 * row["std_error"]
        assert "to 39" in row["note"]
        assert (row["definition"], row["n_clusters"]) == ("spline", THERAPISTS)


def test_what_cannot_be_answered_is_named(results) -> None:
    missing = select(results["estimates"], estimand="not testable", analysis="reliable_change")
    assert len(missing) == 1
    assert "core10.total, needs a control group" in missing["note"].iloc[0]
    assert "control_post_mean" in missing["note"].iloc[0]


def test_rows_say_which_numbers_were_not_checked(results) -> None:
    note = one(
        results, analysis="reliable_change", estimand="reliably_improved", outcome="core10.total", definition="instrument cutoff"
    )["note"]
    assert "reliability 0.9 (given, not checked)" in note
    assert "of this sample at baseline" in note


def test_earned_security_has_its_expectation(results) -> None:
    earned = one(results, analysis="earned_security", estimand="earned_security", primary=True)
    expected = one(results, analysis="earned_security", estimand="expected_without_change", primary=True)
    excess = one(results, analysis="earned_security", estimand="excess", primary=True)
    assert excess["estimate"] == pytest.approx(earned["estimate"] - expected["estimate"])
    assert 0 < expected["estimate"] < earned["estimate"]
    assert excess["n_clusters"] == THERAPISTS


def test_transitions_hold_everybody_with_two_classes(results) -> None:
    table = results["transitions"]
    assert len(table) == 16
    assert table["n"].sum() == one(results, analysis="transition", estimand="agreement")["n"]


def test_a_study_without_the_block_gets_empty_tables_and_reasons(script, canonical, tmp_path) -> None:
    results = run_script(script, canonical, tmp_path, None)
    for name, columns in EVERY_TABLE.items():
        assert results[name].columns.tolist() == columns
        assert results[name].empty
    assert set(results["estimates"]["analysis"]) == {name for of in ANALYSES.values() for a in of for name in a.names}
    assert (results["estimates"]["estimand"] == "not testable").all()


def test_empty_tables_have_the_types_of_full_ones(script, canonical, results, tmp_path) -> None:
    empty = run_script(script, canonical, tmp_path, None)
    for name in EVERY_TABLE:
        assert empty[name].dtypes.to_dict() == results[name].dtypes.to_dict()


def test_a_study_without_scores_is_not_testable_by_name(script, canonical, tmp_path) -> None:
    bare = {**canonical, **{name: canonical[name].head(0) for name in ("scores", "waves", "styles")}}
    results = run_script(script, bare, tmp_path, SETTINGS)
    found = results["estimates"]
    assert (found["estimand"] == "not testable").all()
    assert {"core10.total", "ecr_r.anxiety", "ecr_r.avoidance", ""} <= set(found["outcome"])
    assert any("no style classification" in n for n in found["note"])


def test_scores_about_several_people_are_named(script, canonical, tmp_path) -> None:
    twice = pd.concat([canonical["scores"].assign(about_person_id="a"), canonical["scores"].assign(about_person_id="b")])
    results = run_script(script, {**canonical, "scores": twice}, tmp_path, SETTINGS, (*CHANGE, *COURSE))
    missing = select(results["estimates"], analysis="reliable_change", outcome="core10.total")
    assert (missing["estimand"] == "not testable").all()
    assert "more than one value" in missing["note"].iloc[0]


def test_session_outcomes_use_session_numbers(script, canonical, tmp_path) -> None:
    scores = canonical["scores"].rename(columns={"wave": "session_number"})
    styles = canonical["styles"].head(0)
    settings = {**SETTINGS, "occasions": "session", "outcomes": SETTINGS["outcomes"][:1]}
    results = run_script(script, {**canonical, "scores": scores, "styles": styles}, tmp_path, settings, COURSE)
    row = one(results, analysis="growth", estimand="slope")
    assert row["unit"] == "score points per session"
    assert row["estimate"] == pytest.approx(-2.5, abs=4 * row["std_error"])


def test_named_occasions_are_used(script, canonical, tmp_path) -> None:
    settings = {**SETTINGS, "baseline": 1, "end": 2, "outcomes": SETTINGS["outcomes"][:1]}
    results = run_script(script, canonical, tmp_path, settings, (*CHANGE, *COURSE))
    assert one(results, analysis="reliable_change", estimand="mean_change")["n"] == N - 20
    assert "to 26" in one(results, analysis="growth", estimand="change_to_end")["note"]


def test_interviews_before_and_after_give_earned_security(script, canonical, tmp_path) -> None:
    """Ten clients with two interviews: 6 insecure at first, of whom 2 are autonomous later; one unresolved/autonomous is U."""
    before = ["F2", "F5", "F1", "U/F", "Ds1", "Ds3", "E2", "E1", "Ds2", "F4"]
    after = ["F2", "Ds1", "F1", "F3", "F4", "Ds3", "E2", "U/E", "Ds2", "F4"]
    interviews = pd.DataFrame(
        {
            "person_id": [f"c{i:03d}" for i in range(10)] * 2, "wave": [0] * 10 + [3] * 10, "system": "AAI", "coder": "1",
            "primary": before + after,
        }
    )  # fmt: skip
    settings = {**SETTINGS, "security": "AAI", "outcomes": SETTINGS["outcomes"][:1]}
    results = run_script(script, {**canonical, "classifications": interviews}, tmp_path, settings, CHANGE)
    row = one(results, analysis="earned_security", estimand="earned_security", primary=True)
    assert (row["outcome"], row["n"], row["estimate"]) == ("AAI", 6, pytest.approx(2 / 6))
    reason = select(results["estimates"], analysis="earned_security", estimand="not testable", outcome="AAI")["note"].iloc[0]
    assert "reliability of the coders" in reason
    assert results["transitions"].query("name == 'AAI'")["n"].sum() == 10
    assert not results["transitions"].query("name == 'ecr_r midpoint'")["primary"].any()


def test_two_definitions_of_one_name_are_refused(script, canonical, tmp_path) -> None:
    twice = {"score": "core10.total", "definitions": [{"name": "x", "reliability": 0.9}, {"name": "x", "reliability": 0.8}]}
    with pytest.raises(ConfigError, match="two definitions are called 'x'"):
        run_script(script, canonical, tmp_path, {**SETTINGS, "outcomes": [twice]}, CHANGE)


def test_an_outcome_without_reliability_is_named(script, canonical, tmp_path, monkeypatch) -> None:
    instrument = load_instrument("core10")
    scale = {**instrument["scales"]["total"], "reliability": []}
    monkeypatch.setitem(instrument["scales"], "total", scale)
    settings = {**SETTINGS, "outcomes": [{"score": "core10.total", "definitions": [{}]}]}
    results = run_script(script, canonical, tmp_path, settings, CHANGE)
    missing = select(results["estimates"], analysis="reliable_change", estimand="not testable").iloc[0]
    assert "core10.total" in missing["note"]
    assert "no reliability" in missing["note"]
    one(results, analysis="reliable_change", estimand="mean_change", outcome="core10.total")


def test_growth_that_is_not_asked_for_is_named_and_not_fitted(script, canonical, tmp_path) -> None:
    found = run_script(script, canonical, tmp_path, {**SETTINGS, "growth": False}, COURSE)
    assert found["growth"].empty
    rows = select(found["estimates"], analysis="growth")
    assert set(rows["estimand"]) == {"not testable"}
    assert rows["note"].str.contains("asks for no growth").all()


def test_norms_by_stratum_give_each_person_the_cutoff_of_their_own(script, canonical, tmp_path) -> None:
    gender = ["woman", "man"] * (N // 2)
    people = canonical["people"].assign(gender=[*gender, None])
    people.loc[24, "gender"] = None
    norms = [{"mean": 5.0, "sd": 3.0, "strata": {"gender": "woman"}}, {"mean": 7.0, "sd": 3.0, "strata": {"gender": "man"}}]
    entry = {"name": "by gender", "reliability": 0.9, "cutoff": "b", "functional_by": norms}
    settings = {**SETTINGS, "outcomes": [{"score": "core10.total", "definitions": [entry]}]}
    results = run_script(script, {**canonical, "people": people}, tmp_path, settings, CHANGE)
    cutoff = select(results["estimates"], analysis="reliable_change", estimand="cutoff_b").set_index("group")["estimate"]
    assert cutoff.to_dict() == {"gender woman": 11.0, "gender man": 13.0}
    line = results["flow"].set_index("step").loc["change, core10.total, by gender: norm of the own stratum"]
    assert line["n_in"] - line["n_out"] == 1
    found = results["people_change"].merge(people, on="person_id")
    at = found["gender"].map({"woman": 11.0, "man": 13.0})
    recovered = (found["pre"] > at) & (found["post"] < at) & (found["statistic"] < -1.959964)
    assert (found["category"] == "recovered").sum() == recovered.sum() > 0
    assert found.loc[found["gender"].isna(), "category"].isna().all()
