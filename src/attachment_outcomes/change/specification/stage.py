"""All that a study's ``change.specification`` block asks for: every outcome's specifications, and what they say together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.change.inputs import ChangeData, Outcome
from attachment_outcomes.change.specification.choices import occasion_choices
from attachment_outcomes.change.specification.curve import COLUMNS, ESTIMANDS, MEAN, specification_table
from attachment_outcomes.change.specification.handlings import HANDLINGS
from attachment_outcomes.change.specification.signs import PERMUTATIONS, Flipped, MeanPart, mean_parts, sign_flip_curve
from attachment_outcomes.change.specification.summary import CHOICES, analyses, summarise
from attachment_outcomes.errors import DataError, StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.specification_summary import variance_shares
from attachment_outcomes.inference.steps import Part, stacked

ANALYSIS = "specification_curve"
ALL = "all outcomes"
TABLES: dict[str, dict[str, str]] = {"specifications": COLUMNS}
LEVELS = ("estimands", "rules", "cutoffs", "occasions", "handlings", "clusters")
COUNTS = {"n_specifications", "n_refused"}
RATES = {"share_beyond_expected", "primary_rank"}
METHOD = "over all specifications"


def analyse(data: ChangeData) -> Part:
    """Estimate every outcome's change in every way that could be defended.

    Settings (``change.specification``, all optional): ``outcomes`` (scores; by default the study's), the levels of each choice
    (``estimands, rules, cutoffs, occasions, handlings, clusters``, see :func:`.curve.specification_table`), and
    ``permutations`` of the test of mean changes (0: none).

    Returns
    -------
    Part
        Estimates: for every curve (``outcome``, with ``all outcomes`` where there are several; ``group``: the estimand) what
        :func:`.summary.summarise` gives, a ``variance_share`` a choice (``definition``), and for mean changes the three tests by
        turned signs. Table ``specifications`` (count: ``n``).
    """
    settings: Mapping[str, Any] = data.settings.get("specification") or {}
    levels = {name: settings[name] for name in LEVELS if settings.get(name) is not None}
    configured = {str(o["score"]): o for o in data.outcomes}
    tables, parts, rows = [], [], []
    for score in settings.get("outcomes") or configured:
        outcome: Outcome = configured.get(score, {"score": score})
        try:
            table, own = _outcome(data, outcome, levels)
        except (DataError, StatisticsError) as error:
            rows.append(not_testable(ANALYSIS, str(error), outcome=score))
            continue
        tables.append(table)
        parts.append(own)
        rows += _curves(data, table, own, score, settings)
    if len(tables) > 1:
        together = pd.concat(tables, ignore_index=True)
        # One specification is the study's primary one: that of its first outcome.
        together["primary"] &= together["outcome"] == str(tables[0]["outcome"].iloc[0])
        rows += _curves(data, together, [p for own in parts for p in own], ALL, settings)
    return Part(rows, {"specifications": stacked(tables, COLUMNS)})


def _outcome(data: ChangeData, outcome: Outcome, levels: Mapping[str, Any]) -> tuple[pd.DataFrame, list[MeanPart]]:
    score, scale, long = str(outcome["score"]), data.scale(outcome), data.long(outcome)
    if long.empty:
        raise StatisticsError("nobody has this score")
    table = specification_table(
        long, scale=scale, definitions=list(outcome.get("definitions") or [{}]), therapists=data.therapists, outcome=score,
        kind=data.occasions, ci_level=data.ci_level, rng=data.rng(ANALYSIS, score),
        baseline=data.when["baseline"], end=data.when["end"], **levels,
    )  # fmt: skip
    if MEAN not in levels.get("estimands", ESTIMANDS):
        return table, []
    when = occasion_choices(**data.when, kind=data.occasions, planned_end=int(long["occasion"].max()), only=levels.get("occasions"))
    own = mean_parts(
        long, higher_is_better=scale["direction"] == "higher is better", occasions=when, therapists=data.therapists,
        handlings={name: h for name, h in HANDLINGS.items() if name in levels.get("handlings", HANDLINGS)},
        range_=None if scale.get("range") is None else (float(scale["range"][0]), float(scale["range"][1])),
        rng=data.rng(ANALYSIS, score),
    )  # fmt: skip
    return table, own


def _curves(
    data: ChangeData, table: pd.DataFrame, parts: list[MeanPart], outcome: str, settings: Mapping[str, Any]
) -> list[Estimate]:
    rows: list[Estimate] = []
    for estimand in [e for e in ESTIMANDS if (table["estimand"] == e).any()]:
        curve = table[(table["estimand"] == estimand).to_numpy(dtype=bool)]
        if outcome == ALL and analyses(curve)["outcome"].nunique() < 2:
            continue  # it would repeat the only outcome that has any
        if not len(analyses(curve)):
            first = curve.sort_values("primary", ascending=False, kind="stable")["refused"]
            reasons = next((r for r in first if r), "nothing could be estimated")
            rows.append(replace(not_testable(ANALYSIS, f"{estimand}: {reasons}", outcome=outcome), group=estimand))
            continue
        rows += _summary(curve, outcome, estimand, data.ci_level)
        permutations = int(settings.get("permutations", PERMUTATIONS))
        if estimand == MEAN and permutations:
            rows += _signs(data, parts, outcome, permutations)
    return rows


def _summary(curve: pd.DataFrame, outcome: str, estimand: str, ci_level: float) -> list[Estimate]:
    found = summarise(curve)
    unit = "SD units" if estimand == MEAN else "proportion"
    shared: dict[str, Any] = {
        "analysis": ANALYSIS, "outcome": outcome, "group": estimand, "ci_level": ci_level, "method": METHOD, "n": found.pop("n"),
    }  # fmt: skip
    notes = {
        "share_beyond_expected": "intervals wholly above what the specification would give if nobody had truly changed",
        "primary_rank": "share of specifications below the study's primary one",
        "bound_low": "lowest estimate when missing ends are set to the worst or the best possible score",
        "bound_high": "highest estimate when missing ends are set to the worst or the best possible score",
        "n_specifications": "without bounds and refused combinations; an estimate counts once, whatever its interval allows for",
        "n_refused": "combinations that the data or the instrument do not allow; each with its reason in the table",
    }
    rows = [
        Estimate(
            estimand=name, estimate=value, unit="specifications" if name in COUNTS else "proportion" if name in RATES else unit,
            direction="" if name in COUNTS | RATES else "higher is better", note=notes.get(name, ""), **shared,
        )
        for name, value in found.items()
        if np.isfinite(value)
    ]  # fmt: skip
    kept = analyses(curve)
    for choice, share in variance_shares(kept["estimate"], kept[list(CHOICES)]).items():
        if share > 0 or (choice in kept and len(kept[choice].unique()) > 1):
            rows.append(
                Estimate(
                    estimand="variance_share", definition=choice, estimate=share, unit="proportion", primary=False,
                    note="of the variance of the estimates over specifications, averaged over all orders of the choices", **shared,
                )
            )  # fmt: skip
    return rows


def _signs(data: ChangeData, parts: list[MeanPart], outcome: str, permutations: int) -> list[Estimate]:
    try:
        found: Flipped = sign_flip_curve(
            parts, rng=data.rng(ANALYSIS, outcome, "signs"), therapists=data.therapists, permutations=permutations,
            ci_level=data.ci_level,
        )  # fmt: skip
    except StatisticsError as error:
        return [replace(not_testable(ANALYSIS, f"test by turned signs: {error}", outcome=outcome), group=MEAN)]
    turned = "therapists" if data.therapists is not None else "people"
    note = (
        f"{found.specifications} specifications, {found.permutations} reshuffles of the signs of {found.units} {turned}; imputed "
        f"scores and bounds are not in it; a mean change of 0 takes no account of regression to the mean"
    )
    return [
        Estimate(
            analysis=ANALYSIS, estimand=name, outcome=outcome, group=MEAN, estimate=value, p_value=p, unit=unit, note=note,
            ci_level=data.ci_level, n=len({x for part in parts for x in part.people}), n_clusters=found.units,
            direction="higher is better", method="sign flips",
        )
        for name, value, p, unit in (
            ("sign_flip_median", found.median, found.p_median, "SD units"),
            ("sign_flip_share_significant", found.share_significant, found.p_share, "proportion"),
            ("sign_flip_combined_z", found.combined_z, found.p_combined, "z"),
        )
    ]  # fmt: skip
