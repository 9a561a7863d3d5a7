"""All specifications of what rupture and repair go with, what they say together, and whether chance alone could have made them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import NOT_TESTABLE, Estimate, not_testable
from attachment_outcomes.inference.specification_summary import spread, variance_shares
from attachment_outcomes.inference.steps import Part
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.effects.study import FIRST, adjustment, with_first_rating
from attachment_outcomes.rupture.effects.timing import LANDMARKS, end_sessions
from attachment_outcomes.rupture.specification.curve import CHOICES, COLUMNS, SESSIONS, TITLES, Compared, Curve, specification_table
from attachment_outcomes.rupture.specification.designs import ESTIMANDS
from attachment_outcomes.rupture.specification.readings import OWN, WHOLE, WINDOWS, Reading, readings
from attachment_outcomes.rupture.specification.readings import SESSIONS as LEAST
from attachment_outcomes.rupture.specification.reshuffle import PERMUTATIONS, Exchanged, exchange_of, reshuffle_curve
from attachment_outcomes.rupture.within.states import repair_next_session
from attachment_outcomes.rupture.within.study import asked, read_panel

Numbers = NDArray[np.float64]
ANALYSIS = "repair_specification"
NEXT = "repair_next_session"
TABLES: dict[str, dict[str, str]] = {"repair_specifications": COLUMNS}
NOT_USED = "not used"
POINTS = "score points"
METHOD = "over all specifications"
NOTES = {
    "share_above": "intervals wholly above 0: the first-named group ended better",
    "share_below": "intervals wholly below 0: the first-named group ended worse",
    "primary_rank": "share of specifications below the primary one, which was named beforehand",
    "n_specifications": "an estimate that two specifications share counts for each",
    "n_refused": "combinations that the data do not allow, or that make no sense; each with its reason in the table",
}


def analyse(data: RuptureData) -> Part:
    """Compare clients by rupture and repair in every way that could be defended.

    Settings (``rupture.specification``, all optional): ``windows`` and ``min_sessions`` (levels beside each criterion's own),
    ``adjustments`` (sets of covariates beside the study's ``adjust``) and ``permutations`` (0: no test). Criteria, landmarks and
    the outcome are the study's.

    Returns
    -------
    Part
        For every curve (``group``: the estimand, in points of improvement) the median, quartiles and extremes, ``share_above`` and
        ``share_below``, ``primary_rank``, ``n_specifications``, ``n_refused``, a ``variance_share`` a choice (``definition``), and
        three tests by exchange (``exchange_median``, ``exchange_share_significant``, ``exchange_combined_z``); and where the study
        names symptoms, the curve of ``repair_next_session``. Table ``repair_specifications``.
    """
    settings: Mapping[str, Any] = data.settings.get("specification") or {}
    people = data.ends.dropna(subset=["pre", "post"]).sort_index()
    if people.empty:
        raise StatisticsError(f"no client has {data.outcome} at start and end")
    joined = _joined(data)
    compared = _compared(data, people, joined)
    own = adjustment(data)
    adjustments = list(dict.fromkeys([own, *_named(settings), ("pre", SESSIONS), ("pre",)]))
    curve = specification_table(
        _read(data, joined, compared, list(people.index), settings), higher_is_better=data.higher_is_better, outcome=data.outcome,
        adjustments=adjustments, ci_level=data.ci_level,
    )  # fmt: skip
    permutations = int(settings.get("permutations", PERMUTATIONS))
    tested, rows = _test(data, curve, compared[0], adjustments, permutations) if permutations else ({}, [])
    table = _with_expected(curve, tested)
    for estimand in ESTIMANDS:
        part = table[(table["estimand"] == estimand).to_numpy(dtype=bool)]
        rows += _summary(part, estimand, data.outcome, POINTS, data.ci_level)
        if estimand in tested:
            rows += _exchange_rows(tested[estimand], estimand, data.outcome, data.ci_level)
    for name, reason in data.unread.items():
        rows.append(replace(not_testable(ANALYSIS, reason, outcome=data.outcome), definition=name))
    following, more = _next_session(data)
    return Part([*rows, *more], {"repair_specifications": pd.concat([table, following], ignore_index=True).astype(COLUMNS)})


def _named(settings: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [tuple(names) for names in settings.get("adjustments", [])]


def _compared(data: RuptureData, people: pd.DataFrame, joined: Sequence[pd.DataFrame]) -> list[Compared]:
    """Return the people of each criterion, all in the order of ``people``."""
    when = end_sessions(data)
    pre, post = (people[c].to_numpy(dtype=float) for c in ("pre", "post"))
    later = {}
    if when is not None:
        at = when.reindex(people.index).to_numpy(dtype=float)
        later = {int(s): np.where(at > s, post, np.nan) for s in data.settings.get("landmarks", LANDMARKS)}
    found = []
    for clients in joined:
        one = clients.set_index("client").reindex(people.index)
        covariates = {
            "pre": pre, SESSIONS: one[SESSIONS].to_numpy(dtype=float, na_value=np.nan), FIRST: one[FIRST].to_numpy(dtype=float),
        }  # fmt: skip
        therapist = pd.factorize(one["therapist_id"])[0].astype(np.int64)
        found.append(Compared(outcome=post, therapist=therapist, later=later, covariates=covariates))
    return found


def _joined(data: RuptureData) -> list[pd.DataFrame]:
    """Return each criterion's clients, one treatment a client, with the first rating."""
    return [data.with_outcome(with_first_rating(data, clients)) for clients in data.clients]


def _read(
    data: RuptureData, joined: Sequence[pd.DataFrame], compared: Sequence[Compared], people: list[str], settings: Mapping[str, Any]
) -> Iterator[tuple[Reading, Compared]]:
    landmarks = [int(s) for s in data.settings.get("landmarks", LANDMARKS)]
    windows, least = settings.get("windows", WINDOWS), settings.get("min_sessions", LEAST)
    for found, chosen, one in zip(data.detections, joined, compared, strict=True):
        for reading in readings(found, chosen, people, windows=windows, min_sessions=least, landmarks=landmarks):
            yield reading, one


def _test(
    data: RuptureData, curve: Curve, people: Compared, adjustments: Sequence[tuple[str, ...]], permutations: int
) -> tuple[dict[str, Exchanged], list[Estimate]]:
    """Return the tests of the curves by estimand, or why there are none."""
    names = curve.table["estimand"].to_numpy()
    pairs = [(int(f), ESTIMANDS.index(str(e))) for f, e in zip(curve.of_row, names, strict=True) if f >= 0]
    if not pairs:
        return {}, []
    used = [a for a in adjustments if any(f.adjust == a for f in curve.fits)]
    known = {name: v for name, v in people.covariates.items() if (v > 0 if name == SESSIONS else np.isfinite(v)).any()}
    complete = {name: np.where(np.isfinite(v), v, np.nanmean(v)) for name, v in known.items()}
    empty = np.empty((len(people.outcome), 0))
    try:
        # Other criteria may read other columns, and have clients where the primary one has none.
        lacking = [
            TITLES.get(a, a) for a in dict.fromkeys([SESSIONS, *(a for adjust in used for a in adjust)]) if a not in complete
        ]
        if lacking:
            raise StatisticsError(f"by the primary criterion nobody with an outcome has {' or '.join(lacking)}")
        columns = [np.column_stack([complete[a] for a in adjust]) if adjust else empty for adjust in used]
        exchange = exchange_of(people.outcome, columns, people.covariates[SESSIONS], people.therapist)
        found = reshuffle_curve(
            [f.design for f in curve.fits], [used.index(f.adjust) for f in curve.fits], pairs, exchange,
            rng=data.rng(ANALYSIS, "exchange"), permutations=permutations, ci_level=data.ci_level,
        )  # fmt: skip
    except StatisticsError as error:
        reason = f"test by exchange: {error}"
        return {}, [replace(not_testable(ANALYSIS, reason, outcome=data.outcome), group=e) for e in ESTIMANDS]
    return {ESTIMANDS[c]: one for c, one in zip(sorted({c for _, c in pairs}), found, strict=True)}, []


def _with_expected(curve: Curve, tested: Mapping[str, Exchanged]) -> pd.DataFrame:
    """Return the table with what each specification would give if groups went with nothing but the number of sessions."""
    table = curve.table.copy()
    expected = table["expected"].to_numpy(dtype=float).copy()
    for estimand, found in tested.items():
        expected[(table["estimand"] == estimand).to_numpy(dtype=bool) & (curve.of_row >= 0)] = found.expected
    return table.assign(expected=expected)


def _summary(curve: pd.DataFrame, estimand: str, outcome: str, unit: str, ci_level: float) -> list[Estimate]:
    kept = curve[curve["estimate"].notna().to_numpy(dtype=bool)]
    if kept.empty:
        first = curve.sort_values("primary", ascending=False, kind="stable")["refused"]
        reason = next((r for r in first if r), "nothing could be estimated")
        return [replace(not_testable(ANALYSIS, reason, outcome=outcome), group=estimand)]
    shared: dict[str, Any] = {
        "analysis": ANALYSIS, "outcome": outcome, "group": estimand, "ci_level": ci_level, "method": METHOD,
        "n": float(kept["n"].max()),
    }  # fmt: skip
    values = spread(kept["estimate"], kept["primary"])
    rank = values.pop("primary_rank")
    beside = {
        "share_above": float((kept["ci_low"] > 0).mean()), "share_below": float((kept["ci_high"] < 0).mean()), "primary_rank": rank,
    }  # fmt: skip
    counts = {"n_specifications": float(len(kept)), "n_refused": float((curve["refused"] != "").sum())}
    rows = [
        Estimate(estimand=name, estimate=value, unit=word, direction=way, note=NOTES.get(name, ""), **shared)
        for found, word, way in ((values, unit, "higher is better"), (beside, "proportion", ""), (counts, "specifications", ""))
        for name, value in found.items()
        if np.isfinite(value)
    ]
    choices = kept[list(CHOICES)]
    # With a specification a criterion there is nothing to part.
    shares = {} if len(kept) <= len(kept["criterion"].unique()) else variance_shares(kept["estimate"], choices)
    for choice, share in shares.items():
        if share > 0 or (choice in choices and len(choices[choice].unique()) > 1):
            rows.append(
                Estimate(
                    estimand="variance_share", definition=choice, estimate=share, unit="proportion", primary=False,
                    note="of the variance of the estimates over specifications, averaged over all orders of the choices", **shared,
                )
            )  # fmt: skip
    return rows


def _exchange_rows(found: Exchanged, estimand: str, outcome: str, ci_level: float) -> list[Estimate]:
    note = (
        f"{len(found.expected)} specifications, {found.permutations} exchanges of what clients' end scores have beyond the "
        f"covariates, within {found.strata} strata of the number of sessions"
        + (f"; the part of {found.units} therapists and people without one is exchanged apart" if found.units > 1 else "")
    )
    shared: dict[str, Any] = {
        "analysis": ANALYSIS, "outcome": outcome, "group": estimand, "ci_level": ci_level, "n": float(found.people),
        "n_clusters": float(found.units if found.units > 1 else found.people), "method": "exchange (Freedman-Lane)", "note": note,
    }  # fmt: skip
    rows = [
        Estimate(estimand=name, estimate=value, p_value=p, unit=unit, direction="higher is better", **shared)
        for name, value, p, unit in (
            ("exchange_median", found.median, found.p_median, POINTS),
            ("exchange_share_significant", found.share_significant, found.p_share, "proportion"),
            ("exchange_combined_z", found.combined_z, found.p_combined, "z"),
        )
    ]
    expected = (("expected_median", found.median_expected, POINTS), ("expected_share", found.share_expected, "proportion"))
    rows += [Estimate(estimand=name, estimate=value, unit=unit, primary=False, **shared) for name, value, unit in expected]
    return rows


def _next_session(data: RuptureData) -> tuple[pd.DataFrame, list[Estimate]]:
    """Return how the session after a repair differs by every criterion: rows of the table, and their summary."""
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    if not data.settings.get("symptoms"):
        return empty, []
    try:
        panel = read_panel(data)
        question = asked(data, panel)[0]
    except StatisticsError as error:
        return empty, [replace(not_testable(ANALYSIS, str(error), outcome=str(data.settings["symptoms"])), group=NEXT)]
    sign = 1.0 if question.direction == "higher is better" else -1.0
    rows: list[dict[str, Any]] = []
    for i, found in enumerate(data.detections):
        given = repair_next_session(panel, found, question, primary=i == 0, ci_level=data.ci_level)
        one = next((e for e in given if e.estimand == NEXT), None)
        refused = "" if one is not None else next((e.note for e in given if e.estimand == NOT_TESTABLE), "no estimate")
        row = {
            "outcome": question.outcome, "estimand": NEXT, "criterion": found.criterion.name, "window": NOT_USED,
            "min_sessions": OWN, "exposure": WHOLE, "adjustment": "this session", "comparison": "within clients",
            "primary": i == 0, "expected": np.nan, "refused": refused, "n_none": None, "n_repaired": None, "n_unrepaired": None,
        }  # fmt: skip
        numbers = dict.fromkeys(("estimate", "std_error", "ci_low", "ci_high", "p_value", "n", "n_clusters"), np.nan)
        if one is not None:
            low, high = sorted((sign * one.ci_low, sign * one.ci_high))
            numbers = {
                "estimate": sign * one.estimate, "std_error": one.std_error, "ci_low": low, "ci_high": high, "p_value": one.p_value,
                "n": one.n, "n_clusters": one.n_clusters,
            }  # fmt: skip
        rows.append({**row, **numbers})
    table = pd.DataFrame(rows).astype(COLUMNS)[list(COLUMNS)]
    return table, _summary(table, NEXT, question.outcome, POINTS, data.ci_level)
