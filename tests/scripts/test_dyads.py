"""The dyads step, run as the workflow runs it."""

from __future__ import annotations

import runpy

import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import NOT_TESTABLE, read_estimates
from attachment_outcomes.job import plain_job
from attachment_outcomes.study.contracts import empty, typed, write

STYLE_COLUMNS = ["person_id", "wave", "session_number", "rater", "name", "primary", "anxiety", "avoidance", "style"]
SCALE = {
    "direction": "higher is better",
    "reliability": [{"value": 0.9, "kind": "alpha", "verified": True}],
    "cutoffs": [{"value": 100.0, "inclusive": False, "verified": True}],
}


@pytest.fixture
def step(root, tmp_path):
    main = runpy.run_path(str(root / "scripts" / "dyads.py"), init_globals={"snakemake": None})["main"]

    def run(tables, settings, change=None):
        inputs = {"styles": str(tmp_path / "styles.parquet")}
        tables.get("styles", pd.DataFrame(columns=STYLE_COLUMNS)).to_parquet(inputs["styles"])
        for name in ("relations", "scores", "classifications"):
            inputs[name] = str(tmp_path / f"{name}.parquet")
            write(tables.get(name, empty(name)), name, inputs[name])
        outputs = {name: str(tmp_path / "out" / f"{name}.parquet") for name in ("couples", "estimates", "flow")}
        params = {"settings": settings, "change": change, "instruments": {"das": {"scales": {"total": SCALE}}}, "ci_level": 0.95}
        main(plain_job(input=inputs, output=outputs, params=params, study="x", rule="dyads"))
        return pd.read_parquet(outputs["couples"]), read_estimates(outputs["estimates"]), pd.read_parquet(outputs["flow"])

    return run


def test_without_settings_everything_is_not_testable(step):
    couples, estimates, flow = step({}, None)
    assert set(estimates["analysis"]) == {"couple_recovery", "couple_concordance", "couple_correlation", "couple_individual"}
    assert set(estimates["estimand"]) == {NOT_TESTABLE}
    assert couples.empty
    assert flow.empty
    assert list(couples.columns)[:3] == ["couple_id", "person_a", "person_b"]


def test_a_whole_study(step):
    n = 8
    people = [f"{w}{i}" for i in range(n) for w in "ab"]
    scores = pd.DataFrame(
        [(p, wave, 70 + 2 * (k % 8) + 45 * wave * (k % 4 < 2)) for k, p in enumerate(people) for wave in (0, 1)],
        columns=["person_id", "wave", "score"],
    )
    styles = pd.DataFrame({"person_id": people, "wave": 1, "style": ["secure", "fearful"] * n, "rater": "self", "primary": True})
    tables = {
        "relations": typed(pd.DataFrame({"person_a": people[::2], "person_b": people[1::2], "kind": "couple"}), "relations"),
        "scores": typed(scores.assign(instrument="das", scale="total", rater="self"), "scores"),
        "classifications": typed(
            pd.DataFrame({"person_id": people, "primary": ["F", "F", "Ds", "F"] * 4, "system": "AAI", "wave": 0}), "classifications"
        ),
        "styles": styles.reindex(columns=STYLE_COLUMNS),
    }
    settings = {"satisfaction": "das.total", "classification": "AAI", "scores": ["das.total"], "individual": "styles"}
    couples, estimates, _ = step(tables, settings)
    main = estimates[estimates["primary"]].set_index(["analysis", "estimand"])["estimate"]
    assert main["couple_recovery", "recovered"] == 0.5
    assert main["couple_recovery", "reliably_improved"] == 0.5
    assert main["couple_concordance", "agreement"] == 0.5
    assert main["couple_individual", "recovered_still_insecure"] == 1
    assert len(couples) == n
    assert set(couples["category"]) == {"recovered", "unchanged"}
    told = estimates[estimates["estimand"] != NOT_TESTABLE]
    assert (told["unit"] != "").all()
    assert told["n"].notna().all()
