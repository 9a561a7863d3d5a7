"""The measure step from canonical items and scores to scores, styles, estimates and flow."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import DataError
from attachment_outcomes.files import read_table
from attachment_outcomes.flow import COLUMNS as FLOW_COLUMNS
from attachment_outcomes.inference.estimate import read_estimates, select
from attachment_outcomes.job import plain_job
from attachment_outcomes.measures.styles import COLUMNS as STYLE_COLUMNS
from attachment_outcomes.study import contracts


def run(root: Path, folder: Path, items: pd.DataFrame, scores: pd.DataFrame, **params: Any) -> dict[str, Path]:
    main = runpy.run_path(str(root / "scripts" / "measure.py"), run_name="measure")["main"]
    given = {"answers": folder / "items.parquet", "scores": folder / "imported.parquet"}
    contracts.write(items, "items", given["answers"])
    contracts.write(scores, "scores", given["scores"])
    for name in ("people", "waves", "treatments"):
        given[name] = folder / f"{name}.parquet"
        contracts.write(contracts.typed(pd.DataFrame({"person_id": []}), name), name, given[name])
    made = {n: folder / "steps" / f"{n}.parquet" for n in ("scores", "styles", "invariance", "estimates", "flow")}
    settings = {"overrides": {}, "settings": {"styles": []}, "ci_level": 0.95, "bootstrap": 200, **params}
    main(plain_job(input=given, output=made, params=settings, study="made_up"))
    return made


def ecr_items(n: int) -> pd.DataFrame:
    answers = np.random.default_rng(7).integers(1, 6, size=(n, 36)).astype(float)
    answers[0, 0] = np.nan
    wide = pd.DataFrame(answers, columns=[str(i) for i in range(1, 37)]).assign(person_id=[f"p{i}" for i in range(n)])
    return contracts.typed(wide.melt("person_id", var_name="item").assign(instrument="ecr", rater="self", wave=0), "items")


def das(rows: list[tuple[str, int, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["person_id", "wave", "score"]).assign(instrument="das", scale="total", rater="self")
    return contracts.typed(frame, "scores")


INSTRUMENTS = {k: load_instrument(k) for k in ("ecr", "das")}
STYLES = {"styles": [{"anxiety": "ecr.anxiety", "avoidance": "ecr.avoidance", "rule": "midpoint"}]}


def test_scores_styles_estimates_and_flow_are_written(root: Path, tmp_path: Path) -> None:
    made = run(
        root, tmp_path, ecr_items(30), das([("p0", 0, 80), ("p0", 1, 100)]),
        instruments=INSTRUMENTS, overrides={"ecr": {"range": [1, 5], "reason": "web form"}}, settings=STYLES,
    )  # fmt: skip
    scores = contracts.read(made["scores"], "scores")
    assert scores.groupby(["instrument", "scale"])["score"].count().to_dict() == {
        ("das", "total"): 2, ("ecr", "anxiety"): 30, ("ecr", "avoidance"): 30,
    }  # fmt: skip
    assert scores["prorated"].fillna(False).sum() == 1
    styles = read_table(made["styles"])
    assert (list(styles.columns), len(styles), styles["name"].unique().tolist()) == (STYLE_COLUMNS, 30, ["ecr midpoint"])
    estimates = read_estimates(str(made["estimates"]))
    assert estimates["study"].unique().tolist() == ["made_up"]
    assert set(estimates["analysis"]) == {"reliability", "descriptives", "styles", "stability", "invariance"}
    assert select(estimates, analysis="descriptives", estimand="mean", outcome="das.total")["group"].tolist() == [
        "wave 0",
        "wave 1",
    ]
    assert select(estimates, analysis="reliability", estimand="cronbach_alpha")["outcome"].tolist() == [
        "ecr.anxiety",
        "ecr.avoidance",
    ]
    flow = read_table(made["flow"])
    assert list(flow.columns) == FLOW_COLUMNS
    assert "ecr.avoidance: prorated" in flow["step"].tolist()


def test_a_study_without_items_or_scores_writes_empty_tables_and_says_so(root: Path, tmp_path: Path) -> None:
    made = run(root, tmp_path, contracts.empty("items"), contracts.empty("scores"), instruments={}, settings=None)
    assert len(contracts.read(made["scores"], "scores")) == 0
    assert list(read_table(made["styles"]).columns) == STYLE_COLUMNS
    estimates = read_estimates(str(made["estimates"]))
    assert dict(zip(estimates["analysis"], estimates["estimand"], strict=True)) == {
        "descriptives": "not testable", "reliability": "not testable", "invariance": "not testable", "stability": "not testable",
    }  # fmt: skip


def test_the_same_result_is_written_twice(root: Path, tmp_path: Path) -> None:
    first, second = (
        run(root, tmp_path / n, ecr_items(12), contracts.empty("scores"), instruments={"ecr": INSTRUMENTS["ecr"]}, settings=STYLES)
        for n in "ab"
    )
    assert all(first[name].read_bytes() == second[name].read_bytes() for name in first)


def test_a_score_both_imported_and_made_from_items_is_refused(root: Path, tmp_path: Path) -> None:
    imported = das([("p0", 0, 3)]).assign(instrument="ecr", scale="anxiety")
    with pytest.raises(DataError, match=r"ecr.anxiety are both imported"):
        run(root, tmp_path, ecr_items(3), imported, instruments=INSTRUMENTS)
