r"""Does the grandparent's class say anything about the child's once the parent's is known? Tests of a first-order chain.

Tables are counts (S, R, C): strata (the parent's classes), rows (the grandparent's) and columns (the child's). The hypothesis is
that rows and columns are independent within every stratum; expected counts are
:math:`e_{src} = n_{sr\cdot}n_{s\cdot c}/n_{s\cdot\cdot}`.

Vocabulary
----------
first-order chain   a child's class depends on the parent's only (Markov)
omnibus             against any departure within any stratum
Cochran–Mantel–Haenszel  against departures that point the same way in all strata
conditional kappa   agreement of rows and columns within strata beyond chance there
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.proportions import check_generator, cluster_codes

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

DRAWS = 9999
FAMILIES = (
    3  # for each degree of freedom, below which signs of families reject too often (validation/recovery/generations_families)
)
ROUNDING = 1e-9  # relative: sums of the same numbers in another order are ties
NOTHING = "not defined: in no stratum do rows and columns both differ"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionalIndependence:
    """Tests of independence within strata. ``*_p`` are large-sample, ``*_exact`` come from random tables or signs (NaN without)."""

    n: int
    df: int
    g2: float
    g2_p: float
    g2_exact: float
    x2: float
    x2_p: float
    x2_exact: float
    cmh: float
    cmh_df: int
    cmh_p: float
    cmh_exact: float
    kappa: float
    kappa_exact: float
    smallest_expected: float
    exact: str
    note: str = ""


def strata(table: npt.ArrayLike) -> Counts:
    """Return a table (S, R, C) as whole counts.

    Raises
    ------
    StatisticsError
        If it has not three axes of at least 1, 2 and 2, holds missing, negative or fractional counts, or is empty.
    """
    try:
        array = np.asarray(table, dtype=np.float64)
    except (TypeError, ValueError):
        raise StatisticsError(problem("stratified table", "counts are not numbers.")) from None
    if array.ndim != 3 or array.shape[0] < 1 or min(array.shape[1:]) < 2:
        raise StatisticsError(
            problem("stratified table", f"found shape {array.shape}; allowed: strata x rows x columns, at least 1 x 2 x 2.")
        )
    if not np.isfinite(array).all() or (array < 0).any() or (array != np.round(array)).any():
        raise StatisticsError(problem("stratified table", "a count is missing, negative or fractional."))
    if array.sum() == 0:
        raise StatisticsError(problem("stratified table", "is empty: all counts are 0."))
    return array.astype(np.int64)


def fitted(table: npt.ArrayLike) -> Numbers:
    """Return the counts expected under independence within strata, row x column total / stratum's total; leading axes stay."""
    array = np.asarray(table, dtype=np.float64)
    rows, columns, whole = array.sum(axis=-1), array.sum(axis=-2), array.sum(axis=(-2, -1))
    product = rows[..., :, None] * columns[..., None, :]
    out: Numbers = np.divide(product, whole[..., None, None], out=np.zeros_like(product), where=whole[..., None, None] > 0)
    return out


def conditional_kappa(table: npt.ArrayLike) -> Numbers:
    r"""Return the agreement of rows and columns within strata beyond chance there; leading axes (replicates) stay.

    .. math:: \kappa_c = \frac{\sum_s\sum_k (n_{skk} - e_{skk})}{\sum_s (n_{s\cdot\cdot} - \sum_k e_{skk})}

    Cohen's kappa with the agreement that a first-order chain would have in place of chance; 0 for such a chain, 1 if rows and
    columns always agree. NaN if every stratum has one class only.
    """
    array = np.asarray(table, dtype=np.float64)
    chance = np.trace(fitted(array), axis1=-2, axis2=-1).sum(axis=-1)
    seen = np.trace(array, axis1=-2, axis2=-1).sum(axis=-1)
    room = array.sum(axis=(-3, -2, -1)) - chance
    out: Numbers = np.divide(seen - chance, room, out=np.full(np.shape(room), math.nan), where=room > ROUNDING)
    return out


def conditional_independence(
    table: npt.ArrayLike,
    *,
    rng: np.random.Generator | None = None,
    draws: int = DRAWS,
) -> ConditionalIndependence:
    r"""Test that rows and columns are independent within strata.

    .. math::

        G^2 = 2\sum n\ln(n/e), \quad X^2 = \sum (n - e)^2/e, \quad
        M^2 = D'V^{-1}D, \; D = \sum_s (n_s - e_s)

    G² and X² have :math:`\sum_s (R_s - 1)(C_s - 1)` degrees of freedom, over rows and columns that are not empty in the stratum;
    M² (Cochran–Mantel–Haenszel, generalised to R x C) has at most (R − 1)(C − 1).

    Parameters
    ----------
    table : (S, R, C) counts
        Strata, rows and columns. For :attr:`kappa` rows and columns list corresponding classes in the same order.
    rng
        For the exact p values: ``draws`` random tables with the margins of each stratum (a shuffle of children among parents
        of one class), p = (1 + tables at least as extreme) / (1 + draws). Without it they are NaN.
    draws
        How many.

    Returns
    -------
    ConditionalIndependence
        NaN with a note where no stratum has two rows and two columns. ``kappa_exact`` is two-sided.

    Raises
    ------
    StatisticsError
        If the table is not one of counts.

    References
    ----------
    Anderson, T. W., & Goodman, L. A. (1957). Annals of Mathematical Statistics, 28, 89-110 (order of a chain).
    Landis, J. R., Heyman, E. R., & Koch, G. G. (1978). International Statistical Review, 46, 237-254 (generalised M²).
    Agresti, A. (1992). Statistical Science, 7, 131-153 (exact conditional tests).
    """
    counts = strata(table)
    fit = fitted(counts)
    weight, cmh_df = _cmh_weight(counts)
    if not _df(counts):
        return _undefined(counts)
    seen = _statistics(counts[None].astype(float), fit, weight)
    exact = np.full(4, math.nan)
    if rng is not None:
        check_generator(rng, place="conditional independence")
        drawn = np.stack([_random_tables(s, rng, draws) for s in counts], axis=1)
        exact = _tail(seen, _statistics(drawn, fit, weight))
    return _found(counts, fit, seen, cmh_df, exact, "shuffles within strata" if rng is not None else "")


def family_conditional_independence(
    codes: npt.ArrayLike,
    families: npt.ArrayLike,
    *,
    shape: tuple[int, int, int],
    rng: np.random.Generator,
    draws: int = DRAWS,
) -> ConditionalIndependence:
    r"""Test that rows and columns are independent within strata where families hold several units.

    X², M² and the conditional kappa are sums over families f of
    :math:`u_f = \sum_{i\in f}[s_i = s]([r_i = r] - \hat p_{r|s})([c_i = c] - \hat p_{c|s})`, which have mean 0 under the
    hypothesis. Their signs are turned at random, all of a family together, so that whatever units of a family share is kept.

    That needs families for every degree of freedom. With fewer than FAMILIES for each, one unit of each family, drawn by chance,
    is tested by :func:`conditional_independence`, which is exact and has less power.

    Parameters
    ----------
    codes : (n, 3) whole numbers
        Stratum, row and column of each unit.
    families : (n,) labels
        Units of one family stay together.
    shape
        Numbers of strata, rows and columns.
    rng, draws
        As for :func:`conditional_independence`.

    Returns
    -------
    ConditionalIndependence
        Without large-sample p values and without an exact p of G², all of which presume independent units. ``n`` and ``exact`` tell
        where it is of one unit a family.

    Raises
    ------
    StatisticsError
        If labels do not fit, or nothing is given.

    References
    ----------
    Kline, P., & Santos, A. (2012). Journal of Econometric Methods, 1, 23-41 (a score bootstrap by signs).
    """
    check_generator(rng, place="conditional independence")
    stratum, row, column = np.asarray(codes, dtype=np.int64).reshape(-1, 3).T
    family = cluster_codes(families, n=len(stratum), missing="refuse")
    counts = np.zeros(shape, dtype=np.int64)
    np.add.at(counts, (stratum, row, column), 1)
    counts = strata(counts)
    if not (df := _df(counts)):
        return _undefined(counts)
    if int(family.max()) + 1 < FAMILIES * df:
        order = rng.permutation(len(family))
        kept = order[np.unique(family[order], return_index=True)[1]]
        alone = np.zeros(shape, dtype=np.int64)
        np.add.at(alone, (stratum[kept], row[kept], column[kept]), 1)
        found = conditional_independence(alone, rng=rng, draws=draws)
        return replace(found, exact=f"{found.exact}, one unit a family" if found.exact else "")
    fit = fitted(counts)
    weight, cmh_df = _cmh_weight(counts)
    whole = np.maximum(counts.sum(axis=(1, 2)), 1)[:, None]
    by_row, by_column = counts.sum(axis=2) / whole, counts.sum(axis=1) / whole
    own = (np.eye(shape[1])[row] - by_row[stratum])[:, :, None] * (np.eye(shape[2])[column] - by_column[stratum])[:, None, :]
    scores = np.zeros((int(family.max()) + 1, *shape))
    np.add.at(scores, (family, stratum), own)
    # Families that are alike turn their signs as so many coins: a binomial draw for each kind of family is enough.
    kinds, many = np.unique(np.round(scores.reshape(len(scores), -1), 12), axis=0, return_counts=True)
    signs = 2.0 * rng.binomial(many, 0.5, size=(draws, len(many))) - many
    turned = (signs @ kinds).reshape(draws, *shape)
    seen = _statistics(counts[None].astype(float), fit, weight)
    exact = _tail(seen, _statistics(fit + turned, fit, weight, likelihood=False))
    found = _found(counts, fit, seen, cmh_df, exact, "signs of families")
    return replace(found, g2_p=math.nan, x2_p=math.nan, cmh_p=math.nan, g2_exact=math.nan)


def _df(counts: Counts) -> int:
    rows, columns = (counts.sum(axis=2) > 0).sum(axis=1), (counts.sum(axis=1) > 0).sum(axis=1)
    return int((np.maximum(rows - 1, 0) * np.maximum(columns - 1, 0)).sum())


def _undefined(counts: Counts) -> ConditionalIndependence:
    nan = math.nan
    return ConditionalIndependence(
        n=int(counts.sum()), df=0, g2=nan, g2_p=nan, g2_exact=nan, x2=nan, x2_p=nan, x2_exact=nan, cmh=nan, cmh_df=0, cmh_p=nan,
        cmh_exact=nan, kappa=float(conditional_kappa(counts)), kappa_exact=nan, smallest_expected=nan, exact="", note=NOTHING,
    )  # fmt: skip


def _cmh_weight(counts: Counts) -> tuple[Numbers, int]:
    """Return the generalised inverse of the covariance of the summed differences, all cells but the last row and column."""
    size = (counts.shape[1] - 1) * (counts.shape[2] - 1)
    variance = np.zeros((size, size))
    for stratum in counts.astype(float):
        n = stratum.sum()
        if n > 1:
            rows, columns = stratum.sum(axis=1)[:-1], stratum.sum(axis=0)[:-1]
            variance += np.kron(np.diag(rows) * n - np.outer(rows, rows), np.diag(columns) * n - np.outer(columns, columns)) / (
                n**2 * (n - 1)
            )
    return np.linalg.pinv(variance, rcond=1e-10, hermitian=True), int(np.linalg.matrix_rank(variance, tol=1e-9))


def _statistics(tables: Numbers, fit: Numbers, weight: Numbers, *, likelihood: bool = True) -> Numbers:
    """Return G², X², M² and the excess of agreement of tables (b, S, R, C) with the same margins: (b, 4)."""
    apart = tables - fit
    inside = fit > 0
    x2 = np.divide(apart**2, fit, out=np.zeros_like(apart), where=inside).sum(axis=(1, 2, 3))
    g2 = np.full(len(tables), math.nan)
    if likelihood:
        g2 = 2 * special.xlogy(tables, np.divide(tables, fit, out=np.ones_like(apart), where=inside)).sum(axis=(1, 2, 3))
    summed = apart.sum(axis=1)
    cells = summed[:, :-1, :-1].reshape(len(tables), -1)
    m2 = ((cells @ weight) * cells).sum(axis=1)
    return np.column_stack([np.maximum(g2, 0.0), x2, m2, np.abs(np.trace(summed, axis1=1, axis2=2))])


def _random_tables(stratum: Counts, rng: np.random.Generator, draws: int) -> Numbers:
    """Return random tables with the margins of one stratum; a stratum whose table is settled by its margins comes back as it is."""
    rows, columns = stratum.sum(axis=1), stratum.sum(axis=0)
    if (rows > 0).sum() < 2 or (columns > 0).sum() < 2:
        return np.broadcast_to(stratum.astype(float), (draws, *stratum.shape))
    return np.asarray(stats.random_table(rows, columns).rvs(draws, random_state=rng), dtype=float)


def _tail(seen: Numbers, drawn: Numbers) -> Numbers:
    least = seen[0] - ROUNDING * np.maximum(np.abs(seen[0]), 1.0)
    return np.asarray((1 + (drawn >= least).sum(axis=0)) / (1 + len(drawn)), dtype=float)


def _found(counts: Counts, fit: Numbers, seen: Numbers, cmh_df: int, exact: Numbers, how: str) -> ConditionalIndependence:
    df = _df(counts)
    g2, x2, m2 = (float(v) for v in seen[0, :3])
    square = counts.shape[1] == counts.shape[2]
    return ConditionalIndependence(
        n=int(counts.sum()), df=df, g2=g2, g2_p=float(stats.chi2.sf(g2, df)), g2_exact=float(exact[0]), x2=x2,
        x2_p=float(stats.chi2.sf(x2, df)), x2_exact=float(exact[1]), cmh=m2, cmh_df=cmh_df,
        cmh_p=float(stats.chi2.sf(m2, cmh_df)), cmh_exact=float(exact[2]),
        kappa=float(conditional_kappa(counts)) if square else math.nan, kappa_exact=float(exact[3]) if square else math.nan,
        smallest_expected=float(fit[fit > 0].min()), exact=how,
    )  # fmt: skip
