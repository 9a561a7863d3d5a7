"""The script of the figures: five files each, and the reason where there is nothing to draw."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from attachment_outcomes.errors import ConfigError
from attachment_outcomes.files import read_table, write_table
from attachment_outcomes.job import Job, plain_job


def job(root: Path, folder: Path, figure: str, *, empty: bool = False) -> Job:
    made_up = runpy.run_path(str(root / "tests" / "pages" / "made_up.py"))
    tables = made_up["made_up_tables"]()
    given = {}
    for name in ("estimates", "claims"):
        given[name] = folder / f"{name}.csv"
        write_table(tables[name].iloc[0:0] if empty else tables[name], given[name])
    made = {"figures": folder / "figures", "captions": folder / "captions"}
    return plain_job(input=given, output=made, params={"figures": [figure], "settings": made_up["SETTINGS"]})


def script(root: Path) -> dict:
    return runpy.run_path(str(root / "scripts" / "figures.py"), run_name="figures")


def test_a_figure_is_written_in_all_its_forms(root: Path, tmp_path: Path) -> None:
    work = job(root, tmp_path, "rupture_prevalence")
    script(root)["main"](work)
    made = tmp_path / "figures" / "rupture_prevalence"
    assert "<svg" in made.with_suffix(".svg").read_text()
    assert made.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert made.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    shares = read_table(made.with_suffix(".csv")).query("estimand == 'share_with_rupture'")
    assert shares["definition"].tolist() == ["control_chart", "strauss_2006", "within_person_drop"]
    assert (tmp_path / "captions" / "rupture_prevalence.txt").read_text().startswith("Control chart 30.0 %")


def test_a_figure_without_data_becomes_its_reason(root: Path, tmp_path: Path) -> None:
    work = job(root, tmp_path, "rupture_prevalence", empty=True)
    script(root)["main"](work)
    assert "no share of clients with a rupture" in (tmp_path / "captions" / "rupture_prevalence.txt").read_text()
    assert "<svg" in (tmp_path / "figures" / "rupture_prevalence.svg").read_text()


def test_an_unknown_figure_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no module"):
        script(root)["main"](job(root, tmp_path, "pie_chart"))
