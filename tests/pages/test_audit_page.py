"""The audit page: complete without the net or scripts, readable without sight, and honest about what is not there."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import estimates_frame, not_testable
from attachment_outcomes.present.pages.audit import NEEDS, audit_page

MADE_UP = runpy.run_path(str(Path(__file__).with_name("made_up.py")))
SETTINGS: dict[str, Any] = MADE_UP["SETTINGS"] | {
    "about": "A study that exists in a test only.",
    "source": {"citation": "The authors (2026). Made-up data.", "licence": "none needed"},
    "unverified": {"core10": ["total: cutoffs"]},
}
VOID = {"meta", "br", "path", "circle", "use", "rect"}


@pytest.fixture(scope="module")
def made_up() -> dict[str, pd.DataFrame]:
    return MADE_UP["made_up_tables"]()


@pytest.fixture(scope="module")
def page(made_up: dict[str, pd.DataFrame]) -> str:
    return audit_page({name: made_up[name] for name in NEEDS}, SETTINGS)


class Outline(HTMLParser):
    """Collects headings, images without a description, and tags that were left open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.nameless: list[str] = []
        self.ids: list[str] = []
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes |= set(given)
        self.ids += [str(given["id"])] if "id" in given else []
        if tag == "svg" and not given.get("aria-label"):
            self.nameless.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            while self.open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def test_the_page_runs_nothing_and_fetches_nothing(page: str) -> None:
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in page
    assert "<script" not in page
    outline = Outline()
    outline.feed(page)
    assert not [a for a in outline.attributes if a.startswith("on")]
    assert not {"src", "action", "formaction"} & outline.attributes
    links = re.findall(r'(?:href|xlink:href)="([^"]+)"', page)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert "url(http" not in page


def test_the_page_can_be_read_without_sight(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert '<html lang="en">' in page
    assert outline.headings[0] == "A made-up study"
    assert len(outline.headings) == 7
    assert outline.nameless == []
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids)), "no two parts of the page share a name"
    assert page.count('scope="col"') >= 10


def test_rates_stand_beside_their_benchmarks(page: str) -> None:
    assert "48.0 %" in page
    assert "[42.0, 54.0]" in page
    assert "50.0 % (inside the interval)" in page
    assert "A national target, not verified" in page
    assert 'aria-label="Recovery: 48.0 % [42.0, 54.0], benchmark 50.0 %"' in page


def test_the_page_says_how_to_read_it(page: str) -> None:
    text = " ".join(page.split())
    assert "association with therapy, not an effect" in text
    assert "no league table" in text
    assert "Numbers of 1 to 4 people" in text
    assert "core10: total: cutoffs" in text


def test_exclusions_are_listed_and_suppressed_ones_named(page: str) -> None:
    text = re.sub(r"<[^>]+>", " ", page)
    assert re.search(r"Core10\.total, both occasions\s+120\s+118", text)
    assert re.search(r"treatments ended\s+suppressed\s+suppressed", text)
    assert "1 further steps left nobody out" in text


def test_the_same_tables_give_the_same_bytes(page: str, made_up: dict[str, pd.DataFrame]) -> None:
    assert audit_page({name: made_up[name] for name in NEEDS}, SETTINGS) == page


def test_a_study_without_an_audit_says_so(made_up: dict[str, pd.DataFrame]) -> None:
    empty = {name: made_up[name].iloc[0:0] for name in NEEDS}
    empty["estimates"] = estimates_frame([not_testable("audit", "the study has no audit block")], study="s")
    text = audit_page(empty, SETTINGS | {"audit": None, "threshold": 0, "unverified": {}})
    for words in (
        "No rate of this service could be computed",
        "Not testable. Audit: the study has no audit block.",
        "Nothing to show: the study holds no scores of people.",
        "No claim was put to the test",
        "Nobody and nothing was left out",
        "No number is suppressed on this page",
    ):
        assert words in text


def test_what_a_study_says_of_itself_cannot_become_code(made_up: dict[str, pd.DataFrame]) -> None:
    text = audit_page({name: made_up[name] for name in NEEDS}, SETTINGS | {"title": "<script>alert(1)</script>"})
    assert "<script" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.slow
def test_a_browser_shows_the_page_without_complaint(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here; install it to see the page rendered")
    (tmp_path / "audit.html").write_text(page, encoding="utf-8")
    quiet = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ]
    quiet += ["--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--hide-scrollbars"]
    quiet += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--window-size=1000,2400"]
    picture = tmp_path / "page.png"
    command = [browser, *quiet, f"--screenshot={picture}", (tmp_path / "audit.html").as_uri()]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert picture.is_file(), run.stderr[-500:]
    assert "Content Security Policy" not in run.stderr
    from matplotlib.image import imread

    pixels = imread(picture)[..., :3]
    assert pixels.shape[:2] == (2400, 1000)
    ink = (pixels.min(axis=2) < 0.9).mean(axis=1)
    # Text and figures down to the lower part of the window, and nothing that runs over the right edge.
    assert (ink[:2000] > 0).mean() > 0.3
    assert (pixels[:, -3:].min(axis=2) > 0.9).all()
