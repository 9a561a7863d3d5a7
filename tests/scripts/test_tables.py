"""The script of the tables: a page and a CSV for each that the study has."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from attachment_outcomes.errors import ConfigError
from attachment_outcomes.files import write_table
from attachment_outcomes.job import Job, plain_job


def job(root: Path, folder: Path, tables: list[str]) -> Job:
    made_up = runpy.run_path(str(root / "tests" / "pages" / "made_up.py"))
    frames = made_up["made_up_tables"]()
    given = {name: folder / f"{name}.csv" for name in ("estimates", "claims", "flow")}
    for name, path in given.items():
        write_table(frames[name], path)
    work = plain_job(input=given, output={}, params={"tables": tables, "settings": made_up["SETTINGS"]})
    return Job(work.input, [str(folder / "tables")], work.params, work.wildcards)


def test_each_table_is_written_twice(root: Path, tmp_path: Path) -> None:
    main = runpy.run_path(str(root / "scripts" / "tables.py"), run_name="tables")["main"]
    main(job(root, tmp_path, ["claims", "flow", "rupture"]))
    made = sorted(p.name for p in (tmp_path / "tables").iterdir())
    assert made == ["claims.csv", "claims.html", "flow.csv", "flow.html", "rupture.csv", "rupture.html"]
    assert (tmp_path / "tables" / "rupture.csv").read_text().startswith("group,quantity,n,")


def test_an_unknown_table_is_refused_with_the_nearest(root: Path, tmp_path: Path) -> None:
    main = runpy.run_path(str(root / "scripts" / "tables.py"), run_name="tables")["main"]
    with pytest.raises(ConfigError, match=r"no table 'claim'.*Did you mean 'claims'"):
        main(job(root, tmp_path, ["claim"]))
