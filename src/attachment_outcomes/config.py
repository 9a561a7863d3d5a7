"""Configuration as data: read, check against its schema, and say in one line what is wrong.

Every file under ``config/`` is YAML, checked by a JSON Schema of ``workflow/schemas`` that allows no unknown keys.
Defaults stand in the schemas and nowhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from attachment_outcomes.errors import ConfigError, did_you_mean, problem

ROOT_VARIABLE = "ATTACHMENT_OUTCOMES_ROOT"
SCHEMAS = ("config", "study", "instrument", "criterion", "claims", "published")
LONGEST_SHOWN = 80  # characters of a wrong value that a message repeats
KINDS = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
}


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # the C one is ten times faster
    """Safe YAML that refuses a key given twice, and in which only ``true`` and ``false`` are truth values.

    Plain YAML 1.1 silently overwrites doubled keys and turns ``No`` into false, ``010`` into 8, ``12:30`` into 750 and
    dates into objects; in a mapping of raw cells to values each of these would be a wrong answer.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9]*)$"), list("-+0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+))$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


def _mapping(loader: Any, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: list[Any] = []
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True) if key_node.tag != "tag:yaml.org,2002:merge" else object()
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} given twice", key_node.start_mark)
        seen.append(key)
    mapping: dict[Any, Any] = loader.construct_mapping(node, deep=True)
    return mapping


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
_Loader.add_constructor("tag:yaml.org,2002:float", lambda loader, node: float(loader.construct_scalar(node)))


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
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError(
            problem(
                f"{shown(path)}, line {mark.line + 1}" if mark else shown(path),
                f"is not valid YAML: {getattr(error, 'problem', None) or getattr(error, 'reason', 'unreadable')}.",
                hint="check indentation, colons and quotes there.",
            )
        ) from error


def schema(name: str) -> dict[str, Any]:
    """Return one of the project's JSON Schemas. Do not change what is returned."""
    return _schema(project_root() / "workflow" / "schemas" / f"{name}.schema.yaml")


@cache
def _schema(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = read_yaml(path)
    return content


def _found(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _words(values: Iterable[Any]) -> str:
    words = [str(v) for v in values]
    return ("; " if any("," in word for word in words) else ", ").join(words)


def _allowed(error: ValidationError) -> str:
    """Return what one failed check allows."""
    rule: Any = error.validator_value
    schema_part: Any = error.schema
    if error.validator == "type":
        kinds = [rule] if isinstance(rule, str) else rule
        return " or ".join(KINDS[k] for k in kinds)
    if error.validator == "enum":
        return _words(rule)
    if error.validator == "const":
        return str(rule)
    if error.validator == "minimum":
        return f"from {rule}"
    if error.validator == "maximum":
        return f"up to {rule}"
    return str(schema_part.get("description", "another form"))


def _describe(error: ValidationError, file: str) -> Iterator[str]:
    rule: Any = error.validator_value
    schema_part: Any = error.schema
    key = "/".join(str(p) for p in error.absolute_path) or "(top level)"
    place = f"{file}, key {key}"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        allowed = sorted(schema_part.get("properties", {}))
        for unknown in sorted(str(k) for k in error.instance if k not in allowed):
            yield f"{place}: unknown key {unknown!r}; allowed: {_words(allowed)}.{did_you_mean(unknown, allowed)}"
    elif error.validator == "required" and isinstance(error.instance, Mapping):
        missing = [k for k in rule if k not in error.instance]
        noun, verb = ("key", "is") if len(missing) == 1 else ("keys", "are")
        yield f"{place}: required {noun} {_words(map(repr, missing))} {verb} missing; found: {_words(error.instance) or 'nothing'}."
    elif error.validator in ("oneOf", "anyOf") and error.context:
        # The branch that got deepest is the one that was meant.
        deepest = max(error.context, key=lambda e: (len(e.absolute_path), e.validator == "additionalProperties"))
        if len(deepest.absolute_path) > len(error.absolute_path) or deepest.validator == "additionalProperties":
            yield from _describe(deepest, file)
        else:
            enums: list[Any] = [e.validator_value for e in error.context if e.validator == "enum"]
            allowed_forms = " or ".join(dict.fromkeys(_allowed(e) for e in error.context))
            yield f"{place}: found {_found(error.instance)}; allowed: {allowed_forms}.{did_you_mean(error.instance, chain(*enums))}"
    elif error.validator == "enum":
        meant = did_you_mean(error.instance, rule)
        yield f"{place}: found {_found(error.instance)}; allowed: {_allowed(error)}.{meant}"
    elif error.validator in ("type", "const"):
        yield f"{place}: found {_found(error.instance)}; allowed: {_allowed(error)}."
    else:
        yield f"{place}: found {_found(error.instance)}; {error.message.replace(repr(error.instance), 'it', 1)}."


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
    content = read_yaml(path)
    if overrides and isinstance(content, dict):
        content = {**content, **overrides}
    checked: dict[str, Any] = validated(content, "config", shown(path))
    return checked


def load_study(name: str) -> dict[str, Any]:
    """Return one study's configuration, ``config/studies/<name>.yaml``."""
    return _load(project_root() / "config" / "studies" / f"{name}.yaml", "study")


@cache
def _kept(path: Path, schema_name: str) -> dict[str, Any]:
    return _load(path, schema_name)


def load_instrument(name: str) -> dict[str, Any]:
    """Return one instrument, ``config/instruments/<name>.yaml``. Do not change what is returned."""
    return _kept(project_root() / "config" / "instruments" / f"{name}.yaml", "instrument")


def load_instruments() -> dict[str, dict[str, Any]]:
    """Return the instrument registry by key."""
    return {p.stem: load_instrument(p.stem) for p in sorted((project_root() / "config" / "instruments").glob("*.yaml"))}


def load_criterion(name: str) -> dict[str, Any]:
    """Return one criterion preset, ``config/criteria/<name>.yaml``. Do not change what is returned."""
    return _kept(project_root() / "config" / "criteria" / f"{name}.yaml", "criterion")


def load_criteria(kind: str) -> dict[str, dict[str, Any]]:
    """Return the criteria presets of one kind (``rupture`` or ``change``) by name."""
    found = (load_criterion(p.stem) for p in sorted((project_root() / "config" / "criteria").glob("*.yaml")))
    return {c["name"]: c for c in found if c["kind"] == kind}


def load_coding_system(name: str) -> dict[str, Any]:
    """Return one coding system of observers, ``config/observer/<name>.yaml``. Do not change what is returned."""
    return _kept(project_root() / "config" / "observer" / f"{name}.yaml", "observer")


def load_claims() -> list[dict[str, Any]]:
    """Return the claims of ``config/claims.yaml``, in order."""
    claims: list[dict[str, Any]] = _load(project_root() / "config" / "claims.yaml", "claims")["claims"]
    return claims


def load_published(name: str) -> dict[str, Any]:
    """Return published results, ``config/published/<name>.yaml``. Do not change what is returned."""
    return _kept(project_root() / "config" / "published" / f"{name}.yaml", "published")


def data_folder(study: Mapping[str, Any], data_dir: str | Path) -> Path:
    """Return the folder that holds a study's files: inside the project if they ship with it, else below ``data_dir``."""
    base = project_root() / "data" if study["bundled"] else Path(data_dir)
    return base / str(study["folder"])
