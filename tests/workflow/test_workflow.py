"""The workflow as a whole: what it makes, that it repeats, and what an edit runs again."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

from attachment_outcomes.plan import make_plan

pytestmark = pytest.mark.slow


def jobs(text: str) -> set[str]:
    """Return the rules that a dry run would run."""
    return set(re.findall(r"^(?:local)?rule (\w+):", text, flags=re.MULTILINE))


def test_snakemake_has_nothing_to_complain_of(fresh_copy):
    assert "Congratulations, your workflow is in a good condition!" in fresh_copy.run("--lint")


def test_the_shim_for_the_workflow_catalog_finds_the_same_target(fresh_copy):
    said = fresh_copy.run("--snakefile", "workflow/Snakefile", "--dry-run", "--cores", "1")
    assert {"all", "ingest", "change", "claims", "manifest"} <= jobs(said)


def test_the_example_makes_every_result_that_others_build_on(example_run):
    results = example_run.folder / "results" / "example"
    columns = {
        "estimates.csv": ["study", "analysis", "estimand", "outcome", "group", "definition", "primary", "estimate", "std_error"],
        "claims.csv": ["claim", "verdict", "estimate", "ci_low", "ci_high", "rule", "missing", "note"],
        "flow.csv": ["step", "n_in", "n_out", "reason"],
        "people_change.csv": ["person_id", "outcome", "definition", "method"],
        "episodes.csv": ["client"],
        "concordance.csv": ["system", "way", "parent_class", "child_class", "n"],
    }
    for name, first in columns.items():
        table = pd.read_csv(results / name)
        assert table.columns[: len(first)].tolist() == first, name
        assert len(table) > 0, name
    figures = make_plan().figures("example")
    assert len(figures) >= 8
    for figure in figures:
        for kind in ("svg", "png", "pdf", "csv"):
            assert (results / "figures" / f"{figure}.{kind}").stat().st_size > 0
    manifest = json.loads((results / "manifest.json").read_text(encoding="utf-8"))
    assert {"study", "inputs", "outputs", "lock", "settings", "software"} <= set(manifest)
    assert str(example_run.folder) not in json.dumps(manifest)


def test_every_claim_has_one_of_the_four_verdicts_and_says_what_is_missing(example_run):
    claims = pd.read_csv(example_run.folder / "results" / "example" / "claims.csv").fillna({"missing": ""})
    assert len(claims) == 24
    assert set(claims["verdict"]) <= {"supported", "contradicted", "inconclusive", "not testable"}
    assert ((claims["verdict"] == "not testable") == (claims["missing"] != "")).all()


def test_the_report_is_made_with_live_values(example_run):
    example_run.run("--report", "results/example/report.html", "--cores", "1")
    report = (example_run.folder / "results" / "example" / "report.html").read_text(encoding="utf-8")
    assert "Jacobson" in report


def test_a_second_run_has_nothing_to_do(example_run):
    assert "Nothing to be done" in example_run.run("--cores", "2")


def test_a_comment_or_docstring_runs_nothing_again_and_a_function_only_its_users(example_run):
    script = example_run.folder / "scripts" / "audit.py"
    module = example_run.folder / "src" / "attachment_outcomes" / "audit" / "funnel.py"
    before = script.read_text(encoding="utf-8"), module.read_text(encoding="utf-8")
    config = example_run.folder / "config" / "studies" / "example.yaml"
    study = config.read_text(encoding="utf-8")
    try:
        script.write_text(before[0] + "# a comment\n", encoding="utf-8")
        module.write_text(before[1] + "# a comment\n", encoding="utf-8")
        config.write_text(study + "# a comment\n", encoding="utf-8")
        assert "Nothing to be done" in example_run.run("--dry-run", "--cores", "1")
        edited = re.sub(r"(\n    return )", r"\n    unused = 1\1", before[1], count=1)
        assert edited != before[1]
        module.write_text(edited, encoding="utf-8")
        again = jobs(example_run.run("--dry-run", "--cores", "1"))
        assert "audit" in again
        assert not {"ingest", "measure", "change", "rupture", "transmission", "dyads"} & again
    finally:
        script.write_text(before[0], encoding="utf-8")
        module.write_text(before[1], encoding="utf-8")
        config.write_text(study, encoding="utf-8")


def test_one_core_in_another_folder_gives_the_same_bytes(example_run, fresh_copy):
    fresh_copy.run("--cores", "1")
    assert fresh_copy.hashes("example") == example_run.hashes("example")


def test_a_bad_file_stops_the_run_with_one_message_and_no_finished_looking_output(fresh_copy):
    raw = next((fresh_copy.folder / "data" / "example").glob("*.csv"))
    raw.write_text(raw.read_text(encoding="utf-8").replace(",", ";", 3), encoding="utf-8")
    done = fresh_copy.snakemake("--cores", "1")
    assert done.returncode != 0
    log = (fresh_copy.folder / "logs" / "example" / "ingest.log").read_text(encoding="utf-8")
    assert [line for line in log.splitlines() if line.startswith("ERROR")]
    assert raw.name in log
    assert "Traceback" not in log
    assert not list((fresh_copy.folder / "results").rglob("*.csv"))
