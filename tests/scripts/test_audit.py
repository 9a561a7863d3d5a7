"""The script of the audit: reads its inputs, writes its four tables with fixed columns."""

from __future__ import annotations

import runpy
from pathlib import Path

import pandas as pd

from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.flow import COLUMNS as FLOW_COLUMNS
from attachment_outcomes.inference.estimate import read_estimates
from attachment_outcomes.job import plain_job
from attachment_outcomes.study.contracts import empty, write

CHANGE = ["person_id", "outcome", "definition", "method", "primary", "pre", "post", "category", "clinical_at_baseline", "crossed"]


def test_a_study_without_an_audit_writes_empty_tables_and_says_so(root: Path, tmp_path: Path) -> None:
    main = runpy.run_path(str(root / "scripts" / "audit.py"), run_name="audit")["main"]
    given = {name: tmp_path / f"{name}.parquet" for name in ("treatments", "scores", "people", "samples", "waves", "people_change")}
    for name in ("treatments", "scores", "people", "samples"):
        write(empty(name), name, given[name])
    write_table(pd.DataFrame(columns=CHANGE), given["people_change"])
    made = {name: tmp_path / "out" / f"{name}.parquet" for name in ("funnel", "completeness", "estimates", "flow")}
    params = {"settings": None, "change": None, "instruments": {}, "ci_level": 0.95}
    main(plain_job(input=given, output=made, params=params, study="nothing"))
    assert {"unit_id", "low998", "rate"} <= set(read_table(made["funnel"]).columns)
    assert list(read_table(made["completeness"]).columns) == ["instrument", "occasion", "n_expected", "n_present", "proportion"]
    estimates = read_estimates(str(made["estimates"]))
    assert estimates["study"].tolist() == ["nothing"]
    assert list(read_table(made["flow"]).columns) == FLOW_COLUMNS
