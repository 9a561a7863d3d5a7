"""Fingerprints of code: what a step really uses, so that an edit re-runs its users and nobody else.

From a script (or a ``package.module:name``) the definitions it reaches are followed by name, through imports, through
a room's entry points and through strings of the form ``attachment_outcomes.room.module:name``, and their syntax trees
are hashed without docstrings. Comments, docstrings and layout therefore never re-run anything; neither does a function
nobody reaches. Where a name could mean two things, both are followed: a step re-runs once too often rather than never.

Vocabulary
----------
chain    a dotted name as it stands in the code, e.g. ``reliable.cutoff_c``
outline  what matters of one file: definitions, imports and what runs on import; kept beside the compiled code
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypedDict

from attachment_outcomes.registry import entry_module

PACKAGE = "attachment_outcomes"
SOURCE = Path(__file__).resolve().parent
WHOLE = "*"  # stands for every name of a module
_REFERENCE = re.compile(r"^(\w+(?:\.\w+)*):(\w+)$")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Absent in some versions of Python or without meaning for the result, so that every version makes one fingerprint.
_SKIPPED_FIELDS = {"ctx", "kind", "type_comment", "type_params"}


class Statement(TypedDict):
    """A statement at a module's top level: the hash of its tree, and the chains and references it holds."""

    hash: str
    chains: list[str]
    references: list[str]


class Outline(TypedDict):
    """One file."""

    key: str
    defined: dict[str, list[Statement]]
    imported: dict[str, list[list[str]]]  # local name -> [module, name]; the name is empty for a whole module
    entries: dict[str, str]  # public name -> module of the room, or whole name of a module
    always: list[Statement]


class Place(NamedTuple):
    """A name in a module of the package."""

    module: str
    name: str


def _is_text(statement: object) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _tree(node: object) -> Iterator[str]:
    """Yield the parts of a syntax tree in order, without places, docstrings and empty fields."""
    if isinstance(node, ast.AST):
        yield type(node).__name__
        for name in node._fields:
            value = getattr(node, name, None)
            if name not in _SKIPPED_FIELDS and value is not None and value != []:
                yield f"{name}("
                yield from _tree(value)
                yield ")"
    elif isinstance(node, list):
        for part in node:
            if not _is_text(part):
                yield from _tree(part)
                yield ","
    else:
        yield repr(node)


def _chain(node: ast.AST) -> str | None:
    """Return ``a.b.c`` if the node is such a name."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None


def _statement(statement: ast.stmt) -> Statement:
    chains, references, inner = set(), set(), set()
    for node in ast.walk(statement):
        if isinstance(node, ast.Name | ast.Attribute) and id(node) not in inner:
            chain = _chain(node)
            if chain:
                chains.add(chain)
            while isinstance(node, ast.Attribute):
                node = node.value
                inner.add(id(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _REFERENCE.match(node.value):
            references.add(node.value)
    text = "\x1f".join(_tree(statement))
    return {"hash": hashlib.sha256(text.encode()).hexdigest()[:16], "chains": sorted(chains), "references": sorted(references)}


def _imports(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """Yield the names of our package that an import binds, each with what it stands for."""
    if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
        for alias in node.names:
            yield alias.asname or alias.name, [node.module, alias.name]
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if _is_ours(alias.name):
                yield (alias.asname, [alias.name, ""]) if alias.asname else (PACKAGE, [PACKAGE, ""])


def _entries(node: ast.AST) -> dict[str, str]:
    """Return the public names that a call of ``entry_points`` declares, with the modules that define them."""
    if not (isinstance(node, ast.Call) and _chain(node.func) == "entry_points"):
        return {}
    pairs = (zip(a.keys, a.values, strict=True) for a in node.args if isinstance(a, ast.Dict))
    return {
        str(k.value): str(v.value) for pair in pairs for k, v in pair if isinstance(k, ast.Constant) and isinstance(v, ast.Constant)
    }


def _bound(statement: ast.stmt) -> list[str]:
    """Return the names that a definition or an assignment binds or changes."""
    if isinstance(statement, _DEFINITIONS):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]
    return []


def _outline(source: bytes, key: str) -> Outline:
    outline: Outline = {"key": key, "defined": {}, "imported": {}, "entries": {}, "always": []}
    for statement in ast.parse(source).body:
        for node in ast.walk(statement):
            outline["entries"].update(_entries(node))
            for name, target in _imports(node):
                outline["imported"].setdefault(name, []).append(target)
        if isinstance(statement, ast.Import | ast.ImportFrom) or _is_text(statement):
            continue
        found = _statement(statement)
        names = _bound(statement)
        for name in names:
            outline["defined"].setdefault(name, []).append(found)
        if not names:
            outline["always"].append(found)
    ours = outline["defined"].keys() | outline["imported"].keys()
    for group in [outline["always"], *outline["defined"].values()]:
        for entry in group:
            entry["chains"] = [c for c in entry["chains"] if c.partition(".")[0] in ours]
    return outline


@cache
def _own_code() -> bytes:
    return Path(__file__).read_bytes()


@cache
def _read(path: Path, stamp: tuple[int, int]) -> Outline:
    """Return a file's outline, from beside its compiled code if that was made from the same text."""
    source = path.read_bytes()
    key = hashlib.sha256(_own_code() + source).hexdigest()
    kept = path.parent / "__pycache__" / f"{path.stem}.outline.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        stored: Outline = json.loads(kept.read_bytes())
        if stored["key"] == key:
            return stored
    outline = _outline(source, key)
    with contextlib.suppress(OSError):  # a folder that cannot be written to only costs time
        kept.parent.mkdir(exist_ok=True)
        part = kept.with_name(f"{kept.name}.{os.getpid()}")
        part.write_text(json.dumps(outline), encoding="utf-8")
        part.replace(kept)
    return outline


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(PACKAGE + ".")


@cache
def _file(module: str, source: Path) -> Path | None:
    stem = source.joinpath(*module.split(".")[1:])
    candidates = (stem.with_suffix(".py"), stem / "__init__.py") if module != PACKAGE else (source / "__init__.py",)
    return next((c for c in candidates if c.is_file()), None)


def _module_file(module: str) -> Path | None:
    return _file(module, SOURCE) if _is_ours(module) else None


def _meant(module: str, name: str, rest: Sequence[str]) -> Place:
    """Return the place that ``name.rest`` of a module means, going down through modules as far as there are any."""
    for part in [name, *rest] if name else rest:
        inner = f"{module}.{part}"
        if _module_file(inner) is None:
            return Place(module, part)
        module = inner
    return Place(module, WHOLE)


class _Walk:
    """Collects the hashes of all that some roots reach."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self.queue: list[Place] = []

    def take(self, label: str, statements: Sequence[Statement], module: str, outline: Outline) -> None:
        """Record statements under a label and queue what they refer to."""
        self.found[label] = " ".join(s["hash"] for s in statements)
        for statement in statements:
            for reference in statement["references"]:
                self.refer(reference)
            for chain in statement["chains"]:
                first, *rest = chain.split(".")
                if first in outline["defined"] and module:
                    self.queue.append(Place(module, first))
                self.queue.extend(_meant(of, name, rest) for of, name in outline["imported"].get(first, []))

    def refer(self, reference: str) -> bool:
        """Queue what a reference of the form ``module:name`` names, if the module is ours."""
        match = _REFERENCE.match(reference)
        if match is None or _module_file(match[1]) is None:
            return False
        self.queue.append(Place(match[1], match[2]))
        return True

    def root(self, path: Path) -> None:
        """Take in a whole script."""
        outline = _stamped(path)
        self.take(f"script {path.name}", _all(outline), "", outline)

    def visit(self, place: Place) -> None:
        """Take in one name, and what its module does on import."""
        path = _module_file(place.module)
        label = f"{place.module}:{place.name}"
        if path is None or label in self.found:
            return
        outline = _stamped(path)
        on_import = f"{place.module}:"
        if on_import not in self.found:
            self.take(on_import, outline["always"], place.module, outline)
        passed_on = [_meant(of, name, []) for of, name in outline["imported"].get(place.name, [])]
        if place.name in outline["entries"]:
            passed_on.append(Place(entry_module(place.module, outline["entries"][place.name]), place.name))
        self.queue.extend(passed_on)
        unknown = place.name not in outline["defined"] and not passed_on
        self.take(label, _all(outline) if unknown else outline["defined"].get(place.name, []), place.module, outline)


def _all(outline: Outline) -> list[Statement]:
    return [*outline["always"], *(s for group in outline["defined"].values() for s in group)]


def _stamped(path: Path) -> Outline:
    status = path.stat()
    return _read(path, (status.st_mtime_ns, status.st_size))


def fingerprint(*roots: str | Path) -> str:
    """Return a short hash of the code that the roots (script paths or ``package.module:name``) reach."""
    walk = _Walk()
    for root in map(str, roots):
        if not walk.refer(root):
            walk.root(Path(root))
    while walk.queue:
        walk.visit(walk.queue.pop())
    text = "\n".join(f"{label}\x1f{walk.found[label]}" for label in sorted(walk.found))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
