"""Which people are a couple, and what did both of them score at the same occasions?

Vocabulary
----------
couple          two partners; person_a is the first, as the study lists them
couple mean     mean of both partners' scores at one occasion; missing unless both have a score there
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from attachment_outcomes.errors import DataError, problem, rows_text
from attachment_outcomes.flow import Flow

KIND = "couple"
OCCASIONS = {"wave": "wave", "session": "session_number"}
COUPLE_COLUMNS = ["couple_id", "person_a", "person_b", "label"]


def couple_table(relations: pd.DataFrame, *, flow: Flow | None = None) -> pd.DataFrame:
    """Return the couples of a relations table: couple_id, person_a, person_b, label.

    ``couple_id`` is the family's id where it names one couple only, and otherwise both people's ids.

    Raises
    ------
    DataError
        If somebody is their own partner, or belongs to two couples.
    """
    is_couple = (relations["kind"] == KIND).to_numpy(dtype=bool)
    if flow is not None:
        flow.add("couples", len(relations), int(is_couple.sum()), "another kind of relation", unit="relations")
    rows = np.flatnonzero(is_couple) + 1
    out = relations[is_couple].reset_index(drop=True)
    own = (out["person_a"] == out["person_b"]).to_numpy(dtype=bool)
    if own.any():
        raise DataError(problem("relations", f"a person is their own partner in {rows_text(rows[own].tolist())}."))
    people = pd.concat([out["person_a"], out["person_b"]])
    twice = people.duplicated(keep=False).to_numpy(dtype=bool).reshape(2, -1).any(axis=0)
    if twice.any():
        raise DataError(
            problem(
                "relations",
                f"a person belongs to two couples in {rows_text(rows[twice].tolist())}.",
                hint="list a couple once, and of several keep the couple that is treated.",
            )
        )
    family = out["family_id"] if "family_id" in out else pd.Series(pd.NA, index=out.index, dtype="str")
    own_family = family.notna() & ~family.duplicated(keep=False)
    out["couple_id"] = family.where(own_family, out["person_a"] + "+" + out["person_b"])
    return out.reindex(columns=COUPLE_COLUMNS)


def couple_scores(
    couples: pd.DataFrame, scores: pd.DataFrame, *, score: str, rater: str = "self", occasions: str = "wave"
) -> pd.DataFrame:
    """Return both partners' scores at every occasion at which both have one: couple_id, occasion, score_a, score_b.

    A score about the partner goes before one about nobody in particular; those about third people are not used. If the
    score has no occasions at all, all its values belong to one.

    Raises
    ------
    DataError
        If a person has two values of the score at one occasion.
    """
    instrument, _, scale = score.partition(".")
    at = OCCASIONS[occasions]
    wanted = (scores["instrument"] == instrument) & (scores["scale"] == scale) & (scores["rater"] == rater)
    rows = scores[(wanted & scores["score"].notna()).to_numpy(dtype=bool)]
    if rows[at].isna().all():
        rows = rows.assign(**{at: pd.array([0] * len(rows), dtype="Int64")})
    rows = rows[rows[at].notna()]
    partner = dict(zip(couples["person_a"], couples["person_b"], strict=True))
    partner |= {b: a for a, b in partner.items()}
    about, other = rows["about_person_id"], rows["person_id"].map(partner)
    values = pd.DataFrame(
        {"person": rows["person_id"], "occasion": rows[at].astype("int64"), "score": rows["score"].astype("float64")}
    ).assign(specific=(about == other).fillna(False).astype(bool))
    values = values[(about.isna() | values["specific"]).to_numpy(dtype=bool)]
    specific = values.groupby(["person", "occasion"])["specific"].transform("any")
    values = values[values["specific"] | ~specific]
    doubled = int(values.duplicated(["person", "occasion"]).sum())
    if doubled:
        raise DataError(
            problem(
                f"scores, {score}",
                f"{doubled} people-{occasions}s hold more than one value.",
                hint="give each occasion its number.",
            )
        )
    columns = ["couple_id", "occasion", "score"]
    first = couples[["couple_id", "person_a"]].merge(values, left_on="person_a", right_on="person")[columns]
    second = couples[["couple_id", "person_b"]].merge(values, left_on="person_b", right_on="person")[columns]
    both = first.merge(second, on=["couple_id", "occasion"], suffixes=("_a", "_b"))
    return both[["couple_id", "occasion", "score_a", "score_b"]].sort_values(["couple_id", "occasion"], ignore_index=True)


def couple_means(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the couple mean at each occasion of :func:`couple_scores`: couple_id, occasion, mean."""
    return scores[["couple_id", "occasion"]].assign(mean=(scores["score_a"] + scores["score_b"]) / 2)


def baseline_and_end(
    couples: pd.DataFrame, means: pd.DataFrame, *, baseline: int | str = "first", end: int | str = "last"
) -> pd.DataFrame:
    """Return couples with ``pre`` and ``post``: couple means at baseline and at a later end, missing where there is none.

    ``first`` and ``last`` are a couple's own first and last occasion with both scores; a number names one occasion.
    """
    before = means if baseline == "first" else means[means["occasion"] == baseline]
    before = before.drop_duplicates("couple_id", keep="first").rename(columns={"mean": "pre", "occasion": "pre_at"})
    after = means if end == "last" else means[means["occasion"] == end]
    after = after.drop_duplicates("couple_id", keep="last").rename(columns={"mean": "post", "occasion": "post_at"})
    out = couples.merge(before, on="couple_id", how="left").merge(after, on="couple_id", how="left")
    start = out["pre_at"].fillna(baseline if isinstance(baseline, int) else -np.inf)
    out["post"] = out["post"].where(out["post_at"] > start)
    return out.drop(columns=["pre_at", "post_at"])
