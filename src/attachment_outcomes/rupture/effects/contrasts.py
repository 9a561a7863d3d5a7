"""Do clients with repaired ruptures end better than those without any, and than those left unrepaired?

Vocabulary
----------
repair contrast     repaired − unrepaired
avoidance contrast  none − any rupture, where "any" mixes repaired and unrepaired in their observed proportions
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from attachment_outcomes.errors import DataError, StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.regression import FEW_CLUSTERS, linear_contrasts
from attachment_outcomes.rupture.summary import GROUPS, not_assessable

OUTCOME = "rupture_outcome"
MIN_GROUP = 10  # per group: with fewer, HC3 and the normality of a group's mean are not to be trusted
HIGHER, LOWER = "higher is better", "lower is better"
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
        Column of the therapist. With at least 10 of them among the rows the interval is cluster-robust (CR1, t on
        G − 1 df); otherwise HC3 (t on n − k df). A client without a therapist counts as a cluster of their own.
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
        If a column is absent, or ``group`` holds an unknown word.

    Notes
    -----
    The contrasts describe an association. Whoever stays longer has more chances to rupture and to repair (immortal
    time); adjusting for the number of sessions mends that in part only.

    References
    ----------
    Eubanks, C. F., Muran, J. C., & Safran, J. D. (2018). Alliance rupture repair: a meta-analysis. Psychotherapy, 55(4),
    508-519. McLaughlin, A. A., et al. (2014). J. Consulting and Clinical Psychology, 82(1), 112-121.
    """
    rows, left_out = _complete(clients, post, adjust)
    sizes = rows["group"].value_counts().reindex(GROUPS, fill_value=0)
    sizes_text = ", ".join(f"{group} {n}" for group, n in sizes.items())
    if sizes.min() < min_group:
        reason = f"groups too small for a comparison ({sizes_text}; at least {min_group} in each)"
        return [not_assessable(definition, outcome=outcome, reason=reason, analysis=OUTCOME)]

    covariates = [c for c in adjust if np.ptp(rows[c]) > 0]
    terms = [*covariates, "repaired", "unrepaired"]
    clustered = cluster is not None and cluster in rows and rows[cluster].nunique() >= FEW_CLUSTERS
    if clustered:
        alone = rows[cluster].isna()
        rows["_cluster"] = pd.factorize(rows[cluster])[0] + np.where(alone, -np.arange(len(rows)) - 1, 0)
    share = sizes["repaired"] / (sizes["repaired"] + sizes["unrepaired"])
    sign = 1.0 if higher_is_better else -1.0
    repaired, unrepaired = (np.array([0.0, *(float(t == name) for t in terms)]) for name in ("repaired", "unrepaired"))
    avoidance = -(share * repaired + (1 - share) * unrepaired)
    contrasts = {
        "repaired_minus_none": repaired,
        "unrepaired_minus_none": unrepaired,
        "repaired_minus_unrepaired": repaired - unrepaired,
        "none_minus_any": avoidance,
        "repair_minus_avoidance": sign * (repaired - unrepaired - avoidance),
    }
    try:
        found = linear_contrasts(
            "_post ~ " + " + ".join(terms), rows, contrasts=contrasts, cluster="_cluster" if clustered else None, ci_level=ci_level
        )
    except StatisticsError as error:
        return [not_assessable(definition, outcome=outcome, reason=f"{error} ({sizes_text})", analysis=OUTCOME)]

    own = HIGHER if higher_is_better else LOWER
    extra = [
        f"{sizes_text}; adjusted for {', '.join(covariates) or 'nothing'}",
        f"{left_out} clients left out (no group or no scores)" if left_out else "",
        "" if clustered or cluster is None else f"fewer than {FEW_CLUSTERS} therapists known: intervals not clustered",
    ]
    return [
        Estimate(
            analysis=OUTCOME, estimand=name, outcome=outcome, definition=definition, primary=primary, estimate=c.estimate,
            std_error=c.std_error, ci_low=c.ci_low, ci_high=c.ci_high, ci_level=ci_level, p_value=c.p_value, n=float(c.n),
            n_clusters=c.n_clusters if clustered else float(c.n), unit="score points",
            direction=HIGHER if name == "repair_minus_avoidance" else own, method=c.method,
            note="; ".join(filter(None, [*extra, c.note, CAVEATS])),
        )
        for name, c in found.items()
    ]  # fmt: skip


def _complete(clients: pd.DataFrame, post: str, adjust: Sequence[str]) -> tuple[pd.DataFrame, int]:
    """Return the rows that can be compared, with an indicator a group, and how many were left out."""
    needed = ["group", post, *adjust]
    for column in needed:
        if column not in clients.columns:
            raise DataError(problem("rupture outcome", f"no column {column!r}.{did_you_mean(column, clients.columns)}"))
    unknown = set(clients["group"].dropna()) - set(GROUPS)
    if unknown:
        what = f"found {len(unknown)} unknown words; allowed: {', '.join(GROUPS)}."
        raise DataError(problem("rupture outcome, column group", what))
    rows = clients[clients[needed].notna().all(axis=1)].reset_index(drop=True)
    for column in adjust:
        rows[column] = rows[column].astype(float)
    rows["_post"] = rows[post].astype(float)
    for group in GROUPS[1:]:
        rows[group] = (rows["group"] == group).astype(float)
    return rows, len(clients) - len(rows)
