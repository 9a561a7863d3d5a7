"""Configuration, schemas and documents say what is so."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from attachment_outcomes import config
from attachment_outcomes.registry import resolve

DOCUMENTS = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "config/README.md"]


def documents(root: Path) -> list[Path]:
    there = [root / name for name in DOCUMENTS if (root / name).is_file()]
    return [
        *there,
        *sorted((root / "docs").rglob("*.md")),
        *sorted((root / "data").rglob("*.md")),
        *sorted((root / "validation").glob("*.md")),
    ]


def parts(schema: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every sub-schema with its place."""
    if not isinstance(schema, dict):
        return
    yield path, schema
    for keyword in ("properties", "$defs"):
        for key, inner in schema.get(keyword, {}).items():
            yield from parts(inner, f"{path}/{key}")
    for keyword in ("items", "additionalProperties"):
        yield from parts(schema.get(keyword), f"{path}/*")
    for inner in schema.get("oneOf", []) + schema.get("anyOf", []):
        yield from parts(inner, f"{path}|")


@pytest.mark.parametrize("name", config.SCHEMAS)
def test_every_key_is_described_and_no_object_takes_unknown_keys(name: str) -> None:
    top = config.schema(name)
    for path, part in parts(top):
        if "properties" in part:
            assert part.get("additionalProperties") is False, f"{name}{path}: additionalProperties"
            for key, inner in part["properties"].items():
                described = {**top["$defs"][inner["$ref"].rsplit("/", 1)[1]], **inner} if "$ref" in inner else inner
                assert described.get("description"), f"{name}{path}/{key}: description"
            assert set(part.get("required", [])) <= set(part["properties"]), f"{name}{path}: required"
    assert top.get("description")


@pytest.mark.parametrize("name", config.SCHEMAS)
def test_every_default_is_allowed_by_its_own_schema(name: str) -> None:
    top = config.schema(name)
    for path, part in parts(top):
        if "default" in part:
            errors = list(config.Draft202012Validator({**part, "$defs": top.get("$defs", {})}).iter_errors(part["default"]))
            assert errors == [], f"{name}{path}"


def test_every_configuration_file_is_valid(root: Path) -> None:
    config.load_config()
    for path in sorted((root / "config" / "studies").glob("*.yaml")):
        config.load_study(path.stem)
    assert config.load_instruments()
    assert config.load_claims()
    for path in sorted((root / "config" / "observer").glob("*.yaml")):
        config.load_coding_system(path.stem)
    for path in sorted((root / "config" / "published").glob("*.yaml")):
        assert config.load_published(path.stem)["results"]
    for kind in ("rupture", "change"):
        for criterion in config.load_criteria(kind).values():
            assert callable(resolve(criterion["rule"]))


def test_every_configuration_file_has_a_kind(root: Path) -> None:
    known = {"config.yaml", "claims.yaml", "README.md"}
    for path in (root / "config").rglob("*"):
        if path.is_file():
            assert path.name in known or path.parent.name in ("studies", "instruments", "criteria", "published", "observer"), path
            assert path.suffix in (".yaml", ".md")


def test_the_settings_file_shows_every_setting_with_its_default(root: Path) -> None:
    shown = yaml.safe_load((root / "config" / "config.yaml").read_text(encoding="utf-8"))
    assert shown == config.load_config()
    assert {k: v["default"] for k, v in config.schema("config")["properties"].items() if "default" in v}.keys() <= shown.keys()


def test_the_licence_is_the_one_declared(root: Path) -> None:
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text.splitlines()[0]
    assert "Version 3, 29 June 2007" in text.splitlines()[1]
    assert tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["license"] == "GPL-3.0-or-later"
    assert yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))["license"] == "GPL-3.0-or-later"


def test_versions_agree(root: Path) -> None:
    version = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert yaml.safe_load((root / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    assert f"## {version}" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_test_command_is_named_where_people_and_machines_look(root: Path) -> None:
    assert "python3 run.py test" in (root / "README.md").read_text(encoding="utf-8")
    assert "python3 run.py test" in (root / ".ci" / "run").read_text(encoding="utf-8")


def test_links_in_documents_lead_somewhere(root: Path) -> None:
    broken = []
    for path in documents(root):
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target and not target.startswith("mailto:") and not (path.parent / target).exists():
                broken.append(f"{path.relative_to(root).as_posix()}: {target}")
    assert broken == []


def test_commands_in_documents_exist(root: Path) -> None:
    helped = subprocess.run([sys.executable, "run.py", "--help"], cwd=root, capture_output=True, text=True, check=True).stdout
    commands = set(re.findall(r"^  python3 run\.py ([a-z-]+)", helped, re.MULTILINE))
    assert commands >= {"study", "report", "test", "check"}
    for path in documents(root):
        named = set(re.findall(r"python3? run\.py ([a-z][a-z-]*)", path.read_text(encoding="utf-8")))
        assert named <= commands, path.relative_to(root).as_posix()


def test_studies_and_claims_in_the_readme_are_those_configured(root: Path) -> None:
    text = (root / "README.md").read_text(encoding="utf-8")
    studies = {p.stem for p in (root / "config" / "studies").glob("*.yaml")}
    listed = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
    assert listed == studies - {"example"}
    for count in re.findall(r"(\d+) claims", text):
        assert int(count) == len(config.load_claims())


def test_the_example_is_described_as_it_was_made(root: Path) -> None:
    rows = {}
    for name in ("clients",):
        lines = (root / "data" / "example" / f"{name}.csv").read_text(encoding="utf-8").splitlines()
        header = lines[0].split(",")
        rows[name] = [dict(zip(header, line.split(","), strict=True)) for line in lines[1:]]
    clients = len({row["client_id"] for row in rows["clients"]})
    therapists = len({row["therapist_id"] for row in rows["clients"]})
    sites = len({row["site"] for row in rows["clients"]})
    for path in (root / "README.md", root / "config" / "studies" / "example.yaml"):
        text = " ".join(path.read_text(encoding="utf-8").split())
        assert f"{clients} clients of {therapists} therapists" in text, path.name
    assert f"at {sites} sites" in " ".join((root / "config" / "studies" / "example.yaml").read_text(encoding="utf-8").split())


def test_no_document_promises_what_is_not_there(root: Path) -> None:
    for path in [
        *documents(root),
        *(root / "src").rglob("*.py"),
        *(root / "scripts").rglob("*.py"),
        *(root / "workflow").rglob("*.smk"),
    ]:
        text = path.read_text(encoding="utf-8")
        for word in ("TO" + "DO", "FIX" + "ME", "NotImplemented" + "Error", "coming" + " soon"):
            assert word not in text, f"{path.relative_to(root).as_posix()}: {word}"
