r"""How sure is a least-squares coefficient where people differ in spread, or share a family or therapist, perhaps of few?

Vocabulary
----------
unit    what counts as one independent piece of information: a person, or a cluster (a therapist with all clients, a family)
HC3     each person's residual over 1 − leverage: allows the spread to differ from person to person
CR2     each cluster's residuals times :math:`(I - H_{gg})^{-1/2}`: unbiased if residuals are independent and equally spread,
        and allows people of a cluster to be alike; with Satterthwaite's degrees of freedom it holds with few clusters
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import identified
from attachment_outcomes.inference.mixed.small_samples import Robust
from attachment_outcomes.inference.proportions import cluster_sums

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]

HC3, CR2 = "OLS, HC3", "OLS, cluster-robust (CR2, Satterthwaite)"
FEW_DF = 4  # below this, tests on CR2 are themselves not to be trusted (Pustejovsky & Tipton 2018)
_LEVERAGE_ONE = 1 - 1e-9
_FLAT = 1e-9


@dataclass(frozen=True, slots=True)
class Fit:
    """Least-squares coefficients (p,) and what each unit adds to their error.

    ``parts`` (units, p) are such that the covariance is ``parts.T @ parts``; ``unit`` (n,) names each row's unit. ``plain_df`` is
    n − p; ``small`` holds what Satterthwaite's degrees of freedom need where units are clusters.
    """

    coefficients: Numbers
    parts: Numbers
    unit: Whole
    plain_df: float
    small: Robust | None

    @property
    def method(self) -> str:
        """Name of the covariance."""
        return HC3 if self.small is None else CR2

    def df(self, weights: Numbers) -> float:
        """Return the degrees of freedom of a weighted sum of coefficients."""
        return self.plain_df if self.small is None else float(self.small.df(weights[None, :])[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """A weighted sum of coefficients (outcome's unit) with its t interval."""

    estimate: float
    std_error: float
    df: float
    ci_low: float
    ci_high: float
    p_value: float


def fit(design: Numbers, outcome: Numbers, codes: Whole | None = None, *, units: str = "clusters") -> Fit:
    r"""Fit by least squares, with HC3, or CR2 if rows have clusters.

    .. math:: V = \sum_g v_g v_g', \quad v_g = (X'X)^{-1} X_g' (I - H_{gg})^{-1/2} e_g

    for CR2; for HC3 every row is its own g and the power is −1.

    Parameters
    ----------
    design : (n, p)
        Predictors, the intercept among them.
    outcome : (n,)
        Score points.
    codes : (n,) integers from 0, optional
        Cluster of each row.
    units
        What clusters are called in messages.

    Raises
    ------
    StatisticsError
        If rows do not outnumber coefficients, coefficients are not identified, there is one cluster only, or a row (without
        clusters) or a cluster decides a coefficient alone.

    References
    ----------
    MacKinnon, J. G., & White, H. (1985). J. Econometrics, 29, 305-325. Bell, R. M., & McCaffrey, D. F. (2002). Survey Methodology,
    28, 169-181. Pustejovsky, J. E., & Tipton, E. (2018). J. Bus. Econ. Stat., 36, 672-683.
    """
    n, p = design.shape
    if n <= p:
        raise StatisticsError(problem("regression", f"{n} complete rows for {p} coefficients."))
    if not identified(design):
        what = "the predictors determine one another, so the coefficients are not identified."
        raise StatisticsError(problem("regression", what, hint="is a group empty or a predictor constant?"))
    scale = np.linalg.norm(design, axis=0)
    q, r = np.linalg.qr(design / scale)
    back = np.linalg.inv(r) / scale[:, None]
    projected = q.T @ outcome
    residual = outcome - q @ projected
    coefficients = back @ projected
    if codes is None:
        leverage = (q**2).sum(axis=1)
        if (leverage > _LEVERAGE_ONE).any():
            what = f"{int((leverage > _LEVERAGE_ONE).sum())} rows decide a coefficient alone, so HC3 is not defined."
            raise StatisticsError(problem("regression", what, hint="a group needs at least two members."))
        parts = (q * (residual / (1 - leverage))[:, None]) @ back.T
        return Fit(coefficients, parts, np.arange(n), float(n - p), None)
    groups = int(codes.max()) + 1
    if groups < 2:
        raise StatisticsError(problem("regression", "one cluster; cluster-robust intervals need two."))
    scores = np.stack([cluster_sums(q[:, j] * residual, codes) for j in range(p)], axis=1)
    information = np.empty((groups, p, p))
    for j in range(p):
        for k in range(j + 1):
            information[:, j, k] = information[:, k, j] = cluster_sums(q[:, j] * q[:, k], codes)
    values, vectors = np.linalg.eigh(np.eye(p) - information)
    alone = int((values < _FLAT).any(axis=1).sum())
    if alone:
        what = f"{alone} {units} alone decide a coefficient, so what is theirs and what is the group's cannot be told apart."
        raise StatisticsError(problem("regression", what, hint="is all of a group in one of them?"))
    root = np.einsum("gab,gb,gcb->gac", vectors, values**-0.5, vectors)
    parts = np.einsum("gab,gb->ga", root, scores) @ back.T
    return Fit(coefficients, parts, codes, float(n - p), Robust(parts.T @ parts, root, information, back))


def contrast(found: Fit, weights: Numbers, *, ci_level: float, means: Numbers | None = None) -> Contrast:
    r"""Return a weighted sum of coefficients with its interval.

    Parameters
    ----------
    found
        The fit.
    weights : (p,)
        One for each coefficient.
    ci_level
        Confidence level.
    means : (n,), optional
        Each row's own value where the weights are averages over the rows that are themselves a sample (regression standardisation):
        the sum is then the mean of these, and their spread over the units, :math:`\sqrt{G/(G-1)}\sum_{i \in g}(m_i - \bar m)/n`, is
        added to what each unit adds to the error.
    """
    own = found.parts @ weights
    if means is not None:
        units = len(own)
        own = own + np.sqrt(units / (units - 1)) * cluster_sums((means - means.mean()) / len(means), found.unit)
    estimate, std_error, df = float(weights @ found.coefficients), float(np.sqrt((own**2).sum())), found.df(weights)
    half = float(student.ppf((1 + ci_level) / 2, df)) * std_error
    p_value = float(2 * student.sf(abs(estimate) / std_error, df)) if std_error > 0 else np.nan
    return Contrast(
        estimate=estimate, std_error=std_error, df=df, ci_low=estimate - half, ci_high=estimate + half, p_value=p_value
    )  # fmt: skip
