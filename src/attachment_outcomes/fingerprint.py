"""Fingerprints of code: what a step really uses, so that an edit re-runs its users and nobody else.

From a script (or a ``package.module:name``) the definitions it reaches are followed by name, through imports and
through strings of the form ``attachment_outcomes.room.module:name``, and their syntax trees are hashed without
docstrings. Comments, docstrings and layout therefore never re-run anything; neither does a function nobody reaches.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

PACKAGE = "attachment_outcomes"
SOURCE = Path(__file__).resolve().parent
_REFERENCE = re.compile(rf"^({PACKAGE}(?:\.\w+)*):(\w+)$")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass
class _Module:
    """A module's top level: definitions by name, imported names, and statements that run on import."""

    defined: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)  # local name -> (module, name or "")
    always: list[ast.stmt] = field(default_factory=list)


def _file(module: str) -> Path | None:
    stem = SOURCE.joinpath(*module.split(".")[1:]) if module != PACKAGE else SOURCE
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def _is_ours(module: str | None) -> bool:
    return module is not None and (module == PACKAGE or module.startswith(PACKAGE + "."))


def _imports(node: ast.AST) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the names of our package that an import statement binds."""
    if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
        for alias in node.names:
            module = f"{node.module}.{alias.name}"
            target = (module, "") if _file(module) else (str(node.module), alias.name)
            yield alias.asname or alias.name, target
    elif isinstance(node, ast.Import):
        for alias in node.names:
            if _is_ours(alias.name):
                yield alias.asname or alias.name.split(".")[0], (alias.name, "")


@cache
def _parse(path: Path, stamp: tuple[int, int]) -> _Module:
    module = _Module()
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        for inner in ast.walk(statement):
            module.imported.update(_imports(inner))
        if isinstance(statement, _DEFINITIONS):
            module.defined.setdefault(statement.name, []).append(statement)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for name in (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)):
                module.defined.setdefault(name, []).append(statement)
        elif not isinstance(statement, ast.Import | ast.ImportFrom) and not _is_docstring(statement):
            module.always.append(statement)
    return module


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)


def _module(path: Path) -> _Module:
    status = path.stat()
    return _parse(path, (status.st_mtime_ns, status.st_size))


class _Bare(ast.NodeTransformer):
    """Drops docstrings."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(node, _DEFINITIONS) and isinstance(body, list) and body and _is_docstring(body[0]):
            node.body = body[1:] or [ast.Pass()]
        return node


def _dump(statement: ast.stmt) -> str:
    return ast.dump(_Bare().visit(ast.parse(ast.unparse(statement))))


def _uses(statement: ast.stmt, module: _Module) -> Iterator[tuple[str, str]]:
    """Yield the (module, name) pairs of our package a statement refers to; module "" is its own."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            target = module.imported.get(node.value.id)
            if target is not None and target[1] == "":
                yield target[0], node.attr
        if isinstance(node, ast.Name):
            target = module.imported.get(node.id)
            if target is not None and target[1]:
                yield target
            elif node.id in module.defined:
                yield "", node.id
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            match = _REFERENCE.match(node.value)
            if match:
                yield match[1], match[2]


def _parts(roots: Iterable[str]) -> dict[str, str]:
    """Return the dumps of all definitions that the roots reach, by ``file:name``."""
    found: dict[str, str] = {}
    queue: list[tuple[Path, str]] = []
    entered: set[Path] = set()

    def visit(path: Path, statements: Iterable[ast.stmt], label: str) -> None:
        module = _module(path)
        texts = []
        for statement in statements:
            texts.append(_dump(statement))
            for target, name in _uses(statement, module):
                other = path if target == "" else _file(target)
                if other is not None:
                    queue.append((other, name))
        found[label] = "\n".join(texts)

    def enter(path: Path) -> None:
        """Take in what a module does on import."""
        if path not in entered:
            entered.add(path)
            if _module(path).always:
                visit(path, _module(path).always, f"{path.name}:")

    for root in roots:
        match = _REFERENCE.match(root)
        if match:
            path = _file(match[1])
            if path is None:
                raise FileNotFoundError(root)
            queue.append((path, match[2]))
        else:
            path = Path(root)
            module = _module(path)
            visit(path, [*module.always, *(s for group in module.defined.values() for s in group)], f"{path.name}:")

    while queue:
        path, name = queue.pop()
        module = _module(path)
        enter(path)
        label = f"{path.relative_to(SOURCE) if path.is_relative_to(SOURCE) else path.name}:{name}"
        if label in found:
            continue
        if name in module.defined:
            visit(path, module.defined[name], label)
        elif name in module.imported:  # re-exported
            found[label] = ""
            target, inner = module.imported[name]
            other = _file(target)
            if other is not None and inner:
                queue.append((other, inner))
        else:  # an entry point resolved at run time: its room names it in its __init__
            found[label] = ""
            for statements in module.defined.values():
                visit(path, statements, label)
    return found


def fingerprint(*roots: str | Path) -> str:
    """Return a short hash of the code that the roots (script paths or ``package.module:name``) reach."""
    parts = _parts(str(r) for r in roots)
    digest = hashlib.sha256()
    for label in sorted(parts):
        digest.update(f"{label}\x00{parts[label]}\x01".encode())
    return digest.hexdigest()[:16]
