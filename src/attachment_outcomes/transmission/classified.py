"""Which class does each person have, wherever it comes from: a coder, a score with a cutoff, or a self-reported style?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, DataError, did_you_mean, problem
from attachment_outcomes.measures.codes import INSECURE, SECURE, STYLES
from attachment_outcomes.measures.targets import CODES, dimension

TYPES = {"person_id": "str", "about_person_id": "str", "wave": "Int64", "system": "str", **dict.fromkeys(CODES, "str")}
COLUMNS = list(TYPES)


def all_classifications(
    classifications: pd.DataFrame,
    scores: pd.DataFrame,
    styles: pd.DataFrame,
    *,
    cutoffs: Sequence[Mapping[str, Any]] = (),
    style: str | None = None,
) -> pd.DataFrame:
    """Return coders' classes, classes made from scores, and self-reported styles in one table.

    Parameters
    ----------
    classifications, scores : DataFrame
        Canonical tables.
    styles : DataFrame
        What scoring gives: person_id, wave, session_number, name, primary, style.
    cutoffs : sequence of mappings
        The study's ``transmission.security_cutoffs``: system, score, rater, wave, secure_from. A score *at* the point is secure,
        one below it insecure; a missing score is no class.
    style : str, optional
        Name of the styles to read; the primary ones by default. Of a wave with several sessions the first counts.

    Returns
    -------
    DataFrame
        ``COLUMNS``, one row a classification. Those made from a score have no wave: the score's occasion is the cutoff's.

    Raises
    ------
    ConfigError
        If a system has two cutoffs, or the style named is none of the study's.
    DataError
        If a system has both codes and a cutoff: which one holds is not told.
    """
    parts = [classifications.reindex(columns=COLUMNS)]
    own = set(classifications["system"].dropna())
    if len(styles):
        parts.append(_styles(styles, style))
        if STYLES in own:
            raise _twice(STYLES, "measures.styles")
    seen: set[str] = set()
    for cutoff in cutoffs:
        system = str(cutoff["system"])
        if system in seen:
            raise ConfigError(
                problem("transmission.security_cutoffs", f"{system} has two cutoffs; allowed: one a system.", hint="keep one.")
            )
        if system in own or (system == STYLES and len(styles)):
            raise _twice(system, "transmission.security_cutoffs")
        seen.add(system)
        parts.append(_from_score(scores, cutoff))
    return pd.concat([p for p in parts if len(p)] or parts[:1], ignore_index=True).astype(TYPES)


def _twice(system: str, setting: str) -> DataError:
    return DataError(
        problem(
            "classifications",
            f"has classes of {system}, which {setting} gives too: which one holds is not told.",
            hint=f"take {system} out of one of the two.",
        )
    )


def _styles(styles: pd.DataFrame, name: str | None) -> pd.DataFrame:
    names = list(dict.fromkeys(styles["name"]))
    if name is not None and name not in names:
        raise ConfigError(problem("transmission.style", f"found {name!r}; allowed: {', '.join(names)}.{did_you_mean(name, names)}"))
    rows = styles[styles["name"] == name] if name is not None else styles[styles["primary"].astype(bool)]
    rows = rows[rows["style"].notna()]
    who = ["person_id", "wave", "rater"] if "rater" in rows else ["person_id", "wave"]
    if "session_number" in rows:
        rows = rows.sort_values([*who, "session_number"], kind="stable", na_position="last").drop_duplicates(who)
    return rows.assign(primary=rows["style"], system=STYLES).reindex(columns=COLUMNS)


def _from_score(scores: pd.DataFrame, cutoff: Mapping[str, Any]) -> pd.DataFrame:
    rows = dimension(scores, score=cutoff["score"], rater=cutoff.get("rater", "observer"), wave=cutoff.get("wave", "first"))
    secure = rows["score"].to_numpy(dtype=float) >= float(cutoff["secure_from"])
    words = pd.Series(np.where(secure, SECURE, INSECURE), index=rows.index, dtype="str")
    return rows.assign(system=str(cutoff["system"]), primary=words).reindex(columns=COLUMNS)
