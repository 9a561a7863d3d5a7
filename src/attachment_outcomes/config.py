"""Configuration as data: read, check against its schema, and say in one line what is wrong.

Every file under ``config/`` is YAML, checked by a JSON Schema of ``workflow/schemas`` that allows no unknown keys.
Defaults stand in the schemas and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from attachment_outcomes.errors import ConfigError, did_you_mean, problem

ROOT_VARIABLE = "ATTACHMENT_OUTCOMES_ROOT"
SCHEMAS = ("config", "study", "instrument", "criterion", "claims")


class _Loader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice, which plain YAML silently overwrites."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(k, deep=True) for k, _ in node.value]  # type: ignore[no-untyped-call]
    for position, key in enumerate(keys):
        if key in keys[:position]:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", node.value[position][0].start_mark)
    return dict(zip(keys, (loader.construct_object(v, deep=True) for _, v in node.value), strict=True))  # type: ignore[no-untyped-call]


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def project_root() -> Path:
    """Return the project's folder: ``ATTACHMENT_OUTCOMES_ROOT`` if set, else the checkout this library lies in."""
    return Path(os.environ.get(ROOT_VARIABLE) or Path(__file__).resolve().parents[2])


def shown(path: Path) -> str:
    """Return a path relative to the project, so that messages and results carry no machine's folders."""
    try:
        return path.resolve().relative_to(project_root().resolve()).as_posix()
    except ValueError:
        return path.name


def read_yaml(path: Path) -> Any:
    """Read one YAML file.

    Raises
    ------
    ConfigError
        If the file is missing, is not UTF-8, or is not YAML; with the line.
    """
    if not path.is_file():
        siblings = [p.stem for p in path.parent.glob("*.yaml")]
        raise ConfigError(
            problem(
                shown(path),
                f"no such file.{did_you_mean(path.stem, siblings)}",
                hint=f"there are: {', '.join(sorted(siblings)) or 'none'}.",
            )
        )
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(problem(shown(path), "is not UTF-8 text.", hint="save it as UTF-8.")) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(
            problem(
                f"{shown(path)}, line {line}",
                f"is not valid YAML: {error.problem}.",
                hint="check indentation, colons and quotes there.",
            )
        ) from error


@cache
def schema(name: str) -> dict[str, Any]:
    """Return one of the project's JSON Schemas."""
    content: dict[str, Any] = read_yaml(project_root() / "workflow" / "schemas" / f"{name}.schema.yaml")
    return content


def _describe(error: ValidationError, file: str) -> Iterator[str]:
    key = "/".join(str(p) for p in error.absolute_path) or "(top level)"
    place = f"{file}, key {key}"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        allowed = sorted(error.schema.get("properties", {}))
        for unknown in sorted(str(k) for k in set(error.instance) - set(allowed)):
            yield f"{place}: unknown key {unknown!r}; allowed: {', '.join(allowed)}.{did_you_mean(unknown, allowed)}"
    elif error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [k for k in error.validator_value if k not in error.instance]
        yield f"{place}: required key {missing[0]!r} is missing; found: {', '.join(map(str, error.instance)) or 'nothing'}."
    elif error.validator == "enum":
        yield f"{place}: found {error.instance!r}; allowed: {', '.join(map(str, error.validator_value))}.{did_you_mean(error.instance, error.validator_value)}"
    elif error.validator in ("oneOf", "anyOf") and error.context:
        deepest = max(error.context, key=lambda e: (len(e.absolute_path), e.validator != "type"))
        if len(deepest.absolute_path) > len(error.absolute_path) or deepest.validator == "additionalProperties":
            yield from _describe(deepest, file)
        else:
            kinds = sorted({str(e.validator_value) for e in error.context if e.validator == "type"})
            yield f"{place}: found {error.instance!r}; allowed: {' or '.join(kinds) or error.schema.get('description', 'another form')}."
    elif error.validator == "type":
        yield f"{place}: found {error.instance!r}; allowed: {error.validator_value}."
    else:
        yield f"{place}: found {error.instance!r}; {error.message.replace(repr(error.instance), 'it', 1)}."


def _resolve(part: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        beside = {k: v for k, v in part.items() if k != "$ref"}
        part = {**top["$defs"][part["$ref"].rsplit("/", 1)[1]], **beside}
    return part


def _fill(content: Any, part: dict[str, Any], top: dict[str, Any]) -> Any:
    """Return the content with the schema's defaults filled in, at every depth that is present."""
    part = _resolve(part, top)
    for branch in part.get("oneOf", part.get("anyOf", [])):
        branch = _resolve(branch, top)
        if isinstance(content, dict) and (branch.get("type") == "object" or "properties" in branch):
            part = branch
            break
    if isinstance(content, dict):
        for key, sub in part.get("properties", {}).items():
            resolved = _resolve(sub, top)
            if key not in content and "default" in resolved:
                content[key] = deepcopy(resolved["default"])
            if key in content:
                content[key] = _fill(content[key], sub, top)
        rest = part.get("additionalProperties")
        if isinstance(rest, dict):
            for key in content:
                if key not in part.get("properties", {}):
                    content[key] = _fill(content[key], rest, top)
    elif isinstance(content, list) and isinstance(part.get("items"), dict):
        content = [_fill(c, part["items"], top) for c in content]
    return content


def validated(content: Any, schema_name: str, file: str) -> Any:
    """Return the content with defaults, or raise one :class:`ConfigError` with one line a problem."""
    top = schema(schema_name)
    errors = sorted(Draft202012Validator(top).iter_errors(content), key=lambda e: [str(p) for p in e.absolute_path])
    lines = [line for error in errors for line in _describe(error, file)]
    if lines:
        raise ConfigError("\n".join(dict.fromkeys(lines)))
    return _fill(deepcopy(content), top, top)


def _load(path: Path, schema_name: str) -> dict[str, Any]:
    content: dict[str, Any] = validated(read_yaml(path), schema_name, shown(path))
    name = content.get("name")
    if name is not None and name != path.stem:
        raise ConfigError(problem(f"{shown(path)}, key name", f"found {name!r}; it must equal the file's name, {path.stem!r}."))
    return content


def load_config(overrides: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return ``config/config.yaml`` with defaults; ``overrides`` (from the command line) are checked too."""
    path = project_root() / "config" / "config.yaml"
    content: dict[str, Any] = validated({**read_yaml(path), **(overrides or {})}, "config", shown(path))
    return content


def load_study(name: str) -> dict[str, Any]:
    """Return one study's configuration, ``config/studies/<name>.yaml``."""
    return _load(project_root() / "config" / "studies" / f"{name}.yaml", "study")


@cache
def load_instrument(name: str) -> dict[str, Any]:
    """Return one instrument, ``config/instruments/<name>.yaml``. Do not change what is returned."""
    return _load(project_root() / "config" / "instruments" / f"{name}.yaml", "instrument")


def load_instruments() -> dict[str, dict[str, Any]]:
    """Return the instrument registry by key."""
    return {p.stem: load_instrument(p.stem) for p in sorted((project_root() / "config" / "instruments").glob("*.yaml"))}


@cache
def load_criterion(name: str) -> dict[str, Any]:
    """Return one criterion preset, ``config/criteria/<name>.yaml``. Do not change what is returned."""
    return _load(project_root() / "config" / "criteria" / f"{name}.yaml", "criterion")


def load_criteria(kind: str) -> dict[str, dict[str, Any]]:
    """Return the criteria presets of one kind (``rupture`` or ``change``) by name."""
    found = (load_criterion(p.stem) for p in sorted((project_root() / "config" / "criteria").glob("*.yaml")))
    return {c["name"]: c for c in found if c["kind"] == kind}


def load_claims() -> list[dict[str, Any]]:
    """Return the claims of ``config/claims.yaml``, in order."""
    claims: list[dict[str, Any]] = _load(project_root() / "config" / "claims.yaml", "claims")["claims"]
    return claims


def data_folder(study: Mapping[str, Any], data_dir: str | Path) -> Path:
    """Return the folder that holds a study's files: inside the project if they ship with it, else below ``data_dir``."""
    base = project_root() / "data" if study["bundled"] else Path(data_dir)
    return base / str(study["folder"])
