"""Do the results keep to the limits that the study set beforehand, but for the failures that it foretold?

A value is within its limits if they reach it with two Monte-Carlo errors to either side: a method that is exact must not fail
by the luck of the repetitions. A failure that is foretold (a method known to break down there) has to happen: if it does not,
either the reason or the study is wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import problem
from attachment_outcomes.simulate.recovery.study import RecoveryStudy

ALLOWED_ERRORS = 2.0  # Monte-Carlo errors beyond a limit that are let pass


def disagreements(results: pd.DataFrame, study: RecoveryStudy) -> list[str]:
    """Return, in words, every value beyond its limits that was not foretold, every foretold one that is not, and idle limits.

    Parameters
    ----------
    results
        From :func:`~attachment_outcomes.simulate.recovery.measures.performance`.
    study
        The study, with its ``limits`` and ``expected_to_fail``.
    """
    slack = ALLOWED_ERRORS * results["mc_error"].to_numpy(dtype=float)
    value = results["value"].to_numpy(dtype=float)
    beyond = np.zeros(len(results), dtype=bool)
    text = np.full(len(results), "", dtype=object)
    found = []
    for limit in study.limits:
        low, high = limit["within"]
        meant = _meant(results, limit)
        if not meant.any():
            found.append(problem(f"study {study.name}", f"a limit of {limit['measure']} applies to no result."))
        out = meant & ((value + slack < low) | (value - slack > high))
        beyond |= out
        text[out] = f"not within {low:g} and {high:g}"
    foretold = np.zeros(len(results), dtype=bool)
    for entry in study.expected_to_fail:
        meant = _meant(results, entry)
        foretold |= meant
        if not (meant & beyond).any():
            what = f"{entry['measure']} was expected to fail ({entry['reason']}) and does not."
            found.append(problem(f"study {study.name}", what))
    for i in np.flatnonzero(beyond & ~foretold):
        row = results.iloc[i]
        where = ", ".join([*(f"{p} {row[p]}" for p in study.grid), str(row["target"]), str(row["method"])])
        found.append(f"{study.name}: {where}: {row['measure']} {row['value']:.4g} (error {row['mc_error']:.2g}) is {text[i]}.")
    return found


def _meant(results: pd.DataFrame, entry: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Return which results an entry of the limits or the foretold failures is about."""
    conditions = {"measure": [entry["measure"]], **entry.get("where", {})}
    conditions |= {column: entry[key] for key, column in (("targets", "target"), ("methods", "method")) if key in entry}
    keep = np.ones(len(results), dtype=bool)
    for column, allowed in conditions.items():
        keep &= results[column].isin(list(allowed)).to_numpy(dtype=bool)
    return keep
