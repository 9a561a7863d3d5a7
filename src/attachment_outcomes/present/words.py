"""Numbers and names as readers see them: the leading-zero rule, exact p values, and words for scores and classes.

APA 7: a number that cannot exceed 1 (r, p, kappa) is printed without the zero before its point; p is printed to three
decimals, and below .001 as "< .001".
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping
from typing import Any

MISSING = "—"
SUPPRESSED = "suppressed"
MINUS = "−"
BOUNDED = {"kappa", "r", "phi", "correlation", "coefficient", "alpha", "reliability"}  # units that cannot exceed 1
SMALL = 0.1
ABBREVIATION = re.compile(r"\(((?=(?:[^()]*[A-Z]){2})[A-Z0-9][A-Za-z0-9-]*)\)")  # two capitals at least: no common word
STYLES = ["secure", "preoccupied", "dismissing", "fearful", "boundary"]
CATEGORIES = ["recovered", "improved", "unchanged", "deteriorated", "harmed"]
DIRECTIONS = {"higher is better": "higher = better", "higher is worse": "higher = worse", "lower is better": "higher = worse"}


def number(value: float, digits: int = 2, *, bounded: bool = False) -> str:
    """Return a number with a true minus; ``bounded`` drops the zero before the point."""
    if value is None or math.isnan(value):
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    if bounded and abs(value) < 1:
        text = text.replace("0.", ".", 1)
    return text.replace("-", MINUS)


def percent(value: float, digits: int = 0) -> str:
    """Return a proportion as a percentage, e.g. ``43 %``."""
    return MISSING if value is None or math.isnan(value) else f"{number(100 * value, digits)} %"


def count(value: float) -> str:
    """Return a whole number with thousands apart, or that it is suppressed."""
    return SUPPRESSED if value is None or math.isnan(value) else f"{round(value):,}".replace(",", "\u202f")


def p_value(value: float) -> str:
    """Return ``p = .012`` or ``p < .001``."""
    if value is None or math.isnan(value):
        return MISSING
    return "p < .001" if value < 0.001 else f"p = {number(value, 3, bounded=True)}"


def estimate_text(value: float, unit: str) -> str:
    """Return an estimate in its own unit: proportions as percentages, kappa and r without the leading zero."""
    if unit == "proportion":
        return percent(value, 1)
    return number(value, digits_of(value, unit), bounded=unit in BOUNDED)


def digits_of(value: float, unit: str) -> int:
    """Return the decimals of an estimate: two, or three where two would leave a single figure (a slope per week)."""
    return 3 if " per " in unit and abs(value) < SMALL else 2


def interval_text(low: float, high: float, unit: str, *, digits: int = 2) -> str:
    """Return ``[low, high]`` in the estimate's unit, or an empty string where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    if unit == "proportion":
        return f"[{number(100 * low, 1)}, {number(100 * high, 1)}]"
    bounded = unit in BOUNDED
    return f"[{number(low, digits, bounded=bounded)}, {number(high, digits, bounded=bounded)}]"


def with_interval(row: Mapping[str, Any]) -> str:
    """Return ``estimate [low, high]`` of an estimate row."""
    if row["estimate"] is None or math.isnan(row["estimate"]):
        return SUPPRESSED if SUPPRESSED in str(row.get("note", "")) else MISSING
    unit = str(row["unit"])
    inside = interval_text(row["ci_low"], row["ci_high"], unit, digits=digits_of(row["estimate"], unit))
    return f"{estimate_text(row['estimate'], unit)} {inside}".strip()


def score_title(score: str, settings: Mapping[str, Any]) -> str:
    """Return the printed name of a score: the instrument's, and the scale's where the instrument has several."""
    scales = settings.get("scales", {})
    known = scales.get(score)
    if known is None:
        return plain(score)
    alone = sum(name.split(".")[0] == score.split(".")[0] for name in scales) == 1
    return short_title(known["instrument"]) if alone else f"{short_title(known['instrument'])}: {known['title']}"


def short_title(title: str) -> str:
    """Return a title with its name replaced by the abbreviation in brackets: "Experiences in … (ECR-R)" becomes "ECR-R"."""
    match = ABBREVIATION.search(title)
    return match[1] + title[match.end() :] if match else title


def wrapped(text: str, width: int = 34) -> str:
    """Return the text in lines of at most ``width`` characters, for the label of a row."""
    return "\n".join(textwrap.wrap(text, width)) or text


def outcome_title(outcome: str, settings: Mapping[str, Any]) -> str:
    """Return the printed name of what an estimate is about: a score, or two joined by "and"."""
    names = [score_title(part, settings) for part in outcome.split(" and ")] if outcome else []
    return " and ".join(dict.fromkeys(names))


def instrument_title(instrument: str, settings: Mapping[str, Any]) -> str:
    """Return the printed name of an instrument; a rater in brackets after its key is kept."""
    key, _, rater = instrument.partition(" ")
    titles = [v["instrument"] for k, v in settings.get("scales", {}).items() if k.split(".")[0] == key]
    return " ".join(p for p in (short_title(titles[0]) if titles else plain(key), rater) if p)


def score_direction(score: str, settings: Mapping[str, Any]) -> str:
    """Return ``higher = better``, ``higher = worse``, or an empty string where a scale has no better end."""
    known = settings.get("scales", {}).get(score)
    return DIRECTIONS.get(known["direction"], "") if known else ""


def score_axis(score: str, settings: Mapping[str, Any], *, occasion: str = "") -> str:
    """Return an axis label with the occasion, the unit and the direction."""
    direction = score_direction(score, settings)
    inside = "score points" + (f"; {direction}" if direction else "")
    return f"{occasion} ({inside})" if occasion else f"Score ({inside})"


def level_text(settings: Mapping[str, Any]) -> str:
    """Return the confidence level as printed, e.g. ``95 %``."""
    return percent(float(settings.get("ci_level", 0.95)))


def sentence(*parts: str) -> str:
    """Return the parts that are not empty as sentences of one caption: a capital first, a full stop last."""
    return " ".join(first_upper(p if p.endswith((".", "!", "?")) else f"{p}.") for p in parts if p)


def plain(name: str) -> str:
    """Return a coded name in words: ``reliable_recovery`` as ``reliable recovery``."""
    return name.replace("_", " ")


def first_upper(text: str) -> str:
    """Return the text with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]
