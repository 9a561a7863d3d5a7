"""The plan: what a study's configuration lets the workflow make."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from attachment_outcomes import plan as planning
from attachment_outcomes.config import load_study
from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.plan import FIGURES, FILES, TABLES, make_plan


@pytest.mark.parametrize(("kind", "items"), [("figures", FIGURES), ("tables", TABLES)])
def test_the_plan_names_each_figure_and_table_and_what_it_needs(root, kind, items):
    modules = {p.stem for p in (root / "src" / "attachment_outcomes" / "present" / kind).glob("*.py")} - {"__init__"}
    assert set(items) == modules
    for name, item in items.items():
        assert tuple(import_module(f"attachment_outcomes.present.{kind}.{name}").NEEDS) == item.needs, name
        assert set(item.needs) <= set(FILES)


def test_every_figure_has_a_caption_in_the_report(root):
    captions = {p.stem for p in (root / "workflow" / "report" / "figures").glob("*.rst")}
    assert set(FIGURES) == captions


def test_the_example_can_have_every_figure_and_table():
    plan = make_plan({"studies": ["example"]})
    assert set(plan.tables("example")) == set(TABLES)
    assert set(plan.figures("example")) == set(FIGURES)


def test_a_study_without_sessions_is_not_asked_for_their_figures():
    plan = make_plan({"studies": ["jacobson1989"]})
    assert not {"alliance_series", "rupture_outcome", "forest"} & set(plan.figures("jacobson1989"))


def test_instruments_and_ranges_are_those_that_the_study_names_in_its_own_form():
    plan = make_plan({"studies": ["ecr_openpsychometrics"]})
    assert plan.ranges("ecr_openpsychometrics") == {"ecr": [1, 5]}


def _with(monkeypatch, change):
    def load(name):
        study = load_study(name)
        change(study)
        return study

    monkeypatch.setattr(planning, "load_study", load)


def test_a_misspelt_instrument_scale_or_criterion_is_answered_with_the_nearest(monkeypatch):
    _with(monkeypatch, lambda study: study["change"]["outcomes"][0].update(score="core11.total"))
    with pytest.raises(ConfigError, match=r"no instrument 'core11'.*Did you mean 'core10'"):
        make_plan({"studies": ["example"]})
    _with(monkeypatch, lambda study: study["change"]["outcomes"][0].update(score="core10.totall"))
    with pytest.raises(ConfigError, match=r"no scale 'totall'.*Did you mean 'total'"):
        make_plan({"studies": ["example"]})
    _with(monkeypatch, lambda study: study["rupture"].update(criteria=["control_cart"]))
    with pytest.raises(ConfigError, match=r"no criterion 'control_cart'.*Did you mean 'control_chart'"):
        make_plan({"studies": ["example"]})


def test_a_release_may_not_rest_on_what_is_not_verified():
    with pytest.raises(ConfigError, match="may not rest on what is not verified"):
        make_plan({"studies": ["example"], "release": True})


def test_a_study_may_set_its_own_threshold():
    plan = make_plan({"studies": ["example", "jacobson1989"], "disclosure": {"threshold": 7}})
    assert plan.threshold("example") == 7
    assert plan.threshold("jacobson1989") == 0


def test_every_configuration_file_carries_comments(root):
    for path in sorted((root / "config").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        assert text.count("#") >= 1, Path(path).name
        assert isinstance(yaml.safe_load(text), dict)


def test_published_norms_do_not_follow_an_instrument_onto_another_answer_range():
    plan = make_plan({"studies": ["ecr_openpsychometrics"]})
    assert all(plan.instruments["ecr"]["scales"][s]["reliability"] for s in ("anxiety", "avoidance"))
    for scale in plan.instruments_of("ecr_openpsychometrics")["ecr"]["scales"].values():
        assert (scale["norms"], scale["cutoffs"], scale["reliable_change"]) == ([], [], [])
    assert plan.presentation("ecr_openpsychometrics")["scales"]["ecr.anxiety"]["range"] == [1, 5]


def test_a_missing_raw_file_is_told_with_where_it_can_be_had(tmp_path):
    plan = make_plan({"studies": ["jacobson1989"], "data_dir": str(tmp_path)})
    with pytest.raises(DataError, match=r"jacobson_1989\.csv: no such file(.|\n)*--data DIR(.|\n)*published in"):
        plan.check_files()
