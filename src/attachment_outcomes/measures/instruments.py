"""How is an instrument scored? Its key as typed, checked records, in the form that a study used.

Vocabulary
----------
form       the instrument as a study gave it: its answer range and items may differ from the published ones
key        which items make a scale, and which of them are reversed, recoded or weighted
standing   whether a number was checked in the source it names (``verified``)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from attachment_outcomes.config import load_instrument
from attachment_outcomes.errors import ConfigError, did_you_mean, problem

MEAN, SUM = "mean", "sum"
ROUNDED_MEAN = "rounded mean"
HIGHER_IS_BETTER, HIGHER_IS_WORSE = "higher is better", "higher is worse"
_ESTIMATE_DIRECTION = {HIGHER_IS_BETTER: "higher is better", HIGHER_IS_WORSE: "lower is better"}


@dataclass(frozen=True, slots=True)
class Scale:
    """One scale of a form; ``low`` and ``high`` bound its score (NaN where nothing says how far it goes)."""

    key: str
    title: str
    direction: str
    items: tuple[int, ...] = ()
    reverse: frozenset[int] = frozenset()
    recode: Mapping[int, Mapping[float, float]] = field(default_factory=dict)
    weights: Mapping[int, float] = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    mean_over_targets: str = ""
    combine: str = MEAN
    multiply: float = 1.0
    max_missing: int = 0
    prorate: str = MEAN
    low: float = math.nan
    high: float = math.nan

    @property
    def from_items(self) -> bool:
        """Whether the score is made from item answers (or from other scales that are), not only imported."""
        return bool(self.items or self.parts or self.mean_over_targets)

    @property
    def estimate_direction(self) -> str:
        """How an estimate table says which way is better."""
        return _ESTIMATE_DIRECTION.get(self.direction, "")


@dataclass(frozen=True, slots=True)
class Instrument:
    """An instrument in the form a study used. ``own_range`` tells that published norms and cutoffs do not apply to it."""

    key: str
    title: str
    low: float
    high: float
    scales: Mapping[str, Scale]
    unscored: frozenset[int] = frozenset()
    own_range: bool = False

    @property
    def items(self) -> tuple[int, ...]:
        """Items that any scale uses, in order."""
        return tuple(sorted({i for s in self.scales.values() for i in s.items}))

    def items_of(self, scale: str) -> tuple[int, ...]:
        """Items of a scale, or of its parts."""
        found = self.scales[scale]
        return tuple(i for part in found.parts for i in self.scales[part].items) if found.parts else found.items

    def scale(self, name: str) -> Scale:
        """Return a scale by name.

        Raises
        ------
        ConfigError
            If the instrument has no such scale.
        """
        if name not in self.scales:
            allowed = ", ".join(self.scales)
            raise ConfigError(problem(self.key, f"no scale {name!r}; it has {allowed}.{did_you_mean(name, self.scales)}"))
        return self.scales[name]


def read_instrument(
    instrument: str | Mapping[str, Any], *, override: Mapping[str, Any] | None = None, complete_only: bool = False
) -> Instrument:
    """Return an instrument, by registry key or as a configuration, in the form that a study used.

    Parameters
    ----------
    instrument : str or mapping
        Key of ``config/instruments``, or the content of such a file (keys without a value take the schema's default).
    override : mapping, optional
        A study's own form: ``range``, ``items`` (scale to the subset it used), ``complete_only``. With fewer items the number
        of unanswered items tolerated shrinks in proportion, rounded down.
    complete_only : bool
        Score only those who answered every item.

    Raises
    ------
    ConfigError
        If the key contradicts itself (an item reversed or weighted that the scale does not have, a range the items cannot
        give) or the override names a scale or an item that the instrument does not have.
    """
    content = load_instrument(instrument) if isinstance(instrument, str) else instrument
    override = override or {}
    key = str(content.get("name", "instrument"))
    published = tuple(float(v) for v in content["range"])
    low, high = (float(v) for v in override.get("range", published))
    if low >= high:
        raise ConfigError(problem(f"{key}, key range", f"found [{low:g}, {high:g}]; the lowest answer comes first."))
    subsets = override.get("items", {})
    for name in subsets:
        if name not in content["scales"]:
            allowed = ", ".join(content["scales"])
            raise ConfigError(
                problem(f"{key}, own items", f"no scale {name!r}; it has {allowed}.{did_you_mean(name, content['scales'])}")
            )
    complete = complete_only or bool(override.get("complete_only", False))
    scales: dict[str, Scale] = {}
    for name, entry in content["scales"].items():
        scales[name] = _scale(key, name, entry, subsets.get(name), complete=complete)
    own_range = "range" in override
    form = {
        name: _ranged(key, s, scales, content["scales"][name], low, high, own_range or bool(subsets)) for name, s in scales.items()
    }
    return Instrument(key, str(content.get("title", key)), low, high, form, frozenset(content.get("unscored", [])), own_range)


def read_instruments(
    instruments: Mapping[str, Mapping[str, Any]], overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Instrument]:
    """Return the instruments of a study in the forms it used; see :func:`read_instrument`."""
    overrides = overrides or {}
    unknown = [k for k in overrides if k not in instruments]
    if unknown:
        allowed = ", ".join(instruments)
        raise ConfigError(
            problem("own forms", f"no instrument {unknown[0]!r}; allowed: {allowed}.{did_you_mean(unknown[0], instruments)}")
        )
    return {k: read_instrument(v, override=overrides.get(k)) for k, v in instruments.items()}


def split_score(score: str, instruments: Mapping[str, Instrument]) -> tuple[Instrument, Scale]:
    """Return the instrument and the scale that ``<instrument>.<scale>`` names.

    Raises
    ------
    ConfigError
        If either is not known.
    """
    key, _, scale = score.partition(".")
    if key not in instruments:
        raise ConfigError(
            problem(
                f"score {score!r}", f"no instrument {key!r}; there are {', '.join(instruments)}.{did_you_mean(key, instruments)}"
            )
        )
    return instruments[key], instruments[key].scale(scale)


def _scale(key: str, name: str, entry: Mapping[str, Any], subset: Sequence[int | str] | None, *, complete: bool) -> Scale:
    place = f"{key}, scale {name}"
    items = tuple(int(i) for i in entry.get("items", []))
    max_missing = int(entry.get("max_missing", 0))
    _check_items(place, entry, items)
    if subset is not None:
        kept = [int(i) for i in subset]
        strange = [i for i in kept if i not in items]
        if strange or len(set(kept)) != len(kept) or not kept:
            raise ConfigError(problem(f"{place}, own items", f"found {kept}; allowed: a subset of {list(items)}, each once."))
        max_missing = max_missing * len(kept) // len(items)
        items = tuple(i for i in items if i in kept)
    return Scale(
        key=name,
        title=str(entry.get("title", name)),
        direction=str(entry["direction"]),
        items=items,
        reverse=frozenset(int(i) for i in entry.get("reverse", []) if int(i) in items),
        recode={int(i): {float(a): float(v) for a, v in m.items()} for i, m in entry.get("recode", {}).items() if int(i) in items},
        weights={int(i): float(w) for i, w in entry.get("weights", {}).items() if int(i) in items},
        parts=tuple(entry.get("parts", [])),
        mean_over_targets=str(entry.get("mean_over_targets", "")),
        combine=str(entry.get("score", MEAN)),
        multiply=float(entry.get("multiply", 1)),
        max_missing=0 if complete else max_missing,
        prorate=str(entry.get("prorate", MEAN)),
    )


def _check_items(place: str, entry: Mapping[str, Any], items: tuple[int, ...]) -> None:
    """Refuse a key that contradicts itself; copies of keys in circulation have such slips."""
    if len(set(items)) != len(items):
        doubled = sorted({i for i in items if items.count(i) > 1})
        raise ConfigError(problem(f"{place}, key items", f"items {doubled} stand twice."))
    for what in ("reverse", "recode", "weights"):
        strange = sorted({int(i) for i in entry.get(what, [])} - set(items))
        if strange:
            raise ConfigError(problem(f"{place}, key {what}", f"items {strange} are not among the scale's items."))
    both = sorted({int(i) for i in entry.get("reverse", [])} & {int(i) for i in entry.get("recode", {})})
    if both:
        raise ConfigError(
            problem(f"{place}, key recode", f"items {both} are both reversed and recoded; a recoding replaces reversal.")
        )
    weights = {int(i) for i in entry.get("weights", {})}
    if weights and (weights != set(items) or entry.get("score", MEAN) != SUM or entry.get("max_missing", 0)):
        raise ConfigError(problem(f"{place}, key weights", "a weighted scale is a sum, weighs every item and needs every answer."))
    if items and int(entry.get("max_missing", 0)) >= len(items):
        raise ConfigError(problem(f"{place}, key max_missing", f"at least one of the {len(items)} items must be answered."))
    kinds = [k for k in ("items", "parts", "mean_over_targets") if entry.get(k)]
    if len(kinds) > 1:
        raise ConfigError(problem(place, f"{' and '.join(kinds)} are given; a scale is made in one way."))


def _ranged(
    key: str, scale: Scale, scales: Mapping[str, Scale], entry: Mapping[str, Any], low: float, high: float, own_form: bool
) -> Scale:
    """Return the scale with the range its items can give; check the range the file states against it."""
    place = f"{key}, scale {scale.key}"
    for name in (*scale.parts, *([scale.mean_over_targets] if scale.mean_over_targets else [])):
        if name not in scales or not scales[name].items:
            raise ConfigError(
                problem(place, f"{name!r} is not a scale of the instrument that has items.{did_you_mean(name, scales)}")
            )
    if scale.parts:
        bounds = [_bounds(scales[p], low, high) for p in scale.parts]
        found = (sum(b[0] for b in bounds) * scale.multiply, sum(b[1] for b in bounds) * scale.multiply)
    elif scale.mean_over_targets:
        found = _bounds(scales[scale.mean_over_targets], low, high)
    elif scale.items:
        found = _bounds(scale, low, high)
    else:
        stated = entry.get("range", [math.nan, math.nan])
        return _with_range(scale, float(stated[0]), float(stated[1]))
    if (
        "range" in entry
        and not own_form
        and not all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(entry["range"], found, strict=True))
    ):
        raise ConfigError(
            problem(f"{place}, key range", f"found {list(entry['range'])}; the items give [{found[0]:g}, {found[1]:g}].")
        )
    return _with_range(scale, *found)


def _bounds(scale: Scale, low: float, high: float) -> tuple[float, float]:
    lowest, highest = 0.0, 0.0
    for item in scale.items:
        values = list(scale.recode[item].values()) if item in scale.recode else [low, high]
        weighted = [v * scale.weights.get(item, 1.0) for v in values]
        lowest, highest = lowest + min(weighted), highest + max(weighted)
    n = len(scale.items) if scale.combine == MEAN else 1
    return lowest / n * scale.multiply, highest / n * scale.multiply


def _with_range(scale: Scale, low: float, high: float) -> Scale:
    fields = {name: getattr(scale, name) for name in Scale.__dataclass_fields__}
    return Scale(**{**fields, "low": low, "high": high})


def unverified(instrument: Mapping[str, Any]) -> list[str]:
    """Return what of an instrument's configuration was not checked in its source, one line each, for the report.

    The list is empty only if the key, the missing rules and every number of the file are verified.
    """
    return list(_unverified(instrument))


def _unverified(instrument: Mapping[str, Any]) -> Iterator[str]:
    if not instrument.get("verified", False):
        yield "the scoring key"
    for name, scale in instrument["scales"].items():
        if scale.get("max_missing", 0) and not scale.get("missing_verified", False):
            yield f"{name}: up to {scale['max_missing']} unanswered items"
        for number in scale.get("reliability", []):
            if not number["verified"]:
                yield f"{name}: {number['kind']} {number['value']:g}"
        for number in scale.get("norms", []):
            if not number["verified"]:
                yield f"{name}: {number['population']} norm {number['mean']:g} ({number['sd']:g})"
        for what, entries in (("cutoff", scale.get("cutoffs", [])), ("reliable change", scale.get("reliable_change", []))):
            for number in entries:
                if not number["verified"]:
                    yield f"{name}: {what} {number['value']:g}"
