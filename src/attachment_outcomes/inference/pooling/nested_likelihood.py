r"""How likely are effects in clusters at given variances, and which are likeliest? The restricted likelihood of two variances.

A cluster's covariance is :math:`\operatorname{diag}(v_i + \sigma_w^2) + \sigma_b^2 11'`, whose inverse is known in closed form, so
that everything costs as much as there are samples.

.. math:: \ell = -\tfrac12\left(\log|\Sigma| + \log|X'\Sigma^{-1}X| + y'Py\right), \quad
    \partial\ell/\partial\theta_j = -\tfrac12\left(\operatorname{tr} PG_j - y'PG_jPy\right)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]
Pair = tuple[float, float]

MOST_STEPS = 200
DONE = 1e-9  # rise in log likelihood that a step promises, below which it is the last
ROUNDING = 1e-6  # rise that the likelihood's own rounding may hide
HALVINGS = 60
FLAT = 1e-10  # curvature, relative to the largest, that is taken as none


@dataclass(frozen=True, slots=True)
class Point:
    """The restricted likelihood at variances (between, within), its slopes and curvatures, and the fit there."""

    variances: Pair
    loglik: float
    beta: Numbers
    inverse: Numbers
    residuals: Numbers
    gradient: Numbers
    expected: Numbers
    observed: Numbers
    trace_p: float


@dataclass(frozen=True, slots=True)
class Clustered:
    """Effects (k,), sampling variances, orthonormal design (k, p), each sample's cluster, and how many clusters there are."""

    y: Numbers
    v: Numbers
    x: Numbers
    code: npt.NDArray[np.int64]
    groups: int

    def at(self, variances: Pair) -> Point:
        """Return the restricted likelihood at variances between and within clusters."""
        between, within = variances
        y, x, code = self.y[:, None], self.x, self.code
        d = 1 / (self.v + within)
        powers = _sums(np.column_stack([d, d**2, d**3]), code, self.groups)
        ones, shrink = powers[:, 0], between / (1 + between * powers[:, 0])
        held = ones / (1 + between * ones)  # 1'Σ⁻¹1 of each cluster

        ax = _solve(x, d, shrink, code)
        information = x.T @ ax
        inverse = np.asarray(np.linalg.inv(information), dtype=np.float64)
        beta = inverse @ (ax.T @ y)
        e = y - x @ beta
        r = _solve(e, d, shrink, code)  # Py
        log_det = float(np.log1p(between * ones).sum() - np.log(d).sum())
        loglik = -0.5 * (log_det + float(np.linalg.slogdet(information)[1]) + float((e * r).sum()))

        def moved(columns: Numbers) -> tuple[Numbers, Numbers]:
            """Return the derivatives of the covariance, by both variances, times columns."""
            return _sums(columns, code, self.groups)[code], columns

        gx, gr = moved(ax), moved(r)
        agx = [_solve(c, d, shrink, code) for c in gx]
        first = [ax.T @ c for c in gx]  # X'Σ⁻¹GΣ⁻¹X
        plain = np.array([held.sum(), d.sum() - (shrink * powers[:, 1]).sum()])
        trace = plain - np.array([float((inverse * f).sum()) for f in first])
        gradient = -0.5 * (trace - np.array([float((r * g).sum()) for g in gr]))

        squares = powers[:, 1] / (1 + between * ones) ** 2
        within2 = (d**2).sum() + (-2 * shrink * powers[:, 2] + (shrink * powers[:, 1]) ** 2).sum()
        both = np.array([[(held**2).sum(), squares.sum()], [squares.sum(), within2]])
        agr = [_solve(g, d, shrink, code) for g in gr]
        xgr = [ax.T @ g for g in gr]
        quadratic = np.empty((2, 2))
        for i in range(2):
            for j in range(2):
                both[i, j] += -2 * (inverse * (gx[i].T @ agx[j])).sum() + np.trace(inverse @ first[i] @ inverse @ first[j])
                quadratic[i, j] = (gr[i] * agr[j]).sum() - (xgr[i].T @ inverse @ xgr[j]).item()
        return Point(variances, loglik, beta[:, 0], inverse, e, gradient, both / 2, quadratic - both / 2, float(trace[1]))


def _sums(values: Numbers, code: npt.NDArray[np.int64], groups: int) -> Numbers:
    found = np.zeros((groups, *values.shape[1:]))
    np.add.at(found, code, values)
    return found


def _solve(columns: Numbers, d: Numbers, shrink: Numbers, code: npt.NDArray[np.int64]) -> Numbers:
    scaled = d[:, None] * columns
    return scaled - d[:, None] * (shrink[:, None] * _sums(scaled, code, len(shrink)))[code]


def maximise(data: Clustered) -> tuple[Point, bool]:
    """Return the likeliest variances, and whether the search converged, from several beginnings: there may be more than one top.

    Newton's steps where the likelihood curves down, scoring steps elsewhere, halved until it rises. A variance at 0 that the
    likelihood would push below stays there, and the search goes on along the edge.
    """
    plain = float(data.y.var(ddof=1))
    size = max(plain - float(data.v.mean()), 0.1 * float(data.v.mean()))
    found = [_climb(data, start) for start in ((size / 2, size / 2), (0.0, 0.0))]
    return max(found, key=lambda f: (f[0].loglik, f[1]))


def _climb(data: Clustered, start: Pair) -> tuple[Point, bool]:
    here = data.at(start)
    for _ in range(MOST_STEPS):
        at = np.array(here.variances)
        free = (at > 0) | (here.gradient > 0)
        if not free.any():
            return here, True
        grid = np.ix_(free, free)
        gradient = here.gradient[free]
        step = np.zeros(2)
        values, vectors = np.linalg.eigh(here.observed[grid])
        if values[0] <= FLAT * values[-1]:
            values, vectors = np.linalg.eigh(here.expected[grid])
        step[free] = vectors @ ((vectors.T @ gradient) / np.maximum(values, FLAT * values[-1]))
        if float(step[free] @ gradient) < DONE:  # Newton's last step doubles the digits; the likelihood is too flat here to tell
            to = np.maximum(at + step, 0.0)
            return data.at((float(to[0]), float(to[1]))), True
        better = _along(data, here, at, step)
        if better is None:
            return here, float(step[free] @ gradient) < ROUNDING
        here = better
    return here, False


def _along(data: Clustered, here: Point, at: Numbers, step: Numbers) -> Point | None:
    """Return the first point along a step, cut at 0 and halved, at which the likelihood is higher."""
    for _ in range(HALVINGS):
        to = np.maximum(at + step, 0.0)
        if (to == at).all():
            return None
        there = data.at((float(to[0]), float(to[1])))
        if there.loglik > here.loglik:
            return there
        step = step / 2
    return None
