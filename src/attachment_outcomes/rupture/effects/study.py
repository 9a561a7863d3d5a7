"""All that a study asks about ruptures and the clients' outcome: the contrasts of every criterion, and how much they depend on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from attachment_outcomes.errors import ConfigError, StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.effects.contrasts import OUTCOME, PAIRS, contrast_rows, e_value_rows, fitted
from attachment_outcomes.rupture.effects.standardisation import standardised_means
from attachment_outcomes.rupture.summary import not_assessable

# A row a client under the primary criterion.
TABLES = {
    "rupture_outcomes": {
        "client": "str", "therapist_id": "str", "group": "str", "pre": "float64", "post": "float64", "n_sessions": "Int64",
    }
}  # fmt: skip
FIRST = "first_alliance"
COVARIATES = ("pre", "n_sessions", FIRST)
ADJUST = ("pre", "n_sessions")
OTHER_SETS = ((), ("pre",), ("pre", "n_sessions"), ("pre", "n_sessions", FIRST))
THERAPIST = "therapist_id"


def adjustment(data: RuptureData) -> tuple[str, ...]:
    """Return the covariates that the study names.

    Raises
    ------
    ConfigError
        If one is not known.
    """
    named = tuple(data.settings.get("adjust", ADJUST))
    for name in named:
        if name not in COVARIATES:
            what = f"no covariate {name!r}; allowed: {', '.join(COVARIATES)}.{did_you_mean(name, COVARIATES)}"
            raise ConfigError(problem("rupture, key adjust", what))
    return named


def with_first_rating(data: RuptureData, clients: pd.DataFrame) -> pd.DataFrame:
    """Return a client table with ``first_alliance``, the first rating of the alliance, in which no criterion sees a fall."""
    series = data.series
    rated = series.lengths > 0
    first = series.clients[rated].assign(**{FIRST: series.values[series.starts[:-1][rated]]})
    return clients.merge(first, how="left", on=["client", "treatment_id"])


def analyse(data: RuptureData) -> Part:
    """Return the outcome contrasts of every criterion with what they depend on, and the table behind those of the primary one.

    Each criterion gives the five contrasts of :func:`attachment_outcomes.rupture.repair_effect`, standardised means, E-values of
    the contrasts between two groups, and these contrasts again under other sets of covariates (group ``adjusted for ...``).
    """
    rows: list[Estimate] = []
    table = None
    for i, (clients, found) in enumerate(zip(data.clients, data.detections, strict=True)):
        joined = data.with_outcome(with_first_rating(data, clients))
        table = joined if table is None else table
        if not joined[["pre", "post"]].notna().all(axis=1).any():
            reason = f"no client has both alliance ratings and {data.outcome} at start and end"
            rows.append(not_assessable(found.criterion.name, outcome=data.outcome, reason=reason, analysis=OUTCOME))
            continue
        rows += _of_one(data, joined, found.criterion.name, primary=i == 0)
    return Part(rows, {} if table is None else {"rupture_outcomes": table})


def _of_one(data: RuptureData, clients: pd.DataFrame, criterion: str, *, primary: bool) -> list[Estimate]:
    """Return the rows of one criterion."""
    adjust, better = adjustment(data), data.higher_is_better
    shared = {"analysis": OUTCOME, "outcome": data.outcome, "definition": criterion}
    try:
        compared, model = fitted(clients, adjust=adjust, cluster=THERAPIST)
    except StatisticsError as error:
        return [not_assessable(criterion, outcome=data.outcome, reason=str(error), analysis=OUTCOME)]
    main = contrast_rows(compared, model, higher_is_better=better, ci_level=data.ci_level, primary=primary, **shared)
    standardised = standardised_means(
        clients, outcome=data.outcome, higher_is_better=better, adjust=adjust, definition=criterion, primary=primary,
        ci_level=data.ci_level,
    )  # fmt: skip
    rows = [*main, *standardised, *e_value_rows(main, compared.within_sd)]
    for other in OTHER_SETS:
        if set(other) != set(adjust):
            rows += _otherwise(data, clients, criterion, other)
    return [*rows, *_otherwise(data, clients, criterion, adjust, within=True)]


def _otherwise(
    data: RuptureData, clients: pd.DataFrame, criterion: str, adjust: Sequence[str], *, within: bool = False
) -> list[Estimate]:
    """Return the contrasts between two groups under another set of covariates, or among clients of the same therapist."""
    group = f"adjusted for {', '.join([*adjust, *(['therapist'] if within else [])]) or 'nothing'}"
    try:
        # The same clients whatever the covariates, so that what differs is the adjustment alone.
        complete = clients[clients[[*ADJUST, FIRST]].notna().all(axis=1)]
        compared, model = fitted(complete, adjust=adjust, cluster=THERAPIST, within=within)
    except StatisticsError as error:
        row = not_assessable(criterion, outcome=data.outcome, reason=str(error), analysis=OUTCOME)
        return [replace(row, group=group)]
    return contrast_rows(
        compared, model, higher_is_better=data.higher_is_better, ci_level=data.ci_level, names=PAIRS, analysis=OUTCOME,
        outcome=data.outcome, definition=criterion, group=group, primary=False,
        more="clients compared with others of their own therapist; those whose therapist is unknown left out" if within else "",
    )  # fmt: skip
