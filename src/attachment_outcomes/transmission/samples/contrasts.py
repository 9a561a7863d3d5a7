"""What do many class tables say, one by one? Kappa, phi and odds ratios of all tables at once.

A stack of tables has the shape (S, K, K): rows are parents (or the earlier time), columns children (or the later time). Each
function gives what :mod:`attachment_outcomes.inference.agreement` and ``two_by_two`` give for one table.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from attachment_outcomes.inference.two_by_two import HALDANE

Numbers = npt.NDArray[np.float64]
Tables = npt.NDArray[np.int64]


class Kappas(NamedTuple):
    """Kappa of each table with its error (Fleiss, Cohen and Everitt), p value of kappa = 0, agreement and chance agreement.

    ``single`` tells where one of the two readings has a single class: kappa is then 0 without an error, or NaN where both have.
    """

    kappa: Numbers
    std_error: Numbers
    p_value: Numbers
    agreement: Numbers
    chance: Numbers
    single: npt.NDArray[np.bool_]


def kappas(tables: Tables) -> Kappas:
    """Return Cohen's kappa of each of (S, K, K) tables; none may be empty."""
    n = tables.sum(axis=(1, 2))
    p = tables / n[:, None, None]
    rows, columns = p.sum(axis=2), p.sum(axis=1)
    observed = np.trace(p, axis1=1, axis2=2)
    chance = (rows * columns).sum(axis=1)
    single = ((rows > 0).sum(axis=1) == 1) | ((columns > 0).sum(axis=1) == 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(single, np.where(observed == 1, np.nan, 0.0), (observed - chance) / (1 - chance))
        inner = np.eye(tables.shape[1]) - (columns[:, :, None] + rows[:, None, :]) * (1 - value[:, None, None])
        spread = (p * inner**2).sum(axis=(1, 2)) - (value - chance * (1 - value)) ** 2
        null = chance + chance**2 - (rows * columns * (rows + columns)).sum(axis=1)
        scale = n * (1 - chance) ** 2
        error = np.where(single, np.nan, np.sqrt(np.maximum(spread, 0) / scale))
        null_error = np.where(single, np.nan, np.sqrt(np.maximum(null, 0) / scale))
        p_value = np.where(null_error > 0, 2 * stats.norm.sf(np.abs(value) / null_error), np.nan)
    return Kappas(value, error, p_value, observed, chance, single)


def phis(tables: Tables) -> Numbers:
    """Return phi of each of (S, 2, 2) tables; NaN where a row or column is empty."""
    cells = tables.astype(np.float64)
    a, b, c, d = cells[:, 0, 0], cells[:, 0, 1], cells[:, 1, 0], cells[:, 1, 1]
    spread = (a + b) * (c + d) * (a + c) * (b + d)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.clip((a * d - b * c) / np.sqrt(spread), -1.0, 1.0)
    exact = ((a == 0) & (d == 0)) | ((b == 0) & (c == 0))  # the classes determine each other: no rounding off 1
    return np.where(spread > 0, np.where(exact, np.sign(value), value), np.nan)


def log_odds_ratios(tables: Tables) -> tuple[Numbers, Numbers]:
    """Return the logarithm of ad / bc of each of (S, 2, 2) tables and its variance; NaN where a row or column is empty.

    A table with a zero, and only such a table, gets 0.5 in every cell.
    """
    zero = (tables == 0).any(axis=(1, 2))
    empty = (tables.sum(axis=1) == 0).any(axis=1) | (tables.sum(axis=2) == 0).any(axis=1)
    cells = tables + np.where(zero, HALDANE, 0.0)[:, None, None]
    log = np.log(cells[:, 0, 0] * cells[:, 1, 1] / (cells[:, 0, 1] * cells[:, 1, 0]))
    variance = (1 / cells).sum(axis=(1, 2))
    return np.where(empty, np.nan, log), np.where(empty, np.nan, variance)
