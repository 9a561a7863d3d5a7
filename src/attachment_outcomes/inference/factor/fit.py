r"""Fit a factor model by maximum likelihood, with standard errors that may allow for clusters and non-normal answers.

.. math:: -2\log L = \sum_r n_r \left[p_r\log 2\pi + \log|\Sigma_r| + \mathrm{tr}\,\Sigma_r^{-1}(S_r + d_r d_r^\top)\right],
   \quad d_r = \bar y_r - \mu_r

over the patterns r of what was observed; complete data are one pattern. The search is scoring with the expected information,
improved by BFGS updates where values are missing.

Own code, since semopy 2.3.11 has no factor means, and gives degrees of freedom and fit indices of models with means that are
not those of lavaan (docs/methods/measurement.md).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.factor.moments import Moments, inverses, moments_of
from attachment_outcomes.inference.factor.structure import Numbers, Structure

Information = Literal["expected", "observed"]
Errors = Literal["normal", "robust"]
STEPS = 300
TOLERANCE = 1e-9  # squared length of the last step, in standard errors of the parameters
NEARLY = 1e-4  # the same, where the likelihood no longer falls for rounding
REFRESH = 25  # steps after which the information is taken anew
DIFFERENCE = 1e-5  # step of numerical derivatives, in standard errors of a parameter
CURVATURE = 1e-4  # the same, of second derivatives of the likelihood


@dataclass(frozen=True)
class FactorFit:
    """A fitted factor model.

    ``estimates``        value of each free parameter, by name
    ``loglik``           log likelihood; ``saturated_loglik`` that of free means and covariances, ``independence_loglik`` that
                         of uncorrelated variables
    ``chi_square``, ``df``, ``p_value``   likelihood-ratio test against the saturated model; ``df`` 0 where it is this one
    ``mean``, ``covariance``              implied
    ``converged``        whether the search ended at a maximum
    ``proper``           whether all variances are above 0 and all factors' correlations below 1
    """

    structure: Structure
    moments: Moments
    estimates: pd.Series
    loglik: float
    converged: bool
    iterations: int

    @property
    def n(self) -> int:
        """Number of people with any answer."""
        return self.moments.total

    @property
    def saturated_loglik(self) -> float:
        """Log likelihood of the model that restricts nothing."""
        return self.moments.saturated[2]

    @cached_property
    def independence_loglik(self) -> float:
        """Log likelihood of uncorrelated variables."""
        return self.moments.independence()

    @property
    def df(self) -> int:
        """Means, variances and covariances less free parameters."""
        p, _ = self.structure.shape
        return p + p * (p + 1) // 2 - len(self.estimates)

    @property
    def chi_square(self) -> float:
        """Twice the log likelihood lost against the saturated model."""
        return max(0.0, 2 * (self.saturated_loglik - self.loglik))

    @property
    def p_value(self) -> float:
        """Of the test against the saturated model; NaN without degrees of freedom."""
        return float(chi2.sf(self.chi_square, self.df)) if self.df else math.nan

    @property
    def parameters(self) -> Numbers:
        """The estimates as an array."""
        return self.estimates.to_numpy(dtype=float)

    @property
    def mean(self) -> Numbers:
        """Implied means (p)."""
        return self.structure.implied(self.parameters)[0]

    @property
    def covariance(self) -> Numbers:
        """Implied covariances (p × p)."""
        return self.structure.implied(self.parameters)[1]

    @property
    def proper(self) -> bool:
        """Whether uniquenesses and factor covariances are positive definite."""
        psi = self.structure.factor_covariance.filled(self.parameters)
        theta = self.structure.uniqueness.filled(self.parameters)
        return bool(np.linalg.eigvalsh(psi).min() > 0 and np.linalg.eigvalsh(theta).min() > 0)

    def covariance_of_estimates(
        self,
        *,
        errors: Errors = "normal",
        information: Information | None = None,
        clusters: Sequence[Hashable] | pd.Series | None = None,
    ) -> Numbers:
        r"""Return the sampling covariances of the estimates (q × q).

        Parameters
        ----------
        errors : {"normal", "robust"}
            From the information alone, which takes the answers as normal, or the sandwich
            :math:`A^{-1}BA^{-1}` (Huber, White), which does not.
        information : {"expected", "observed"}, optional
            Expected for complete data and observed for incomplete data or robust errors, unless told.
        clusters : (n,) labels in the order of the data's rows, optional
            Robust only: the sandwich's B sums the scores of a cluster, with the factor G / (G - 1).

        Raises
        ------
        StatisticsError
            If the information is singular: the model is not identified by these data; or with fewer than two clusters.
        """
        which = information or ("expected" if self.moments.complete and errors == "normal" else "observed")
        inner = self._expected() if which == "expected" else self._observed()
        bread = _inverse(inner)
        if errors == "normal":
            return bread
        scores = self._scores()
        factor = 1.0
        if clusters is not None:
            codes = pd.factorize(pd.Series(list(clusters)).iloc[self.moments.place])[0]
            if codes.min() < 0 or codes.max() < 1:
                raise StatisticsError("robust errors need two clusters or more, and everybody's cluster")
            count = int(codes.max()) + 1
            scores = np.stack([np.bincount(codes, weights=s, minlength=count) for s in scores.T], axis=1)
            factor = count / (count - 1)
        return bread @ (scores.T @ scores) @ bread * factor

    def derived(
        self, functions: Callable[[Mapping[str, float]], Mapping[str, float]], covariance: Numbers
    ) -> dict[str, tuple[float, float]]:
        """Return functions of the parameters, each with its standard error by the delta method.

        Parameters
        ----------
        functions
            From parameters by name to numbers by name.
        covariance
            From :meth:`covariance_of_estimates`.
        """
        names, at = list(self.estimates.index), self.parameters
        now = dict(functions(dict(zip(names, at.tolist(), strict=True))))
        step = DIFFERENCE * np.sqrt(np.diag(covariance))
        slopes = np.zeros((len(now), len(at)))
        for k in np.flatnonzero(step > 0):
            ends = []
            for sign in (1, -1):
                moved = at.copy()
                moved[k] += sign * step[k]
                found = functions(dict(zip(names, moved.tolist(), strict=True)))
                ends.append(np.array([found[name] for name in now]))
            slopes[:, k] = (ends[0] - ends[1]) / (2 * step[k])
        variances = np.einsum("ij,jk,ik->i", slopes, covariance, slopes)
        return {name: (value, math.sqrt(max(0.0, float(v)))) for (name, value), v in zip(now.items(), variances, strict=True)}

    def _expected(self) -> Numbers:
        return expected_information(self.structure, self.parameters, self.n)

    def _observed(self) -> Numbers:
        """Return half the second derivatives of -2 log likelihood, from differences of its gradient."""
        at = self.parameters
        step = CURVATURE / np.sqrt(np.diag(self._expected()))
        rows = []
        for k in range(len(at)):
            up, down = at.copy(), at.copy()
            up[k] += step[k]
            down[k] -= step[k]
            rows.append(
                (_value(self.structure, self.moments, up)[1] - _value(self.structure, self.moments, down)[1]) / (2 * step[k])
            )
        found = np.stack(rows) / 2
        return (found + found.T) / 2

    def _scores(self) -> Numbers:
        """Return each person's gradient of the log likelihood (N × q), in the order of ``moments.rows``."""
        mean, covariance = self.structure.implied(self.parameters)
        by_mean, by_covariance = self.structure.jacobian(self.parameters)
        q, p = by_mean.shape
        flat = by_covariance.reshape(q, p * p)
        out = np.empty((self.n, q))
        for part in self.moments.chunks():
            found = inverses(covariance, self.moments.seen[part])
            if found is None:
                raise StatisticsError("the implied covariances are not positive definite")
            weight = found[0]
            traces = weight.reshape(len(weight), -1) @ flat.T
            mine = np.flatnonzero((self.moments.pattern >= part.start) & (self.moments.pattern < part.stop))
            local = self.moments.pattern[mine] - part.start
            d = np.where(self.moments.seen[part][local], self.moments.rows[mine] - mean, 0.0)
            pulled = np.einsum("nij,nj->ni", weight[local], d)
            products = (pulled[:, :, None] * pulled[:, None, :]).reshape(len(mine), -1)
            out[mine] = 0.5 * (products @ flat.T - traces[local]) + pulled @ by_mean.T
        return out


def fit_structure(model: Structure, data: NDArray[np.float64] | Moments, *, start: Mapping[str, float] | None = None) -> FactorFit:
    """Fit a factor model by maximum likelihood.

    Parameters
    ----------
    model : Structure
        From :func:`~attachment_outcomes.inference.factor.structure.structure`.
    data : (n, p) array or Moments
        Values, NaN = missing (at random given what was observed); or what :func:`moments_of` made of them, which spares the
        work where several models are fitted.
    start : mapping, optional
        First values of some parameters. The others start from the data.

    Raises
    ------
    StatisticsError
        If the data do not fit the model's shape, the covariances are singular, or the model is not identified.
    """
    moments = data if isinstance(data, Moments) else moments_of(data)
    p, _ = model.shape
    if moments.seen.shape[1] != p:
        raise StatisticsError(f"factor model: {p} variables in the model, {moments.seen.shape[1]} in the data")
    saturated = moments.saturated
    if len(model.parameters) > p + p * (p + 1) // 2:
        raise StatisticsError(f"factor model: {len(model.parameters)} parameters, more than means and covariances have")
    at = starting_values(model, saturated[0], saturated[1], start or {})
    at, value, converged, steps = _search(model, moments, at)
    return FactorFit(model, moments, pd.Series(at, index=list(model.parameters)), -value / 2, converged, steps)


def expected_information(model: Structure, parameters: Numbers, n: int) -> Numbers:
    """Information of n complete observations about the parameters (q × q), by theory."""
    _, covariance = model.implied(parameters)
    by_mean, by_covariance = model.jacobian(parameters)
    half = np.linalg.inv(np.linalg.cholesky(covariance))
    white = (half @ by_covariance @ half.T).reshape(len(parameters), -1)
    shift = by_mean @ half.T
    found: Numbers = n * (0.5 * white @ white.T + shift @ shift.T)
    return found


def starting_values(model: Structure, mean: Numbers, covariance: Numbers, start: Mapping[str, float]) -> Numbers:
    """Return first values: centroid loadings, unit factor variances, means, and half of each variance as uniqueness."""
    strange = sorted(set(start) - set(model.parameters))
    if strange:
        raise StatisticsError(f"factor model: no parameter {strange[0]!r} to start")
    q = len(model.parameters)
    total, count = np.zeros(q), np.zeros(q)

    def put(index: NDArray[np.int64], values: Numbers) -> None:
        free = index >= 0
        np.add.at(total, index[free], values[free])
        np.add.at(count, index[free], 1.0)

    lam = model.loadings
    p, m = model.shape
    guess = np.zeros((p, m))
    for j in range(m):
        own = np.flatnonzero((lam.index[:, j] >= 0) | (lam.fixed[:, j] != 0))
        block = covariance[np.ix_(own, own)]
        sums = np.maximum(block.sum(axis=1) - np.diag(block), 0.1 * np.diag(block))
        guess[own, j] = sums / math.sqrt(sums.sum())
    put(lam.index, guess)
    put(model.intercepts.index, mean)
    put(model.factor_covariance.index, np.eye(m))
    put(model.factor_means.index, np.zeros(m))
    put(model.uniqueness.index, np.diag(np.diag(covariance)) / 2)
    found = total / count
    for k, name in enumerate(model.parameters):
        found[k] = start.get(name, found[k])
    return found


def _value(model: Structure, moments: Moments, at: Numbers) -> tuple[float, Numbers]:
    value, by_mean, by_covariance = moments.minus_two_log(*model.implied(at))
    if not math.isfinite(value):
        return value, np.zeros(len(at))
    return value, model.chain(at, by_mean, by_covariance)


def _search(model: Structure, moments: Moments, at: Numbers) -> tuple[Numbers, float, bool, int]:
    """Minimise -2 log likelihood: steps by the inverse information, with BFGS updates until it is taken anew."""
    value, slope = _value(model, moments, at)
    if not math.isfinite(value):
        raise StatisticsError("factor model: no start with positive definite covariances was found")
    inverse = _inverse(expected_information(model, at, moments.total)) / 2
    since = 0
    refresh = 1 if moments.complete else REFRESH
    for step in range(STEPS):
        move = -inverse @ slope
        decrement = -float(slope @ move)
        if decrement < TOLERANCE:
            return at + move, _value(model, moments, at + move)[0], True, step
        size = 1.0
        while True:
            new = at + size * move
            new_value, new_slope = _value(model, moments, new)
            if new_value <= value - 1e-4 * size * decrement:
                break
            size /= 2
            if size < 1e-8:
                return at, value, decrement < NEARLY, step
        moved, bent = new - at, new_slope - slope
        at, value, slope = new, new_value, new_slope
        since += 1
        if since >= refresh:
            inverse, since = _inverse(expected_information(model, at, moments.total)) / 2, 0
        elif (curve := float(moved @ bent)) > 0:
            cross = np.eye(len(at)) - np.outer(moved, bent) / curve
            inverse = cross @ inverse @ cross.T + np.outer(moved, moved) / curve
    return at, value, False, STEPS


def _inverse(information: Numbers) -> Numbers:
    scale = np.sqrt(np.diag(information))
    if not (scale > 0).all() or not np.isfinite(information).all():
        raise StatisticsError("factor model: the data say nothing of some parameter, so the model is not identified")
    unit = information / np.outer(scale, scale)
    if np.linalg.cond(unit) > 1e13:
        raise StatisticsError("factor model: the model is not identified by these data")
    return np.asarray(np.linalg.inv(unit) / np.outer(scale, scale))
