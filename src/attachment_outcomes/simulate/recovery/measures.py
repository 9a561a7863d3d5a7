r"""How well did each method do? Performance over the repetitions, each measure with its Monte-Carlo standard error.

With :math:`\hat\theta_i` the estimate of repetition i, :math:`s_i` its standard error and :math:`\theta` the truth:

.. math::

    \text{bias} = \bar{\hat\theta} - \theta, \quad
    \text{EmpSE}^2 = \frac{1}{n-1}\sum (\hat\theta_i - \bar{\hat\theta})^2, \quad
    \text{ModSE}^2 = \frac1n \sum s_i^2, \quad
    \text{MSE} = \frac1n \sum (\hat\theta_i - \theta)^2

and coverage the share of intervals that hold :math:`\theta` (bias-eliminated: that hold :math:`\bar{\hat\theta}`).

Vocabulary
----------
Monte-Carlo error   standard error of a measure because the repetitions are finite; not the estimator's own standard error
relative error      of the model's standard error: ModSE / EmpSE − 1; below 0, the method takes itself for too precise
type-I error        share of tests with p < .05 where the truth is 0; power where it is not

References
----------
Morris, T. P., White, I. R., & Crowther, M. J. (2019). Using simulation studies to evaluate statistical methods. Statistics in
Medicine, 38, 2074-2102, Table 6 (measures and Monte-Carlo errors).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.simulate.recovery.repetitions import NOT_GIVEN
from attachment_outcomes.simulate.recovery.study import RESULT_COLUMNS, RecoveryStudy

Numbers = NDArray[np.float64]
ALPHA = 0.05
MEASURES = (
    "bias", "relative_bias", "empirical_se", "model_se", "model_se_error", "mse", "coverage", "coverage_bias_eliminated",
    "type_1_error", "power", "converged", "singular",
)  # fmt: skip
DIGITS = 12  # significant, as in result files: hides the last bits, which differ by machine
FOUND = ("estimate", "std_error", "ci_low", "ci_high", "p_value")
NO_INTERVAL = "estimate without an interval"


def performance(rows: pd.DataFrame, study: RecoveryStudy) -> pd.DataFrame:
    """Return each method's performance, by cell and target.

    Parameters
    ----------
    rows
        From :func:`~attachment_outcomes.simulate.recovery.repetitions.run_study`.
    study
        The study they are of.

    Returns
    -------
    DataFrame
        The grid's parameters, target, method, measure, value, mc_error, n (the repetitions that the value rests on) and
        truth (their mean, if it varies). Estimates that are not finite or of fits that did not converge count in
        ``converged`` only; measures that are not defined (a relative bias of 0, a test where there is none) are left out.
    """
    records = []
    for cell, target, method, part, total in _parts(rows, study):
        ok = part[part["failure"] == ""]
        truth = float(part["truth"].mean())
        values = {**_measures(ok), "converged": _share(_head(len(ok), total))}
        if len(ok):
            values["singular"] = _share(ok["singular"].to_numpy(dtype=float))
        for measure in MEASURES:
            if measure in values:
                value, error, n = values[measure]
                records.append((*study.cells[cell].values(), target, method, measure, value, error, n, truth))
    columns = [*study.grid, *RESULT_COLUMNS]
    return pd.DataFrame.from_records(records, columns=columns)


def failures(rows: pd.DataFrame, study: RecoveryStudy) -> list[dict[str, Any]]:
    """Return how often each method gave no usable estimate, by cell, target and reason; and where intervals were missing."""
    found = []
    for cell, target, method, part, total in _parts(rows, study):
        why = part.loc[part["failure"] != "", "failure"].value_counts().to_dict()
        if total > len(part):
            why[NOT_GIVEN] = total - len(part)
        bare = ((part["failure"] == "") & part["ci_low"].isna()).sum()
        if 0 < bare < (part["failure"] == "").sum():
            why[NO_INTERVAL] = bare
        found += [
            {"cell": study.cells[cell], "target": target, "method": method, "reason": str(r), "count": int(n)}
            for r, n in sorted(why.items())
        ]
    return found


def _parts(rows: pd.DataFrame, study: RecoveryStudy) -> Iterator[tuple[int, str, str, pd.DataFrame, int]]:
    """Yield cell, target, method, their rows and the number of repetitions, in the study's order.

    A refusal, which names no target, counts for each target that the method has anywhere; for every target of the study if
    it has none.
    """
    named = rows[rows["target"] != ""]
    order = list(dict.fromkeys(named["target"]))
    targets = {m: [t for t in order if t in set(own)] for m, own in named.groupby("method")["target"]}
    for cell in range(len(study.cells)):
        here = rows[rows["cell"] == cell]
        total = here["repetition"].nunique()
        for target in order or [""]:
            for method in study.methods:
                own = here[here["method"] == method]
                if len(own) and target in targets.get(method, order or [""]):
                    yield cell, target, method, own[own["target"].isin((target, ""))], total


def _measures(rows: pd.DataFrame) -> dict[str, tuple[float, float, int]]:
    """Return value, Monte-Carlo error and number of repetitions of the measures that the rows define."""
    found: dict[str, tuple[float, float, int]] = {}
    n = len(rows)
    if n < 2:
        return found
    truth, estimate, se, low, high, p = (
        rows[c].to_numpy(dtype=float) for c in ("truth", "estimate", "std_error", "ci_low", "ci_high", "p_value")
    )
    deviation = estimate - truth
    bias, spread = float(deviation.mean()), float(deviation.std(ddof=1))
    found["bias"] = bias, spread / math.sqrt(n), n
    if (truth != 0).all():
        found["relative_bias"] = _mean(deviation / truth)
    found["empirical_se"] = spread, spread / math.sqrt(2 * (n - 1)), n
    found["mse"] = _mean(deviation**2)
    found |= _model_errors(se[np.isfinite(se)], spread)
    known = np.isfinite(low) & np.isfinite(high)
    if known.any():
        found["coverage"] = _share(((low <= truth) & (truth <= high))[known])
        centre = truth + bias
        found["coverage_bias_eliminated"] = _share(((low <= centre) & (centre <= high))[known])
    tested = np.isfinite(p)
    if tested.any():
        null = (truth == 0).all()
        found["type_1_error" if null else "power"] = _share((p < ALPHA)[tested])
    return found


def _model_errors(se: Numbers, spread: float) -> dict[str, tuple[float, float, int]]:
    n = len(se)
    if n < 2:
        return {}
    mean, variance = float((se**2).mean()), float((se**2).var(ddof=1))
    if mean == 0:
        return {}
    model = math.sqrt(mean)
    found = {"model_se": (model, math.sqrt(variance / (4 * n * mean)), n)}
    if spread > 0:
        ratio = model / spread
        found["model_se_error"] = ratio - 1, ratio * math.sqrt(variance / (4 * n * mean**2) + 1 / (2 * (n - 1))), n
    return found


def _mean(values: Numbers) -> tuple[float, float, int]:
    return float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values)


def _share(flags: Numbers | NDArray[np.bool_]) -> tuple[float, float, int]:
    share = float(np.mean(flags))
    return share, math.sqrt(share * (1 - share) / len(flags)), len(flags)


def _head(count: int, total: int) -> NDArray[np.bool_]:
    return np.arange(total) < count


def first_findings(rows: pd.DataFrame, study: RecoveryStudy, repetitions: int) -> list[dict[str, Any]]:
    """Return what was found in the first repetitions, by which a short run can be held against a long one; None is NaN."""
    first = rows[(rows["repetition"] < repetitions) & (rows["failure"] == "")]
    return [
        {
            "cell": study.cells[row["cell"]],
            **{name: row[name] for name in ("repetition", "method", "target")},
            **{name: None if math.isnan(row[name]) else float(f"{row[name]:.{DIGITS}g}") for name in FOUND},
        }
        for row in first.to_dict("records")
    ]
