r"""Standard errors that hold where samples share people or authors: cluster-robust covariance of weighted coefficients.

With weights :math:`W = \Sigma^{-1}` of a working model, cluster g gives a score :math:`s_g = X_g'W_ge_g` and information
:math:`J_g = X_g'W_gX_g`; the coefficients' covariance is :math:`(\sum J)^{-1} \sum s_gs_g' (\sum J)^{-1}`, times G/(G − p) (CR1),
or with each score enlarged by what its cluster took from the residuals (CR2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

FLAT = 1e-10  # a cluster's share of the information above 1 − this: it alone determines a coefficient


@dataclass(frozen=True, slots=True)
class RobustCovariance:
    """``covariance`` (p, p) and degrees of freedom (p,) of the coefficients."""

    covariance: Numbers
    df: Numbers


def robust_covariance(scores: Numbers, information: Numbers, *, bias_reduced: bool) -> RobustCovariance:
    r"""Return CR1 with G − p degrees of freedom, or CR2 with Satterthwaite's.

    Parameters
    ----------
    scores, information : (G, p), (G, p, p) arrays
        By cluster, as above.
    bias_reduced : bool
        CR2: unbiased if the working model holds. In the coordinates in which :math:`\sum J` is the identity, the adjustment that
        takes :math:`\Sigma` itself as its target is :math:`(I - J_g)^{-1/2}`, which needs p × p matrices only.

    References
    ----------
    Bell, R. M., & McCaffrey, D. F. (2002). Survey Methodology, 28, 169-181. Pustejovsky, J. E., & Tipton, E. (2018). Journal of
    Business & Economic Statistics, 36, 672-683. Hedges, L. V., Tipton, E., & Johnson, M. C. (2010). Research Synthesis Methods, 1,
    39-65.
    """
    groups, p = scores.shape
    total = information.sum(axis=0)
    if not bias_reduced:
        bread = np.linalg.inv(total)
        return RobustCovariance(bread @ (scores.T @ scores) @ bread * groups / (groups - p), np.full(p, float(groups - p)))
    unit = np.linalg.inv(np.linalg.cholesky(total))
    scaled = unit @ information @ unit.T
    values, vectors = np.linalg.eigh(np.eye(p) - scaled)
    # A cluster that alone determines a coefficient says nothing of its own spread: its direction drops out.
    powers = np.where(values > FLAT, np.maximum(values, FLAT) ** -0.5, 0.0)
    root = np.einsum("gab,gb,gcb->gac", vectors, powers, vectors)
    moved = np.einsum("gab,gb->ga", root, scores @ unit.T)
    df = np.empty(p)
    for j, weight in enumerate(unit.T):
        a = root @ weight
        f = np.einsum("ga,gab->gb", a, scaled)
        own, length = np.einsum("ga,ga->g", f, a), np.einsum("ga,ga->g", f, f)
        spread = own @ own - 2 * own @ length + ((f.T @ f) ** 2).sum()
        df[j] = (own - length).sum() ** 2 / spread if spread > 0 else np.nan
    return RobustCovariance(unit.T @ (moved.T @ moved) @ unit, df)
