r"""Which log-linear model of a square table holds: are the classes independent, alike off the diagonal, symmetric?

Vocabulary
----------
independence        rows and columns have nothing to do with each other
quasi-independence  nothing to do with each other among those off the diagonal; the diagonal is fitted as it is
symmetry            moving from class i to j is as common as from j to i
quasi-symmetry      symmetric but for the margins: the association alone is symmetric
lack of fit         :math:`G^2 = 2\sum n\log(n/m)` and :math:`X^2 = \sum(n - m)^2/m` of counts n and fitted counts m
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

INDEPENDENCE, QUASI_INDEPENDENCE = "independence", "quasi-independence"
SYMMETRY, QUASI_SYMMETRY = "symmetry", "quasi-symmetry"
MODELS = [INDEPENDENCE, QUASI_INDEPENDENCE, SYMMETRY, QUASI_SYMMETRY]
DRAWS = 999  # tables drawn from a fitted model behind a p value of a sparse table
ROUNDS = 5000
EXACT, CLOSE = 1e-12, 1e-5  # change of a fitted count, as a share of n, at which fitting stops: for the table, and for drawn ones
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
    that can be filled: a class that nobody has, or a pair of cells that are both empty under symmetry, say nothing.

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
    fit = FITS[model](array[None], EXACT)[0]
    g2, x2 = (float(f(array, fit)) for f in (deviance, pearson))
    df = _df(model, fit)
    if df < 1:
        nan = math.nan
        return LogLinear(model, nan, nan, 0, nan, nan, fit, "maximum likelihood", SATURATED)
    bic = g2 - df * math.log(array.sum())
    small = bool((fit[_tested(model, fit)] < SMALL_EXPECTED).any())
    if not small or rng is None:
        p_value = float(stats.chi2.sf(x2, df))
        return LogLinear(model, g2, x2, df, p_value, bic, fit, "chi-square", APPROXIMATE if small else "")
    drawn = _drawn(rng, fit)
    reached = pearson(drawn, FITS[model](drawn, CLOSE)) >= x2 * (1 - 1e-9) - 1e-9
    return LogLinear(model, g2, x2, df, (1 + int(reached.sum())) / (DRAWS + 1), bic, fit, f"{DRAWS} tables from the model")


def deviance(tables: Numbers, fitted: Numbers) -> Numbers:
    """Return :math:`G^2` of each table."""
    inside = np.where(tables > 0, tables / np.where(fitted > 0, fitted, 1.0), 1.0)
    return np.asarray(np.maximum(2 * (tables * np.log(inside)).sum(axis=(-2, -1)), 0.0))


def pearson(tables: Numbers, fitted: Numbers) -> Numbers:
    """Return :math:`X^2` of each table."""
    safe = np.where(fitted > 0, fitted, 1.0)
    return np.asarray(np.where(fitted > 0, (tables - fitted) ** 2 / safe, 0.0).sum(axis=(-2, -1)))


def _independence(tables: Numbers, _: float) -> Numbers:
    fit: Numbers = (
        tables.sum(axis=-1)[..., :, None] * tables.sum(axis=-2)[..., None, :] / tables.sum(axis=(-2, -1))[..., None, None]
    )
    return fit


def _symmetry(tables: Numbers, _: float) -> Numbers:
    fit: Numbers = (tables + np.swapaxes(tables, -1, -2)) / 2
    return fit


def _quasi_independence(tables: Numbers, close: float) -> Numbers:
    """Fit the margins of what is off the diagonal."""
    off = 1 - np.eye(tables.shape[-1])
    fit = _to_margins(np.broadcast_to(off, tables.shape).copy(), tables * off, close, symmetric=False)
    return np.asarray(fit + tables * np.eye(tables.shape[-1]))


def _quasi_symmetry(tables: Numbers, close: float) -> Numbers:
    """Fit the margins and the sums of each cell with its opposite."""
    return _to_margins(np.ones_like(tables), tables, close, symmetric=True)


def _to_margins(fit: Numbers, tables: Numbers, close: float, *, symmetric: bool) -> Numbers:
    """Fit by iterative proportional scaling (Deming & Stephan, 1940); tables that have settled are left alone."""
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
    return fit


def _over(wanted: Numbers, there: Numbers) -> Numbers:
    out: Numbers = np.zeros(there.shape)
    return np.divide(wanted, there, out=out, where=there > 0)


FITS: dict[str, Callable[[Numbers, float], Numbers]] = {
    INDEPENDENCE: _independence,
    QUASI_INDEPENDENCE: _quasi_independence,
    SYMMETRY: _symmetry,
    QUASI_SYMMETRY: _quasi_symmetry,
}


def _tested(model: str, fit: Numbers) -> npt.NDArray[np.bool_]:
    """Return the cells that the model has something to say about."""
    used = fit > fit.sum() * 1e-9
    return np.asarray(used if model == INDEPENDENCE else used & ~np.eye(len(fit), dtype=bool))


def _df(model: str, fit: Numbers) -> int:
    """Return cells that can be filled less the parameters that they can tell."""
    used = (fit > fit.sum() * 1e-9).ravel()
    design = _design(model, len(fit))[used]
    return int(used.sum()) - int(np.linalg.matrix_rank(design))


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
