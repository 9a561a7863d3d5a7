r"""Standard errors that hold where samples share people or authors: cluster-robust covariance of weighted coefficients.

The working model says that effects of cluster g have covariance :math:`\Phi_g`, and weights are its inverse. With
:math:`M = (\sum X_g'\Phi_g^{-1}X_g)^{-1}` the coefficients' covariance is

.. math:: M \Big(\sum_g X_g'\Phi_g^{-1}A_g e_ge_g'A_g'\Phi_g^{-1}X_g\Big) M

times G/(G − p) and without A (CR1), or with :math:`A_g = D'(D(\Phi_g - X_gMX_g')D')^{-1/2}D`, :math:`D'D = \Phi_g`, which makes it
unbiased if the working model holds (CR2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

FLAT = 1e-10  # eigenvalue, relative to the largest, that is taken as 0: there the cluster alone determines a coefficient


@dataclass(frozen=True, slots=True)
class RobustCovariance:
    """``covariance`` (p, p) and degrees of freedom (p,) of the coefficients."""

    covariance: Numbers
    df: Numbers


def robust_covariance(
    x: Numbers, residuals: Numbers, own: Numbers, shared: float, code: npt.NDArray[np.int64], *, bias_reduced: bool
) -> RobustCovariance:
    r"""Return CR1 with G − p degrees of freedom, or CR2 with Satterthwaite's.

    Parameters
    ----------
    x, residuals : (k, p), (k,) arrays
        Design and residuals of the weighted fit.
    own, shared : (k,) array, float
        The working model: :math:`\Phi_g = \operatorname{diag}(own) + shared\,11'`.
    code : (k,) array
        Each sample's cluster, numbered from 0.
    bias_reduced : bool
        CR2, else CR1.

    Notes
    -----
    As clubSandwich; its :math:`A_g` is one of several that fulfil the equation, and D the Cholesky factor.

    References
    ----------
    Bell, R. M., & McCaffrey, D. F. (2002). Survey Methodology, 28, 169-181. Pustejovsky, J. E., & Tipton, E. (2018). Journal of
    Business & Economic Statistics, 36, 672-683. Hedges, L. V., Tipton, E., & Johnson, M. C. (2010). Research Synthesis Methods, 1,
    39-65.
    """
    p = x.shape[1]
    rows = [np.flatnonzero(code == g) for g in range(int(code.max()) + 1)]
    groups = len(rows)
    phis = [np.diag(own[r]) + shared for r in rows]
    weighted = [np.linalg.solve(phi, x[r]) for phi, r in zip(phis, rows, strict=True)]  # Φ⁻¹X of each cluster
    m = np.linalg.inv(sum(x[r].T @ wx for r, wx in zip(rows, weighted, strict=True)))
    if not bias_reduced:
        scores = np.array([wx.T @ residuals[r] for r, wx in zip(rows, weighted, strict=True)])
        return RobustCovariance(m @ (scores.T @ scores) @ m * groups / (groups - p), np.full(p, float(groups - p)))
    adjusted = [_adjust(phi, x[r] @ m @ x[r].T).T @ wx for phi, r, wx in zip(phis, rows, weighted, strict=True)]
    scores = np.array([a.T @ residuals[r] for r, a in zip(rows, adjusted, strict=True)])
    df = np.empty(p)
    for j in range(p):
        t = [a @ m[:, j] for a in adjusted]
        f = np.array([x[r].T @ part for r, part in zip(rows, t, strict=True)])
        products = np.diag([part @ phi @ part for part, phi in zip(t, phis, strict=True)]) - f @ m @ f.T
        df[j] = np.trace(products) ** 2 / (products**2).sum()
    return RobustCovariance(m @ (scores.T @ scores) @ m, df)


def _adjust(phi: Numbers, taken: Numbers) -> Numbers:
    """Return A of one cluster, given its covariance and what the fit takes from it."""
    d = np.linalg.cholesky(phi).T
    values, vectors = np.linalg.eigh(d @ (phi - taken) @ d.T)
    powers = np.where(values > FLAT * values.max(), np.maximum(values, FLAT * values.max()) ** -0.5, 0.0)
    return np.asarray(d.T @ ((vectors * powers) @ vectors.T) @ d, dtype=np.float64)
