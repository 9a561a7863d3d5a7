"""What did observers code? Codings checked against their coding system, and brought to sessions and to segments.

Vocabulary
----------
coding       one number that one coder gave to one code in one session or segment
about        what is counted together: a family of codes, by the client unless the name says ``by the therapist``
counted      a coder counts in a session if one count at least is there; what is not written down then was not seen
segment      0 stands for the whole session where nobody divided it
placed       a coding that names its treatment, or whose client has a single one
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import DataError, problem, rows_text
from attachment_outcomes.rupture.observer.codes import COUNT, RATING, SIGNIFICANCE, CodingSystem

PLACE = "observers' codings"
SESSION = ["person_id", "treatment_id", "session_number"]
KEY = [*SESSION, "segment", "channel", "coder", "code"]
RUPTURE_RATINGS = ("withdrawal", "confrontation", "resolution")  # columns of the sessions table
BY_THERAPIST = " by the therapist"
WHOLE = 0  # segment of what was coded for the whole session
LARGEST = 2**53  # whole numbers above are not exact as decimals


def read_codings(observations: pd.DataFrame, system: CodingSystem) -> pd.DataFrame:
    """Check codings and return them with what each is about.

    Parameters
    ----------
    observations : frame
        Columns ``person_id``, ``session_number``, ``coder``, ``code``, ``value``; ``treatment_id``, ``segment`` and ``channel``
        where there are any. Rows without a value say nothing and are left out.
    system : CodingSystem
        Which codes there are and what each may be.

    Returns
    -------
    frame
        ``KEY`` (the segment 0 for a whole session, the channel filled in), ``kind`` (count, significance or rating), ``about``
        and ``value``.

    Raises
    ------
    DataError
        If a column or a key is absent; a code or channel is not one of the system's; a segment is not whole or below 1; a value
        is not a number, out of its range, or a count that is not whole; a rating stands in a segment; markers are counted both
        in segments and in whole sessions; or a coder coded the same twice. With the numbers of rows, never their content.
    """
    for column in ("person_id", "session_number", "coder", "code", "value"):
        if column not in observations.columns:
            raise DataError(problem(PLACE, f"no column {column!r}; there are {', '.join(map(str, observations.columns))}."))
    frame = observations.reset_index(drop=True)
    blank = pd.Series(pd.NA, index=frame.index)
    frame = pd.DataFrame({c: frame.get(c, blank) for c in [*KEY, "value"]})
    for column in ("person_id", "session_number", "coder", "code"):
        _refuse(frame[column].isna(), f"no {column}", "name client, session, coder and code of every row.")
    codes = system.codes
    known = frame["code"].isin(list(codes))
    _refuse(~known, f"a code that {system.name} does not have", f"allowed: {', '.join(_shown(system))}; map other names to them.")
    frame["segment"] = _segment(frame["segment"])
    values = pd.to_numeric(frame["value"], errors="coerce").astype("float64")
    _refuse(values.isna() & frame["value"].notna() | np.isinf(values), "a value is not a number", "leave what was not coded empty.")
    frame = frame.assign(value=values)[values.notna()]
    frame["kind"] = frame["code"].map({c.code: c.kind for c in codes.values()})
    low, high = (frame["code"].map({c.code: getattr(c, end) for c in codes.values()}).astype(float) for end in ("low", "high"))
    outside = (frame["value"] < low) | (frame["value"] > high)
    _refuse(outside, "a value is outside the range of its code", "counts are 0 or more; ratings have the range of config/observer.")
    fraction = (frame["kind"] == COUNT) & (frame["value"] % 1 != 0)
    _refuse(fraction, "a count is not a whole number", "give how often a marker was seen; means belong to ratings.")
    parted = frame["segment"] != WHOLE
    whole = "rate the whole session in a row without a segment."
    _refuse(parted & (frame["kind"] != COUNT), "a rating or significance stands in a segment", whole)
    frame["channel"] = _channel(frame, system)
    _refuse_mixed(frame)
    _refuse(frame.duplicated(KEY, keep=False), "a coder coded the same twice", "keep one value a coder, session, segment and code.")
    frame["about"] = _about(frame, system)
    words = dict.fromkeys(["person_id", "treatment_id", "coder", "code", "kind"], "str")
    frame = frame.astype({**words, "session_number": "Int64"})
    return frame[[*KEY, "kind", "about", "value"]].sort_values(KEY, kind="stable", ignore_index=True)


def _shown(system: CodingSystem) -> list[str]:
    return [c.code for c in system.codes.values() if c.kind != SIGNIFICANCE]


def _refuse(wrong: pd.Series, what: str, hint: str) -> None:
    if wrong.any():
        raise DataError(problem(PLACE, f"{what} in {rows_text([int(i) + 1 for i in wrong.index[wrong]])}.", hint=hint))


def _segment(given: pd.Series) -> pd.Series:
    """Return the numbers of segments, ``WHOLE`` where none is given."""
    number = pd.Series(pd.to_numeric(given, errors="coerce").to_numpy(dtype=float, na_value=np.nan), index=given.index)
    fine = (number >= 1) & (number < LARGEST) & (number % 1 == 0)
    _refuse(given.notna() & ~fine, "a segment is not a whole number from 1", "leave it empty for the whole session.")
    return number.fillna(WHOLE).astype("int64")


def _channel(frame: pd.DataFrame, system: CodingSystem) -> pd.Series:
    """Return whose behaviour each row codes; an empty channel is the family's first one."""
    filled = frame["channel"].astype(object)
    for code, rows in frame.groupby("code", sort=False).groups.items():
        channels = system.codes[str(code)].channels
        if not channels:
            filled[rows] = ""  # of a rating of the session there is one only
            continue
        given = frame.loc[rows, "channel"]
        wrong = given.notna() & ~given.isin(channels)
        _refuse(
            wrong, "a channel that its code does not have", f"strategies are the therapist's; allowed here: {', '.join(channels)}."
        )
        filled[rows] = given.astype(object).where(given.notna(), channels[0])
    return filled.astype("str")


def _refuse_mixed(frame: pd.DataFrame) -> None:
    counts = frame[frame["kind"] == COUNT]
    by = counts.groupby([*SESSION, "coder"], dropna=False)["segment"]
    mixed = (by.transform("min") == WHOLE) & (by.transform("max") > WHOLE)
    _refuse(mixed, "markers are counted in segments and in the whole session too", "give one of the two for a coder and session.")


def _about(frame: pd.DataFrame, system: CodingSystem) -> pd.Series:
    family = frame["code"].map({name: c.family or name for name, c in system.codes.items()})
    first = frame["code"].map({name: (c.channels or ("",))[0] for name, c in system.codes.items()})
    return family.where(frame["channel"] == first, family + BY_THERAPIST).astype("str")


def counted(codings: pd.DataFrame) -> pd.DataFrame:
    """Return ``SESSION, coder, about, segment, value``: how often a coder saw something, zeros filled in.

    A coder who counts in a session has looked at every segment that anybody counted there, for every family that this coder
    codes anywhere.
    """
    counts = codings[codings["kind"] == COUNT]
    if not len(counts):
        return pd.DataFrame({**{c: counts[c] for c in [*SESSION, "coder", "about", "segment"]}, "value": counts["value"]})
    sums = counts.groupby([*SESSION, "coder", "about", "segment"], dropna=False)["value"].sum().reset_index()
    looked = counts[[*SESSION, "coder"]].drop_duplicates()
    looked = looked.merge(counts[["coder", "about"]].drop_duplicates(), on="coder")
    looked = looked.merge(_segments(counts), on=SESSION)
    whole: pd.DataFrame = looked.merge(sums, how="left", on=[*SESSION, "coder", "about", "segment"])
    whole["value"] = whole["value"].fillna(0.0)
    return whole.sort_values([*SESSION, "about", "segment", "coder"], kind="stable", ignore_index=True)


def _segments(counts: pd.DataFrame) -> pd.DataFrame:
    """Return every segment of the sessions that were counted: from 1 to the last that anybody has, or the whole session."""
    last = counts.groupby(SESSION, dropna=False)["segment"].max().reset_index()
    n = last["segment"].clip(lower=1)
    rows = last.loc[last.index.repeat(n)].reset_index(drop=True)
    number = rows.groupby(SESSION, dropna=False).cumcount() + 1
    rows["segment"] = np.where(rows["segment"] == WHOLE, WHOLE, number)
    return rows


def session_ratings(codings: pd.DataFrame, system: CodingSystem) -> pd.DataFrame:
    """Return a row a coded session: its ratings, as means over the coders.

    Parameters
    ----------
    codings : frame
        From :func:`read_codings`.
    system : CodingSystem
        Its ratings are the columns.

    Returns
    -------
    frame
        ``person_id, treatment_id, session_number``, a column a rating (1 to 5, as the system has it), and ``n_coders``.
        ``withdrawal`` and ``confrontation`` that a coder did not rate as a whole are the largest significance of the client's
        markers of that family, and the lowest possible rating where the coder counted markers and saw none. Where markers were
        seen and nobody rated them, the rating is missing.
    """
    rated = codings[codings["kind"] == RATING][[*SESSION, "coder", "code", "value"]]
    derived = [largest_significance(codings, family, system) for family in system.ruptures if family in system.ratings]
    whole = pd.concat([rated, *derived], ignore_index=True).drop_duplicates([*SESSION, "coder", "code"])  # the coder's own first
    keys = codings[[*SESSION, "coder"]].drop_duplicates().groupby(SESSION, dropna=False, as_index=False).size()
    means = whole.groupby([*SESSION, "code"], dropna=False)["value"].mean().unstack("code")
    for name in system.ratings:
        if name not in means:
            means[name] = np.nan
    joined = keys.merge(means[list(system.ratings)].reset_index(), how="left", on=SESSION)
    return joined.rename(columns={"size": "n_coders"})[[*SESSION, *system.ratings, "n_coders"]]


@dataclass(frozen=True)
class Observed:
    """A study's codings by a system, all of them and ``placed``, and the ratings of the placed ones, a row a session."""

    system: CodingSystem
    codings: pd.DataFrame
    placed: pd.DataFrame
    rated: pd.DataFrame


def observe(
    observations: pd.DataFrame | None, system: CodingSystem, *, sessions: pd.DataFrame, treatments: pd.DataFrame
) -> Observed:
    """Check codings and place them: without a treatment they would be sessions of another treatment of the client.

    A coding that names no treatment belongs to the single one that its client has by the tables of sessions and treatments. It
    is not placed if there are several. Where sessions of the client name none either, it is one of these.
    """
    if observations is None:
        observations = pd.DataFrame(columns=[*KEY, "value"])
    key = SESSION[:2]
    pairs = pd.concat([sessions[key], treatments[key]]).drop_duplicates()
    pairs = pairs[~pairs["person_id"].isin(sessions.loc[sessions["treatment_id"].isna(), "person_id"])]
    pairs = pairs[pairs["treatment_id"].notna()]
    single = pairs.drop_duplicates("person_id", keep=False).set_index("person_id")["treatment_id"]
    if "person_id" in observations.columns:
        own = observations["person_id"].map(single).astype("str")
        given = observations["treatment_id"].astype("str") if "treatment_id" in observations.columns else own
        observations = observations.assign(treatment_id=given.fillna(own))
    codings = read_codings(observations, system)
    several = pairs.loc[pairs.duplicated("person_id"), "person_id"]
    placed = codings[codings["treatment_id"].notna() | ~codings["person_id"].isin(several)].reset_index(drop=True)
    return Observed(system, codings, placed, session_ratings(placed, system))


def filled_sessions(sessions: pd.DataFrame, rated: pd.DataFrame) -> pd.DataFrame:
    """Return the sessions table with ``withdrawal``, ``confrontation`` and ``resolution`` filled from codings where it has none.

    A session that was coded and is not in the table comes at its end, with these columns only. Codings must be placed.
    """
    names = [c for c in RUPTURE_RATINGS if c in rated]
    if not len(rated):
        return sessions
    wanted = rated[[*SESSION, *names]].astype({"session_number": "Int64"})
    some = sessions.loc[sessions["person_id"].isin(wanted["person_id"]), [*SESSION, *names]]  # few are coded, of very many
    both = some.reset_index().merge(wanted, how="outer", on=SESSION, suffixes=("", "_coded"))
    for name in names:
        both[name] = both[name].astype("float64").fillna(both.pop(f"{name}_coded").astype("float64"))
    there, new = both[both["index"].notna()], both[both["index"].isna()].drop(columns="index")
    filled = sessions.copy()
    filled.loc[there["index"].astype(sessions.index.dtype), names] = there[names].to_numpy()
    if not len(new):
        return filled
    return pd.concat([filled, new.reindex(columns=sessions.columns).astype(sessions.dtypes.to_dict())], ignore_index=True)


def largest_significance(codings: pd.DataFrame, family: str, system: CodingSystem) -> pd.DataFrame:
    """Return ``SESSION, coder, code`` (the family) and ``value``: how much its weightiest marker weighed.

    Where none was seen it is the lowest that the family can be rated, or that a marker can weigh where the system has no such
    rating.
    """
    own = codings[codings["about"] == family]
    by = [*SESSION, "coder"]
    seen = own[own["kind"] == COUNT].groupby(by, dropna=False)["value"].sum()
    weight = own[own["kind"] == SIGNIFICANCE].groupby(by, dropna=False)["value"].max()
    weights = [c.low for c in system.codes.values() if c.kind == SIGNIFICANCE and c.family == family]
    least = system.codes[family].low if family in system.ratings else min(weights, default=0.0)
    lowest = pd.Series(least, index=seen.index[seen == 0])
    found = weight.combine_first(lowest) if len(lowest) else weight
    return found.rename("value").reset_index().assign(code=family)[[*by, "code", "value"]]


def numbered(frame: pd.DataFrame, by: list[str]) -> npt.NDArray[np.int64]:
    """Return the rows' groups as numbers from 0, missing keys as a value of their own."""
    return np.asarray(frame.groupby(by, dropna=False, sort=True).ngroup(), dtype=np.int64)
