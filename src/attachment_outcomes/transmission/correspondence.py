"""How often does a child's attachment class correspond to the parent's, and how far beyond chance?

Vocabulary
----------
correspondence  the pair lies on the diagonal: Ds–A, F–B, E–C, U–D, or secure–secure and insecure–insecure
way             how classes are read (four, three or two of them); see :mod:`attachment_outcomes.measures.codes`
interrupted     the parent is insecure and the child secure
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import DataError, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.agreement import adjusted_residuals, expected
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.loglinear import LogLinear
from attachment_outcomes.inference.proportions import cluster_codes
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.measures.codes import CLASSES, FEARFUL_NOTE, FOUR_WAY, STYLES, check_codes, classes, unreadable
from attachment_outcomes.measures.targets import CODES, about_the_other, first_classes
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.relations import pairs
from attachment_outcomes.transmission.table_estimates import ANALYSIS, row_shares, table_estimates
from attachment_outcomes.transmission.tables import Table, class_tables

_CELL = {"system": "str", "way": "str", "parent_class": "str", "child_class": "str", "n": "int64"}
CELLS = {**_CELL, "share": "float64", "ci_low": "float64", "ci_high": "float64"}
RESIDUALS = {**_CELL, "expected": "float64", "residual": "float64"}
NUMBERS = {"n": "int64", "g2": "float64", "x2": "float64", "df": "int64", "p_value": "float64", "bic": "float64"}
FITS = {"system": "str", "way": "str", "model": "str", **NUMBERS, "method": "str", "note": "str"}
TABLES: Mapping[str, Mapping[str, str]] = {"concordance": CELLS, "residuals": RESIDUALS, "loglinear": FITS}
# Not how many: a note is not suppressed where a small count would be.
LEFT_OUT = "pairs without a class of both are left out"
COUNTED = "pairs without a class are left out and counted in the flow"
Count = Callable[..., None]


def analyse(data: TransmissionData) -> Part:
    """Compare the classes of parents and children in every way that the settings name."""
    settings = data.settings
    return _compared(
        data.pairs,
        data.classifications,
        parent_system=settings["parent_system"],
        child_system=settings["child_system"],
        ways=settings["ways"],
        count=data.count,
        ci_level=data.ci_level,
        rng=data.rng("exact test"),
        doubt=data.unchecked_cutoffs,
    )


Codes = Sequence[object] | npt.NDArray[Any] | pd.Series | pd.DataFrame


def concordance(
    parent: Codes,
    child: Codes,
    *,
    way: str,
    parent_system: str = "AAI",
    child_system: str = "SSP",
    clusters: Sequence[object] | None = None,
    primary: bool = True,
    ci_level: float = CI_LEVEL,
    rng: np.random.Generator | None = None,
) -> list[Estimate]:
    """Estimate how a child's class corresponds to the parent's, read in one way.

    Parameters
    ----------
    parent, child : (n,) sequences of codes, or DataFrames
        One entry a pair, in the coding system's own codes (``F2``, ``U/F``, ``B``, or the plain words secure and
        insecure), or frames with the columns ``primary`` and, where there are any, ``secondary`` and ``forced``.
        Pairs in which either has no class in this way are left out, which ``note`` says; how many is seen from ``n``.
    way : {"4-way", "3-way", "2-way, unresolved insecure", "2-way, forced", "2-way, disorganised"}
        How classes are read.
    parent_system, child_system : {"AAI", "SSP", "AQS", "styles"}
        Coding systems.
    clusters : (n,) sequence, optional
        What pairs share (a family). If a cluster holds more than one pair, intervals are those of the effective number of
        independent pairs, with t on G − 1 degrees of freedom; see :mod:`attachment_outcomes.inference.association`.
    primary : bool
        Marks the rows as the primary definition.
    ci_level : float
        Confidence level of the intervals.
    rng : numpy Generator, optional
        For an exact test of a table larger than 2 x 2 with an expected count below 5.

    Returns
    -------
    list of Estimate
        analysis ``concordance``, outcome ``<parent_system>-<child_system>``, definition ``way``:

        - ``agreement`` (Wilson), ``chance_agreement``, ``kappa`` (Fisher's z) and ``pabak``;
        - ``cramers_v`` with the p value of independence (chi-square, or Fisher's exact test if an expected count is below 5),
          ``cramers_v_corrected``, ``lambda`` and ``uncertainty_coefficient`` of the child's class given the parent's;
        - ``bowker`` and ``stuart_maxwell``, tests of symmetry and of equal margins;
        - ``row_share``, P(child's class | parent's) with Wilson's interval, one row a cell (``group``);
        - ``lack_of_fit`` and ``bic`` of log-linear models (``group``).

        In the two-class ways also ``prevalence_index``, ``bias_index`` and ``phi``; ``odds_ratio`` (Woolf), ``risk_difference``
        (Newcombe) and ``risk_ratio`` (Koopman) of the child being in the second class (*insecure*, or disorganised), parents in
        the second against parents in the first; ``interrupted``, the share of children in the first class whose parent is in
        the second; and, with families, ``logistic_odds_ratio``, of a logistic regression with CR2 errors.
        ``n`` is the number of pairs, of shares of a row the parents in it. A way that has no meaning for a system, and one in
        which no pair has both classes, is one row ``not testable``.

    Raises
    ------
    DataError
        If the two differ in length, or a code is not the system's.
    ConfigError
        If the system or the way is not known.

    References
    ----------
    van IJzendoorn, M. H. (1995). Psychological Bulletin, 117, 387-403.

    Examples
    --------
    >>> rows = concordance(["F", "Ds", "F", "E"], ["B", "A", "A", "C"], way="3-way")
    >>> {r.estimand: r.estimate for r in rows}["agreement"]
    0.75
    """
    outcome = f"{parent_system}-{child_system}"
    if reason := unreadable(parent_system, way) or unreadable(child_system, way):
        return [replace(not_testable(ANALYSIS, reason, outcome=outcome), definition=way)]
    first, second = _frame(parent, "parent"), _frame(child, "child")
    n = len(first)
    if n != len(second):
        raise DataError(problem("concordance", f"{n} parents but {len(second)} children; they must be pairs."))
    rows, _ = classes(first, system=parent_system, way=way)
    columns, _ = classes(second, system=child_system, way=way)
    used = (rows.notna() & columns.notna()).to_numpy(dtype=bool)
    groups = np.arange(n) if clusters is None else cluster_codes(clusters, n=n, missing="refuse")
    note = "" if used.all() else LEFT_OUT
    names, column_names = CLASSES[parent_system][way], CLASSES[child_system][way]
    tables = class_tables(rows[used], columns[used], row_classes=names, column_classes=column_names, groups=groups[used])
    estimates, _ = table_estimates(
        tables, outcome=outcome, way=way, primary=primary, ci_level=ci_level,
        note="; ".join(filter(None, [_doubt(parent_system, child_system, way), note])), rng=rng,
    )  # fmt: skip
    return [*estimates, *_row_shares(tables, estimates[0], names, column_names)]


def _row_shares(tables: Table, like: Estimate, parents: Sequence[str], children: Sequence[str]) -> Iterator[Estimate]:
    """Yield the shares of each row as estimates; none of an empty table."""
    if tables.sum() == 0:
        return
    totals = tables.sum(axis=(0, 2))
    for parent, total, row in zip(parents, totals, row_shares(tables, ci_level=like.ci_level), strict=True):
        for child, found in zip(children, row, strict=True):
            yield replace(
                like, estimand="row_share", group=f"parent {parent}, child {child}", estimate=found.estimate, n=int(total),
                std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, note=found.note,
            )  # fmt: skip


def _frame(codes: Codes, name: str) -> pd.DataFrame:
    if isinstance(codes, pd.DataFrame):
        if "primary" not in codes:
            raise DataError(problem(name, f"has no column 'primary'; it has {', '.join(map(str, codes.columns))}."))
        return codes.reset_index(drop=True)
    return pd.DataFrame({"primary": pd.Series(list(codes), dtype="str")})


def between_generations(
    relations: pd.DataFrame,
    classifications: pd.DataFrame,
    *,
    parent_system: str = "AAI",
    child_system: str = "SSP",
    ways: Sequence[str],
    flow: Flow,
    ci_level: float = CI_LEVEL,
    rng: np.random.Generator | None = None,
) -> Part:
    """Estimate the correspondence between parents and children of a study in each of several ways.

    Parameters
    ----------
    relations, classifications : DataFrame
        Canonical tables. Of each person the first classification in the system counts; a child's classification about
        the parent of the pair (``about_person_id``) goes before one about nobody in particular.
    parent_system, child_system : {"AAI", "SSP", "AQS", "styles"}
        Coding systems. A way that has no meaning for one of them is a row ``not testable``.
    ways : sequence of str
        Ways to read the classes; the first is primary.
    flow : Flow
        Takes the pairs left out, with reasons, one line a step and way.
    ci_level, rng
        As for :func:`concordance`.

    Returns
    -------
    Part
        ``estimates``: rows of :func:`concordance` for each way; pairs linked through people or families are one cluster.
        ``tables``: ``concordance`` and ``residuals``, counts of every cell, and with expected counts and adjusted standardised
        residuals; ``loglinear``, lack of fit of each model.

    Raises
    ------
    DataError
        If relations run in a loop, or a person's first classification is ambiguous.
    """
    return _compared(
        pairs(relations, flow=flow),
        classifications,
        parent_system=parent_system,
        child_system=child_system,
        ways=ways,
        count=flow.add,
        ci_level=ci_level,
        rng=rng,
    )


def _compared(
    table: pd.DataFrame,
    classifications: pd.DataFrame,
    *,
    parent_system: str,
    child_system: str,
    ways: Sequence[str],
    count: Count,
    ci_level: float,
    rng: np.random.Generator | None,
    doubt: str = "",
) -> Part:
    system = f"{parent_system}-{child_system}"
    parent = about_the_other(table["parent"], table["child"], first_classes(classifications, parent_system))
    child = about_the_other(table["child"], table["parent"], first_classes(classifications, child_system))
    with_parent = parent["found"].to_numpy(dtype=bool)
    with_both = with_parent & child["found"].to_numpy(dtype=bool)
    count(f"parent classified ({parent_system})", len(table), int(with_parent.sum()), "parent not classified", unit="pairs")
    count(f"child classified ({child_system})", int(with_parent.sum()), int(with_both.sum()), "child not classified", unit="pairs")
    if not with_both.any():
        reason = f"no parent–child pair has both a parent's {parent_system} and a child's {child_system} classification"
        return Part([not_testable(ANALYSIS, reason, outcome=system)], {})

    parent, child, cluster = parent[with_both], child[with_both], table["cluster"].to_numpy()[with_both]
    estimates: list[Estimate] = []
    cells: list[pd.DataFrame] = []
    fits: list[pd.DataFrame] = []
    for way in ways:
        if reason := unreadable(parent_system, way) or unreadable(child_system, way):
            estimates.append(replace(not_testable(ANALYSIS, reason, outcome=system), definition=way))
            continue
        try:
            rows, _ = _counted(parent, parent_system, way, f"parent's class, {way}", count)
            columns, used = _counted(child[rows.notna()], child_system, way, f"child's class, {way}", count)
        except DataError:
            # Its rows are of pairs; somebody who looks for the code needs those of the table.
            for read in (parent_system, child_system):
                check_codes(classifications, system=read, way=way)
            raise
        kept = columns.index[used]
        groups = np.unique(cluster[child.index.get_indexer(kept)], return_inverse=True)[1]
        names, column_names = CLASSES[parent_system][way], CLASSES[child_system][way]
        tables = class_tables(rows[kept], columns[kept], row_classes=names, column_classes=column_names, groups=groups)
        note = COUNTED if len(kept) < len(table) else ""
        found, models = table_estimates(
            tables, outcome=system, way=way, primary=way == ways[0], ci_level=ci_level,
            note="; ".join(filter(None, [_doubt(parent_system, child_system, way), doubt, note])), rng=rng,
        )  # fmt: skip
        estimates += found
        cells.append(_cell_rows(tables, system, way, names, column_names, ci_level))
        fits.append(_fit_rows(models, system, way, int(tables.sum())))
    return Part(
        estimates, {"concordance": stacked(cells, CELLS), "residuals": stacked(cells, RESIDUALS), "loglinear": stacked(fits, FITS)}
    )


def _doubt(parent_system: str, child_system: str, way: str) -> str:
    """Return what is doubtful about the diagonal: fearful beside unresolved or disorganised."""
    return FEARFUL_NOTE if way == FOUR_WAY and (parent_system == STYLES) != (child_system == STYLES) else ""


def _fit_rows(models: Sequence[LogLinear], system: str, way: str, n: int) -> pd.DataFrame:
    rows = [
        {"system": system, "way": way, "model": m.model, "n": n, "g2": m.g2, "x2": m.x2, "df": m.df, "p_value": m.p_value,
         "bic": m.bic, "method": m.method, "note": m.note}
        for m in models
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _counted(frame: pd.DataFrame, system: str, way: str, step: str, count: Count) -> tuple[pd.Series, npt.NDArray[np.bool_]]:
    """Read the classes, and record each reason for which a pair has none."""
    labels, excluded = classes(frame[CODES], system=system, way=way)
    left = len(frame)
    for reason, n in excluded.items():
        count(step, left, left - n, reason, unit="pairs")
        left -= n
    return labels, labels.notna().to_numpy(dtype=bool)


def _cell_rows(tables: Table, system: str, way: str, rows: Sequence[str], columns: Sequence[str], ci_level: float) -> pd.DataFrame:
    """Return a row a cell: what was counted, its share of the parent's class, and what independence would give.

    Row shares belong beside the counts, where they are hidden with them; among the estimates they would give small counts back.
    """
    table = tables.sum(axis=0)
    full = table.sum() > 0
    nothing = np.full(table.shape, np.nan)
    found = [share for row in row_shares(tables, ci_level=ci_level) for share in row] if full else []
    numbers = [(x.estimate, x.ci_low, x.ci_high) for x in found] or [(np.nan, np.nan, np.nan)] * table.size
    return pd.DataFrame(
        {
            "system": system,
            "way": way,
            "parent_class": np.repeat(rows, len(columns)),
            "child_class": np.tile(columns, len(rows)),
            "n": table.ravel(),
            **dict(zip(("share", "ci_low", "ci_high"), np.array(numbers).T, strict=True)),
            "expected": (expected(table) if full else nothing).ravel(),
            "residual": (adjusted_residuals(table) if full else nothing).ravel(),
        }
    )
