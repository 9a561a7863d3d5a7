"""How closely do two things go together, given others? A partial correlation, with clients of a therapist allowed to be alike."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.correlation import Correlation
from attachment_outcomes.inference.design import identified
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.jackknife import jackknife

Numbers = npt.NDArray[np.float64]
FISHER, JACKKNIFE = "partial r, Fisher z", "partial r, therapist jackknife of Fisher z"


def partial_correlation(
    x: Numbers, y: Numbers, covariates: Numbers, *, codes: npt.NDArray[np.int64] | None = None, ci_level: float = CI_LEVEL
) -> Correlation:
    r"""Return the correlation of what is left of x and y once both are regressed on the covariates.

    .. math:: r = \frac{S_{xy}}{\sqrt{S_{xx}S_{yy}}}, \quad S = C_{uu} - C_{uz}C_{zz}^{-1}C_{zu}, \quad
        \tanh\big(\operatorname{artanh} r \pm z/\sqrt{n - 3 - k}\big)

    with u = (x, y) and z the intercept and the k covariates.

    Parameters
    ----------
    x, y : (n,)
        No missing values.
    covariates : (n, k)
        May have no columns.
    codes : (n,) integers from 0, optional
        Clusters; the error of Fisher's z is then that of leaving out one cluster at a time, with t on G − 1 df.
    ci_level
        Confidence level.

    Raises
    ------
    StatisticsError
        If there are too few rows, x or y does not vary, or the covariates determine x, y or one another.

    References
    ----------
    Fisher, R. A. (1924). Metron, 3, 329-332 (the degrees of freedom that covariates cost).
    """
    n, k = covariates.shape
    if n - 3 - k < 1:
        raise StatisticsError(problem("partial correlation", f"{n} rows with {k} covariates; at least {k + 4} are needed."))
    columns = np.column_stack([np.ones(n), covariates, x, y])
    spread = columns[:, 1:].std(axis=0)
    if (spread == 0).any() or not (identified(columns[:, :-1]) and identified(np.delete(columns, -2, axis=1))):
        raise StatisticsError(problem("partial correlation", "a score does not vary, or is determined by the covariates."))
    columns[:, 1:] = (columns[:, 1:] - columns[:, 1:].mean(axis=0)) / spread
    whole = columns.T @ columns
    r = float(_partial(whole[None])[0])
    if codes is None:
        error = 1 / math.sqrt(n - 3 - k)
        half = critical(ci_level) * error
        free = n - 2 - k
        p = 2 * float(stats.t.sf(abs(r) * math.sqrt(free / max(1 - r**2, 1e-300)), free))
        low, high = (math.tanh(math.atanh(min(max(r, -1 + 1e-15), 1 - 1e-15)) + s * half) for s in (-1, 1))
        return Correlation(r, error, low, high, p, n, n, 0, FISHER)
    groups = int(codes.max()) + 1
    size = columns.shape[1]
    own = np.empty((groups, size, size))
    for i in range(size):
        for j in range(i + 1):
            own[:, i, j] = own[:, j, i] = np.bincount(codes, weights=columns[:, i] * columns[:, j], minlength=groups)
    found = jackknife(r, _partial(whole - own), scale=math.atanh, back=math.tanh, ci_level=ci_level)
    p = math.nan
    if found.std_error > 0:
        p = 2 * float(stats.t.sf(abs(math.atanh(r)) / found.std_error, groups - 1))
    return Correlation(r, found.std_error, found.ci_low, found.ci_high, p, n, groups, 0, JACKKNIFE, found.note)


def _partial(cross: Numbers) -> Numbers:
    """Return the partial correlation of the last two columns from cross products (m, p, p) that hold an intercept."""
    rest, both = cross[:, :-2, :-2], cross[:, :-2, -2:]
    left = cross[:, -2:, -2:] - np.swapaxes(both, 1, 2) @ (np.linalg.pinv(rest, hermitian=True) @ both)
    return np.asarray(left[:, 0, 1] / np.sqrt(left[:, 0, 0] * left[:, 1, 1]))


def r_from_d(d: float, n_1: int, n_2: int) -> float:
    r"""Return the point-biserial correlation of a standardised difference of two groups.

    .. math:: r = d/\sqrt{d^2 + (n_1 + n_2)^2/(n_1 n_2)}

    References
    ----------
    Borenstein, M., Hedges, L. V., Higgins, J. P. T., & Rothstein, H. R. (2009). Introduction to meta-analysis, ch. 7. Wiley.
    """
    return d / math.sqrt(d**2 + (n_1 + n_2) ** 2 / (n_1 * n_2))


def d_from_r(r: float) -> float:
    r"""Return the standardised difference of a correlation, :math:`d = 2r/\sqrt{1 - r^2}` (two groups of equal size)."""
    return 2 * r / math.sqrt(1 - r**2)
