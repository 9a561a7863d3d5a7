"""The transmission step, run as the workflow runs it."""

from __future__ import annotations

import runpy

import pandas as pd
import pytest

from attachment_outcomes.config import validated
from attachment_outcomes.inference.estimate import NOT_TESTABLE, read_estimates
from attachment_outcomes.job import plain_job
from attachment_outcomes.study.contracts import TABLES, empty, typed, write

OUTPUTS = ("concordance", "residuals", "samples", "pairs", "estimates", "flow")
STUDY = {"name": "x", "title": "A study", "source": {"citation": "c", "licence": "l"}, "folder": "x"}


def settings(block):
    source = {"file": "f.csv", "tables": [{"table": "people", "columns": {"person_id": "id"}}]}
    return validated({**STUDY, "sources": [source], "transmission": block}, "study", "x.yaml")["transmission"]


@pytest.fixture
def step(root, tmp_path):
    main = runpy.run_path(str(root / "scripts" / "transmission.py"), init_globals={"snakemake": None})["main"]

    def run(tables, block):
        inputs = {}
        for name in ("relations", "classifications", "scores", "samples"):
            inputs[name] = str(tmp_path / f"{name}.parquet")
            write(tables.get(name, empty(name)), name, inputs[name])
        outputs = {name: str(tmp_path / "out" / f"{name}.parquet") for name in OUTPUTS}
        main(
            plain_job(
                input=inputs,
                output=outputs,
                params={"settings": block, "ci_level": 0.95, "seed": 1},
                study="x",
                rule="transmission",
            )
        )
        return {**{n: pd.read_parquet(p) for n, p in outputs.items()}, "estimates": read_estimates(outputs["estimates"])}

    return run


def test_without_settings_everything_is_not_testable(step):
    out = step({}, None)
    assert set(out["estimates"]["analysis"]) == {"concordance", "transmission_correlation", "pooled_samples"}
    assert set(out["estimates"]["estimand"]) == {NOT_TESTABLE}
    assert list(out["concordance"].columns) == ["system", "way", "parent_class", "child_class", "n"]
    assert list(out["residuals"].columns)[-2:] == ["expected", "residual"]
    assert out["samples"].columns[0] == "sample_id"
    assert all(out[name].empty for name in ("concordance", "residuals", "samples", "pairs", "flow"))


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
    out = step(tables, block)
    estimates = out["estimates"]
    assert set(estimates["study"]) == {"x"}
    main = estimates[(estimates["analysis"] == "concordance") & estimates["primary"]].set_index("estimand")["estimate"]
    assert main["agreement"] == pytest.approx(8 / 12)
    assert (estimates["analysis"] == "pooled_samples").sum() == 12
    assert estimates.loc[estimates["analysis"] == "transmission_correlation", "n"].tolist() == [12]
    assert estimates.loc[estimates["estimand"] == NOT_TESTABLE, "outcome"].tolist() == ["other"]
    assert out["concordance"].groupby("way")["n"].sum().tolist() == [12] * 4
    assert len(out["pairs"]) == 12
    assert len(out["samples"]) == 3
    assert (out["flow"]["n_out"] <= out["flow"]["n_in"]).all()
    told = estimates[estimates["estimand"] != NOT_TESTABLE]
    assert (told["unit"] != "").all()
    assert (told["method"] != "").all()
    assert told["n"].notna().all()


def test_the_settings_defaults_are_those_of_the_schema():
    assert settings({})["ways"] == ["4-way", "3-way", "2-way, unresolved insecure", "2-way, forced"]
    assert "samples" in TABLES
