"""Which class were people in before, and which after? Tables of moves, their symmetry, and who is secure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.agreement import bowker, crosstab, kappa, stuart_maxwell
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import proportion

ANALYSIS = "transition"
COLUMNS = ["name", "primary", "from_class", "to_class", "n"]


def no_transitions() -> pd.DataFrame:
    """Return a transitions table without rows."""
    return pd.DataFrame(
        {
            "name": pd.Series(dtype="str"),
            "primary": pd.Series(dtype="bool"),
            "from_class": pd.Series(dtype="str"),
            "to_class": pd.Series(dtype="str"),
            "n": pd.Series(dtype="int64"),
        }
    )


def transition_table(
    baseline: ArrayLike, end: ArrayLike, *, classes: list[str], name: str = "", primary: bool = True
) -> pd.DataFrame:
    """Return the K x K counts as rows (zeros included); people without a class at either occasion are left out.

    Columns: name, primary, from_class, to_class, n.

    Raises
    ------
    StatisticsError
        If a class is not among ``classes``.
    """
    first, last = _both(baseline, end)
    counts = crosstab(first, last, classes, place=name or "transitions")
    return pd.DataFrame(
        {
            "name": pd.Series([name] * counts.size, dtype="str"),
            "primary": primary,
            "from_class": pd.Series(np.repeat(classes, len(classes)), dtype="str"),
            "to_class": pd.Series(np.tile(classes, len(classes)), dtype="str"),
            "n": counts.ravel(),
        }
    )


def transition_estimates(
    baseline: ArrayLike,
    end: ArrayLike,
    *,
    classes: list[str],
    secure: str,
    name: str,
    primary: bool = True,
    clusters: ArrayLike | None = None,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    """Return who stays and who becomes secure, and how far the classes agree over time.

    ``stays_secure`` is the share of the secure who still are; ``becomes_secure`` that of the others who now are; ``agreement``
    the share in the same class; ``kappa`` that beyond chance; ``bowker`` tests whether moves in both directions balance,
    ``stuart_maxwell`` whether the classes are as common as before (both chi-square statistics).
    """
    first, last = _both(baseline, end)
    labels = None
    if clusters is not None:
        there = (pd.Series(baseline).notna().to_numpy()) & (pd.Series(end).notna().to_numpy())
        labels = pd.Series(clusters).reset_index(drop=True)[there].reset_index(drop=True)
    n = len(first)
    if n == 0:
        return [not_testable(ANALYSIS, "nobody has a class at two occasions", outcome=name)]
    was, now = np.asarray(first) == secure, np.asarray(last) == secure
    rows = []
    for estimand, among, event, direction in (
        ("stays_secure", was, now, "higher is better"),
        ("becomes_secure", ~was, now, "higher is better"),
        ("agreement", np.ones(n, dtype=bool), np.asarray(first) == np.asarray(last), ""),
    ):
        if not among.any():
            who = "secure" if estimand == "stays_secure" else "insecure"
            rows.append(_missing(f"{estimand}: nobody was {who} at baseline", name, estimand))
            continue
        share = proportion(event[among], clusters=None if labels is None else labels[among], ci_level=ci_level)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, outcome=name, primary=primary, estimate=share.estimate,
                std_error=share.std_error, ci_low=share.ci_low, ci_high=share.ci_high, ci_level=ci_level, n=share.n,
                n_clusters=share.n_clusters, unit="proportion", direction=direction, method=share.method, note=share.note,
            )
        )  # fmt: skip
    counts = crosstab(first, last, classes, place=name)
    try:
        k = kappa(counts, ci_level=ci_level)
    except StatisticsError as error:
        rows.append(_missing(f"kappa: {error}", name, "kappa"))
    else:
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand="kappa", outcome=name, primary=primary, estimate=k.kappa, std_error=k.std_error,
                ci_low=k.ci_low, ci_high=k.ci_high, ci_level=ci_level, p_value=k.p_value, n=n, n_clusters=n, unit="kappa",
                method="Cohen's kappa", note=k.note,
            )
        )  # fmt: skip
    for estimand, test, how in (
        ("bowker", bowker, "Bowker's test of symmetry"),
        ("stuart_maxwell", stuart_maxwell, "Stuart–Maxwell test of equal margins"),
    ):
        result = test(counts)
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=estimand, outcome=name, primary=primary, estimate=result.statistic,
                p_value=result.p_value, ci_level=ci_level, n=n, n_clusters=n, unit="chi-square", method=how,
                note="; ".join(t for t in (f"df = {result.df:g}" if np.isfinite(result.df) else "", result.note) if t),
            )
        )  # fmt: skip
    return rows


def _missing(reason: str, name: str, estimand: str) -> Estimate:
    row = not_testable(ANALYSIS, reason, outcome=name)
    return Estimate(
        analysis=row.analysis, estimand=row.estimand, estimate=row.estimate, method=row.method, outcome=name, group=estimand,
        primary=False, note=reason,
    )  # fmt: skip


def _both(baseline: ArrayLike, end: ArrayLike) -> tuple[list[str], list[str]]:
    first, last = pd.Series(baseline).reset_index(drop=True), pd.Series(end).reset_index(drop=True)
    there = first.notna() & last.notna()
    return [str(v) for v in first[there]], [str(v) for v in last[there]]
