"""Which choices are there? Reliability sources, rules, cutoffs, baseline and end, each with what stands against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.individual_change.definitions import NOT_TOLD, Definition, resolve
from attachment_outcomes.inference.individual_change.methods import METHODS, Setting, threshold

Numbers = NDArray[np.float64]
STUDY, NOT_USED = "study", "not used"
CUTOFFS = ("a", "b", "c", "instrument")
TRIED = (0.55, 0.95)  # two reliabilities that a rule which uses one must tell apart


@dataclass(frozen=True, slots=True)
class Occasions:
    """What counts as baseline and end; ``refused`` says why it cannot."""

    label: str
    baseline: int | str
    end: int | str
    refused: str = ""


def reliability_sources(
    definition: Mapping[str, Any], scale: Mapping[str, Any], further: Sequence[Mapping[str, Any]] = ()
) -> list[tuple[str, float, str]]:
    """Return label, value and standing of every reliability: of the study's definitions, then the instrument's by kind.

    The first is the one that the study's primary definition uses.
    """
    found: list[tuple[str, float, str]] = []
    for i, entry in enumerate((definition, *further)):
        if entry.get("reliability") is not None and float(entry["reliability"]) not in [value for _, value, _ in found]:
            name = STUDY if i == 0 else f"{STUDY} ({entry.get('name') or f'definition {i + 1}'})"
            found.append((name, float(entry["reliability"]), "" if entry.get("verified") else "reliability not checked"))
    for entry in scale.get("reliability", []):
        kind = "instrument, kind not told" if entry["kind"] == NOT_TOLD else str(entry["kind"])
        same = [i for i, (_, value, _) in enumerate(found) if value == float(entry["value"])]
        if same:  # one number, so one specification
            found[same[0]] = (f"{found[same[0]][0]}, {kind}", *found[same[0]][1:])
            continue
        label = next(label for label in (kind, *(f"{kind} ({i})" for i in range(2, 100))) if label not in [f[0] for f in found])
        found.append((label, float(entry["value"]), "" if entry["verified"] else "reliability recalled, not checked"))
    return found


def occasion_choices(
    *, baseline: int | str, end: int | str, kind: str = "wave", planned_end: int | None = None, only: Sequence[str] | None = None
) -> list[Occasions]:
    """Return the study's own baseline and end, the first and last observed, and the planned end only.

    Parameters
    ----------
    baseline, end
        The study's.
    kind
        ``wave`` or ``session``; sessions have no end that is planned for everybody.
    planned_end
        The last planned occasion.
    only
        Which of ``study``, ``observed`` and ``planned``; all by default. The study's own always counts.
    """
    wanted = ("study", "observed", "planned") if only is None else ("study", *only)

    def name(which: int | str, word: str) -> str:
        return f"{word} {which}" if isinstance(which, int) else str(which)

    found = [Occasions(f"{name(baseline, kind)} to {name(end, kind)}", baseline, end)]
    if "observed" in wanted:
        found.append(Occasions("first to last", "first", "last"))
    if "planned" in wanted:
        if kind == "session" or planned_end is None:
            why = "sessions have no end that is planned for everybody" if kind == "session" else "no end is planned"
            found.append(Occasions(f"{name(baseline, kind)} to planned end", baseline, "last", why))
        else:
            found.append(Occasions(f"{name(baseline, kind)} to {kind} {planned_end}", baseline, planned_end))
    return list({f.label: f for f in reversed(found)}.values())[::-1]


def rule_of(
    rule: str, definition: Mapping[str, Any], scale: Mapping[str, Any], pre: Numbers, post: Numbers, reliability: float | None,
    cutoff: str = "none",
) -> Definition:  # fmt: skip
    """Return a rule, ready to be applied, with everything but the reliability and the cutoff as in the study's definition.

    Raises
    ------
    StatisticsError
        If the rule lacks what it needs.
    """
    given = {**definition, "name": rule, "method": rule, "cutoff": cutoff}
    if reliability is not None:
        given["reliability"] = reliability
    found = resolve(given, scale, pre, post, primary=False)
    if found.setting.slopes is not None and len(found.setting.slopes.slope) != len(pre):
        raise StatisticsError("slopes are not those of these people")
    return found


def uses_reliability(ready: Definition, pre: Numbers, post: Numbers) -> bool:
    """Tell whether a rule's verdict on these people hangs on the reliability: it is tried with two."""

    def verdicts(reliability: float) -> Numbers:
        setting: Setting = replace(ready.setting, reliability=reliability, reliability_post=reliability)
        found = METHODS[ready.method].statistic(pre, post, setting)
        return np.append(np.asarray(found, dtype=float), threshold(ready.method, setting))

    one, other = (verdicts(r) for r in TRIED)
    return not np.array_equal(one, other, equal_nan=True)


def order(rules: Sequence[str] | None, primary: str) -> list[tuple[str, str]]:
    """Return the rules, the primary one first, each with why it is not used (or nothing)."""
    names = list(METHODS) if rules is None else list(rules)
    listed = [primary, *(name for name in names if name != primary)]
    return [
        (name, "formula recalled, not checked: name it under rules to use it"
         if rules is None and name != primary and not METHODS[name].verified else "")
        for name in listed
    ]  # fmt: skip
