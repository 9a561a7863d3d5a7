r"""Slopes within clients: fixed effects, and instruments where the session's own score is among the predictors.

.. math:: y_{i,t+1} = \rho\, y_{it} + x_{it}'\beta + w_{it}'\gamma + \alpha_i + e_{i,t+1}

Vocabulary
----------
predetermined       a predictor that later errors do not touch though earlier ones may: today's alliance may answer last week's
                    symptoms
within deviation    a value minus the mean of the unit's rows
forward deviation   a value minus the mean of the unit's later rows, scaled so that independent errors stay independent
backward deviation  a value minus the mean of the unit's earlier rows, 0 in the first
Nickell bias        least squares within clients give :math:`\rho` a bias of about :math:`-(1+\rho)/T`, since the lagged score's
                    deviation from the mean holds the very errors it is to predict
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.mixed.small_samples import Robust
from attachment_outcomes.rupture.series import Numbers, Whole

PLACE = "slopes within clients"
# Of Cragg and Donald's statistic F: about 1/F of the bias of least squares remains (Staiger & Stock 1997; Stock & Yogo 2005).
WEAK, TOO_WEAK = 10.0, 4.0
FLAT = 1e-9  # of a column: deviations below are rounding
ALIKE = 1e-10  # of the largest eigenvalue of the scaled cross products: columns below determine one another


@dataclass(frozen=True, kw_only=True)
class Slopes:
    """Coefficients with their cluster-robust (CR2) covariance.

    ``strength`` is Cragg and Donald's statistic (NaN without instruments);
    ``residual`` (n,) is the outcome minus the predictors' part, with the unit's own level still in it.
    """

    beta: Numbers
    robust: Robust
    n: int
    n_clusters: int
    residual: Numbers
    strength: float = math.nan

    @property
    def warning(self) -> str:
        """What limits the instruments, in words; empty if nothing does."""
        if not self.strength < WEAK:
            return ""
        return (
            f"weak instruments (Cragg-Donald {self.strength:.1f}): up to about {1 / self.strength:.0%} of Nickell bias may remain"
        )

    def combination(self, weights: Numbers, ci_level: float) -> tuple[float, float, float, float, float]:
        """Return estimate, standard error, limits and p value of a weighted sum, by t on Satterthwaite's degrees of freedom."""
        estimate, error = float(weights @ self.beta), float(np.sqrt(weights @ self.robust.covariance @ weights))
        df = float(self.robust.df(weights[None, :])[0])
        half = float(stdtrit(df, 0.5 + ci_level / 2)) * error
        p = 2 * float(stdtr(df, -abs(estimate) / error)) if error > 0 else math.nan
        return estimate, error, estimate - half, estimate + half, p

    def slope(self, column: int, ci_level: float) -> tuple[float, float, float, float, float]:
        """Return estimate, standard error, limits and p value of one coefficient."""
        return self.combination(np.eye(len(self.beta))[column], ci_level)


def fixed_effects(outcome: Numbers, predictors: Numbers, *, unit: Whole, cluster: Whole) -> Slopes:
    r"""Least squares of deviations from the unit's means, :math:`(y - \bar y_i)` on :math:`(x - \bar x_i)`.

    Parameters
    ----------
    outcome : (n,)
        Score points; rows sorted by unit.
    predictors : (n, p)
        Predictors; what never varies within a unit drops out and is refused.
    unit, cluster : (n,) int
        Unit of each row, and what counts as independent.

    Returns
    -------
    Slopes
        Points of the outcome per point of a predictor. CR2 covariance over the clusters, unbiased if errors are independent and
        of one variance, t on Satterthwaite's degrees of freedom: they hold with few clusters.

    Raises
    ------
    StatisticsError
        If there are fewer than two clusters or the predictors determine one another within units.

    References
    ----------
    Bell, R. M., & McCaffrey, D. F. (2002). Survey Methodology, 28, 169-181. Pustejovsky, J. E., & Tipton, E. (2018). J. Bus. Econ.
    Stat., 36, 672-683.
    """
    y, x = within(outcome, unit), within(predictors, unit)
    beta, found, clusters, _ = _two_stage(y, x, x, cluster, len(x.T))
    return Slopes(beta=beta, robust=found, n=len(y), n_clusters=clusters, residual=outcome - predictors @ beta)


def orthogonal_instruments(
    outcome: Numbers,
    predetermined: Numbers,
    exogenous: Numbers,
    *,
    unit: Whole,
    cluster: Whole,
    session: Whole,
    own_trends: bool = False,
) -> Slopes:
    r"""Slopes without Nickell bias: forward deviations, with what was known before as instruments.

    The unit's level goes by forward orthogonal deviations of outcome and predictors,
    :math:`\sqrt{m/(m+1)}\,(y_t - \bar y_{>t})` with m later rows. Every predetermined predictor is instrumented by its own
    value of that session (minus the average of that session number) and by its backward deviation
    :math:`x_t - \bar x_{<t}`; both were there before the errors that the forward deviation holds.
    Two-stage least squares.

    Parameters
    ----------
    outcome : (n,)
        Next session's score, score points; rows sorted by unit and session.
    predetermined : (n, p)
        Predictors that later errors do not touch, among them the session's own score of the outcome.
    exogenous : (n, q)
        Predictors that no error touches, e.g. time.
    unit, cluster, session : (n,) int
        Unit of each row, what counts as independent, session number.
    own_trends : bool
        Let every unit have a straight line of its own instead of a level: deviations are then from the line through the later
        (for the instruments: the earlier) rows, and two more rows a unit are spent.

    Returns
    -------
    Slopes
        Predetermined predictors first. CR2 covariance over the clusters, t on Satterthwaite's degrees of freedom.

    Raises
    ------
    StatisticsError
        If fewer than two clusters, columns that determine one another, or instruments too weak (Cragg-Donald below 4).

    Notes
    -----
    Errors must not be correlated from session to session given the unit's level: see :func:`.serial.residual_autocorrelation`.
    Random error of measurement in the session's own score breaks that.

    References
    ----------
    Nickell, S. (1981). Econometrica, 49, 1417-1426. Arellano, M., & Bover, O. (1995). J. Econometrics, 68, 29-51. Hayakawa, K.
    (2009). Econometric Theory, 25, 1157-1179. Cragg, J. G., & Donald, S. G. (1993). Econometric Theory, 9, 222-240.
    """
    line = session.astype(float) if own_trends else None
    keep = _rows_after(unit) > (1 if own_trends else 0)
    y, x, w = (forward(v, unit, line)[keep] for v in (outcome, predetermined, exogenous))
    left = (np.abs(w) > FLAT * np.abs(exogenous[keep])).any(axis=0)  # with own trends a straight line of time says no more
    w = w[:, left]
    level = predetermined - _means(predetermined, np.unique(session, return_inverse=True)[1])
    z = np.column_stack([backward(predetermined, unit, line)[keep], level[keep], w])
    columns = np.column_stack([x, w])
    beta, found, clusters, strength = _two_stage(y, columns, z, cluster[keep], len(x.T))
    if strength < TOO_WEAK:
        what = f"earlier sessions say too little about later changes (Cragg-Donald {strength:.1f}, at least {TOO_WEAK:.0f})."
        raise StatisticsError(problem(PLACE, what, hint="more clients or longer series."))
    residual = outcome - np.column_stack([predetermined, exogenous[:, left]]) @ beta
    return Slopes(beta=beta, robust=found, n=len(y), n_clusters=clusters, residual=residual, strength=strength)


def within(values: Numbers, unit: Whole) -> Numbers:
    """Return deviations from the mean of the unit's rows."""
    return np.asarray(values - _means(values, unit))


def forward(values: Numbers, unit: Whole, line: Numbers | None = None) -> Numbers:
    """Return forward orthogonal deviations, from the mean of the unit's later rows or from their least-squares line.

    Scaled so that independent errors of one variance stay so. 0 in rows with too few later ones (none; with a line fewer than
    two). Rows sorted by unit and session; ``line`` (n,) is the session number.
    """
    return _deviations(values, unit, line, earlier=False)


def backward(values: Numbers, unit: Whole, line: Numbers | None = None) -> Numbers:
    """Return deviations from the mean, or the least-squares line, of the unit's earlier rows; 0 where these are too few."""
    return _deviations(values, unit, line, earlier=True)


def _deviations(values: Numbers, unit: Whole, line: Numbers | None, *, earlier: bool) -> Numbers:
    flat = values.ndim == 1
    v = within(values[:, None] if flat else values, unit)  # keeps the digits of the sums below
    m = (_rows_before(unit) if earlier else _rows_after(unit))[:, None].astype(float)

    def others(x: Numbers) -> Numbers:
        """Return sums over the unit's earlier or later rows of deviations, which sum to 0 in the unit."""
        upto = _running(x, unit)
        return upto - x if earlier else _unit_sums(x, unit) - upto

    mean = others(v) / np.maximum(m, 1)
    expected, spread, fewest = mean, 1 + 1 / np.maximum(m, 1), 1
    if line is not None:
        s = within(line, unit)[:, None]
        centre = others(s) / np.maximum(m, 1)
        sxx = others(s * s) - m * centre**2
        slope = (others(s * v) - m * centre * mean) / np.where(m > 1, sxx, 1)
        expected, fewest = mean + slope * (s - centre), 2
        spread = spread + (s - centre) ** 2 / np.where(m > 1, sxx, 1)
    found = np.where(m >= fewest, v - expected, 0.0)
    if not earlier:
        found = found / np.sqrt(spread)
    return np.asarray(found[:, 0] if flat else found)


def _two_stage(y: Numbers, x: Numbers, z: Numbers, cluster: Whole, n_instrumented: int) -> tuple[Numbers, Robust, int, float]:
    """Return coefficients, CR2, clusters and Cragg and Donald's statistic (NaN where x are their own instruments)."""
    names, codes = np.unique(cluster, return_inverse=True)
    clusters = len(names)
    if clusters < 2 or len(x) <= z.shape[1]:
        what = f"{len(x)} pairs of sessions of {clusters} clusters for {x.shape[1]} predictors."
        raise StatisticsError(problem(PLACE, what, hint="more clients, or a smaller model."))
    _identified(x)
    _identified(z)
    own = z is x
    fitted = x if own else z @ np.linalg.solve(z.T @ z, z.T @ x)
    beta = np.linalg.solve(fitted.T @ fitted, fitted.T @ y)
    found = _robust(fitted, y - x @ beta, codes, clusters)
    return beta, found, clusters, math.nan if own else _strength(x, z, n_instrumented)


def _robust(fitted: Numbers, error: Numbers, codes: Whole, clusters: int) -> Robust:
    """Return CR2: each cluster's score times (I - G)^(-1/2), G its share of the information (Bell & McCaffrey 2002)."""
    to_unit = np.linalg.inv(np.linalg.cholesky(fitted.T @ fitted))
    unit = fitted @ to_unit.T  # columns in which the information of all clusters is the identity
    k = unit.shape[1]
    information = np.empty((clusters, k, k))
    for i in range(k):
        for j in range(i + 1):
            information[:, i, j] = information[:, j, i] = np.bincount(codes, weights=unit[:, i] * unit[:, j], minlength=clusters)
    scores = np.stack([np.bincount(codes, weights=u * error, minlength=clusters) for u in unit.T], axis=1)
    values, vectors = np.linalg.eigh(np.eye(k) - information)
    # A cluster that alone determines a slope says nothing of its own spread: its direction drops out.
    root = np.einsum("gab,gb,gcb->gac", vectors, np.where(values > FLAT, np.maximum(values, FLAT) ** -0.5, 0.0), vectors)
    moved = np.einsum("gab,gb->ga", root, scores)
    back = to_unit.T
    return Robust(back @ (moved.T @ moved) @ back.T, root, information, back)


def _strength(x: Numbers, z: Numbers, p: int) -> float:
    """Return Cragg and Donald's statistic of the first p columns, the others standing among the instruments."""
    w, n_free = x[:, p:], z.shape[1] - (x.shape[1] - p)

    def free(columns: Numbers) -> Numbers:
        return columns - w @ np.linalg.solve(w.T @ w, w.T @ columns) if w.shape[1] else columns

    free_x, free_z = free(x[:, :p]), free(z[:, :n_free])
    told = free_z @ np.linalg.solve(free_z.T @ free_z, free_z.T @ free_x)
    rest = free_x - told
    spread = rest.T @ rest / (len(x) - z.shape[1])
    root = np.linalg.inv(np.linalg.cholesky(spread))
    return float(np.linalg.eigvalsh(root @ (told.T @ told) @ root.T)[0] / free_z.shape[1])


def _identified(columns: Numbers) -> None:
    cross = columns.T @ columns
    size = np.sqrt(np.diag(cross))
    if (size <= 0).any() or np.linalg.eigvalsh(cross / np.outer(size, size))[0] < ALIKE:
        what = "the predictors determine one another within clients, or one does not vary."
        raise StatisticsError(problem(PLACE, what, hint="is there a rating that never changes?"))


def _means(values: Numbers, unit: Whole) -> Numbers:
    counts = np.maximum(np.bincount(unit), 1)
    if values.ndim == 1:
        return np.asarray((np.bincount(unit, weights=values) / counts)[unit])
    return np.column_stack([(np.bincount(unit, weights=v) / counts)[unit] for v in values.T])


def _running(values: Numbers, unit: Whole) -> Numbers:
    """Return the sums of a unit's rows up to and with each row."""
    total = np.cumsum(values, axis=0)
    first = np.flatnonzero(np.diff(unit, prepend=-1))
    lengths = np.diff(np.append(first, len(unit)))
    before = total[first] - values[first]
    return np.asarray(total - np.repeat(before, lengths, axis=0))


def _unit_sums(values: Numbers, unit: Whole) -> Numbers:
    return np.column_stack([np.bincount(unit, weights=v)[unit] for v in values.T])


def _rows_before(unit: Whole) -> Whole:
    first = np.flatnonzero(np.diff(unit, prepend=-1))
    return np.arange(len(unit)) - np.repeat(first, np.diff(np.append(first, len(unit))))


def _rows_after(unit: Whole) -> Whole:
    return np.bincount(unit)[unit] - 1 - _rows_before(unit) if len(unit) else np.zeros(0, dtype=np.int64)
