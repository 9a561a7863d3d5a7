"""Does repair go with outcome here as much as it does in the literature?

Vocabulary
----------
share repaired      of a client's ruptures whose end is known, under one criterion
rated resolution    mean of a client's ratings of how far ruptures were resolved (observer, client or therapist)
published           pooled correlations of ``config/published``; they are set beside the study's own and pooled with nothing
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.correlation import Correlation
from attachment_outcomes.inference.estimate import NOT_TESTABLE, Estimate
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.effects.comparison import HIGHER, UNCLUSTERED, therapist_codes
from attachment_outcomes.rupture.effects.contrasts import fitted, one_contrast
from attachment_outcomes.rupture.effects.partial import partial_correlation, r_from_d
from attachment_outcomes.rupture.effects.study import THERAPIST, adjustment, with_first_rating
from attachment_outcomes.rupture.summary import not_assessable

LITERATURE = "repair_literature"
MIN_CLIENTS = 20  # with fewer, an interval of r spans nearly everything
SHARE, CONVERTED, RATED = "share of ruptures repaired", "repaired against unrepaired", "rated resolution"
RATINGS = {
    "resolution": "observer",
    "rupture_resolution": "client",
    "rupture_resolution_therapist": "therapist",
}
OWN, PUBLISHED = "this study", "published"
CAVEATS = "association, not effect"
TABLES = {
    "repair_literature": {
        "source": "str", "key": "str", "label": "str", "about": "str", "primary": "bool", "r": "float64", "ci_low": "float64",
        "ci_high": "float64", "k": "Int64", "n": "Int64", "standing": "str", "verified": "bool", "citation": "str", "note": "str",
    }
}  # fmt: skip


def analyse(data: RuptureData) -> Part:
    """Return the study's correlations of repair with improvement, and a table of them beside the published ones."""
    rows: list[Estimate] = []
    adjust = adjustment(data)
    for i, (clients, found) in enumerate(zip(data.clients, data.detections, strict=True)):
        joined = data.with_outcome(with_first_rating(data, clients))
        shared = {"definition": found.criterion.name, "primary": i == 0}
        rows.append(_correlation(data, joined, "share_repaired", adjust, group=SHARE, **shared))
        rows.append(_converted(data, joined, adjust, definition=found.criterion.name))
    rows += _ratings(data, adjust)
    return Part(rows, {"repair_literature": beside(rows, data.published)})


def _correlation(data: RuptureData, clients: pd.DataFrame, column: str, adjust: Sequence[str], **named: Any) -> Estimate:
    """Return the partial correlation of a column with improvement."""
    rows = clients[clients[[column, "post", *adjust]].notna().all(axis=1)].reset_index(drop=True)
    fields: dict[str, Any] = {"analysis": LITERATURE, "outcome": data.outcome, **named}
    if len(rows) < MIN_CLIENTS:
        row = not_assessable(
            fields["definition"], outcome=data.outcome, analysis=LITERATURE,
            reason=f"{len(rows)} clients with ruptures of known end, outcome and covariates; at least {MIN_CLIENTS} are needed",
        )  # fmt: skip
        return replace(row, group=fields["group"])
    covariates = [c for c in adjust if rows[c].astype(float).std() > 0]
    codes = therapist_codes(rows, THERAPIST)
    sign = 1.0 if data.higher_is_better else -1.0
    try:
        found: Correlation = partial_correlation(
            rows[column].to_numpy(dtype=float), sign * rows["post"].to_numpy(dtype=float), rows[covariates].to_numpy(dtype=float),
            codes=codes, ci_level=data.ci_level,
        )  # fmt: skip
    except StatisticsError as error:
        return replace(
            not_assessable(fields["definition"], outcome=data.outcome, reason=str(error), analysis=LITERATURE),
            group=fields["group"],
        )
    note = [
        f"given {', '.join(covariates) or 'nothing'}; positive: goes with improvement", found.note,
        "" if codes is not None else UNCLUSTERED, "standard error on Fisher's z", CAVEATS,
    ]  # fmt: skip
    return Estimate(
        estimand="r", estimate=found.r, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high,
        ci_level=data.ci_level, p_value=found.p_value, n=float(found.n), n_clusters=float(found.n_clusters), unit="r",
        direction=HIGHER, method=found.method, note="; ".join(filter(None, note)), **fields,
    )  # fmt: skip


def _converted(data: RuptureData, clients: pd.DataFrame, adjust: Sequence[str], *, definition: str) -> Estimate:
    """Return the contrast of repaired and unrepaired as a correlation."""
    try:
        compared, model = fitted(clients, adjust=adjust, cluster=THERAPIST, drop_small=True)
        found = one_contrast(compared, model, "repaired_minus_unrepaired", ci_level=data.ci_level)
        if not compared.within_sd > 0:
            raise StatisticsError("nobody's end score differs from that of others in the group")
    except StatisticsError as error:
        return replace(not_assessable(definition, outcome=data.outcome, reason=str(error), analysis=LITERATURE), group=CONVERTED)
    sd, sign = compared.within_sd, 1.0 if data.higher_is_better else -1.0
    sizes = (compared.sizes["repaired"], compared.sizes["unrepaired"])
    r, one, other = (r_from_d(sign * v / sd, *sizes) for v in (found.estimate, found.ci_low, found.ci_high))
    note = f"d = {sign * found.estimate / sd:.3f} in SDs within groups, {sizes[0]} repaired and {sizes[1]} unrepaired"
    return Estimate(
        analysis=LITERATURE, estimand="r", outcome=data.outcome, group=CONVERTED, definition=definition, primary=False, estimate=r,
        ci_low=min(one, other), ci_high=max(one, other), ci_level=data.ci_level, p_value=found.p_value, n=float(sum(sizes)),
        n_clusters=compared.n_clusters, unit="r", direction=HIGHER, method=f"r from d, {model.method}",
        note="; ".join([*filter(None, compared.notes), note, "positive: goes with improvement", CAVEATS]),
    )  # fmt: skip


def _ratings(data: RuptureData, adjust: Sequence[str]) -> Iterator[Estimate]:
    """Yield the correlation of each rated resolution that the sessions hold."""
    sessions = data.sessions
    known = [c for c in RATINGS if c in sessions and sessions[c].notna().any()]
    if not known:
        return
    clients = data.with_outcome(with_first_rating(data, data.clients[0]))
    for column in known:
        means = sessions[sessions[column].notna()].groupby("person_id")[column].agg(["mean", "size"]).astype("float64")
        rows = clients.join(means["mean"].rename("_rated"), on="client")
        yield _correlation(data, rows, "_rated", adjust, group=RATED, definition=RATINGS[column], primary=False)


def beside(rows: Sequence[Estimate], published: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the study's own correlations and the published ones in one table."""
    own = [
        {"source": OWN, "key": row.definition, "label": row.group, "about": "resolution", "primary": row.primary, "r": row.estimate,
         "ci_low": row.ci_low, "ci_high": row.ci_high, "k": pd.NA, "n": int(row.n), "standing": "estimated", "verified": True,
         "citation": "", "note": row.note}
        for row in rows if row.estimand != NOT_TESTABLE
    ]  # fmt: skip
    other = [
        {"source": PUBLISHED, "primary": False, "note": "", "n": pd.NA, **{k: v for k, v in result.items() if k in _KEPT}}
        for result in published
    ]
    return pd.DataFrame([*own, *other])


_KEPT = set(TABLES["repair_literature"])
