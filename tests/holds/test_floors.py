"""The house stands: each room imports only from floors below, and shows only what its door names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from attachment_outcomes.registry import entry_module

PACKAGE = "attachment_outcomes"
GROUND = {"errors", "config", "registry", "files", "flow", "job", "fingerprint"}
ROOMS = {"study", "measures", "inference"}
STAGES = {"change", "rupture", "transmission", "dyads", "audit"}
MAY_USE: dict[str, set[str]] = {
    **dict.fromkeys(GROUND, GROUND),
    "study": GROUND,
    "inference": GROUND,
    "measures": GROUND | {"inference"},
    **dict.fromkeys(STAGES, GROUND | ROOMS),
    "claims": GROUND | ROOMS | STAGES,
    **dict.fromkeys(("release", "present"), GROUND | ROOMS | STAGES | {"claims"}),
    "simulate": GROUND | ROOMS | STAGES,
    "plan": GROUND | ROOMS | STAGES | {"claims", "release", "present"},
}
# Reading and writing is the scripts' work, through these. Everything else takes and gives frames.
MAY_TOUCH_FILES = {
    "files",
    "config",
    "fingerprint",
    "job",
    "plan",
    "inference/estimate",
    "inference/mixed/storage",
    "present/drawing",
}
FILE_CALLS = {
    "open", "read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "unlink", "read_csv", "read_parquet", "read_excel",
    "to_csv", "to_parquet", "to_excel", "savefig", "write_table", "write_json", "read_table", "read_json", "read_yaml",
}  # fmt: skip
STATISTICS = {"statsmodels", "scipy", "pingouin", "sklearn"}
LONGEST_FILE = 450


def sources(root: Path) -> dict[str, ast.Module]:
    """Return the library's files as syntax trees, by ``room/module``."""
    top = root / "src" / PACKAGE
    return {p.relative_to(top).with_suffix("").as_posix(): ast.parse(p.read_bytes()) for p in sorted(top.rglob("*.py"))}


def imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide which room is meant"
            if node.module == PACKAGE:
                yield from (f"{PACKAGE}.{alias.name}" for alias in node.names)
            else:
                yield str(node.module)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_each_room_imports_only_from_floors_below(root: Path) -> None:
    wrong = []
    for name, tree in sources(root).items():
        room = name.split("/")[0]
        if room == "__init__":
            continue
        assert room in MAY_USE, f"{room}: say on which floor it stands"
        for module in imports(tree):
            parts = module.split(".")
            if parts[0] == PACKAGE and parts[1] not in MAY_USE[room] | {room}:
                wrong.append(f"{name} imports {module}")
    assert wrong == []


def test_the_library_knows_nothing_of_the_workflow_engine(root: Path) -> None:
    assert [n for n, tree in sources(root).items() if any(m.split(".")[0] == "snakemake" for m in imports(tree))] == []


def test_scripts_compute_nothing(root: Path) -> None:
    for path in sorted((root / "scripts").glob("*.py")):
        used = {module.split(".")[0] for module in imports(ast.parse(path.read_bytes()))}
        assert not used & STATISTICS, path.name


def test_every_script_belongs_to_a_rule_or_to_a_command(root: Path) -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in [*(root / "workflow" / "rules").glob("*.smk"), root / "run.py"])
    assert [p.name for p in sorted((root / "scripts").glob("*.py")) if f"scripts/{p.name}" not in text] == []


def test_only_named_modules_read_and_write_files(root: Path) -> None:
    wrong = []
    for name, tree in sources(root).items():
        if name in MAY_TOUCH_FILES or name.startswith("study/"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called in FILE_CALLS:
                    wrong.append(f"{name}:{node.lineno} {called}")
    assert wrong == []


def doors(root: Path) -> list[Path]:
    return sorted(p for p in (root / "src" / PACKAGE).rglob("__init__.py") if p.parent.name != PACKAGE)


def test_a_room_has_a_door_and_nothing_else_in_it(root: Path) -> None:
    for path in doors(root):
        first, *others = ast.parse(path.read_bytes()).body
        assert isinstance(first, ast.Expr), path
        assert all(isinstance(s, ast.ImportFrom | ast.Assign) for s in others), path
        assert (ast.get_docstring(ast.parse(path.read_bytes())) or "").count("\n") == 0, path
    assert (root / "src" / PACKAGE / "__init__.py").read_text(encoding="utf-8") == ""


def entries(path: Path) -> dict[str, str]:
    """Return the public names of a room with the modules that define them."""
    calls = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.Call)]
    doors = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "entry_points"]
    return {k: v for call in doors for k, v in ast.literal_eval(call.args[1]).items()}


def test_a_door_names_what_is_there_and_no_module_hides_a_function(root: Path) -> None:
    for path in doors(root):
        room = path.parent.relative_to(root / "src").as_posix().replace("/", ".")
        modules = {p.stem for p in path.parent.glob("*.py")} | {p.parent.name for p in path.parent.glob("*/__init__.py")}
        for public, module in entries(path).items():
            own = room.split(".")[1]
            assert "." not in module or module.split(".")[1] in {own, *MAY_USE[own]}, f"{room}.{public}: from {module}"
            assert public not in modules, f"{path.parent.name}.{public}: a module of that name would hide the function"
            place = root.joinpath("src", *entry_module(room, module).split("."))
            file = next((f for f in (place.with_suffix(".py"), place / "__init__.py") if f.is_file()), None)
            assert file is not None, f"{path.parent.name}.{public}: there is no module {module}"
            tree = ast.parse(file.read_bytes())
            defined = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            defined |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets if isinstance(t, ast.Name)}
            defined |= {n.target.id for n in tree.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)}
            defined |= {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
            assert public in defined, f"{path.parent.name}.{public} is not defined in {module}"


def test_files_stay_short_enough_to_read(root: Path) -> None:
    long = {}
    for folder, ending in (("src", "*.py"), ("scripts", "*.py"), ("workflow", "*.smk")):
        for path in (root / folder).rglob(ending):
            count = len(path.read_text(encoding="utf-8").splitlines())
            if count > LONGEST_FILE:
                long[path.name] = count
    assert long == {}
    assert len((root / "run.py").read_text(encoding="utf-8").splitlines()) < 400


@pytest.mark.parametrize("word", ["__doc__", "getdoc"])
def test_no_result_depends_on_a_docstring(root: Path, word: str) -> None:
    # Fingerprints leave docstrings out, so a result made from one would go stale.
    assert [p.name for p in (root / "src").rglob("*.py") if word in p.read_text(encoding="utf-8")] == []
