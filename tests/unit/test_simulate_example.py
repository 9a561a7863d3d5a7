"""The example study that ships is what its truth gives, and its settings fit it."""

from __future__ import annotations

import re
import runpy

import pandas as pd
import pytest

from attachment_outcomes.config import data_folder, load_instrument, load_study, read_yaml
from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.files import sha256
from attachment_outcomes.simulate.answers import CORE10, ECR_R_ANXIETY, ECR_R_AVOIDANCE, WAI_SR
from attachment_outcomes.simulate.couples import DAS_RANGE
from attachment_outcomes.simulate.describe import COLUMNS
from attachment_outcomes.study.contracts import TABLES

LARGEST = 3_000_000  # bytes: small enough to clone


@pytest.fixture(scope="module")
def study():
    return load_study("example")


@pytest.fixture(scope="module")
def script(root):
    return runpy.run_path(str(root / "scripts" / "example_data.py"))


def test_the_files_are_byte_for_byte_what_the_truth_gives(script):
    script["main"](["--check"])


def test_a_file_that_differs_is_named(script, root, tmp_path, monkeypatch):
    for folder in ("data/example", "config/studies"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("data/example/truth.yaml", "config/studies/example.yaml"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    monkeypatch.setenv("ATTACHMENT_OUTCOMES_ROOT", str(tmp_path))
    script["main"]([])
    script["main"](["--check"])
    with (tmp_path / "data/example/couples.csv").open("a") as handle:
        handle.write("one more\n")
    with pytest.raises(DataError, match=r"^data/example/couples.csv: not what data/example/truth.yaml gives"):
        script["main"](["--check"])


def test_checksums_in_the_studys_yaml_are_the_files(study):
    folder = data_folder(study, "")
    assert len(study["sources"]) == len(COLUMNS)
    for source in study["sources"]:
        assert sha256(folder / source["file"]) == source["sha256"], source["file"]


def test_the_files_are_small_and_have_line_feeds_only(study):
    folder = data_folder(study, "")
    files = sorted(folder.glob("*.csv"))
    assert sum(f.stat().st_size for f in files) < LARGEST
    assert not any(b"\r" in f.read_bytes() for f in files)


def numbered(columns):
    return list(dict.fromkeys(re.sub(r"^(core_|ecr_|wai_|W|C|R)\d+(_significance)?$", r"\1{n}\2", c) for c in columns))


@pytest.mark.parametrize("name", list(COLUMNS))
def test_the_readme_names_every_column(name, root):
    header = pd.read_csv(root / "data" / "example" / f"{name}.csv", nrows=0).columns
    assert numbered(header) == list(COLUMNS[name][1])


def test_the_readme_says_that_the_data_are_synthetic_and_prints_the_truth(root):
    text = (root / "data" / "example" / "README.md").read_text(encoding="utf-8")
    truth = read_yaml(root / "data" / "example" / "truth.yaml")
    assert "These data are synthetic" in text
    assert f"Cohen's kappa {truth['families']['kappa']:g}" in text
    assert f"{truth['symptoms']['change']:+g} (SD {truth['symptoms']['change_sd']:g})" in text


def test_every_canonical_table_is_fed(study):
    fed = {t["table"] for source in study["sources"] for t in source["tables"]}
    assert fed == set(TABLES)


def test_the_forms_simulated_are_the_registrys():
    ecr, core, wai = (load_instrument(name) for name in ("ecr_r", "core10", "wai_sr"))
    for instrument, form in ((ecr, ECR_R_ANXIETY), (core, CORE10), (wai, WAI_SR)):
        assert instrument["range"] == [form.low, form.high]
    assert ecr["scales"]["anxiety"]["items"] == list(range(1, 19))
    assert sorted(ecr["scales"]["anxiety"]["reverse"]) == list(ECR_R_ANXIETY.reverse)
    assert ecr["scales"]["avoidance"]["items"] == list(range(19, 37))
    assert sorted(ecr["scales"]["avoidance"]["reverse"]) == [18 + i for i in ECR_R_AVOIDANCE.reverse]
    assert sorted(core["scales"]["total"]["items"]) == list(range(1, CORE10.items + 1))
    assert sorted(core["scales"]["total"]["reverse"]) == list(CORE10.reverse)
    assert sorted(wai["scales"]["total"]["items"]) == list(range(1, WAI_SR.items + 1))
    assert load_instrument("das")["scales"]["total"]["range"] == list(DAS_RANGE)


def test_every_instrument_and_score_the_study_names_is_in_the_registry(study):
    named = {
        t["columns"]["instrument"]["value"] for s in study["sources"] for t in s["tables"] if t["table"] in ("items", "scores")
    }
    for name in sorted(named):
        try:
            load_instrument(name)
        except ConfigError as error:  # one message, not a traceback
            pytest.fail(str(error))
