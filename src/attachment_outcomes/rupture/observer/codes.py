"""Which codes do observers give, and what may each be? A coding system of ``config/observer``, made ready to read codings with.

Vocabulary
----------
code          what a coder notes: a marker or a strategy, counted (``W1``), or how much it weighed (``W1_significance``)
family        codes that are counted together: withdrawal, confrontation, resolution strategies
rating        what a coder says of the whole session: ``withdrawal``, ``confrontation``, ``resolution``, ``contribution``
channel       whose behaviour is coded, the client's or the therapist's
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from attachment_outcomes.errors import ConfigError, did_you_mean, problem

COUNT, SIGNIFICANCE, RATING = "count", "significance", "rating"
SUFFIX = "_significance"
CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Code:
    """One code: what kind of number it is, the lowest and highest it may be, its family (none for ratings) and its channels."""

    code: str
    kind: str
    low: float
    high: float
    title: str
    family: str = ""
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class CodingSystem:
    """The codes by name, the families with their titles, and which families mark a rupture."""

    name: str
    title: str
    codes: Mapping[str, Code]
    families: Mapping[str, str]
    ruptures: tuple[str, ...]
    published: tuple[Mapping[str, Any], ...] = ()

    @property
    def ratings(self) -> dict[str, str]:
        """Ratings of the whole session with their titles."""
        return {c.code: c.title for c in self.codes.values() if c.kind == RATING}


def read_codes(content: Mapping[str, Any]) -> CodingSystem:
    """Return a coding system from a file of ``config/observer``.

    Raises
    ------
    ConfigError
        If a code names an unknown family, is written as a rating or as a significance, or a published number an unknown rating.
    """
    place = f"config/observer/{content['name']}.yaml"
    families = content["families"]
    codes: dict[str, Code] = {}
    for name, given in content["codes"].items():
        family = given["family"]
        if family not in families:
            what = f"no family {family!r}; allowed: {', '.join(families)}.{did_you_mean(family, families)}"
            raise ConfigError(problem(f"{place}, code {name}", what))
        if name in content["ratings"] or name.endswith(SUFFIX):
            what = f"is the name of a rating or ends in {SUFFIX}; allowed: a name of its own."
            raise ConfigError(problem(f"{place}, code {name}", what))
        channels = tuple(families[family]["channels"])
        codes[name] = Code(name, COUNT, 0.0, float("inf"), given["title"], family, channels)
        if "significance" in content:
            low, high = map(float, content["significance"])
            codes[name + SUFFIX] = Code(name + SUFFIX, SIGNIFICANCE, low, high, given["title"], family, channels)
    for name, given in content["ratings"].items():
        low, high = map(float, given["range"])
        codes[name] = Code(name, RATING, low, high, given["title"])
    for number in content.get("published", ()):
        if number["about"] not in content["ratings"]:
            known = list(content["ratings"])
            what = f"no rating {number['about']!r}; allowed: {', '.join(known)}.{did_you_mean(number['about'], known)}"
            raise ConfigError(problem(f"{place}, key published", what))
    return CodingSystem(
        name=content["name"],
        title=content["title"],
        codes=codes,
        families={name: given["title"] for name, given in families.items()},
        ruptures=tuple(name for name, given in families.items() if given.get("rupture")),
        published=tuple(content.get("published", ())),
    )
