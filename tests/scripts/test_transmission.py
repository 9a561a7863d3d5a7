"""The transmission step, run as the workflow runs it."""

from __future__ import annotations

import runpy

import pandas as pd
import pytest

from attachment_outcomes.config import validated
from attachment_outcomes.files import write_table
from attachment_outcomes.inference.estimate import NOT_TESTABLE, read_estimates
from attachment_outcomes.job import plain_job
from attachment_outcomes.measures.codes import WAYS
from attachment_outcomes.measures.styles import no_styles
from attachment_outcomes.study.contracts import TABLES, empty, typed, write
from attachment_outcomes.transmission.data import READS
from attachment_outcomes.transmission.stage import SAMPLES, TRANSMISSION

STUDY = {"name": "x", "title": "A study", "source": {"citation": "c", "licence": "l"}, "folder": "x"}
STEPS = {"transmission": TRANSMISSION, "samples": SAMPLES}


def settings(block):
    source = {"file": "f.csv", "tables": [{"table": "people", "columns": {"person_id": "id"}}]}
    return validated({**STUDY, "sources": [source], "transmission": block}, "study", "x.yaml")["transmission"]


@pytest.fixture
def step(root, tmp_path):
    mains = {name: runpy.run_path(str(root / "scripts" / f"{name}.py"), init_globals={"snakemake": None})["main"] for name in STEPS}

    def run(name, tables, block):
        inputs = {}
        for table in READS:
            inputs[table] = str(tmp_path / f"{table}.parquet")
            if table in TABLES:
                write(tables.get(table, empty(table)), table, inputs[table])
            else:
                write_table(tables.get(table, no_styles()), inputs[table])
        names = [*(t for analysis in STEPS[name] for t in analysis.tables), "estimates", "flow"]
        outputs = {out: str(tmp_path / name / f"{out}.parquet") for out in names}
        params = {"settings": block, "instruments": {}, "published": [], "ci_level": 0.95, "bootstrap": 200, "seed": 1}
        mains[name](plain_job(input=inputs, output=outputs, params=params, study="x", rule=name))
        return {**{n: pd.read_parquet(p) for n, p in outputs.items()}, "estimates": read_estimates(outputs["estimates"])}

    return run


@pytest.mark.parametrize("name", STEPS)
def test_without_settings_everything_is_not_testable(step, name):
    out = step(name, {}, None)
    assert set(out["estimates"]["analysis"]) == {n for analysis in STEPS[name] for n in analysis.names}
    assert set(out["estimates"]["estimand"]) == {NOT_TESTABLE}
    for analysis in STEPS[name]:
        for table, columns in analysis.tables.items():
            assert list(out[table].columns) == list(columns)
            assert out[table].empty
    assert out["flow"].empty


def test_a_whole_study(step):
    n = 12
    relations = pd.DataFrame({"person_a": [f"p{i}" for i in range(n)], "person_b": [f"c{i}" for i in range(n)]})
    codes = pd.DataFrame(
        {"person_id": [f"{w}{i}" for w in "pc" for i in range(n)], "primary": ["F", "F", "Ds"] * 4 + ["B", "A", "A"] * 4}
    )
    scores = pd.DataFrame({"person_id": codes["person_id"], "score": [*range(n), *(i**2 for i in range(n))]})
    cells = [("IS", "IS", 9), ("IS", "S", 4), ("S", "IS", 3), ("S", "S", 20)]
    samples = pd.DataFrame(
        [(s, *c) for s in ("a", "b", "c") for c in cells], columns=["sample_id", "row_class", "col_class", "value"]
    )
    tables = {
        "relations": typed(relations.assign(kind="parent_child", label="mother-child"), "relations"),
        "classifications": typed(codes.assign(system=["AAI"] * n + ["SSP"] * n, wave=0), "classifications"),
        "scores": typed(scores.assign(instrument="i", scale="s", wave=0, rater="self"), "scores"),
        "samples": typed(samples.assign(system="two", measure="count", standing="stored"), "samples"),
    }
    block = settings(
        {
            "continuous": [{"label": "mother-child", "parent": {"score": "i.s"}, "child": {"score": "i.s"}}],
            "samples": {"systems": {"two": ["IS", "S"], "other": ["A", "B"]}, "meaning": "transmission", "pool": "two"},
        }
    )
    out = step("transmission", tables, block)
    estimates = out["estimates"]
    assert set(estimates["study"]) == {"x"}
    main = estimates[(estimates["analysis"] == "concordance") & estimates["primary"]].set_index("estimand")["estimate"]
    assert main["agreement"] == pytest.approx(8 / 12)
    assert estimates.loc[estimates["analysis"] == "transmission_correlation", "n"].tolist() == [12]
    assert out["concordance"].groupby("way")["n"].sum().tolist() == [12] * len(block["ways"])
    assert len(out["transmission_pairs"]) == 12
    assert (out["flow"]["n_out"] <= out["flow"]["n_in"]).all()
    told = estimates[estimates["estimand"] != NOT_TESTABLE]
    assert (told["unit"] != "").all()
    assert (told["method"] != "").all()
    assert told["n"].notna().all()

    pooled = step("samples", tables, block)
    estimates = pooled["estimates"]
    # Six measures with two intervals, prediction interval, I2 and tau2 each; three of them also by the mixed model of counts.
    assert (estimates["analysis"] == "pooled_samples").sum() == 6 * 5 + 3
    assert estimates.loc[
        (estimates["estimand"] == NOT_TESTABLE) & (estimates["analysis"] == "pooled_table"), "outcome"
    ].tolist() == ["other"]
    assert pooled["sample_statistics"]["own"].tolist() == [False, False, False, True]
    assert pooled["sample_effects"].groupby("measure")["weight"].sum().tolist() == pytest.approx([1] * 6)


def test_the_settings_defaults_are_those_of_the_schema():
    assert settings({})["ways"] == WAYS
    assert "samples" in TABLES
