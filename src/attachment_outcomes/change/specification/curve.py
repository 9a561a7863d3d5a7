"""Every defensible way to estimate one outcome's change: a row a specification, with its interval or why it cannot be had.

Vocabulary
----------
specification       one combination of choices
reliably improved   share called improved or recovered by a rule
recovered           share of those who also went from the clinical to the functional range
standardised improvement  mean change towards better in SDs before; it has neither rule nor reliability nor cutoff
expected            what the same specification would give if nobody had truly changed (0 for the mean)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.change.occasions import pairs
from attachment_outcomes.change.specification import kernels
from attachment_outcomes.change.specification.choices import (
    CUTOFFS,
    NOT_USED,
    Occasions,
    occasion_choices,
    order,
    reliability_sources,
    rule_of,
    uses_reliability,
)
from attachment_outcomes.change.specification.expected import expected_shares
from attachment_outcomes.change.specification.handlings import COMPLETE, HANDLINGS
from attachment_outcomes.change.specification.situation import Handled, Handling, situation_of
from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.individual_change.definitions import DEFAULT_METHOD, Definition
from attachment_outcomes.inference.individual_change.reliable import statistic_and_code
from attachment_outcomes.inference.individual_change.significance import Cutoff
from attachment_outcomes.inference.proportions import cluster_codes
from attachment_outcomes.inference.steps import typed_table

Numbers = NDArray[np.float64]
IMPROVED, RECOVERED, MEAN = "reliably_improved", "recovered", "standardised_improvement"
ESTIMANDS = (IMPROVED, RECOVERED, MEAN)
THERAPISTS, INDEPENDENT = "therapists", "independent"
COLUMNS = {
    "outcome": "str", "estimand": "str", "rule": "str", "reliability_source": "str", "reliability": "float64", "cutoff": "str",
    "cutoff_value": "float64", "occasions": "str", "handling": "str", "standing": "str", "clusters": "str", "primary": "bool",
    "estimate": "float64", "std_error": "float64", "ci_low": "float64", "ci_high": "float64", "expected": "float64", "n": "float64",
    "n_clusters": "float64", "refused": "str", "note": "str",
}  # fmt: skip
UNDEFINED = "the statistic is not defined: the differences vary less than measurement error alone would make them"
NO_CUTOFF = "the study's primary definition takes no cutoff: name cutoffs to use them"


@dataclass
class _Rule:
    """A rule with one reliability at one choice of occasions, or why it cannot be used."""

    rule: str
    source: str
    reliability: float
    ready: Definition | None = None
    refused: str = ""
    expected: float = np.nan
    expected_recovered: list[float] = field(default_factory=list)
    note: str = ""


@dataclass
class _Cut:
    kind: str
    cutoff: Cutoff | None = None
    refused: str = ""
    note: str = ""


def specification_table(
    long: pd.DataFrame,
    *,
    scale: Mapping[str, Any],
    definitions: Sequence[Mapping[str, Any]] = ({},),
    therapists: pd.Series | None = None,
    outcome: str = "",
    baseline: int | str = "first",
    end: int | str = "last",
    kind: str = "wave",
    estimands: Sequence[str] = ESTIMANDS,
    rules: Sequence[str] | None = None,
    cutoffs: Sequence[str] | None = None,
    occasions: Sequence[str] | None = None,
    handlings: Sequence[str] | None = None,
    clusters: Sequence[str] | None = None,
    ci_level: float = CI_LEVEL,
    rng: np.random.Generator | None = None,
    registry: Mapping[str, Handling] = HANDLINGS,
) -> pd.DataFrame:
    """Return all specifications of one outcome.

    Parameters
    ----------
    long
        ``person_id, occasion, value`` of the treated.
    scale
        The instrument's scale: direction, range, reliabilities, norms, cutoffs.
    definitions
        The study's definitions of change; the first is the primary one, of the others the reliabilities are used.
    therapists
        Therapist by ``person_id``.
    baseline, end, kind
        The study's baseline and end, and whether occasions are waves or sessions.
    estimands, rules, cutoffs, occasions, handlings, clusters
        Which levels of each choice. By default all: rules whose formula was checked; cutoffs a, b, c and the instrument's,
        unless the primary definition takes none; ``study``, ``observed``, ``planned``; every handling of ``registry``;
        ``therapists`` and ``independent``, if therapists are known.
    outcome, ci_level
        Name of the outcome; confidence level of the intervals.
    rng
        For handlings that draw.
    registry
        Handlings by name.

    Returns
    -------
    DataFrame
        ``COLUMNS``, sorted by the choices. Rules and cutoffs are fixed by the people with both scores at the occasions, whatever
        is done about the others. Shares have Wilson's interval (at the effective n under therapists, weights or imputation), means
        a t interval by the delta method. What cannot be had has no estimate and says why under ``refused``.

    Raises
    ------
    StatisticsError
        If a level is unknown.
    """
    names = list(registry) if handlings is None else list(handlings)
    for listed, allowed, what in (
        (estimands, ESTIMANDS, "estimand"), (names, tuple(registry), "handling"), (cutoffs or (), CUTOFFS, "cutoff"),
        (occasions or (), ("study", "observed", "planned"), "occasions"), (clusters or (), (THERAPISTS, INDEPENDENT), "clusters"),
    ):  # fmt: skip
        _check(listed, allowed, what)
    if scale["direction"] == "neutral":
        raise StatisticsError(problem(f"specifications, {outcome}", "the scale has no better direction."))
    long = long.sort_values(["person_id", "occasion"], kind="stable", ignore_index=True)
    last = int(long["occasion"].max()) if len(long) else None
    when = occasion_choices(baseline=baseline, end=end, kind=kind, planned_end=last, only=occasions)
    ways = [w for w in (clusters or (THERAPISTS, INDEPENDENT)) if w != THERAPISTS or therapists is not None] or [INDEPENDENT]
    rows: list[dict[str, Any]] = []
    for at in when:
        rows += _at(
            at, long, scale=scale, definitions=definitions, therapists=therapists, estimands=estimands, rules=rules,
            cutoffs=cutoffs,
            handlings={name: registry[name] for name in names}, ways=ways, ci_level=ci_level,
            rng=np.random.default_rng(0) if rng is None else rng,
        )  # fmt: skip
    first = {"occasions": when[0].label, "handling": COMPLETE, "clusters": ways[0]}
    for row in rows:
        row["outcome"] = outcome
        row["primary"] = row["primary"] and all(row[key] == value for key, value in first.items())
    table = typed_table(rows, COLUMNS)
    position = table["estimand"].map({name: i for i, name in enumerate(ESTIMANDS)})
    return table.iloc[np.argsort(position.to_numpy(), kind="stable")].reset_index(drop=True)


def _check(listed: Sequence[str], allowed: Sequence[str], what: str) -> None:
    for name in listed:
        if name not in allowed:
            told = f"no {what} {name!r}; allowed: {', '.join(allowed)}.{did_you_mean(name, allowed)}"
            raise StatisticsError(problem("specifications", told))


def _at(
    at: Occasions, long: pd.DataFrame, *, scale: Mapping[str, Any], definitions: Sequence[Mapping[str, Any]],
    therapists: pd.Series | None, estimands: Sequence[str], rules: Sequence[str] | None, cutoffs: Sequence[str] | None,
    handlings: Mapping[str, Handling], ways: Sequence[str], ci_level: float, rng: np.random.Generator,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the rows of one choice of baseline and end."""
    higher = scale["direction"] == "higher is better"
    limits = scale.get("range")
    situation = situation_of(
        long, pairs(long, baseline=at.baseline, end=at.end), higher_is_better=higher,
        range_=None if limits is None else (float(limits[0]), float(limits[1])), rng=rng,
        therapists=therapists,
    )  # fmt: skip
    pre, post = (situation.frame[c].to_numpy(dtype=float, na_value=np.nan) for c in ("pre", "post"))
    both = ~(np.isnan(pre) | np.isnan(post))
    refused = at.refused or ("" if both.sum() >= 2 else f"{int(both.sum())} people with both scores; at least two are needed")
    refused = refused or ("" if pre[both].std() > 0 else "nobody differs at baseline")
    tried = _rules(definitions, scale, pre, post, rules, refused)
    cut = _cutoffs(definitions[0], scale, pre, post, cutoffs, refused) if RECOVERED in estimands else []
    for item in tried:
        if item.ready is not None:
            chosen = [c.cutoff for c in cut if c.cutoff is not None]
            item.expected, item.expected_recovered = expected_shares(item.ready, pre[both], chosen)
    labels = None if therapists is None else therapists.reindex(situation.frame["person_id"].to_numpy()).reset_index(drop=True)
    rows: list[dict[str, Any]] = []
    for name, handling in handlings.items():
        shared = {"occasions": at.label, "handling": name, "standing": handling.standing}
        handled, why = None, refused
        if not why:
            try:
                handled = handling.apply(situation)
            except StatisticsError as error:
                why = str(error)
        rows += _handled(handled, why, tried, cut, labels, estimands, ways, shared, higher, ci_level)
    return rows


def _rules(
    definitions: Sequence[Mapping[str, Any]], scale: Mapping[str, Any], pre: Numbers, post: Numbers, rules: Sequence[str] | None,
    refused: str,
) -> list[_Rule]:  # fmt: skip
    """Return each rule with each reliability, the study's primary one first; a rule that uses none counts once."""
    primary = definitions[0]
    sources = reliability_sources(primary, scale, definitions[1:])
    found = []
    for rule, against in order(rules, str(primary.get("method", DEFAULT_METHOD))):
        for label, value, standing in sources or [("none", np.nan, "")]:
            item = _Rule(rule, label, value, refused=refused or against, note=standing)
            found.append(item)
            if item.refused:
                continue
            try:
                item.ready = rule_of(rule, primary, scale, pre, post, None if np.isnan(value) else value)
            except StatisticsError as error:
                item.refused = str(error)
                continue
            item.note = "; ".join(n for n in item.ready.notes if "not checked" in n)
            if not uses_reliability(item.ready, pre, post):
                item.source, item.reliability = NOT_USED, np.nan
                break
    return found


def _cutoffs(
    definition: Mapping[str, Any],
    scale: Mapping[str, Any],
    pre: Numbers,
    post: Numbers,
    cutoffs: Sequence[str] | None,
    refused: str,
) -> list[_Cut]:
    """Return each kind of cutoff, the primary definition's first."""
    asked = str(definition.get("cutoff", "auto"))
    if asked == "none" and cutoffs is None:
        return [_Cut("none", refused=refused or NO_CUTOFF)]
    kinds = list(CUTOFFS if cutoffs is None else cutoffs)
    if asked not in ("auto", "none", *kinds):
        kinds.insert(0, asked)
    found = []
    for kind in kinds if asked != "auto" else ["auto", *kinds]:
        item = _Cut(kind, refused=refused)
        found.append(item)
        if refused:
            continue
        try:
            # The criterion rule's or another rule's needs have no bearing on a cutoff, so a rule that always can be had is asked.
            ready = rule_of(DEFAULT_METHOD, definition, scale, pre, post, definition.get("reliability", 0.5), kind)
        except StatisticsError as error:
            item.refused = str(error)
            continue
        item.cutoff = ready.cutoff if isinstance(ready.cutoff, Cutoff) else None
        item.refused = "" if item.cutoff is not None else "neither norms nor the instrument give a cutoff"
        item.kind = item.kind if item.cutoff is None else item.cutoff.kind
        item.note = "; ".join(n for n in ready.notes if n.startswith("cutoff") and "not checked" in n)
    if asked == "auto":
        found = [found[0], *(c for c in found[1:] if c.kind != found[0].kind)]
    elif asked != "none":
        found.sort(key=lambda c: c.kind != asked)
    return found


def _handled(
    handled: Handled | None, why: str, tried: list[_Rule], cut: list[_Cut], labels: pd.Series | None, estimands: Sequence[str],
    ways: Sequence[str], shared: Mapping[str, Any], higher: bool, ci_level: float,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the rows of one handling: every estimand, rule, cutoff and interval."""
    lines: list[dict[str, Any]] = []  # one a share
    for i, item in enumerate(tried):
        line = {
            "rule": item.rule, "reliability_source": item.source, "reliability": item.reliability, "refused": why or item.refused,
            "note": item.note, "item": item, "primary": i == 0,
        }  # fmt: skip
        if IMPROVED in estimands:
            lines.append({**line, "estimand": IMPROVED, "cutoff": NOT_USED, "expected": item.expected})
        if RECOVERED in estimands:
            usable = [c for c in cut if c.cutoff is not None]
            for j, c in enumerate(cut):
                expected = np.nan
                if c.cutoff is not None and item.expected_recovered:
                    expected = item.expected_recovered[usable.index(c)]
                lines.append(
                    {**line, "estimand": RECOVERED, "cutoff": c.kind, "cut": c.cutoff, "expected": expected,
                     "cutoff_value": np.nan if c.cutoff is None else c.cutoff.value, "primary": i == 0 and j == 0,
                     "refused": line["refused"] or c.refused, "note": "; ".join(n for n in (item.note, c.note) if n)}
                )  # fmt: skip
    mean = {
        "estimand": MEAN, "rule": NOT_USED, "reliability_source": NOT_USED, "reliability": np.nan, "cutoff": NOT_USED,
        "refused": why, "note": "", "expected": 0.0, "primary": True,
    }  # fmt: skip
    if handled is not None:
        keep = ~(np.isnan(handled.pre[0]) | np.isnan(handled.post[0]))
        if handled.note:
            for line in (*lines, mean):
                line["note"] = "; ".join(n for n in (str(line["note"]), handled.note) if n)
        weights = np.ones(int(keep.sum())) if handled.weights is None else np.asarray(handled.weights, dtype=float)[keep]
        codes = None if labels is None else cluster_codes(labels[keep])
        events = _events(handled, keep, lines, higher)
        for way in ways:
            use = codes if way == THERAPISTS else None
            _fill_shares(lines, events, weights, use, way, weighted=handled.weights is not None, ci_level=ci_level)
            if MEAN in estimands:
                _fill_mean(mean, handled, keep, weights, use, way, 1.0 if higher else -1.0, ci_level)
    rows = []
    empty = dict.fromkeys(("estimate", "std_error", "ci_low", "ci_high", "n", "n_clusters", "cutoff_value"), np.nan)
    for line, way in product([*lines, *([mean] if MEAN in estimands else [])], ways):
        told = {k: v for k, v in line.items() if k not in ("item", "cut", *ways)}
        rows.append({**empty, **shared, **told, "clusters": way, **line.get(way, {})})
    return rows


def _events(handled: Handled, keep: NDArray[np.bool_], lines: list[dict[str, Any]], higher: bool) -> list[NDArray[np.bool_]]:
    """Return who has the event, a column a share that can be had, for each set of scores; a rule that is undefined is refused."""
    usable = [line for line in lines if not line["refused"]]
    sets = []
    for x1, x2 in zip(handled.pre, handled.post, strict=True):
        better: dict[int, NDArray[np.bool_]] = {}
        crossed: dict[Cutoff, NDArray[np.bool_]] = {}
        columns = np.zeros((int(keep.sum()), len(usable)), dtype=bool)
        for k, line in enumerate(usable):
            item, cutoff = line["item"], line.get("cut")
            if id(item) not in better:
                code = statistic_and_code(x1, x2, item.rule, item.ready.setting, higher)[1][keep]
                better[id(item)] = code == 0
                if (code < 0).any():
                    item.refused = UNDEFINED
            if cutoff is not None and cutoff not in crossed:
                left, arrived = cutoff.clinical(x1, higher_is_better=higher), cutoff.functional_at_end(x2, higher_is_better=higher)
                crossed[cutoff] = (left & arrived)[keep]
            columns[:, k] = better[id(item)] if cutoff is None else better[id(item)] & crossed[cutoff]
        sets.append(columns)
    defined = [not line["item"].refused for line in usable]
    for line in usable:
        line["refused"] = line["item"].refused
    return [columns[:, defined] for columns in sets]


def _fill_shares(
    lines: list[dict[str, Any]], events: list[NDArray[np.bool_]], weights: Numbers, codes: NDArray[np.int64] | None, way: str, *,
    weighted: bool, ci_level: float,
) -> None:  # fmt: skip
    usable = [line for line in lines if not line["refused"]]
    if not usable:
        return
    n = len(weights)
    found = kernels.pooled([kernels.shares(e, weights, codes) for e in events], weighted=weighted, clustered=codes is not None)
    error, low, high = kernels.share_limits(found, n, ci_level)
    for k, line in enumerate(usable):
        line[way] = {
            "estimate": found.estimate[k], "std_error": error[k], "ci_low": low[k], "ci_high": high[k], "n": float(n),
            "n_clusters": np.nan if codes is None else float(codes.max() + 1),
        }  # fmt: skip


def _fill_mean(
    mean: dict[str, Any], handled: Handled, keep: NDArray[np.bool_], weights: Numbers, codes: NDArray[np.int64] | None, way: str,
    sign: float, ci_level: float,
) -> None:  # fmt: skip
    sets = []
    for x1, x2 in zip(handled.pre, handled.post, strict=True):
        part = kernels.standardised(x1[keep], x2[keep], weights, sign)
        variance, df = part.variance(codes)
        sets.append(kernels.Spread(np.array([part.estimate]), np.array([variance]), df))
    found = kernels.pooled(sets, weighted=handled.weights is not None, clustered=codes is not None)
    error, low, high = kernels.mean_limits(found, ci_level)
    mean[way] = {
        "estimate": found.estimate[0], "std_error": error[0], "ci_low": low[0], "ci_high": high[0], "n": float(len(weights)),
        "n_clusters": np.nan if codes is None else float(codes.max() + 1),
    }  # fmt: skip
