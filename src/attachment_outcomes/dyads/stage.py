"""All that a study can say about its couples, from its canonical tables and its settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from attachment_outcomes.dyads.couples import baseline_and_end, couple_means, couple_scores, couple_table
from attachment_outcomes.dyads.partners import CONCORDANCE, CORRELATION, partner_agreement, partner_correlations
from attachment_outcomes.dyads.recovery import (
    INDIVIDUAL,
    METHODS,
    RECOVERY,
    couple_change,
    couple_frame,
    recovered_still_insecure,
    recovery_rates,
    styles_at_end,
)
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import resolve_all, scale_of

ALL = (RECOVERY, INDIVIDUAL, CONCORDANCE, CORRELATION)
NO_SETTINGS = "the study's configuration has no dyads block"
NO_COUPLES = "the relations table holds no couple"


@dataclass
class Dyads:
    """Estimates, couples and flow of the stage; the table keeps its columns and types without rows."""

    estimates: list[Estimate] = field(default_factory=list)
    couples: pd.DataFrame = field(default_factory=couple_frame)
    flow: Flow = field(default_factory=Flow)


def analyse_dyads(
    tables: Mapping[str, pd.DataFrame],
    *,
    settings: Mapping[str, Any] | None,
    change: Mapping[str, Any] | None,
    instruments: Mapping[str, Mapping[str, Any]],
    ci_level: float = CI_LEVEL,
) -> Dyads:
    """Estimate couples' recovery and how alike partners are, as far as the settings ask and the tables allow.

    Parameters
    ----------
    tables : mapping
        Canonical ``relations``, ``scores`` and ``classifications``, and ``styles``.
    settings : mapping or None
        The study's ``dyads`` block; without it every analysis is told as not testable.
    change : mapping or None
        The study's ``change`` block: occasions, and the definitions of the satisfaction score, if it is an outcome there.
    instruments : mapping
        Instruments by key.
    ci_level : float
        Confidence level of the intervals.

    Raises
    ------
    DataError
        If a person is in two couples, or a value is ambiguous.
    ConfigError
        If the satisfaction score is not in the instruments.
    """
    out = Dyads()
    if settings is None:
        out.estimates = [not_testable(analysis, NO_SETTINGS) for analysis in ALL]
        return out
    couples = couple_table(tables["relations"], flow=out.flow)
    if couples.empty:
        out.estimates = [not_testable(analysis, NO_COUPLES) for analysis in ALL]
        return out
    out.estimates += _recovery(couples, tables, settings, change or {}, instruments, ci_level, out)
    system = settings.get("classification")
    if system is None:
        out.estimates.append(not_testable(CONCORDANCE, "the study names no coding system (dyads.classification)"))
    else:
        out.estimates += partner_agreement(couples, tables["classifications"], system=system, ci_level=ci_level, flow=out.flow)
    if settings["scores"]:
        occasions = (change or {}).get("occasions", "wave")
        out.estimates += partner_correlations(
            couples, tables["scores"], names=settings["scores"], occasions=occasions, ci_level=ci_level, flow=out.flow
        )
    else:
        out.estimates.append(not_testable(CORRELATION, "the study names no scores (dyads.scores)"))
    return out


def _recovery(
    couples: pd.DataFrame,
    tables: Mapping[str, pd.DataFrame],
    settings: Mapping[str, Any],
    change: Mapping[str, Any],
    instruments: Mapping[str, Mapping[str, Any]],
    ci_level: float,
    out: Dyads,
) -> list[Estimate]:
    """Return the estimates of recovery, and put the couples into ``out``."""
    outcome = settings.get("satisfaction")
    if outcome is None:
        reason = "the study names no satisfaction score (dyads.satisfaction)"
        return [not_testable(RECOVERY, reason), not_testable(INDIVIDUAL, reason)]
    scale = scale_of(outcome, instruments)
    entry: Mapping[str, Any] = next((o for o in change.get("outcomes", []) if o["score"] == outcome), {})
    occasions, end = change.get("occasions", "wave"), change.get("end", "last")
    both = couple_scores(couples, tables["scores"], score=outcome, rater=entry.get("rater", "self"), occasions=occasions)
    pairs = baseline_and_end(couples, couple_means(both), baseline=change.get("baseline", "first"), end=end)
    assessed = int((pairs["pre"].notna() & pairs["post"].notna()).sum())
    if assessed < 2:
        reason = f"{assessed} couples have both partners' scores at baseline and end; 2 are needed"
        return [not_testable(analysis, reason, outcome=outcome) for analysis in (RECOVERY, INDIVIDUAL)]
    estimates: list[Estimate] = []
    frames = []
    ready, refused = resolve_all(entry.get("definitions") or [], scale, pairs["pre"], pairs["post"], score=outcome, methods=METHODS)
    estimates += [
        replace(not_testable(RECOVERY, f"{outcome}, {name}: {why}", outcome=outcome), definition=name) for name, why in refused
    ]
    for rule in ready:
        found = couple_change(pairs, rule, outcome=outcome)
        estimates += recovery_rates(found, rule, outcome=outcome, flow=out.flow, ci_level=ci_level)
        frames.append(found)
    out.couples = couple_frame(frames)
    main = out.couples[out.couples["primary"]]
    if settings.get("individual") is None:
        estimates.append(not_testable(INDIVIDUAL, "the study names no style classification (dyads.individual)", outcome=outcome))
    elif main.empty:
        estimates.append(not_testable(INDIVIDUAL, "recovery by the primary definition is not testable", outcome=outcome))
    else:
        style = styles_at_end(tables["styles"], occasions=occasions, end=end)
        estimates += recovered_still_insecure(main, style, ci_level=ci_level, flow=out.flow)
    return estimates
