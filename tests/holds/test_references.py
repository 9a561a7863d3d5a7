"""Every reference value says which script, call and versions made it, and is used; and the comparison can fail."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from tests.references import FOLDER, HEAD, Reference

WRITER = "reference.R"  # what the scripts share
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def raw(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def scripts(root: Path) -> list[Path]:
    return sorted(path for path in (root / "validation").glob("*.R") if path.name != WRITER)


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_file_names_script_call_and_versions(name: str, root: Path) -> None:
    content = raw(name)
    assert tuple(content)[: len(HEAD)] == HEAD, "made by write_reference() of validation/reference.R"
    assert root / content["script"] in scripts(root)
    assert f'write_reference("{name}"' in re.sub(r"\(\s+", "(", (root / content["script"]).read_text(encoding="utf-8"))
    assert content["call"]
    assert re.match(r"R version \d+\.\d+\.\d+", content["r_version"])
    assert content["packages"]
    assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in content["packages"].values())
    assert len(content) > len(HEAD)


def test_each_script_has_its_file_and_the_packages_it_uses_are_named(root: Path) -> None:
    made = [raw(name) for name in NAMES]
    for script in scripts(root):
        files = [content for content in made if content.get("script") == f"validation/{script.name}"]
        assert files, f"{script.name}: no file in tests/reference"
        used = set(re.findall(r"library\((\w+)\)", script.read_text(encoding="utf-8"))) - {"splines", "stats", "boot"}
        assert all(used <= set(content["packages"]) for content in files), script.name


def test_each_file_is_used_by_a_test(root: Path) -> None:
    texts = [p.read_text(encoding="utf-8") for p in (root / "tests").rglob("test_*.py") if p.name != Path(__file__).name]
    assert [name for name in NAMES if not any(name in text for text in texts)] == []


def test_the_agreement_table_names_no_file_that_is_not_there(root: Path) -> None:
    text = (root / "validation" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"validation/(\w+\.R)", text))
    assert named <= {path.name for path in (root / "validation").glob("*.R")}


@pytest.fixture
def part() -> Reference:
    content = {"fit": {"call": "lm(y ~ x)", "fixed": {"x": 2.0, "z": 0.0}, "curve": [1.0, None], "one": 3.0}}
    return Reference(content, "made.json: ", "glm", "R 4")["fit"]


def test_what_agrees_passes(part: Reference) -> None:
    part.check({"fixed": {"z": 0.0, "x": 2.0001}, "one": [3.0]}, rel=1e-4)
    part.check({"curve": [1.05, float("nan")]}, abs=0.1)


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        ({"fixed": {"x": 2.1, "z": 0.0}}, r"^made.json: fit.fixed\['x'\]: ours 2.1, reference 2, difference 0.1, relative 0.05, "),
        ({"fixed": {"x": 2.0, "z": 1e-9}}, r"\['z'\]: ours 1e-09, reference 0"),
        ({"fixed": {"x": 2.0}}, r"ours has \['x'\], the reference \['x', 'z'\]"),
        ({"curve": [1.0, 2.0]}, r"curve\[1\]: ours 2, reference nan"),
        ({"curve": [float("nan"), float("nan")]}, r"curve\[0\]: ours nan, reference 1"),
        ({"curve": [1.0]}, r"shape"),
        ({"one": 4.0}, r"(?s)one: ours 4.*R: lm\(y ~ x\).*R 4"),
        ({"two": 4.0}, "no such value"),
    ],
)  # fmt: skip
def test_what_does_not_agree_fails_and_says_where(part: Reference, ours: dict, message: str) -> None:
    with pytest.raises(pytest.fail.Exception, match=message):
        part.check(ours, rel=1e-4)


def test_comparing_nothing_is_no_test(part: Reference) -> None:
    with pytest.raises(AssertionError, match="nothing to compare"):
        part.check({}, rel=1e-4)
