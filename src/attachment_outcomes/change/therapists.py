r"""How much do therapists differ in what becomes of their clients, and how sure is that?

Vocabulary
----------
therapist share     variance between therapists over that variance and the variance between (and, for scores, within) their
                    clients: the variance partition coefficient, called therapist effect in the literature; an association
ratio               :math:`\gamma`: variance between therapists over the residual variance
comparison interval a therapist's deviation ± 1.96 conditional standard errors: not clear of 0, not told from the average
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import f as fisher
from scipy.stats import norm

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.mixed.model import MixedFit
from attachment_outcomes.inference.proportions import cluster_codes

Numbers = NDArray[np.float64]
Codes = NDArray[np.int64]
PLACE = "therapist share"
TINY = 1e-10  # of the largest: a cross product this small is rounding
LARGEST_RATIO = 1e12  # where the search for an upper limit ends
CATERPILLAR: dict[str, str] = {
    "outcome": "str", "estimand": "str", "rank": "int64", "estimate": "float64", "ci_low": "float64", "ci_high": "float64",
    "n_clients": "int64",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Limits of the ratio of therapists' to residual variance, and the F test that it is 0 (``df``: of therapists, of error)."""

    ci_low: float
    ci_high: float
    ci_level: float
    statistic: float
    df: tuple[int, int]
    p_value: float

    def share(self, others: float) -> tuple[float, float]:
        """Return the limits of the share, ``others`` being the rest of the variance over the residual variance."""
        low, high = (g / (g + others) if np.isfinite(g) else 1.0 for g in (self.ci_low, self.ci_high))
        return float(low), float(high)


def variance_ratio(
    values: ArrayLike,
    predictors: ArrayLike,
    therapists: ArrayLike | pd.Series,
    *,
    column: int = 0,
    beside: int | None = None,
    people: ArrayLike | pd.Series | None = None,
    slopes: tuple[int, ...] = (0,),
    relative: ArrayLike | None = None,
    ci_level: float = CI_LEVEL,
) -> Ratio:
    r"""Return a confidence interval for a variance between therapists, over the residual variance.

    .. math::

        F(\gamma) = \frac{[Q(\gamma) - Q(\infty)]/r}{Q(\infty)/f} \sim F(r, f), \qquad Q(\gamma) = y'P_\gamma y

    with :math:`P_\gamma` the generalised least-squares residual maker of :math:`V = V_0 + \gamma ZZ'`, Z a column a therapist, and
    r, f the degrees of freedom of therapists given the predictors and of error. F falls with :math:`\gamma`, so the values that
    an F test does not refuse are an interval. Exact for normal scores where :math:`V_0` is known, as for one score a client
    (:math:`V_0 = I`); with people as a level below, their relative covariance is plugged in, which is known well beside what is
    known of therapists. The lower limit is 0 where the F test of no difference does not refuse it; both are 0 where therapists
    differ less than chance would let them.

    Parameters
    ----------
    values
        (n,) floats, none missing.
    predictors
        (n, p) floats, with the column of ones.
    therapists
        (n,) labels, none missing.
    column
        Predictor whose coefficient differs between therapists: 0 for the ones (levels).
    beside
        Another predictor whose coefficient differs between therapists; it is given every freedom (fixed effects), so that the
        interval holds whatever its variance and its correlation with the first.
    people
        (n,) labels of a level below therapists, if there is one.
    slopes, relative
        Predictors whose coefficients differ between people, and their covariance over the residual variance.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If values are missing, or fewer than two therapists, or no degrees of freedom are left.

    References
    ----------
    Wald, A. (1947). Ann. Math. Stat., 18, 586-589; Harville, D. A., & Fenech, A. P. (1985). Biometrics, 41, 137-152.
    """
    y, x = np.asarray(values, dtype=float), np.asarray(predictors, dtype=float)
    if len(y) != len(x) or np.isnan(y).any() or np.isnan(x).any():
        raise StatisticsError(problem(PLACE, "values and predictors must be of equal length, without missing values."))
    scale = np.abs(x).max(axis=0)
    centred = y - y.mean()
    columns = np.column_stack([x / np.where(scale > 0, scale, 1.0), centred / max(float(centred.std()), 1e-300)])
    codes = cluster_codes(therapists, n=len(y), missing="refuse")
    inverse = np.diag(scale[list(slopes)])
    psi = None if relative is None else inverse @ np.asarray(relative, dtype=float) @ inverse
    products = _products(columns, codes, people, slopes, psi)
    n_fixed = x.shape[1]
    keep = [k for k in range(n_fixed) if k != beside]
    freed = 0
    if beside is not None:
        products, freed = _swept(products, beside)
    rank = _rank(products[:, keep][:, :, keep].sum(axis=0))
    own = products[:, column, column].copy()
    own[own < TINY * own.max(initial=0.0)] = 0.0
    rest, units = _swept(products, column)
    inside = [k for k in keep if k != column]
    rank_inside = _rank(rest[:, inside][:, :, inside].sum(axis=0))
    r, f = units + rank_inside - rank, len(y) - rank_inside - units - freed
    if units < 2 or r < 1 or f < 1:
        raise StatisticsError(problem(PLACE, f"{units} therapists and {len(y)} rows leave no degrees of freedom."))
    error = _left(rest.sum(axis=0), inside)

    def statistic(gamma: float) -> float:
        shrink = gamma / (1 + gamma * own)
        line = products[:, column, :]
        total = products.sum(axis=0) - np.einsum("j,ja,jb->ab", shrink, line, line)
        return (_left(total, keep) - error) / r / (error / f)

    unit = scale[column] ** 2  # the ratio is of the coefficient in its own unit
    low, high = (_solve(statistic, float(fisher.ppf(0.5 + side * ci_level / 2, r, f))) / unit for side in (1, -1))
    at_zero = statistic(0.0)
    return Ratio(ci_low=low, ci_high=high, ci_level=ci_level, statistic=at_zero, df=(r, f), p_value=float(fisher.sf(at_zero, r, f)))


def _products(
    columns: Numbers, codes: Codes, people: ArrayLike | pd.Series | None, slopes: tuple[int, ...], psi: Numbers | None
) -> Numbers:
    """Return each therapist's cross products (J, m, m) under the covariance of the level below."""
    if people is None or psi is None:
        return _sums(columns, codes)
    person = cluster_codes(people, n=len(codes), missing="refuse")
    of_person = np.zeros(person.max() + 1, dtype=np.int64)
    of_person[person] = codes
    within = _sums(columns, person)
    z = list(slopes)
    mixed = np.linalg.solve(np.eye(len(z)) + psi @ within[:, z][:, :, z], np.broadcast_to(psi, (len(within), len(z), len(z))))
    cross = within[:, z, :]
    within -= np.einsum("iam,iab,ibn->imn", cross, mixed, cross, optimize=True)
    total = np.zeros((codes.max() + 1, *within.shape[1:]))
    np.add.at(total, of_person, within)
    return total


def _sums(columns: Numbers, codes: Codes) -> Numbers:
    m = columns.shape[1]
    found = np.empty((int(codes.max()) + 1, m, m))
    for a in range(m):
        for b in range(a, m):
            found[:, a, b] = found[:, b, a] = np.bincount(codes, weights=columns[:, a] * columns[:, b])
    return found


def _swept(products: Numbers, column: int) -> tuple[Numbers, int]:
    """Return the cross products given each therapist's own coefficient of a column, and how many have one."""
    own = products[:, column, column]
    there = own > TINY * own.max(initial=0.0)
    line = products[:, column, :]
    over = np.divide(1.0, own, out=np.zeros(len(own)), where=there)
    return products - np.einsum("j,ja,jb->jab", over, line, line), int(there.sum())


def _rank(information: Numbers) -> int:
    """Return the rank of a matrix of cross products, its columns taken in their own units."""
    spread = np.sqrt(np.maximum(np.diag(information), 0.0))
    there = spread > np.sqrt(TINY) * spread.max(initial=0.0)
    if not there.any() or spread.max() < np.sqrt(TINY):
        return 0
    scaled = information[np.ix_(there, there)] / np.outer(spread[there], spread[there])
    return int((np.linalg.eigvalsh(scaled) > TINY).sum())


def _left(total: Numbers, fixed: list[int]) -> float:
    """Return what predictors leave of the values' sum of squares."""
    spread = np.sqrt(np.maximum(np.diag(total)[fixed], 0.0))
    kept = [k for k, s in zip(fixed, spread, strict=True) if s > np.sqrt(TINY)]
    if not kept:
        return float(total[-1, -1])
    size = np.sqrt(np.diag(total)[kept])
    scaled, cross = total[np.ix_(kept, kept)] / np.outer(size, size), total[kept, -1] / size
    return float(total[-1, -1] - cross @ np.linalg.pinv(scaled, rcond=TINY, hermitian=True) @ cross)


def _solve(statistic: Callable[[float], float], target: float) -> float:
    """Return where a falling statistic meets a target: 0 if it starts below it."""
    if statistic(0.0) <= target:
        return 0.0
    high = 1e-6
    while statistic(high) > target:
        high *= 4
        if high > LARGEST_RATIO:
            return float("inf")
    return float(brentq(lambda g: statistic(g) - target, 0.0, high, xtol=1e-14, rtol=1e-12))


def caterpillar(
    fit: MixedFit, clients: pd.Series, *, outcome: str, terms: dict[str, str], fewest: int, group: str = "therapist_id"
) -> tuple[pd.DataFrame, int]:
    """Return therapists' deviations from the average with comparison intervals, ranked, and how many are left out.

    Parameters
    ----------
    fit
        A model with a therapist level.
    clients
        Number of clients by therapist as labelled in the model; therapists that are not named here are left out uncounted.
    outcome
        Name of the score.
    terms
        Random effect of the model to its name in the table.
    fewest
        Therapists with fewer clients are left out and counted.
    group
        Column of the therapists.

    Returns
    -------
    (DataFrame, int)
        Columns ``outcome, estimand, rank, estimate, ci_low, ci_high, n_clients``; rank 1 is the lowest deviation. No therapist is
        named. The estimate is the mode (empirical Bayes), shrunken towards the average the more the fewer clients there are.

    References
    ----------
    Goldstein, H., & Spiegelhalter, D. J. (1996). J. R. Stat. Soc. A, 159, 385-443.
    """
    modes = fit.modes(group)
    modes = modes[modes["term"].isin(list(terms)).to_numpy()]
    n_clients = modes[group].map(clients)
    left_out = int((clients < fewest).sum())
    shown = modes.assign(n_clients=n_clients)[(n_clients >= fewest).to_numpy(dtype=bool)]
    half = float(norm.ppf(0.5 + fit.ci_level / 2)) * shown["std_error"]
    table = pd.DataFrame(
        {
            "outcome": outcome, "estimand": shown["term"].map(terms), "estimate": shown["estimate"],
            "ci_low": shown["estimate"] - half, "ci_high": shown["estimate"] + half, "n_clients": shown["n_clients"],
        }
    )  # fmt: skip
    table = table.sort_values(["estimand", "estimate", "n_clients"], kind="stable", ignore_index=True)
    table["rank"] = table.groupby("estimand").cumcount() + 1
    return table[list(CATERPILLAR)].astype(CATERPILLAR), left_out
