r"""How far do indirect paths and the gap depend on what was not measured, and on how reliably mediators were?

Vocabulary
----------
rho          correlation of the errors of mediator and child that an unmeasured cause of both would leave; 0 if there is none
rho at zero  the rho at which nothing of the indirect path is left: the partial correlation of mediator and child given the rest
composite    the mediators weighted by their paths to the child, taken as one: where all of them are meant
reliability  share of a score's variance that is no error
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.transmission.gap.paths import Model, possible, slopes

Numbers = NDArray[np.float64]

ALL = "all mediators"
LEAST_PEOPLE = 3  # more than this, for the error of a correlation
RHOS = np.round(np.arange(-8, 9) / 10, 1)
RELIABILITIES = np.round(np.arange(10, 21) / 20, 2)


def rho_at_zero(correlations: Numbers) -> Numbers:
    r"""Rho at which the indirect path through each mediator, and through their composite, is 0.

    .. math::

        \tilde\rho_j = r_{m_j y \cdot x, m_{-j}}, \qquad
        \tilde\rho_{all} = \sqrt{\frac{R^2_{y \cdot x m} - R^2_{y \cdot x}}{1 - R^2_{y \cdot x}}}

    Parameters
    ----------
    correlations : (..., p, p)
        Matrices of parent, mediators and child.

    Returns
    -------
    (..., m + 1) array
        A mediator each, and the composite last (with one mediator it is that one, with its sign). NaN where a matrix is impossible.

    References
    ----------
    Imai, K., Keele, L., & Yamamoto, T. (2010). Statistical Science, 25, 51-71, theorem 4: with linear models the indirect path is 0
    where rho is the correlation of the residuals of mediator and outcome given the treatment.
    """
    matrices = possible(correlations)
    told = np.isfinite(matrices).all(axis=(-2, -1), keepdims=True)
    inverse = np.where(told, np.linalg.inv(np.where(told, matrices, np.eye(matrices.shape[-1]))), np.nan)
    own = np.diagonal(inverse, axis1=-2, axis2=-1)
    each = -inverse[..., 1:-1, -1] / np.sqrt(own[..., 1:-1] * own[..., -1:])
    if each.shape[-1] == 1:
        return np.concatenate([each, each], axis=-1)
    alone = 1 - matrices[..., 0, -1] ** 2
    together = np.sqrt(np.clip(1 - 1 / own[..., -1] / alone, 0, 1))
    return np.concatenate([each, together[..., None]], axis=-1)


def under_confounding(indirect: Numbers, rho_zero: Numbers, rho: Numbers | float) -> Numbers:
    r"""Indirect path if an unmeasured cause of mediator and child made their errors correlate by rho.

    .. math:: ab(\rho) = ab(0)\Big(1 - \frac{\rho}{\tilde\rho}\sqrt{\frac{1 - \tilde\rho^2}{1 - \rho^2}}\Big)

    Parameters
    ----------
    indirect, rho_zero, rho : arrays that fit each other
        The path as estimated, its rho at zero, and the rho supposed, between -1 and 1.

    Raises
    ------
    StatisticsError
        If a rho is not between -1 and 1.

    References
    ----------
    Imai, Keele & Yamamoto (2010), theorem 4, here for standardised variables; with several mediators for the paths of one given the
    others, or of their composite.
    """
    supposed = np.asarray(rho, dtype=np.float64)
    if not (np.abs(supposed) < 1).all():
        raise StatisticsError(problem("rho", "allowed: between -1 and 1."))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(indirect * (1 - supposed / rho_zero * np.sqrt((1 - rho_zero**2) / (1 - supposed**2))))


def corrected_for_unreliability(correlations: Numbers, reliabilities: Numbers | Sequence[float]) -> Numbers:
    r"""Correlations that would be seen without random error of measurement.

    .. math:: r^*_{ij} = r_{ij} / \sqrt{\rho_{ii}\,\rho_{jj}}

    Parameters
    ----------
    correlations : (..., p, p)
        Matrices of parent, mediators and child.
    reliabilities : (..., p)
        Of each variable, 1 for one that is taken as it is.

    Returns
    -------
    (..., p, p) array
        NaN where the corrected correlations are impossible together: the reliabilities are then too low for the data.

    Raises
    ------
    StatisticsError
        If a reliability is not above 0 and at most 1.

    References
    ----------
    Spearman, C. (1904). American Journal of Psychology, 15, 72-101.
    """
    share = np.asarray(reliabilities, dtype=np.float64)
    if not ((share > 0) & (share <= 1)).all():
        raise StatisticsError(problem("reliabilities", "allowed: above 0 and at most 1."))
    root = np.sqrt(share)
    out = np.asarray(correlations, dtype=np.float64) / (root[..., :, None] * root[..., None, :])
    places = np.arange(out.shape[-1])
    out[..., places, places] = 1.0
    return possible(out)


def drawn_reliabilities(given: Mapping[str, Mapping[str, Any]], model: Model, rng: np.random.Generator, draws: int) -> Numbers:
    r"""Return reliabilities (draws, p) as they may be, given the people n that each was estimated from.

    A reliability is the correlation of two like measurements, so :math:`\operatorname{artanh}` of it is drawn with the variance
    1/(n - 3). One without n is taken as known, and so are those of variables that have none (1).

    Raises
    ------
    StatisticsError
        If a reliability was estimated from 3 people or fewer.
    """
    out = np.ones((draws, len(model.variables)))
    for place, name in enumerate(model.variables):
        if name in given:
            value, n = float(given[name]["value"]), given[name].get("n")
            known = n is None or value == 1
            if n is not None and not n > LEAST_PEOPLE:
                what = f"one is of {n:g} people; allowed: more than {LEAST_PEOPLE}, or none given."
                raise StatisticsError(problem("reliabilities", what))
            z = np.arctanh(value) + rng.standard_normal(draws) / np.sqrt(n - 3) if not known and n is not None else None
            # A drawn value of 0 or less would be no reliability; it is refused as an impossible matrix.
            out[:, place] = value if z is None else np.clip(np.tanh(z), np.finfo(float).tiny, 1)
    return out


def gap_of(matrices: Numbers) -> tuple[Numbers, Numbers]:
    """Return the sum of the indirect paths and the gap of matrices (..., p, p)."""
    last = matrices.shape[-1] - 1
    direct = slopes(matrices, range(last), last)[..., 0]
    return matrices[..., 0, last] - direct, direct
