r"""What might the missing scores of a person have been? Proper draws from a multivariate normal model of repeated scores.

Vocabulary
----------
imputation   one completed data set; several say how much is not known because data are missing
proper       the model's parameters are drawn too, so that imputations differ by what the data do not tell about them
monotone     who is missing at one occasion is missing at all later ones (drop-out); anything else is intermittent
MAR          missing at random: who is missing depends on what was seen only, which is what the draws presume
R-hat        how far chains still remember where they began; 1 if not at all

Pooling is in :mod:`attachment_outcomes.inference.imputation`. The model keeps what an analysis of change rests on: the correlations
of a person's scores, covariates such as arm or age, and that people of one therapist are alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.design import identified
from attachment_outcomes.inference.proportions import as_numbers, check_generator, cluster_codes

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]

PLACE = "multiple imputation"
FEWEST, MOST = 20, 100  # imputations by default (White, Royston & Wood, 2011: one for each per cent of information missing)
ITERATIONS = 100  # of the chains; they go on, up to LONGEST times as long, while they remember where they began
LONGEST = 8
SETTLED = 1.1  # R-hat
THERAPIST_SHARE = 0.05  # prior guess of the share of variance between therapists (Baldwin & Imel, 2013: about 5 %)
MONOTONE = "Bayesian regressions in the order of the occasions"
AUGMENTED = "data augmentation, multivariate normal"
CLUSTERED = "data augmentation, multivariate normal with a random effect of the cluster at each occasion"


@dataclass(frozen=True, slots=True, kw_only=True)
class Imputations:
    """Completed data: ``values`` (m, n, t), what was ``missing`` (n, t), and how they were made.

    ``r_hat`` is 1 where no chains were needed; ``iterations`` is then 0.
    """

    values: Numbers
    missing: Flags
    method: str
    iterations: int
    r_hat: float
    note: str = ""


def default_imputations(missing: ArrayLike) -> int:
    """Return how many imputations are enough: one for each per cent of people without the value, 20 at least, 100 at most.

    Parameters
    ----------
    missing : (n,) or (n, k)
        Whose values are missing, of those that the estimate is about; with several, anybody with one missing counts.

    References
    ----------
    White, I. R., Royston, P., & Wood, A. M. (2011). Statistics in Medicine, 30, 377-399, section 7.
    """
    given = np.asarray(missing, dtype=bool)
    holes = given.reshape(len(given), -1)
    share = float(holes.any(axis=1).mean()) if len(holes) else 0.0
    return int(min(max(FEWEST, math.ceil(100 * share)), MOST))


def impute(
    scores: ArrayLike,
    *,
    imputations: int,
    rng: np.random.Generator,
    covariates: ArrayLike | None = None,
    clusters: ArrayLike | pd.Series | None = None,
    iterations: int = ITERATIONS,
) -> Imputations:
    r"""Draw the missing scores of people who were to be seen at several occasions.

    .. math::

        y_i \sim N(B'x_i + u_{j(i)}, \Sigma), \quad u_j \sim N(0, \Psi), \quad p(B, \Sigma) \propto |\Sigma|^{-(t+1)/2}

    with no u where no clusters are given; :math:`\Psi` then has the weak prior :math:`IW(t + 2, .05\,\mathrm{diag}\,S)`, worth
    t + 2 clusters. Without clusters and with drop-out alone the draws are exact (a Bayesian regression of each occasion on all
    before). Otherwise each imputation is the end of a chain of its own: missing scores given the parameters, parameters given the
    completed scores, in turn.

    Parameters
    ----------
    scores : (n, t)
        A row a person, a column an occasion, in the order of time; NaN where missing.
    imputations
        How many completed data sets, at least 2.
    rng
        Generator; draws go to people in the order of rows, so sort them first.
    covariates : (n, k), optional
        Numbers without missing values (0/1 for categories); an intercept is added.
    clusters : (n,) labels, optional
        Therapist of each person; who has none is a cluster of one.
    iterations
        Of each chain, at least 20; they go on, up to eight times as long, until R-hat of the last occasion's mean is below 1.1.

    Returns
    -------
    Imputations
        Scores seen are as they were. Draws are not rounded or held within the scale: that would bias means and variances.

    Raises
    ------
    StatisticsError
        If nobody is seen at an occasion or all alike, too few are for the model (which may only show in the chains), covariates
        are missing or determine each other, or shapes do not fit.

    References
    ----------
    Schafer, J. L. (1997). Analysis of incomplete multivariate data. Chapman & Hall, chapters 5 and 6. Schafer, J. L., & Yucel,
    R. M. (2002). J. Computational and Graphical Statistics, 11, 437-457 (with a random effect of the cluster).
    """
    y, x = _checked(scores, covariates)
    check_generator(rng, place=PLACE)
    for name, count, least in (("imputations", imputations, 2), ("iterations", iterations, 20)):
        if not (isinstance(count, int | np.integer) and count >= least):
            raise _refuse(f"found {count} {name}; allowed: a whole number, at least {least}.")
    missing = np.isnan(y)
    codes = None if clusters is None else cluster_codes(clusters, n=len(y))
    if codes is not None and codes.max() == 0:
        codes = None
    values = np.repeat(y[None], imputations, axis=0)
    if not missing.any():
        return Imputations(values=values, missing=missing, method="nothing is missing", iterations=0, r_hat=1.0)
    if codes is None and bool((missing[:, 1:] >= missing[:, :-1]).all()):
        _draw_monotone(values, missing, x, rng)
        return Imputations(values=values, missing=missing, method=MONOTONE, iterations=0, r_hat=1.0)
    try:
        done, r_hat = _augment(values, missing, x, codes, rng, iterations)
    except np.linalg.LinAlgError:
        what = "the scores seen are too few to determine the model: a chain ran off."
        raise _refuse(what, hint="leave out the occasions that fewest were seen at, or covariates.") from None
    note = "" if r_hat < SETTLED else f"the chains have not settled (R-hat {r_hat:.2f} after {done} iterations)"
    method = AUGMENTED if codes is None else CLUSTERED
    return Imputations(values=values, missing=missing, method=method, iterations=done, r_hat=r_hat, note=note)


def _checked(scores: ArrayLike, covariates: ArrayLike | None) -> tuple[Numbers, Numbers]:
    """Return scores and covariates with the intercept, refusing what cannot be imputed from."""
    y = as_numbers(scores, place=PLACE, what="scores")
    if y.ndim != 2 or y.shape[1] < 2:
        raise _refuse(f"scores have shape {y.shape}; allowed: people by two or more occasions.")
    given = np.empty((len(y), 0)) if covariates is None else as_numbers(covariates, place=PLACE, what="covariates")
    if given.ndim != 2 or len(given) != len(y):
        raise _refuse(f"covariates have shape {given.shape} for {len(y)} people.")
    if not np.isfinite(given).all() or np.isinf(y).any():
        raise _refuse("a covariate is missing, or a number is infinite.", hint="give what is not known a category of its own.")
    x = np.column_stack([np.ones(len(y)), given])
    seen = (~np.isnan(y)).sum(axis=0)
    needed = x.shape[1] + y.shape[1] + 1
    for occasion, n in enumerate(seen, 1):
        values = y[:, occasion - 1]
        if n < needed:
            what = (
                f"{n} people were seen at occasion {occasion} of {len(seen)}; {needed} are needed for {x.shape[1] - 1} covariates."
            )
            raise _refuse(what, hint="leave out the occasion, or covariates.")
        if np.nanmax(values) == np.nanmin(values):
            raise _refuse(f"all who were seen at occasion {occasion} have the same score.")
    if not identified(x):
        raise _refuse("the covariates determine one another.", hint="is one constant, or a category empty?")
    return y, x


def _draw_monotone(values: Numbers, missing: Flags, x: Numbers, rng: np.random.Generator) -> None:
    """Fill each occasion from a Bayesian regression on the occasions before it, of those who were seen."""
    m = len(values)
    for t in range(values.shape[2]):
        hole = missing[:, t]
        if not hole.any():
            continue
        design = np.column_stack([x[~hole], values[0, ~hole, :t]])  # all seen, so the same in every imputation
        if not identified(design):
            raise _refuse(f"the scores before occasion {t + 1} and the covariates determine one another.")
        q, r = np.linalg.qr(design)
        target = values[0, ~hole, t]
        fitted = q.T @ target
        df = len(target) - design.shape[1]
        residual = float(((target - q @ fitted) ** 2).sum())
        sd = np.sqrt(residual / rng.chisquare(df, m))
        beta = np.linalg.solve(r, (fitted + sd[:, None] * rng.standard_normal((m, len(fitted)))).T).T
        n = int(hole.sum())
        others = np.concatenate([np.broadcast_to(x[hole], (m, n, x.shape[1])), values[:, hole, :t]], axis=2)
        values[:, hole, t] = np.einsum("mnk,mk->mn", others, beta) + sd[:, None] * rng.standard_normal((m, n))


def _augment(
    values: Numbers, missing: Flags, x: Numbers, codes: NDArray[np.int64] | None, rng: np.random.Generator, iterations: int
) -> tuple[int, float]:
    """Fill ``values`` by a chain for each imputation, all run side by side; return the iterations and R-hat."""
    order = np.lexsort(missing.T[::-1])  # people of one pattern lie together
    blocks = _blocks(missing[order])
    state = values[:, order]
    model = _Model(x[order], None if codes is None else codes[order], state.shape, np.nanvar(state[0], axis=0))
    _start(state, missing[order], rng)
    trace: list[Numbers] = []
    while True:
        for _ in range(iterations):
            mean, precision = model.draw(state, rng)
            _fill(state, mean, precision, blocks, rng)
            trace.append(state[:, :, -1].mean(axis=1))
        r_hat = _r_hat(np.array(trace[len(trace) // 2 :]))
        if r_hat < SETTLED or len(trace) >= LONGEST * iterations:
            break
    values[:, order] = state
    return len(trace), r_hat


def _blocks(missing: Flags) -> list[tuple[slice, NDArray[np.int64], NDArray[np.int64]]]:
    """Return, for each pattern with anything missing, its rows and the occasions missing and seen."""
    change = np.flatnonzero((missing[1:] != missing[:-1]).any(axis=1)) + 1
    starts = [0, *change.tolist(), len(missing)]
    found = [(slice(a, b), np.flatnonzero(missing[a]), np.flatnonzero(~missing[a])) for a, b in pairwise(starts)]
    return [(rows, gone, seen) for rows, gone, seen in found if len(gone)]


def _start(state: Numbers, missing: Flags, rng: np.random.Generator) -> None:
    """Fill in the occasion's mean and how the person stood to it, with a whole SD of noise, so that chains begin far apart."""
    y = state[0]
    centre, spread = np.nanmean(y, axis=0), np.nanstd(y, axis=0)
    z = (y - centre) / spread
    counts = (~missing).sum(axis=1)
    person = np.where(counts > 0, np.nansum(z, axis=1) / np.maximum(counts, 1), 0.0)
    rows, columns = np.nonzero(missing)
    noise = rng.standard_normal((len(state), len(rows)))
    state[:, rows, columns] = centre[columns] + spread[columns] * (person[rows] + noise)


class _Model:
    """The parameters' draws given completed scores, for all chains at once."""

    def __init__(self, x: Numbers, codes: NDArray[np.int64] | None, shape: tuple[int, ...], variance: Numbers) -> None:
        self.x, self.codes = x, codes
        self.m, self.n, self.t = shape
        q, r = np.linalg.qr(x)
        self.project = np.linalg.solve(r, q.T)  # (k, n): least squares
        self.root = np.linalg.inv(r)  # root @ root.T is the inverse of X'X
        self.df = self.n - x.shape[1]
        if codes is not None:
            self.groups = int(codes.max()) + 1
            sizes = np.bincount(codes, minlength=self.groups)
            self.sizes, self.of_size = np.unique(sizes, return_inverse=True)
            self.by_group = np.argsort(codes, kind="stable")
            self.edges = np.concatenate([[0], np.cumsum(sizes)[:-1]])
            self.effects = np.zeros((self.m, self.groups, self.t))
            # Mean of the prior: THERAPIST_SHARE of each occasion's variance, known as well as from t + 2 clusters.
            self.prior = THERAPIST_SHARE * np.diag(variance)
            self.between = np.broadcast_to(np.linalg.inv(self.prior), (self.m, self.t, self.t))

    def draw(self, state: Numbers, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
        """Return each person's expected scores (m, n, t) and the precision of the scores around them (m, t, t)."""
        shift = 0.0 if self.codes is None else self.effects[:, self.codes]
        target = state - shift
        beta = self.project @ target
        residual = target - self.x @ beta
        precision = _wishart(self.df, residual.transpose(0, 2, 1) @ residual, rng)
        noise = rng.standard_normal((self.m, self.x.shape[1], self.t))
        # Rows of noise with covariance Sigma: from the factor of the precision, L^-T of which is a root of Sigma.
        half = np.linalg.inv(np.linalg.cholesky(precision))
        beta = beta + self.root @ noise @ half
        mean = self.x @ beta
        if self.codes is not None:
            self._draw_effects(state - mean, precision, rng)
            mean = mean + self.effects[:, self.codes]
        return mean, precision

    def _draw_effects(self, residual: Numbers, precision: Numbers, rng: np.random.Generator) -> None:
        sums = np.add.reduceat(residual[:, self.by_group], self.edges, axis=1)
        inside = self.sizes[None, :, None, None] * precision[:, None] + self.between[:, None]
        covariance = np.linalg.inv(inside)[:, self.of_size]
        root = np.linalg.inv(np.linalg.cholesky(inside))[:, self.of_size]
        centre = np.einsum("mgst,mgt->mgs", covariance, sums @ precision)
        noise = rng.standard_normal(centre.shape)
        self.effects = centre + np.einsum("mgst,mgs->mgt", root, noise)
        spread = self.prior + self.effects.transpose(0, 2, 1) @ self.effects
        self.between = _wishart(self.t + 2 + self.groups, spread, rng)


def _wishart(df: int, scale: Numbers, rng: np.random.Generator) -> Numbers:
    """Return draws (m, t, t) of Wishart with ``df`` and the inverse of ``scale``: precisions given sums of squares (Bartlett)."""
    m, t = scale.shape[:2]
    lower = np.zeros((m, t, t))
    rows, columns = np.tril_indices(t, -1)
    lower[:, rows, columns] = rng.standard_normal((m, len(rows)))
    lower[:, np.arange(t), np.arange(t)] = np.sqrt(rng.chisquare(df - np.arange(t), (m, t)))
    upper = np.linalg.inv(np.linalg.cholesky(scale)).transpose(0, 2, 1)
    factor = upper @ lower
    return np.asarray(factor @ factor.transpose(0, 2, 1))


def _fill(
    state: Numbers,
    mean: Numbers,
    precision: Numbers,
    blocks: list[tuple[slice, NDArray[np.int64], NDArray[np.int64]]],
    rng: np.random.Generator,
) -> None:
    """Draw the missing scores of each pattern given those seen."""
    for rows, gone, seen in blocks:
        inner = precision[:, gone[:, None], gone]
        centre = mean[:, rows, gone]
        if len(seen):
            away = state[:, rows, seen] - mean[:, rows, seen]
            slope = np.linalg.solve(inner, precision[:, gone[:, None], seen])
            centre = centre - away @ slope.transpose(0, 2, 1)
        root = np.linalg.inv(np.linalg.cholesky(inner))
        state[:, rows, gone] = centre + rng.standard_normal(centre.shape) @ root


def _r_hat(trace: Numbers) -> float:
    """Return Gelman and Rubin's R-hat of a quantity's trace (iterations, chains)."""
    length = len(trace)
    within = float(trace.var(axis=0, ddof=1).mean())
    if within == 0:
        return 1.0
    between = float(trace.mean(axis=0).var(ddof=1))
    return math.sqrt((length - 1) / length + between / within)


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))
