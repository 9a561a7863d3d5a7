"""The script of the audit page writes one file from the released tables."""

from __future__ import annotations

import runpy
from pathlib import Path

from attachment_outcomes.files import write_table
from attachment_outcomes.job import Job, plain_job


def test_the_page_is_written_from_the_released_tables(root: Path, tmp_path: Path) -> None:
    main = runpy.run_path(str(root / "scripts" / "audit_page.py"), run_name="audit_page")["main"]
    made_up = runpy.run_path(str(root / "tests" / "pages" / "made_up.py"))
    frames = made_up["made_up_tables"]()
    endings = {"estimates": "csv", "claims": "csv", "flow": "csv", "funnel": "parquet", "completeness": "parquet"}
    given = {name: tmp_path / f"{name}.{ending}" for name, ending in endings.items()}
    for name, path in given.items():
        write_table(frames[name], path)
    settings = made_up["SETTINGS"] | {"source": {"citation": "Made up.", "licence": "none"}, "about": "", "unverified": {}}
    work = plain_job(input=given, output={}, params={"settings": settings})
    main(Job(work.input, [str(tmp_path / "audit.html")], work.params, work.wildcards))
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert "<h1>A made-up study</h1>" in page
    assert page.count("<svg") >= 4
