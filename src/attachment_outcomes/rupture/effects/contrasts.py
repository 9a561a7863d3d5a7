"""Do clients with repaired ruptures end better than those without any, and than those left unrepaired?

Vocabulary
----------
repair contrast     repaired − unrepaired
avoidance contrast  none − any rupture, where "any" mixes repaired and unrepaired in their observed proportions
E-value             how strongly an unmeasured cause would have to go with both group and outcome to explain a contrast away
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.robust_ols import FEW_DF, Contrast, Fit, contrast, fit
from attachment_outcomes.rupture.effects.comparison import HIGHER, LOWER, MIN_GROUP, MIN_THERAPISTS, UNITS, Comparison, compare
from attachment_outcomes.rupture.effects.unmeasured import e_value
from attachment_outcomes.rupture.summary import GROUPS, not_assessable

OUTCOME = "rupture_outcome"
PAIRS = ("repaired_minus_none", "unrepaired_minus_none", "repaired_minus_unrepaired")
CAVEATS = (
    "association, not effect: groups were not randomised, and longer treatments have more occasions for a rupture and "
    "for its repair (immortal time)"
)


def repair_effect(
    clients: pd.DataFrame,
    *,
    outcome: str,
    higher_is_better: bool = False,
    post: str = "post",
    adjust: Sequence[str] = ("pre", "n_sessions"),
    cluster: str | None = "therapist_id",
    definition: str = "",
    primary: bool = True,
    min_group: int = MIN_GROUP,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Compare the end scores of clients without ruptures, with repaired and with unrepaired ones.

    .. math:: post_i = \beta_0 + \beta_1 pre_i + \beta_R\,repaired_i + \beta_U\,unrepaired_i + \beta_S\,n\_sessions_i + e_i

    Parameters
    ----------
    clients : frame
        One row a client: ``group`` (none, repaired, unrepaired; rows without a group are left out), the end score, the
        columns of ``adjust``, and the cluster column. Rows with a missing value are left out and counted in the notes.
    outcome : str
        Name of the outcome, e.g. ``core10.total``.
    higher_is_better : bool
        Direction of the outcome.
    post : str
        Column of the end score, score points.
    adjust : list of str
        Covariates. Number of sessions is among them because it decides both the chance of a rupture and, often, the
        outcome; it is itself decided during treatment, so give ``("pre",)`` to leave it out. A covariate without
        variation is left out.
    cluster : str, optional
        Column of the therapist. With at least 5 of them among the rows the interval is cluster-robust (CR2, t on
        Satterthwaite's df); otherwise HC3 (t on n − k df). A client without a therapist counts as a cluster of their own.
    definition : str
        The rupture criterion that made the groups.
    primary : bool
        Whether it is the study's primary criterion.
    min_group : int
        Fewest clients in each of the three groups.
    ci_level : float
        Confidence level.

    Returns
    -------
    list of Estimate
        Analysis ``rupture_outcome``, score points. ``repaired_minus_none``, ``unrepaired_minus_none``,
        ``repaired_minus_unrepaired`` and ``none_minus_any`` are in the outcome's own direction: where lower is better, a
        negative value favours the first-named group. ``repair_minus_avoidance`` is in points of improvement whatever
        the outcome's direction, :math:`\pm[(R - U) - (N - A)]` with minus where lower is better: above zero, repair goes
        with more than avoidance does. One not-testable row if a group is too small or the model is not identified.

    Raises
    ------
    DataError
        If a column is absent, ``group`` holds an unknown word, or a score or covariate holds a word.

    Notes
    -----
    The contrasts describe an association. Whoever stays longer has more chances to rupture and to repair (immortal
    time); adjusting for the number of sessions mends that in part only, see ``landmark_contrasts``.

    References
    ----------
    Eubanks, C. F., Muran, J. C., & Safran, J. D. (2018). Alliance rupture repair: a meta-analysis. Psychotherapy, 55(4),
    508-519. McLaughlin, A. A., et al. (2014). J. Consulting and Clinical Psychology, 82(1), 112-121.
    """
    try:
        rows, found = fitted(clients, post=post, adjust=adjust, cluster=cluster, min_group=min_group)
    except StatisticsError as error:
        return [not_assessable(definition, outcome=outcome, reason=str(error), analysis=OUTCOME)]
    return contrast_rows(
        rows, found, higher_is_better=higher_is_better, ci_level=ci_level, analysis=OUTCOME, outcome=outcome,
        definition=definition, primary=primary,
    )  # fmt: skip


def fitted(
    clients: pd.DataFrame, *, adjust: Sequence[str], cluster: str | None, post: str = "post", min_group: int = MIN_GROUP,
    drop_small: bool = False, within: bool = False,
) -> tuple[Comparison, Fit]:  # fmt: skip
    """Return the clients compared and the regression of their end scores; see :func:`repair_effect` and :func:`.compare`.

    The last coefficients are those of the groups but the first. With ``within`` clients are compared with others of their own
    therapist only: all columns are taken less their mean at the therapist, which for CR2 is the same as a coefficient for each
    therapist (Pustejovsky & Tipton 2018, theorem 2). Clients whose therapist is unknown are left out then: they have nobody to
    be compared with.

    Raises
    ------
    StatisticsError
        If a group is too small, the model is not identified, or too few therapists are known for ``within``.
    DataError
        If a column is absent, or ``group`` holds an unknown word.
    """
    if within and cluster is not None and cluster in clients:
        clients = clients[clients[cluster].notna()]
    rows = compare(clients, post=post, adjust=adjust, cluster=cluster, min_group=min_group, drop_small=drop_small)
    columns = [rows.rows[c].to_numpy(dtype=float) for c in rows.covariates]
    columns += [(rows.rows["group"] == g).to_numpy(dtype=float) for g in rows.groups[1:]]
    outcome = rows.rows["_post"].to_numpy(dtype=float)
    if not within:
        return rows, fit(np.column_stack([np.ones(len(outcome)), *columns]), outcome, rows.codes, units=UNITS)
    if rows.codes is None:
        raise StatisticsError(f"fewer than {MIN_THERAPISTS} therapists known: clients cannot be compared within therapists")
    size = np.bincount(rows.codes)
    own = [x - (np.bincount(rows.codes, weights=x) / size)[rows.codes] for x in (outcome, *columns)]
    return rows, fit(np.column_stack(own[1:]), own[0], rows.codes, units=UNITS)


def contrast_rows(
    rows: Comparison, found: Fit, *, higher_is_better: bool, ci_level: float, names: Sequence[str] = (),
    caveats: str = CAVEATS, **shared: Any,
) -> list[Estimate]:  # fmt: skip
    """Return the contrasts as rows: all of the groups compared, or those of ``names``. ``shared`` are fields of the rows."""
    weights = _weights(rows, len(found.coefficients), higher_is_better)
    return [
        contrast_row(
            rows, found, name, contrast(found, weights[name], ci_level=ci_level),
            direction=HIGHER if higher_is_better or name == "repair_minus_avoidance" else LOWER,
            ci_level=ci_level, caveats=caveats, **shared,
        )
        for name in weights
        if not names or name in names
    ]  # fmt: skip


def contrast_row(
    rows: Comparison, found: Fit, name: str, c: Contrast, *, caveats: str, more: str = "", method: str = "", **fields: Any
) -> Estimate:  # fmt: skip
    """Return one contrast as a row, with what it rests on."""
    few = f"the interval rests on {c.df:.1f} degrees of freedom: too few to be trusted" if c.df < FEW_DF else ""
    return Estimate(
        estimand=name, estimate=c.estimate, std_error=c.std_error, ci_low=c.ci_low, ci_high=c.ci_high, p_value=c.p_value,
        n=float(len(rows.rows)), n_clusters=rows.n_clusters, unit="score points", method=method or found.method,
        note="; ".join(filter(None, [*rows.notes, more, few, caveats])), **fields,
    )  # fmt: skip


def _weights(rows: Comparison, size: int, higher_is_better: bool) -> Mapping[str, np.ndarray[Any, np.dtype[np.float64]]]:
    """Return the weights of the coefficients in each contrast that the groups compared allow."""
    own = dict(zip(rows.groups, [np.zeros(size), *np.eye(size)[size - len(rows.groups) + 1 :]], strict=True))
    found = {}
    for pair in PAIRS:
        one, other = pair.split("_minus_")
        if one in own and other in own:
            found[pair] = own[one] - own[other]
    if len(own) == len(GROUPS):
        share = rows.sizes["repaired"] / (rows.sizes["repaired"] + rows.sizes["unrepaired"])
        found["none_minus_any"] = own["none"] - share * own["repaired"] - (1 - share) * own["unrepaired"]
        sign = 1.0 if higher_is_better else -1.0
        found["repair_minus_avoidance"] = sign * (found["repaired_minus_unrepaired"] - found["none_minus_any"])
    return found


def one_contrast(rows: Comparison, found: Fit, name: str, *, ci_level: float) -> Contrast:
    """Return one contrast between two groups.

    Raises
    ------
    StatisticsError
        If one of the groups is not compared.
    """
    weights = _weights(rows, len(found.coefficients), True)
    if name not in weights:
        raise StatisticsError("; ".join(filter(None, rows.notes)))
    return contrast(found, weights[name], ci_level=ci_level)


def e_value_rows(contrasts: Sequence[Estimate], sd: float) -> list[Estimate]:
    """Return the E-value of each contrast between two groups, and of its limit nearer to no difference.

    Parameters
    ----------
    contrasts
        Rows in score points; those not of ``PAIRS`` are passed over.
    sd
        SD of the end score within groups, score points; where it is 0 there is no E-value.
    """
    found: list[Estimate] = []
    if not sd > 0:
        return found
    for row in contrasts:
        if row.estimand not in PAIRS or not math.isfinite(row.estimate):
            continue
        d = row.estimate / sd
        near = 0.0 if row.ci_low <= 0 <= row.ci_high else min(abs(row.ci_low), abs(row.ci_high)) / sd
        note = f"d = {d:.3f} (SD within groups {sd:.3f} points); risk ratio taken as exp(0.91 d); 1: nothing to explain away"
        for estimand, value in (("e_value", e_value(d)), ("e_value_of_limit", e_value(near))):
            found.append(
                Estimate(
                    analysis=row.analysis, estimand=estimand, outcome=row.outcome, group=row.estimand, definition=row.definition,
                    primary=row.primary, estimate=value, ci_level=row.ci_level, n=row.n, n_clusters=row.n_clusters,
                    unit="risk ratio", method="VanderWeele & Ding (2017), difference in SDs", note=note,
                )
            )  # fmt: skip
    return found
