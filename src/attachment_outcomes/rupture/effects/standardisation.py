"""What would end scores be on average if all clients were like those of one group, other things as they are?

Vocabulary
----------
standardised mean   average over all clients compared of the end score that the regression gives each one under a group
interaction         the difference between groups is allowed to depend on the score before treatment
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.robust_ols import contrast, fit
from attachment_outcomes.rupture.effects.comparison import HIGHER, LOWER, MIN_GROUP, UNITS, Comparison, compare
from attachment_outcomes.rupture.effects.contrasts import OUTCOME, contrast_row
from attachment_outcomes.rupture.summary import GROUPS, not_assessable

Numbers = npt.NDArray[np.float64]
STANDARDISED = "standardised_mean"
CAVEATS = "association, not effect: it is one only if nothing that decides group and outcome is left out of the regression"


def standardised_means(
    clients: pd.DataFrame,
    *,
    outcome: str,
    higher_is_better: bool = False,
    post: str = "post",
    adjust: Sequence[str] = ("pre", "n_sessions"),
    interact: Sequence[str] = ("pre",),
    cluster: str | None = "therapist_id",
    definition: str = "",
    primary: bool = False,
    min_group: int = MIN_GROUP,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Return the mean end score under "all none", "all repaired" and "all unrepaired", and their differences (the g-formula).

    .. math:: \hat\mu_g = \frac1n\sum_i x_i(g)'\hat\beta, \quad
        \hat V(\hat\mu_g) = \sum_j \Big(\bar x(g)'v_j
        + \sqrt{\tfrac{G}{G-1}}\,\tfrac1n\sum_{i \in j}(x_i(g)'\hat\beta - \hat\mu_g)\Big)^2

    :math:`x_i(g)` are a client's covariates with the group set to g, and their products with the group for those of
    ``interact``; :math:`v_j` is what unit j (a therapist: CR2; a client: HC3) adds to the error of the coefficients. The second
    part is there because the clients' covariates are a sample too. Without ``interact`` the differences are those of
    :func:`attachment_outcomes.rupture.repair_effect`.

    Parameters
    ----------
    clients, outcome, higher_is_better, post, adjust, cluster, definition, primary, min_group, ci_level
        As in :func:`attachment_outcomes.rupture.repair_effect`.
    interact : list of str
        Covariates by which the groups' differences may vary.

    Returns
    -------
    list of Estimate
        Analysis ``rupture_outcome``, score points: ``standardised_mean`` for each group (no p value: whether a mean score is 0 is
        nobody's question), and ``standardised_repaired_minus_none``, ``standardised_unrepaired_minus_none``,
        ``standardised_repaired_minus_unrepaired`` in the outcome's own direction. One not-testable row if a group is too small or
        the model is not identified.

    Raises
    ------
    DataError
        If a column is absent, or ``group`` holds an unknown word.

    References
    ----------
    Robins, J. (1986). Mathematical Modelling, 7, 1393-1512. Sjölander, A. (2016). Regression standardization with the R package
    stdReg. European J. Epidemiology, 31, 563-574.
    """
    try:
        rows = compare(clients, post=post, adjust=adjust, cluster=cluster, min_group=min_group)
        own = {group: _design(rows, interact, group) for group in GROUPS}
        found = fit(_design(rows, interact), rows.rows["_post"].to_numpy(dtype=float), rows.codes, units=UNITS)
    except StatisticsError as error:
        reason = f"regression standardisation: {error}"
        return [not_assessable(definition, outcome=outcome, reason=reason, analysis=OUTCOME)]
    by = [c for c in rows.covariates if c in interact]
    shared: dict[str, Any] = {
        "analysis": OUTCOME, "outcome": outcome, "definition": definition, "primary": primary, "ci_level": ci_level,
        "direction": HIGHER if higher_is_better else LOWER, "method": f"g-formula, {found.method}", "caveats": CAVEATS,
        "more": f"difference between groups free to vary with {', '.join(by)}" if by else "",
    }  # fmt: skip
    wanted = {(STANDARDISED, group): own[group] for group in GROUPS}
    pairs = (("repaired", "none"), ("unrepaired", "none"), ("repaired", "unrepaired"))
    wanted |= {(f"standardised_{a}_minus_{b}", ""): own[a] - own[b] for a, b in pairs}
    made = []
    for (estimand, group), design in wanted.items():
        c = contrast(found, design.mean(axis=0), ci_level=ci_level, means=design @ found.coefficients)
        if estimand == STANDARDISED:
            c = replace(c, p_value=float("nan"))
        made.append(contrast_row(rows, found, estimand, c, group=group, **shared))
    return made


def _design(rows: Comparison, interact: Sequence[str], group: str | None = None) -> Numbers:
    """Return the predictors (covariates centred), with everybody's group as it is or set to one."""
    table = rows.rows
    covariates = {c: (table[c] - table[c].mean()).to_numpy(dtype=float) for c in rows.covariates}
    columns = [np.ones(len(table)), *covariates.values()]
    for name in GROUPS[1:]:
        flag = (table["group"] == name).to_numpy(dtype=float) if group is None else np.full(len(table), float(group == name))
        columns += [flag, *(flag * covariates[c] for c in rows.covariates if c in interact)]
    return np.column_stack(columns)
