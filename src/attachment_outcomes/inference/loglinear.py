r"""Which log-linear model of a square table holds: are the classes independent, alike off the diagonal, symmetric?

Vocabulary
----------
independence        rows and columns have nothing to do with each other
quasi-independence  nothing to do with each other among those off the diagonal; the diagonal is fitted as it is
symmetry            moving from class i to j is as common as from j to i
quasi-symmetry      symmetric but for the margins: the association alone is symmetric
lack of fit         :math:`G^2 = 2\sum n\log(n/m)` and :math:`X^2 = \sum(n - m)^2/m` of counts n and fitted counts m
forced zero         an empty cell that is empty in every table with the sums that the model fits, so that it is fitted as 0
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.inference.agreement import SMALL_EXPECTED, counts

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

INDEPENDENCE, QUASI_INDEPENDENCE = "independence", "quasi-independence"
SYMMETRY, QUASI_SYMMETRY = "symmetry", "quasi-symmetry"
MODELS = [INDEPENDENCE, QUASI_INDEPENDENCE, SYMMETRY, QUASI_SYMMETRY]
DRAWS = 999  # tables drawn from a fitted model behind a p value of a sparse table
ROUNDS = 5000
EXACT, CLOSE = 1e-12, 1e-5  # change of a fitted count, as a share of n, at which fitting stops: for the table, and for drawn ones
UNSETTLED = "not defined: the fit has not settled"
SATURATED = "not defined: with the cells that are filled the model fits every table"
APPROXIMATE = "an expected count is below 5: p is approximate"


@dataclass(frozen=True, slots=True)
class LogLinear:
    """A model's lack of fit. ``p_value`` is of :math:`X^2`; NaN with a note where the model fits every table."""

    model: str
    g2: float
    x2: float
    df: int
    p_value: float
    bic: float
    fitted: Numbers
    method: str
    note: str = ""


def loglinear(table: npt.ArrayLike, model: str, *, rng: np.random.Generator | None = None) -> LogLinear:
    r"""Fit a log-linear model to a square table by maximum likelihood and test whether it holds, by Pearson's :math:`X^2`.

    In sparse tables :math:`G^2` rejects models that hold too often, whether held against chi-square or against drawn tables
    (Koehler & Larntz, 1980; validation/recovery/loglinear.yaml). The models are weighed against each other by

    .. math:: BIC = G^2 - df\,\log n

    which is negative where the model is to be preferred to the table itself (Raftery, 1986). Degrees of freedom count only cells
    that can be filled: a class that nobody has, or a pair of cells that are both empty under symmetry, say nothing. Which cells
    these are is known before the fit (:func:`fillable`), not read off fitted counts that only approach 0.

    Parameters
    ----------
    table : (K, K) counts
        Rows and columns in the same order.
    model : {"independence", "quasi-independence", "symmetry", "quasi-symmetry"}
        See the module's vocabulary.
    rng : numpy Generator, optional
        For a p value by simulation (999 tables drawn from the fitted model, fitted again) where a fitted count is below 5;
        without it the chi-square p value is returned with a note.

    Raises
    ------
    StatisticsError
        If the table is not a square table of counts.
    ConfigError
        If the model is not one of the four.

    References
    ----------
    Agresti, A. (2013). Categorical Data Analysis (3rd ed.), chapter 11. Wiley. Koehler, K. J., & Larntz, K. (1980). Journal of the
    American Statistical Association, 75, 336-344. Raftery, A. E. (1986). American Sociological Review,
    51, 145-146.
    """
    if model not in MODELS:
        raise ConfigError(
            problem("log-linear model", f"found {model!r}; allowed: {', '.join(MODELS)}.{did_you_mean(model, MODELS)}")
        )
    array = counts(table).astype(np.float64)
    filled = fillable(array, model)
    fits, settled = FITS[model](array[None], filled[None], EXACT)
    fit, nan, df = fits[0], math.nan, _df(model, filled)
    if df < 1:
        return LogLinear(model, nan, nan, 0, nan, nan, fit, "maximum likelihood", SATURATED)
    g2, x2 = (float(f(array, fit)) for f in (deviance, pearson))
    if not settled[0]:
        return LogLinear(model, g2, x2, df, nan, nan, fit, "maximum likelihood", UNSETTLED)
    bic = g2 - df * math.log(array.sum())
    small = bool((fit[_tested(model, filled)] < SMALL_EXPECTED).any())
    if not small or rng is None:
        p_value = float(stats.chi2.sf(x2, df))
        return LogLinear(model, g2, x2, df, p_value, bic, fit, "chi-square", APPROXIMATE if small else "")
    drawn = _drawn(rng, fit)
    reached = pearson(drawn, FITS[model](drawn, fillable(drawn, model), CLOSE)[0]) >= x2 * (1 - 1e-9) - 1e-9
    return LogLinear(model, g2, x2, df, (1 + int(reached.sum())) / (DRAWS + 1), bic, fit, f"{DRAWS} tables from the model")


def deviance(tables: Numbers, fitted: Numbers) -> Numbers:
    """Return :math:`G^2` of each table."""
    inside = np.where(tables > 0, tables / np.where(fitted > 0, fitted, 1.0), 1.0)
    return np.asarray(np.maximum(2 * (tables * np.log(inside)).sum(axis=(-2, -1)), 0.0))


def pearson(tables: Numbers, fitted: Numbers) -> Numbers:
    """Return :math:`X^2` of each table."""
    safe = np.where(fitted > 0, fitted, 1.0)
    return np.asarray(np.where(fitted > 0, (tables - fitted) ** 2 / safe, 0.0).sum(axis=(-2, -1)))


def fillable(tables: npt.ArrayLike, model: str) -> Flags:
    r"""Return which cells of square tables (..., K, K) of counts a model can fill; the others are forced to 0.

    A cell is forced to 0 where every table of the same sums has it empty. An empty cell can be filled if a pair can be put into it
    and others be moved round, out of cells that are filled, until all sums are again what they were. Under quasi-independence
    such a round goes from rows to columns by any cell off the diagonal, and from columns to rows by those that are filled;
    under quasi-symmetry what is added to a cell is taken from its opposite, so that it goes from class to class, by cells whose
    opposites are filled.

    References
    ----------
    Fienberg, S. E., & Rinaldo, A. (2012). Maximum likelihood estimation in log-linear models. Annals of Statistics, 40, 996-1023.
    """
    filled: Flags = np.asarray(np.asarray(tables) > 0)
    back = np.swapaxes(filled, -1, -2)
    if model == INDEPENDENCE:
        rows, columns = (np.asarray(filled.any(axis=a)) for a in (-1, -2))
        return np.asarray(rows[..., :, None] & columns[..., None, :])
    if model == SYMMETRY:
        return np.asarray(filled | back)
    k = filled.shape[-1]
    off = ~np.eye(k, dtype=bool)
    if model == QUASI_SYMMETRY:
        return np.asarray(filled | (off & back & np.swapaxes(_reached(back & off), -1, -2)))
    steps = np.zeros((*filled.shape[:-2], 2 * k, 2 * k), dtype=bool)  # rows first, then columns
    steps[..., :k, k:], steps[..., k:, :k] = off, back & off
    return np.asarray(filled | (off & np.swapaxes(_reached(steps)[..., k:, :k], -1, -2)))


def _reached(steps: Flags) -> Flags:
    """Return from where (row) one comes to where (column) in any number of steps."""
    reached = steps | np.eye(steps.shape[-1], dtype=bool)
    for _ in range(math.ceil(math.log2(steps.shape[-1]))):
        reached = reached.astype(np.float64) @ reached.astype(np.float64) > 0
    return np.asarray(reached)


def _at_once(fit: Numbers) -> tuple[Numbers, Flags]:
    return fit, np.ones(fit.shape[:-2], dtype=bool)


def _independence(tables: Numbers, _: Flags, __: float) -> tuple[Numbers, Flags]:
    return _at_once(
        tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :] / tables.sum(axis=(-2, -1))[..., None, None]
    )


def _symmetry(tables: Numbers, _: Flags, __: float) -> tuple[Numbers, Flags]:
    return _at_once((tables + np.swapaxes(tables, -1, -2)) / 2)


def _quasi_independence(tables: Numbers, filled: Flags, close: float) -> tuple[Numbers, Flags]:
    """Fit the margins of what is off the diagonal."""
    off = 1 - np.eye(tables.shape[-1])
    fit, settled = _to_margins(filled * off, tables * off, close, symmetric=False)
    return fit + tables * np.eye(tables.shape[-1]), settled


def _quasi_symmetry(tables: Numbers, filled: Flags, close: float) -> tuple[Numbers, Flags]:
    """Fit the margins and the sums of each cell with its opposite."""
    return _to_margins(filled.astype(np.float64), tables, close, symmetric=True)


def _to_margins(fit: Numbers, tables: Numbers, close: float, *, symmetric: bool) -> tuple[Numbers, Flags]:
    """Fit by iterative proportional scaling (Deming & Stephan, 1940); tables that have settled are left alone.

    Returns the fitted tables, and which have settled. Where cells that are forced to 0 start there, each round takes a fixed share
    of the error away; where they did not, it would fall only like 1 over the number of rounds.
    """
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    sums = tables + np.swapaxes(tables, -1, -2)
    limit = close * max(float(tables.sum(axis=(-2, -1)).max()), 1.0)
    going = np.arange(len(fit))
    for _ in range(ROUNDS):
        before = fit[going]
        after = before * _over(rows[going], before.sum(axis=-1))[..., :, None]
        after = after * _over(columns[going], after.sum(axis=-2))[..., None, :]
        if symmetric:
            after = after * _over(sums[going], after + np.swapaxes(after, -1, -2))
        fit[going] = after
        going = going[np.abs(after - before).max(axis=(-2, -1)) > limit]
        if len(going) == 0:
            break
    settled = np.ones(len(fit), dtype=bool)
    settled[going] = False
    return fit, settled


def _over(wanted: Numbers, there: Numbers) -> Numbers:
    out: Numbers = np.zeros(there.shape)
    return np.divide(wanted, there, out=out, where=there > 0)


FITS: dict[str, Callable[[Numbers, Flags, float], tuple[Numbers, Flags]]] = {
    INDEPENDENCE: _independence,
    QUASI_INDEPENDENCE: _quasi_independence,
    SYMMETRY: _symmetry,
    QUASI_SYMMETRY: _quasi_symmetry,
}


def _tested(model: str, filled: Flags) -> Flags:
    """Return the cells that the model has something to say about."""
    return np.asarray(filled if model == INDEPENDENCE else filled & ~np.eye(len(filled), dtype=bool))


def _df(model: str, filled: Flags) -> int:
    """Return cells that can be filled less the parameters that they can tell."""
    return int(filled.sum()) - int(np.linalg.matrix_rank(_design(model, len(filled))[filled.ravel()]))


def _design(model: str, k: int) -> Numbers:
    """Return the model's columns of effects, a row a cell; more than are needed, since only the rank counts."""
    row, column = (np.repeat(np.eye(k), k, axis=0), np.tile(np.eye(k), (k, 1)))
    pair = np.array([[float({i, j} == {a, b}) for a in range(k) for b in range(a, k)] for i in range(k) for j in range(k)])
    diagonal = np.array([[float(i == j == a) for a in range(k)] for i in range(k) for j in range(k)])
    parts = {
        INDEPENDENCE: [row, column],
        QUASI_INDEPENDENCE: [row, column, diagonal],
        SYMMETRY: [pair],
        QUASI_SYMMETRY: [row, column, pair],
    }
    return np.column_stack(parts[model])


def _drawn(rng: np.random.Generator, fit: Numbers) -> Numbers:
    """Draw tables of the same n from the fitted model."""
    tables = rng.multinomial(round(fit.sum()), (fit / fit.sum()).ravel(), size=DRAWS)
    return tables.reshape(-1, *fit.shape).astype(np.float64)
