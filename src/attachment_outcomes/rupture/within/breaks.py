"""What happens to alliance and symptoms across a break between sessions, and is it other in anxious or avoidant clients?

Vocabulary
----------
break      at least so many weeks between two adjacent sessions (settings: ``breaks: {weeks: 2}``)
change     a session's rating minus that of the session before
ordinary   a pair of adjacent sessions without a break between them
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.mixed.model import MixedFit
from attachment_outcomes.rupture.effects.comparison import few
from attachment_outcomes.rupture.series import Numbers
from attachment_outcomes.rupture.within.lagged import coefficient, fit_slopes
from attachment_outcomes.rupture.within.panel import Panel, pairs_of

ANALYSIS = "session_breaks"
CHANGE, LEVEL = "change from the session before", "level beside the client's average"
FEWEST = 20  # breaks with a rated session on both sides, and clients who have one
DIMENSIONS = ("anxiety", "avoidance")
THIRDS = ("lowest third", "middle third", "highest third")
NOTE = "association, not effect: breaks are not allotted, and clients may cancel when things go badly"
TABLE_COLUMNS = {
    "outcome": "str", "dimension": "str", "third": "str", "across": "str", "mean_change": "float64", "std_error": "float64",
    "n_changes": "Int64", "n_clients": "Int64",
}  # fmt: skip


def break_rows(panel: Panel, rating: Numbers, z: Numbers | None, *, weeks: float) -> pd.DataFrame:
    """Return a row a pair of adjacent rated sessions: the change, whether a break lies between and before, time and attachment.

    ``broken`` and ``broken_before`` are 1 or 0; ``own`` and ``own_before`` the same minus the unit's mean; ``mean`` that mean.
    Without known weeks between the sessions, a rating on both sides or (where given) attachment there is no row.
    """
    pairs = pairs_of(panel, 1)
    there = np.isfinite(rating[pairs.now]) & np.isfinite(rating[pairs.then]) & np.isfinite(panel.gap[pairs.then])
    if z is not None:
        there &= np.isfinite(z.sum(axis=1))[panel.unit[pairs.now]]
    pairs = pairs.where(there)
    time = pairs.time
    rows = pd.DataFrame(
        {
            "unit": pairs.unit, "therapist": pairs.cluster, "person": panel.person[pairs.unit],
            "change": rating[pairs.then] - rating[pairs.now], "level": rating[pairs.then],
            "broken": (panel.gap[pairs.then] >= weeks).astype(float),
            # A session after a break lies low, so what follows it is partly the way back.
            "broken_before": (np.nan_to_num(panel.gap[pairs.now]) >= weeks).astype(float),
            "time": time[:, 0], "log_time": time[:, 1],
        }
    )  # fmt: skip
    rows["mean"] = rows.groupby("unit")["broken"].transform("mean")
    rows["own"] = rows["broken"] - rows["mean"]
    rows["own_before"] = rows["broken_before"] - rows.groupby("unit")["broken_before"].transform("mean")
    for column in ("mean", "time", "log_time"):
        rows[column] -= rows[column].mean()
    if z is not None:
        rows["anxiety"], rows["avoidance"] = z[pairs.unit, 0], z[pairs.unit, 1]
    return rows


def breaks_by_attachment(
    panel: Panel,
    rating: Numbers,
    z: Numbers | None,
    *,
    outcome: str,
    direction: str,
    weeks: float = 2.0,
    primary: bool = True,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Return how much more a rating changes across breaks than between ordinary sessions, within clients, and by attachment.

    .. math:: \Delta y_{it} = \beta_0 + (\beta_B + \beta_X z_{Xi} + \beta_V z_{Vi} + b_i)\,(B_{it} - \bar B_i) + \beta_M \bar B_i
        + \gamma_0 B_{i,t-1} + \dots + \gamma' time_t + w_j + u_i + e_{it}

    Parameters
    ----------
    panel : Panel
        The sessions.
    rating : (n,)
        Rating of each session, score points.
    z : (g, 2), optional
        Anxiety and avoidance of each unit, centred, in SDs; NaN where missing (these clients are then left out).
    outcome, direction : str
        Name of the rating, and how to read a change of it.
    weeks : float
        Fewest weeks of a break.
    primary : bool
        Whether the level beside the client's average is marked as the primary definition: the change from the session before is
        less precise, and far off where clients cancel after a bad session, since ratings go back to the average by themselves.
    ci_level : float
        Confidence level.

    Returns
    -------
    list of Estimate
        Analysis ``session_breaks``, score points: ``across_break`` (at average attachment), ``break_by_anxiety`` and
        ``break_by_avoidance`` (more change per SD of attachment: negative where a rating falls more), ``break_sd`` (SD of the
        clients' own responses). Definitions: the change from the session before, and the level of the session after the break
        beside the client's average. Mixed model, sessions in clients in therapists, random responses to breaks; CR2 over
        therapists (10 or more known) or clients. One not-testable row a definition where fewer than 20 breaks, or clients with
        one, can be used.

    References
    ----------
    Pustejovsky, J. E., & Tipton, E. (2018). J. Bus. Econ. Stat., 36, 672-683.
    """
    rows = break_rows(panel, rating, z, weeks=weeks)
    n_breaks, n_clients = int(rows["broken"].sum()), rows.loc[rows["broken"] > 0, "person"].nunique()
    sizes = f"{few(n_breaks)} breaks of {weeks:g} weeks or more of {few(n_clients)} clients, rated on both sides"
    if n_breaks < FEWEST or n_clients < FEWEST:
        return [replace(not_testable(ANALYSIS, f"{sizes}; at least {FEWEST} of each", outcome=outcome), definition=LEVEL)]
    found: list[Estimate] = []
    for definition, column in ((LEVEL, "level"), (CHANGE, "change")):
        terms = ["own", "own_before", "mean", "time", "log_time"]
        if z is not None:
            terms += ["anxiety", "avoidance", *(f"{b}:{d}" for b in ("own", "own_before") for d in DIMENSIONS)]
        try:
            fit, slopes = fit_slopes(" + ".join([f"{column} ~ 1", *terms]), rows, panel, "own", ci_level=ci_level)
        except StatisticsError as error:
            found.append(replace(not_testable(ANALYSIS, str(error), outcome=outcome), definition=definition))
            continue
        note = "; ".join(p for p in (sizes, NOTE, fit.note) if p)
        shared: dict[str, Any] = {
            "analysis": ANALYSIS, "outcome": outcome, "definition": definition, "primary": primary and definition == LEVEL,
            "ci_level": ci_level, "n": float(fit.n), "n_clusters": float(fit.n_clusters), "unit": "score points", "note": note,
        }  # fmt: skip
        found += _told(fit, slopes, direction, shared)
    return found


def _told(fit: MixedFit, slopes: bool, direction: str, shared: dict[str, Any]) -> Iterator[Estimate]:
    table = fit.robust()
    terms = list(table["term"])
    method = "mixed model (REML), CR2"
    for estimand, term in (("across_break", "own"), *((f"break_by_{d}", f"own:{d}") for d in DIMENSIONS)):
        if term not in terms:
            continue
        estimate, error, low, high, p = coefficient(table, term)
        yield Estimate(
            estimand=estimand, estimate=estimate, std_error=error, ci_low=low, ci_high=high, p_value=p, direction=direction,
            method=method, **shared,
        )  # fmt: skip
    if slopes:
        sd = float(np.sqrt(max(fit.variances["own"], 0.0)))
        yield Estimate(estimand="break_sd", estimate=sd, method="mixed model (REML)", **{**shared, "primary": False})


def breaks_table(panel: Panel, rating: Numbers, z: Numbers | None, *, outcome: str, weeks: float) -> pd.DataFrame:
    """Return mean changes across breaks and between ordinary sessions, of all clients and by thirds of either dimension.

    A mean of the clients' own means; ``std_error`` takes the clients as independent.
    """
    rows = break_rows(panel, rating, z, weeks=weeks)
    rows["across"] = np.where(rows["broken"] > 0, "break", "ordinary")
    parts = [rows.assign(dimension="", third="all")]
    if z is not None and len(rows):
        each = rows.drop_duplicates("person").set_index("person")
        for dimension in DIMENSIONS:
            rank = each[dimension].rank(method="average", pct=True)
            third = pd.cut(rank, [0, 1 / 3, 2 / 3, 1], labels=list(THIRDS)).astype("str")
            parts.append(rows.assign(dimension=dimension, third=rows["person"].map(third)))
    whole = pd.concat(parts, ignore_index=True)
    keys = ["dimension", "third", "across"]
    by_client = whole.groupby([*keys, "person"], sort=False)["change"].agg(["mean", "size"]).reset_index()
    grouped = by_client.groupby(keys)
    table = grouped.agg(
        mean_change=("mean", "mean"), std_error=("mean", "sem"), n_changes=("size", "sum"), n_clients=("person", "nunique")
    ).reset_index()
    return table.assign(outcome=outcome)[list(TABLE_COLUMNS)]
