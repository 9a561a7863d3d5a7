"""One model, many outcomes: the fits that a simulation, a power study or a parametric bootstrap repeats, all at once.

What depends on the design is worked out once, and the fits stand side by side in the likelihood's arrays, so that a thousand small
fits cost a few hundred passes over arrays and not a thousand searches. A fit that ends on the boundary (a variance of zero), or
that this search does not bring to an end, is made again on its own: the numbers are those of :func:`mixed_model`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError, problem
from attachment_outcomes.inference.design import parse
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.mixed.likelihood import (
    Lowest,
    Problem,
    Top,
    adjoint,
    deviance,
    evaluate,
    gradient,
    information,
    products,
    solve_top,
    upper,
)
from attachment_outcomes.inference.mixed.model import (
    MixedFit,
    coefficients,
    fit_moments,
    variance_names,
)
from attachment_outcomes.inference.mixed.moments import Moments, person_moments
from attachment_outcomes.inference.mixed.reading import PLACE, Rows, Slopes, rows_of
from attachment_outcomes.inference.mixed.resolve import Packed, lower, pack, places
from attachment_outcomes.inference.mixed.search import CONVERGED, SLOPE, START, STEP, ZERO, diagonal
from attachment_outcomes.inference.mixed.small_samples import FLAT
from attachment_outcomes.inference.mixed.working import FIRST, Working, cell_sums, working

Numbers = NDArray[np.float64]
AT_ONCE = 2_000_000  # rows times outcomes side by side: what they take stays well below a gigabyte
STEPS, FINE = 40, 1e-11  # of the deviance that a further step would win: below, a fit is at its end
HALVINGS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedFits:
    """The fits, numbered from 0 in the order of the outcomes.

    ``estimates`` a row a fit and fixed effect: fit, term, estimate, std_error, df, ci_low, ci_high, p_value; ``variances`` a row a
    fit, a column a variance, named as in :class:`MixedFit`; ``loglik``, ``converged``, ``singular`` (fits,); ``n_alone`` how many
    were fitted on their own.
    """

    estimates: pd.DataFrame
    variances: pd.DataFrame
    loglik: Numbers
    converged: NDArray[np.bool_]
    singular: NDArray[np.bool_]
    n_alone: int


def repeated_fits(
    formula: str,
    data: pd.DataFrame,
    outcomes: ArrayLike,
    *,
    groups: str | list[str] | tuple[str, ...],
    slopes: Slopes = (),
    reml: bool = True,
    ci_level: float = CI_LEVEL,
) -> RepeatedFits:
    """Fit one mixed model to many outcomes.

    Parameters
    ----------
    formula, groups, slopes, reml, ci_level
        As in :func:`mixed_model`; the outcome's name in the formula need not be a column.
    data
        One row an observation, none missing.
    outcomes : (rows, fits)
        The outcomes, row by row as ``data``.

    Raises
    ------
    StatisticsError
        As :func:`mixed_model`; also if a row has a missing value, an outcome is missing or infinite or does not vary, or there is
        not one value a row.

    Warns
    -----
    ConvergenceWarning
        If fits did not end at an optimum, with how many.
    """
    if not isinstance(data, pd.DataFrame):
        raise StatisticsError(problem(PLACE, f"data is a table, not {type(data).__name__}."))
    try:
        y = np.asarray(outcomes, dtype=float)
    except (TypeError, ValueError):  # whose text may hold cells
        raise StatisticsError(problem(PLACE, "the outcomes are not all numbers.")) from None
    if y.ndim != 2 or len(y) != len(data) or not y.shape[1]:
        raise StatisticsError(problem(PLACE, f"outcomes of shape {y.shape} for {len(data)} rows.", hint="one column an outcome."))
    if not np.isfinite(y).all():
        raise StatisticsError(problem(PLACE, f"{int((~np.isfinite(y)).sum())} values of the outcomes are missing or infinite."))
    if (np.ptp(y, axis=0) == 0).any():
        raise StatisticsError(problem(PLACE, "an outcome does not vary."))
    name = parse(formula).outcome
    if not name.isidentifier():
        raise StatisticsError(problem(PLACE, f"the outcome {name!r} is not a plain name.", hint="transform the outcomes before."))
    rows = rows_of(formula, data.assign(**{name: y[:, 0]}), groups=groups, slopes=slopes)
    work = working(rows.moments)
    y = y[rows.order]
    size = max(1, AT_ONCE // len(y))
    parts = [_fits(rows, work, y[:, at : at + size], reml=reml, ci_level=ci_level) for at in range(0, y.shape[1], size)]
    estimates = pd.concat([p.estimates.assign(fit=p.estimates["fit"] + i * size) for i, p in enumerate(parts)], ignore_index=True)
    found = RepeatedFits(
        estimates=estimates, variances=pd.concat([p.variances for p in parts], ignore_index=True),
        loglik=np.concatenate([p.loglik for p in parts]), converged=np.concatenate([p.converged for p in parts]),
        singular=np.concatenate([p.singular for p in parts]), n_alone=sum(p.n_alone for p in parts),
    )  # fmt: skip
    failed = int((~found.converged).sum())
    if failed:
        warnings.warn(problem(PLACE, f"{failed} of {y.shape[1]} fits did not end at an optimum."), ConvergenceWarning, stacklevel=2)
    return found


def _fits(rows: Rows, work: Working, y: Numbers, *, reml: bool, ci_level: float) -> RepeatedFits:
    side, coefficients_of, means = _side_by_side(rows, work, y)
    search = _Together(side, reml, tuple(e.shape[1] for e in work.es))
    theta, here, done = search.descend()
    hessian, covariances, left = search.curvature(theta, here)
    roots = search.factors(theta)
    boundary = np.any([(np.abs(np.diagonal(f)) < ZERO).any(axis=1) for f in roots], axis=0)
    uphill = np.any([np.linalg.eigvalsh(np.moveaxis(g, -1, 0))[:, 0] < -SLOPE * np.sqrt(side.n) for g in here.by_psi], axis=0)
    good = done & (left < CONVERGED) & ~boundary & ~uphill
    sigma2 = here.top.rss / search.residual_df
    back = work.beta_back / work.scale
    beta = (here.top.beta + coefficients_of) @ back.T + means[:, None] * work.mean_shift
    covariance = sigma2[:, None, None] * (back @ here.top.inverse @ back.T)
    moves = np.einsum("ja,fkab,jb->fkj", back, covariances, back, optimize=True) * sigma2[:, None, None]
    around = 2 * np.linalg.pinv(hessian, rcond=FLAT, hermitian=True)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    df = 2 * variance**2 / np.einsum("fkj,fkl,flj->fj", moves, around, moves, optimize=True)
    recipe = rows.moments.recipe
    names = variance_names(recipe.groups, recipe.slopes)
    spread = np.empty((y.shape[1], len(names)))
    column = 0
    for f, z_back in zip(roots, work.z_back, strict=True):
        psi = np.moveaxis(f, -1, 0) @ np.moveaxis(f, -1, 0).transpose(0, 2, 1)
        to = z_back / work.scale
        raw = to @ psi @ to.T * sigma2[:, None, None]
        q = len(to)
        entries = [(i, i) for i in range(q)] + [(i, j) for j in range(q) for i in range(j)]
        for i, j in entries:
            spread[:, column] = raw[:, i, j]
            column += 1
    spread[:, -1] = sigma2
    loglik, converged, singular = -here.deviance / 2, good.copy(), np.zeros(len(good), dtype=bool)
    std_error = np.sqrt(variance)
    for i in map(int, np.flatnonzero(~good)):
        fit = _alone(rows, y[:, i], reml=reml)
        table = fit.estimates
        beta[i], std_error[i], df[i] = (table[c].to_numpy() for c in ("estimate", "std_error", "df"))
        spread[i] = [fit.variances[n] for n in names]
        loglik[i], converged[i], singular[i] = fit.loglik, fit.converged, fit.singular
    fits, p = beta.shape
    table = coefficients(beta.ravel(), std_error.ravel(), df.ravel(), list(recipe.fixed) * fits, ci_level)
    table.insert(0, "fit", np.repeat(np.arange(fits), p))
    return RepeatedFits(
        estimates=table, variances=pd.DataFrame(spread, columns=names), loglik=loglik, converged=converged, singular=singular,
        n_alone=int((~good).sum()),
    )  # fmt: skip


def _alone(rows: Rows, y: Numbers, *, reml: bool) -> MixedFit:
    n, mean, scatter = person_moments(np.vstack([rows.values[:-1], y]), rows.starts)
    old = rows.moments
    moments = Moments(recipe=old.recipe, labels=old.labels, n=n, mean=mean, scatter=scatter, n_excluded=0, spec=old.spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return fit_moments(moments, reml=reml, ci_level=CI_LEVEL)


def _side_by_side(rows: Rows, work: Working, y: Numbers) -> tuple[Problem, Numbers, Numbers]:
    """Return the fits as one problem, and each fit's least-squares coefficients (fits, p) and mean, which it leaves out."""
    one, fits = work.problem, y.shape[1]
    m, p, q = one.m, one.p, one.lowest.q
    sizes = np.diff(np.append(rows.starts, len(y)))
    row_order = np.concatenate([np.arange(s, s + n) for s, n in zip(rows.starts[work.order], sizes[work.order], strict=True)])
    standard = np.vstack([np.ones(len(y)), (rows.values[:-1] - work.centre[:-1, None]) / work.unit[:-1, None]])[:, row_order]
    columns = work.q_matrix[:-1, : m - 1].T @ standard  # working columns, row by row
    means = y.mean(axis=0) if work.mean_shift.any() else np.zeros(fits)
    rest = (y - means)[row_order].T
    found = rest @ columns[:p].T
    rest = np.ascontiguousarray(rest - found @ columns[:p])  # (fits, rows)
    starts = np.concatenate([[0], np.cumsum(sizes[work.order])[:-1]])
    people = len(starts)
    each = np.empty((q, m, fits, people))
    each[:, :-1] = work.b[:, :-1, None]
    for k, c in enumerate(work.columns[0]):
        each[k, -1] = np.add.reduceat(rest * standard[c], starts, axis=1)
    b = each.reshape(q, m, fits * people)
    first = starts[np.flatnonzero(np.diff(work.parents[0], prepend=-1))] if work.parents else FIRST
    parents = len(first)
    base = np.empty((m, m, fits, parents))
    base[:] = one_base(one)[:, :, None]
    for j in range(m - 1):
        base[j, -1] = base[-1, j] = np.add.reduceat(rest * columns[j], first, axis=1)
    base[-1, -1] = np.add.reduceat(rest * rest, first, axis=1)
    if work.pooled is None:
        s = products(b)
    else:
        order, cells = work.pooled
        s = cell_sums(b, _tiled(order, people, fits), _tiled(cells, people, fits))
    designs = one.lowest.a.shape[1]
    lowest = Lowest(
        np.tile(one.lowest.a, fits), np.tile(one.lowest.size, fits), _tiled(one.lowest.design, designs, fits), s,
        _tiled(one.lowest.parent, parents, fits), pack(base.reshape(m, m, fits * parents)), q, np.arange(fits) * designs,
    )  # fmt: skip
    uppers, units = [], parents
    for above in one.uppers:
        uppers.append(upper(above.e, _tiled(above.starts, units, fits), np.arange(fits) * units))
        units = len(above.starts)
    return Problem(lowest, tuple(uppers), p, m, one.n, one.log_det, lowest.blocks()), found, means


def one_base(problem: Problem) -> Packed:
    """Return the parents' cross products as full matrices (m, m, parents)."""
    return problem.lowest.base[places(problem.m)]


def _tiled(values: NDArray[np.intp], step: int, fits: int) -> NDArray[np.intp]:
    """Return positions for fits that follow each other, each of ``step`` units."""
    return (values + step * np.arange(fits)[:, None]).ravel()


@dataclass(frozen=True, slots=True)
class _Points:
    deviance: Numbers
    by_theta: Numbers  # (fits, k)
    top: Top
    by_psi: list[Numbers]
    information: list[tuple[Numbers, Numbers]]


@dataclass(frozen=True, slots=True)
class _Together:
    """The search of :mod:`search`, for all fits at once; theta is (fits, k)."""

    problem: Problem
    reml: bool
    sizes: tuple[int, ...]

    @property
    def residual_df(self) -> int:
        return self.problem.n - self.problem.p if self.reml else self.problem.n

    def factors(self, theta: Numbers) -> list[Numbers]:
        found, at = [], 0
        for size in self.sizes:
            rows, columns = lower(size)
            factor = np.zeros((size, size, len(theta)))
            factor[rows, columns] = theta[:, at : at + len(rows)].T
            found.append(factor)
            at += len(rows)
        return found

    def at(self, theta: Numbers, weight: Numbers | None = None) -> _Points:
        roots = self.factors(theta)
        found = evaluate(self.problem, [np.einsum("ijf,kjf->ikf", f, f) for f in roots])
        top = solve_top(self.problem, found)
        used = self.residual_df / top.rss if weight is None else weight
        by_psi = gradient(self.problem, found, adjoint(self.problem, top, reml=self.reml, weight=used))
        by_theta = [2 * np.einsum("ijf,jkf->ikf", g, f)[lower(len(f))] for g, f in zip(by_psi, roots, strict=True)]
        value = deviance(self.problem, found, top, reml=self.reml)
        return _Points(value, np.concatenate(by_theta).T, top, by_psi, information(self.problem, found))

    def expected(self, theta: Numbers, at: _Points) -> Numbers:
        fits, k = theta.shape
        found, cross, start = np.zeros((fits, k, k)), np.zeros((fits, k)), 0
        for factor, (pairs, with_sigma), by_psi in zip(self.factors(theta), at.information, at.by_psi, strict=True):
            q, (rows, columns) = len(factor), lower(len(factor))
            moves = np.zeros((q, q, len(rows), fits))
            for e, (i, j) in enumerate(zip(rows, columns, strict=True)):
                moves[i, :, e] += factor[:, j]
                moves[:, i, e] += factor[:, j]
            flat = np.moveaxis(moves.reshape(q * q, len(rows), fits), -1, 0)
            part = slice(start, start + len(rows))
            values, vectors = np.linalg.eigh(np.moveaxis(by_psi, -1, 0))
            rising = (vectors * np.maximum(values, 0.0)[:, None]) @ vectors.transpose(0, 2, 1)
            bent = 2 * rising[:, rows][:, :, rows] * (columns[:, None] == columns)
            found[:, part, part] = flat.transpose(0, 2, 1) @ np.moveaxis(pairs, -1, 0) @ flat + bent
            cross[:, part] = np.einsum("fae,af->fe", flat, with_sigma)
            start += len(rows)
        found -= cross[:, :, None] * cross[:, None] / self.residual_df
        return np.asarray(found + 1e-6 * np.trace(found, axis1=1, axis2=2)[:, None, None] * np.eye(k))

    def descend(self) -> tuple[Numbers, _Points, NDArray[np.bool_]]:
        fits = len(self.problem.lowest.starts)
        theta = np.tile(np.where(diagonal(self.sizes), START, 0.0), (fits, 1))
        here = self.at(theta)
        done = np.zeros(fits, dtype=bool)
        for _ in range(STEPS):
            step = -np.linalg.solve(self.expected(theta, here), here.by_theta[:, :, None])[:, :, 0]
            slope = (here.by_theta * step).sum(axis=1)
            done = -slope < FINE
            if done.all():
                break
            length = np.where(done, 0.0, 1.0)
            for _ in range(HALVINGS):
                there = self.at(theta + length[:, None] * step)
                worse = ~(there.deviance <= here.deviance + 1e-4 * length * slope) & ~done
                if not worse.any():
                    break
                length[worse] *= 0.3
            else:
                length[worse] = 0.0
                there = self.at(theta + length[:, None] * step)
            theta, here = theta + length[:, None] * step, there
        return theta, here, done

    def curvature(self, theta: Numbers, here: _Points) -> tuple[Numbers, Numbers, Numbers]:
        """Return second derivatives (fits, k + 1, k + 1), the covariances' first ones, and what a further step would win."""
        fits, k = theta.shape
        weight = self.residual_df / here.top.rss
        hessian, covariances = np.zeros((fits, k + 1, k + 1)), np.zeros((fits, k + 1, *here.top.inverse.shape[1:]))
        for i in range(k):
            moved = theta.copy()
            moved[:, i] += STEP
            there = self.at(moved, weight)
            hessian[:, i, :-1] = (there.by_theta - here.by_theta) / STEP
            covariances[:, i] = (there.top.inverse - here.top.inverse) / STEP
        hessian[:, :-1, :-1] = (hessian[:, :-1, :-1] + hessian[:, :-1, :-1].transpose(0, 2, 1)) / 2
        by_residual = self.at(theta, 2 * weight).by_theta - here.by_theta
        hessian[:, -1, :-1] = hessian[:, :-1, -1] = -by_residual
        hessian[:, -1, -1] = self.residual_df
        covariances[:, -1] = here.top.inverse
        profiled = hessian[:, :-1, :-1] - by_residual[:, :, None] * by_residual[:, None] / self.residual_df
        inverse = np.linalg.pinv(profiled, rcond=1e-10, hermitian=True)
        return hessian, covariances, np.abs(np.einsum("fi,fij,fj->f", here.by_theta, inverse, here.by_theta))
