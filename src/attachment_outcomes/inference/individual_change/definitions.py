"""What counts as change in this study? Definitions as configured, completed from the instrument, with their standing.

A score is a person's, or whatever else is followed from baseline to end, such as the mean of a couple. A number that was
recalled and not checked against its source is used, but every row that rests on it says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.individual_change.methods import CATEGORIES, METHODS, SAMPLE, RegressionNorm, Setting
from attachment_outcomes.inference.individual_change.norms import same_form
from attachment_outcomes.inference.individual_change.reliable import setting_from, statistic_and_code, usable_methods
from attachment_outcomes.inference.individual_change.significance import (
    TRUE,
    Cutoff,
    Norm,
    PersonCutoffs,
    categorise,
    choose_cutoff,
)

DIRECTIONS = {"higher is better": "higher is better", "higher is worse": "lower is better", "neutral": ""}
DEFAULT_METHOD = "JT"
NOT_TOLD = "not told"  # the kind of a reliability whose source does not say it
# What one change by one definition is told by, in order, with its types; callers put names before it.
TYPES = {
    "definition": "str", "method": "str", "primary": "bool", "pre": "float64", "post": "float64", "change": "float64",
    "statistic": "float64", "category": "str", "clinical_at_baseline": "boolean", "crossed": "boolean",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition of change, ready to be applied. ``notes`` says where its numbers come from and which are unchecked."""

    name: str
    method: str
    setting: Setting
    cutoff: Cutoff | PersonCutoffs | None
    higher_is_better: bool
    primary: bool
    notes: tuple[str, ...] = field(default=())


def scale_of(score: str, instruments: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the scale that ``<instrument>.<scale>`` names.

    Raises
    ------
    ConfigError
        If there is no such instrument or scale.
    """
    instrument, _, scale = score.partition(".")
    if instrument not in instruments:
        what = f"no instrument {instrument!r}.{did_you_mean(instrument, instruments)}"
        raise ConfigError(problem(f"score {score!r}", what, hint="name it under config/instruments."))
    scales: Mapping[str, Mapping[str, Any]] = instruments[instrument]["scales"]
    if scale not in scales:
        what = f"{instrument} has no scale {scale!r}; it has {', '.join(scales)}.{did_you_mean(scale, scales)}"
        raise ConfigError(problem(f"score {score!r}", what))
    return scales[scale]


def estimate_direction(scale: Mapping[str, Any]) -> str:
    """Return how an estimate row says which way is better."""
    return DIRECTIONS[str(scale["direction"])]


def reliability_of(definition: Mapping[str, Any], scale: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return the reliability (the definition's, else the instrument's first) and a note on where it comes from."""
    if definition.get("reliability") is not None:
        return float(definition["reliability"]), f"reliability {definition['reliability']:g}{_standing(definition)}"
    for entry in scale.get("reliability", []):
        recalled = "" if entry["verified"] else ", recalled, not checked"
        kind = "of the instrument, kind not told" if entry["kind"] == NOT_TOLD else f"{entry['kind']} of the instrument"
        return float(entry["value"]), f"reliability {entry['value']:g} ({kind}{recalled})"
    return None, ""


def _standing(definition: Mapping[str, Any]) -> str:
    return " (given)" if definition.get("verified") else " (given, not checked)"


def _norm(definition: Mapping[str, Any], scale: Mapping[str, Any], population: str) -> tuple[Norm | None, str]:
    form, possible = str(scale.get("form", "")), scale.get("range")
    if definition.get(population) is not None:
        given = definition[population]
        same_form(given, form=form, possible=possible)
        return Norm(float(given["mean"]), float(given["sd"])), f"{population} norm{_standing(definition)}"
    for entry in scale.get("norms", []):
        if entry["population"] == population:
            same_form(entry, form=form, possible=possible)
            recalled = "" if entry["verified"] else ", recalled, not checked"
            return Norm(float(entry["mean"]), float(entry["sd"])), f"{population} norm of the instrument{recalled}"
    return None, ""


def resolve(
    definition: Mapping[str, Any], scale: Mapping[str, Any], pre: ArrayLike, post: ArrayLike, *, primary: bool
) -> Definition:
    """Complete one configured definition from the instrument's scale and the sample.

    The SD is this sample's at baseline (``sd: sample``) or that of the definition's or instrument's clinical norm, else of
    its functional norm (``sd: reference``). The clinical side of a cutoff is the definition's clinical norm; with
    ``sd: reference`` the instrument's; else this sample at baseline, as in Jacobson and Truax. A definition may bring what some
    methods need: ``control`` (``post_mean``, ``post_sd``, and the regression's ``intercept``, ``slope``, ``see``), ``retest``
    (``icc`` and ``sd``, or ``ms_error``), ``mid`` and ``reliability_post``.

    Raises
    ------
    StatisticsError
        If the reliability, the reference SD, a norm or what the method needs is missing, a norm is of another form of the
        instrument, or a number is impossible.
    """
    method = str(definition.get("method", DEFAULT_METHOD))
    if scale["direction"] == "neutral":
        raise StatisticsError("the scale has no better direction, so nobody can improve on it")
    reliability, told = reliability_of(definition, scale)
    if reliability is None and "reliability" in METHODS.get(method, METHODS[DEFAULT_METHOD]).needs:
        raise StatisticsError("no reliability: neither the study nor the instrument gives one")
    notes = [told] if told else []
    clinical, clinical_told = _norm(definition, scale, "clinical")
    functional, functional_told = _norm(definition, scale, "functional")
    sd = None
    if definition.get("sd", "sample") == "reference":
        reference, where = (clinical, clinical_told) if clinical else (functional, functional_told)
        if reference is None:
            raise StatisticsError("SD of the reference sample: neither the study nor the instrument gives one")
        sd = reference.sd
        notes.append(f"SD {sd:g} of the {where}")
    criterion = None
    if method == "criterion":
        published: Sequence[Mapping[str, Any]] = scale.get("reliable_change", [])
        if not published:
            raise StatisticsError("the instrument has no published criterion of reliable change")
        criterion = float(published[0]["value"])
        notes.append(f"criterion {criterion:g}{'' if published[0]['verified'] else ', recalled, not checked'}")
    brought, brought_notes = _brought(definition)
    notes += brought_notes
    setting = setting_from(pre, post, reliability=reliability, sd=sd, criterion=criterion, **brought)
    (method,) = usable_methods(method, setting)
    if not METHODS[method].verified:
        notes.append(f"formula of {method} recalled, not checked")
    if setting.sd_source == SAMPLE:
        notes.append(f"SD {setting.sd:.3g} of this sample at baseline")
    cutoff, cutoff_notes = _cutoff(definition, scale, setting, pre, post, (clinical, clinical_told), (functional, functional_told))
    name = str(definition.get("name") or f"{method}{'' if cutoff is None else f' cutoff {cutoff.kind}'}")
    higher = scale["direction"] == "higher is better"
    return Definition(name, method, setting, cutoff, higher, primary, (*notes, *cutoff_notes))


def _brought(definition: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return what a definition brings for the methods that need more than a reliability, and notes on its standing."""
    control, retest = (dict(definition.get(k) or {}) for k in ("control", "retest"))
    line = {k: control.get(k) for k in ("intercept", "slope", "see")}
    some = {k for k, v in line.items() if v is not None}
    if some and len(some) < len(line):
        raise StatisticsError(problem("control", f"found {', '.join(sorted(some))}; allowed: intercept, slope and see, or none."))
    found = {
        "control_post_mean": control.get("post_mean"), "control_post_sd": control.get("post_sd"),
        "regression": RegressionNorm(**line) if some else None,  # type: ignore[arg-type]
        "icc": retest.get("icc"), "retest_sd": retest.get("sd"), "ms_error": retest.get("ms_error"),
        "mid": definition.get("mid"), "reliability_post": definition.get("reliability_post"),
    }  # fmt: skip
    named = {"control": control, "retest": retest, "mid": definition.get("mid")}
    told = {"control": "control sample", "retest": "retest sample", "mid": f"MID {definition.get('mid')}"}
    return found, [f"{told[k]}{_standing(definition)}" for k, v in named.items() if v]


def resolve_all(
    given: Sequence[Mapping[str, Any]], scale: Mapping[str, Any], pre: ArrayLike, post: ArrayLike, *, score: str,
    methods: Sequence[str] = tuple(METHODS),
) -> tuple[list[Definition], list[tuple[str, str]]]:  # fmt: skip
    """Complete the definitions configured for one score; the first is the primary one.

    Parameters
    ----------
    given
        As configured; none at all means one that rests on the instrument alone.
    scale
        The instrument's scale.
    pre, post : (n,) floats
        Score points, NaN where missing.
    score
        Name of the score, for messages.
    methods
        Those that may be used for this kind of score.

    Returns
    -------
    list of Definition, and list of (str, str)
        Those that can be applied, and of the others the name and the reason.

    Raises
    ------
    ConfigError
        If two definitions bear one name.
    """
    ready: list[Definition] = []
    refused: list[tuple[str, str]] = []
    for position, entry in enumerate(given or [{}]):
        method = str(entry.get("method", DEFAULT_METHOD))
        try:
            if method not in methods and method in METHODS:
                raise StatisticsError(f"change of this score is assessed by {', '.join(methods)} only, not by {method}")
            ready.append(resolve(entry, scale, pre, post, primary=position == 0))
        except StatisticsError as error:
            refused.append((str(entry.get("name") or f"definition {position + 1}"), str(error)))
    names = [*(d.name for d in ready), *(name for name, _ in refused)]
    doubled = next((n for n in names if names.count(n) > 1), None)
    if doubled:
        raise ConfigError(problem(f"change, {score}", f"two definitions are called {doubled!r}.", hint="give each a name."))
    return ready, refused


def changes(definition: Definition, pre: ArrayLike, post: ArrayLike) -> pd.DataFrame:
    """Return each change by one definition, a row a pair of scores, with the columns and types of ``TYPES``.

    ``pre, post, change`` are score points, ``statistic`` is positive when the score went up; without both scores the
    statistic and the category are missing.
    """
    x1, x2 = (np.asarray(x, dtype=float) for x in (pre, post))
    statistic, code = statistic_and_code(x1, x2, definition.method, definition.setting, definition.higher_is_better)
    reliable = pd.Categorical.from_codes(code, dtype=pd.CategoricalDtype(CATEGORIES))
    found = categorise(x1, x2, reliable, cutoff=definition.cutoff, higher_is_better=definition.higher_is_better)
    told = {
        "definition": definition.name, "method": definition.method, "primary": definition.primary, "pre": x1, "post": x2,
        "change": x2 - x1, "statistic": statistic, **{c: found[c].array for c in found},
    }  # fmt: skip
    return typed(pd.DataFrame(told), list(TYPES))


def typed(frame: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the columns in order with the types of ``TYPES``; all others are words."""
    return frame.reindex(columns=columns).astype({c: TYPES.get(c, "str") for c in columns})


def _cutoff(
    definition: Mapping[str, Any], scale: Mapping[str, Any], setting: Setting, pre: ArrayLike, post: ArrayLike,
    clinical: tuple[Norm | None, str], functional: tuple[Norm | None, str],
) -> tuple[Cutoff | None, list[str]]:  # fmt: skip
    kind = str(definition.get("cutoff", "auto"))
    own = definition.get("clinical") is not None or definition.get("sd", "sample") == "reference"
    if not own or clinical[0] is None:
        x = np.asarray(pre, dtype=float)
        x = x[~(np.isnan(x) | np.isnan(np.asarray(post, dtype=float)))]
        clinical = (Norm(float(x.mean()), float(x.std(ddof=1))), "this sample at baseline") if len(x) > 1 else (None, "")
    published = next(iter(scale.get("cutoffs", [])), None)
    cutoff = choose_cutoff(
        kind, clinical=clinical[0], functional=functional[0],
        instrument=None if published is None else (float(published["value"]), bool(published["inclusive"])),
        se_measurement=None if np.isnan(setting.se_measurement) else setting.se_measurement,
        higher_is_better=scale["direction"] == "higher is better",
    )  # fmt: skip
    if cutoff is None:
        return None, []
    sources = {
        "a": [clinical[1]],
        "b": [functional[1]],
        "c": [clinical[1], functional[1]],
        "instrument": ["the instrument" + ("" if published is None or published["verified"] else ", recalled, not checked")],
    }[cutoff.kind.removesuffix(TRUE)]
    return cutoff, [f"cutoff {cutoff.kind} from {' and '.join(s for s in sources if s)}"]
