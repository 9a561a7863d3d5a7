"""Reference pages made from the schemas and the contracts, so that they cannot drift."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from attachment_outcomes.study.contracts import TABLES, Column

HEAD = """# Configuration guide

Everything that can be set, file by file. This page is made from the schemas in `workflow/schemas/` by
`python3 run.py docs`; a test holds it to them. A key that is not listed here is refused, with the nearest key that is.
"""


def _kind(part: Mapping[str, Any]) -> str:
    """Return what a key may hold, in a few words."""
    if "enum" in part:
        return "one of " + ", ".join(f"`{v}`" for v in part["enum"])
    if "const" in part:
        return f"`{part['const']}`"
    kind = part.get("type", "")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array":
        return "list" + (f" of {inner}" if (inner := _kind(part.get("items", {}))) and "one of" not in inner else "")
    if kind:
        words = {"object": "mapping", "string": "text", "boolean": "true or false", "integer": "whole number"}
        limits = [f"{word} {part[key]}" for key, word in _LIMITS.items() if key in part]
        return " ".join([words.get(kind, kind), *(["(" + ", ".join(limits) + ")"] if limits else [])])
    return " or ".join(filter(None, (_kind(p) for p in part.get("oneOf", []))))


_LIMITS = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "above", "exclusiveMaximum": "below"}


def _resolve(part: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" not in part:
        return dict(part)
    beside = {k: v for k, v in part.items() if k != "$ref"}
    return {**_resolve(top["$defs"][part["$ref"].rsplit("/", 1)[1]], top), **beside}


def _lines(
    part: Mapping[str, Any], top: Mapping[str, Any], depth: int, required: bool, key: str, seen: tuple[str, ...]
) -> Iterator[str]:
    whole = _resolve(part, top)
    marks = [_kind(whole)]
    if required:
        marks.append("required")
    if "default" in whole and whole["default"] not in ({}, [], ""):
        marks.append(f"default `{whole['default']}`")
    described = str(whole.get("description", "")).rstrip(".")
    yield f"{'  ' * depth}- **`{key}`** ({', '.join(filter(None, marks))}): {described}."
    reference = str(part.get("$ref", ""))
    if reference and reference in seen:
        return
    inner = whole
    while inner.get("type") == "array" and isinstance(inner.get("items"), Mapping):
        reference = reference or str(inner["items"].get("$ref", ""))
        inner = _resolve(inner["items"], top)
    for branch in inner.get("oneOf", []):
        resolved = _resolve(branch, top)
        if "properties" in resolved:
            inner = resolved
    for name, sub in inner.get("properties", {}).items():
        yield from _lines(sub, top, depth + 1, name in inner.get("required", []), name, (*seen, reference))
    rest = inner.get("additionalProperties")
    if isinstance(rest, Mapping):
        yield from _lines(rest, top, depth + 1, False, "<name>", (*seen, reference))


def configuration_guide(schemas: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the guide as Markdown.

    Parameters
    ----------
    schemas : mapping of str to mapping
        JSON Schemas by name, in the order in which they are shown.
    """
    parts = [HEAD]
    for schema in schemas.values():
        parts.append(f"\n## {schema['title']}\n\n{str(schema['description']).rstrip('.')}.\n\n")
        for name, sub in schema["properties"].items():
            parts += [line + "\n" for line in _lines(sub, schema, 0, name in schema.get("required", []), name, ())]
    return "".join(parts)


DICTIONARY_HEAD = """# Data dictionary

The canonical tables that every study's raw files become. Made from the contracts in the code by `python3 run.py docs`;
a test holds it to them. Dates never enter: time is in weeks since baseline. Ids are re-coded with a keyed hash.
"""


def _holds(column: Column) -> str:
    words = {"word": "text", "whole": "whole number", "number": "number", "yes_no": "true or false"}
    parts = [words[column.kind]]
    if column.allowed:
        parts.append("one of " + ", ".join(f"`{word}`" for word in column.allowed))
    if column.low is not None and column.high is not None:
        parts.append(f"{column.low:g} to {column.high:g}")
    elif column.low is not None:
        parts.append(f"at least {column.low:g}")
    return ", ".join(parts)


def data_dictionary() -> str:
    """Return the canonical tables, their keys and columns as Markdown."""
    parts = [DICTIONARY_HEAD]
    for name, contract in TABLES.items():
        parts.append(f"\n## `{name}`: {contract.meaning}\n\nKey: {', '.join(f'`{k}`' for k in contract.key)}.\n\n")
        parts.append("| column | holds | meaning |\n| --- | --- | --- |\n")
        for column_name, column in contract.columns.items():
            required = " (always given)" if column.required else ""
            parts.append(f"| `{column_name}` | {_holds(column)}{required} | {column.meaning} |\n")
    return "".join(parts)
