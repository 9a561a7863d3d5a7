"""Time to reliable improvement in a study: shares by a horizon, mean times, drop-out, styles. Words: :mod:`.improvement`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from attachment_outcomes.change.improvement import Times, from_baseline, improvement_times, planned_times, stayed
from attachment_outcomes.change.inputs import SELF, ChangeData, Outcome, Timed
from attachment_outcomes.errors import AttachmentOutcomesError, StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import Definition, resolve_all
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.inference.survival.curves import ROUNDING, Curve, cumulative_incidence, kaplan_meier
from attachment_outcomes.inference.survival.interval_censored import REPLICATES, turnbull_curve
from attachment_outcomes.inference.survival.mean_time import restricted_mean, restricted_mean_difference
from attachment_outcomes.inference.survival.rank_test import log_rank
from attachment_outcomes.measures.styles import BOUNDARY

Numbers = NDArray[np.float64]

ANALYSIS = "time_to_improvement"
DROPOUT = ("dropped out",)
HORIZON = 52.0  # weeks: a year; where time is in sessions or waves, the last planned one
EVERYBODY = ""
TURNBULL, KM, INCIDENCE, LEFT = "Turnbull", "Kaplan-Meier", "cumulative incidence", "drop-out"
FEWEST = 10  # people in a group before it has a curve of its own
NAMES = {True: "confirmed", False: "once"}
TABLES = {
    "improvement_curves": {
        "outcome": "str", "definition": "str", "method": "str", "group": "str", "time": "float64", "estimate": "float64",
        "ci_low": "float64", "ci_high": "float64", "n_at_risk": "int64", "unit": "str",
    }
}  # fmt: skip


def curve_rows(curve: Curve, *, method: str, group: str, one_minus: bool = False) -> pd.DataFrame:
    """Return a curve as rows of the table, from time 0 on; ``one_minus`` turns a survival curve into the share with the event."""
    zero = not len(curve.time) or curve.time[0] > 0
    found = curve.at(np.concatenate([[0.0], curve.time]) if zero else curve.time)
    if one_minus:
        found = found.assign(estimate=1 - found["estimate"], ci_low=1 - found["ci_high"], ci_high=1 - found["ci_low"])
    return found[["time", "estimate", "ci_low", "ci_high", "n_at_risk"]].assign(method=method, group=group)


def analyse(data: ChangeData) -> Part:
    """Return curves and estimates of the time to improvement of every outcome by its primary definition."""
    settings = data.settings.get("timing") or {}
    if not settings.get("do", True):
        reason = "the study asks for no time to improvement (change.timing.do)"
        rows = [not_testable(ANALYSIS, reason, outcome=str(o["score"])) for o in data.outcomes]
        return Part(rows, {"improvement_curves": stacked([], TABLES["improvement_curves"])})
    rows, curves = [], []
    for outcome in data.outcomes:
        try:
            one, table = _outcome(data, outcome, settings)
            rows += one
            curves.append(table)
        except AttachmentOutcomesError as error:
            rows.append(not_testable(ANALYSIS, str(error), outcome=str(outcome["score"])))
    order = ["outcome", "definition", "group", "method", "time"]
    return Part(rows, {"improvement_curves": stacked(curves, TABLES["improvement_curves"], order)})


def primary_definition(data: ChangeData, outcome: Outcome) -> Definition:
    """Return the outcome's primary definition.

    Raises
    ------
    StatisticsError
        If it cannot be applied.
    """
    found = data.pairs(outcome)
    ready, refused = resolve_all(
        list(outcome.get("definitions") or [{}]), data.scale(outcome), found["pre"], found["post"], score=str(outcome["score"])
    )
    first = next((d for d in ready if d.primary), None)
    if first is None:
        raise StatisticsError(f"the primary definition cannot be applied: {refused[0][1]}")
    return first


def left_times(data: ChangeData, unit: str, reasons: Sequence[str]) -> pd.Series:
    """Return when each person left treatment for one of the reasons: at the last session attended, else 0 (the baseline)."""
    ended = data.treatments[data.treatments["end_reason"].isin(list(reasons)).to_numpy(dtype=bool)]
    people = ended["person_id"].drop_duplicates()
    column = {"week": "week", "session": "session_number"}.get(unit)
    out = pd.Series(0.0, index=pd.Index(people))
    if column and len(data.sessions):
        came = data.sessions[data.sessions["attended"].fillna(True).to_numpy(dtype=bool)]
        latest = came.groupby("person_id")[column].max().reindex(out.index).astype(float)
        out = latest.fillna(0.0).clip(lower=0.0)
    return out


def _outcome(data: ChangeData, outcome: Outcome, settings: Mapping[str, Any]) -> tuple[list[Estimate], pd.DataFrame]:
    score = str(outcome["score"])
    definition = primary_definition(data, outcome)
    timed = data.timed(outcome)
    planned = str(settings.get("times", "planned")) == "planned"
    measured = planned_times(timed.rows) if planned else timed.rows
    rows = from_baseline(measured, data.pairs(outcome), definition)
    if rows.empty:
        raise StatisticsError("no baseline with a known time")
    sustained = bool(settings.get("sustained", True))
    gone = left_times(data, timed.unit, settings.get("dropout", DROPOUT))
    start = rows.drop_duplicates("person_id").set_index("person_id")["start"]
    gone = (gone - start.reindex(gone.index)).clip(lower=0.0)
    if data.occasions == "wave":
        latest = rows.groupby("person_id")["occasion"].max()
        gone = gone.drop(index=latest.index[(latest == latest.max()).to_numpy()], errors="ignore")
    gone = gone[gone.index.isin(start.index)]
    horizon = _horizon(settings, timed)
    found_rows: list[Estimate] = []
    curves: list[pd.DataFrame] = []
    for confirmed in (sustained, not sustained):
        times = improvement_times(rows, confirmed=confirmed, late=str(settings.get("late", "censor")), left_at=gone)
        name = NAMES[confirmed]
        data.flow.add(
            f"timing, {score}, {name}: could be seen to improve", len(times.time), len(times.time) - times.unseen,
            "too few occasions after baseline, and did not leave: followed for no time", unit="people",
        )  # fmt: skip
        told = "; ".join(filter(None, [f"{definition.name}, {name}", *definition.notes]))
        base = Estimate(
            analysis=ANALYSIS, estimand="", estimate=math.nan, method="", outcome=score, definition=f"{definition.name}, {name}",
            primary=confirmed == sustained, ci_level=data.ci_level, note=told,
        )  # fmt: skip
        labels = data.therapists_of(pd.Series(times.person))
        clusters = None if labels is None else labels.to_numpy()
        one, table = _whole(data, times, clusters, horizon, timed.unit, base, settings)
        found_rows += one
        curves.append(table)
        if confirmed == sustained:
            one, table = _by_style(data, outcome, times, clusters, horizon, timed.unit, base)
            found_rows += one
            curves.append(table)
    table = pd.concat([c for c in curves if len(c)], ignore_index=True)
    return found_rows, table.assign(outcome=score, unit=timed.unit)


def _horizon(settings: Mapping[str, Any], timed: Timed) -> float:
    if settings.get("horizon") is not None:
        return float(settings["horizon"])
    return HORIZON if timed.unit == "week" else float(timed.end)


def _whole(
    data: ChangeData, times: Times, clusters: Any, horizon: float, unit: str, base: Estimate, settings: Mapping[str, Any]
) -> tuple[list[Estimate], pd.DataFrame]:  # fmt: skip
    """Return the estimates and curves of everybody."""
    n = float(len(times.time))
    improved, left = cumulative_incidence(times.time, times.cause, causes=2, clusters=clusters, ci_level=base.ci_level)
    km = kaplan_meier(stayed(times), times.cause == 1, clusters=clusters, ci_level=base.ci_level)
    between = turnbull_curve(
        times.left, times.right, rng=data.rng(ANALYSIS, base.outcome, base.definition), clusters=clusters, ci_level=base.ci_level,
        replicates=int(settings.get("replicates", REPLICATES)),
    )  # fmt: skip
    last = float(stayed(times).max())
    short = f"nobody could be seen to improve after {unit} {last:g}, so the share counts to there" if last < horizon else ""
    rows = []
    for estimand, method, curve, words in (
        ("improved_by_horizon", INCIDENCE, improved, "leaving treatment keeps people from improving in it"),
        ("left_by_horizon", INCIDENCE, left, "left before (confirmed) improvement"),
        ("improved_by_horizon", KM, km, "had nobody left, and were those who left like those who stayed"),
    ):
        at = curve.at(horizon).iloc[0]
        low, high, value = at["ci_low"], at["ci_high"], at["estimate"]
        if method == KM:
            low, high, value = 1 - high, 1 - low, 1 - value
        rows.append(
            replace(
                base, estimand=estimand, estimate=value, std_error=at["std_error"], ci_low=low, ci_high=high, n=n,
                n_clusters=curve.n_clusters, unit="proportion", method=curve.method,
                direction="higher is better" if estimand.startswith("improved") else "lower is better",
                primary=base.primary and method == INCIDENCE,
                note="; ".join(filter(None, [f"by {unit} {horizon:g}", words, short, curve.note, base.note])),
            )
        )  # fmt: skip
    step = int(np.searchsorted(between.time, horizon, side="right")) - 1
    parts = (between.estimate, between.std_error, between.ci_low, between.ci_high)
    value, error, low, high = (float(p[step]) if step >= 0 else 0.0 for p in parts)
    rows.append(
        replace(
            base, estimand="improved_by_horizon", estimate=value, std_error=error, ci_low=low, ci_high=high, n=n,
            n_clusters=between.n_clusters, unit="proportion", method=between.method, direction="higher is better", primary=False,
            note="; ".join(filter(None, [
                f"by {unit} {horizon:g}; time known between two occasions only; had nobody left", short, between.note, base.note,
            ])),
        )
    )  # fmt: skip
    rows = [*map(_sure, rows), *_mean_time(times, clusters, min(horizon, last), unit, base)]
    median = km.quantile(0.5)
    rows.append(
        replace(
            base, estimand="median_time", estimate=median, n=n, unit=f"{unit}s", method=KM, primary=False,
            note=f"{'not reached' if math.isnan(median) else 'half have improved by then'}, had nobody left; {base.note}",
        )
    )  # fmt: skip
    own = pd.DataFrame(
        {
            "time": between.time, "estimate": between.estimate, "ci_low": between.ci_low, "ci_high": between.ci_high,
            "n_at_risk": [int((times.right >= t).sum() - ((times.cause != 1) & (times.time < t)).sum()) for t in between.time],
        }
    ).assign(method=TURNBULL, group=EVERYBODY)  # fmt: skip
    frames = [
        curve_rows(improved, method=INCIDENCE, group=EVERYBODY), curve_rows(left, method=LEFT, group=EVERYBODY),
        curve_rows(km, method=KM, group=EVERYBODY, one_minus=True), own,
    ]  # fmt: skip
    return rows, pd.concat([f for f in frames if len(f)], ignore_index=True).assign(definition=base.definition)


def _mean_time(times: Times, clusters: Any, horizon: float, unit: str, base: Estimate) -> list[Estimate]:
    if not horizon > 0:
        return [_cannot(base, "restricted mean time", "nobody is followed beyond the baseline")]
    mean = restricted_mean(stayed(times), times.cause == 1, horizon=horizon, clusters=clusters, ci_level=base.ci_level)
    return [
        replace(
            base, estimand="restricted_mean_time", estimate=mean.estimate, std_error=mean.std_error, ci_low=mean.ci_low,
            ci_high=mean.ci_high, n=float(mean.n), n_clusters=mean.n_clusters, unit=f"{unit}s", method=mean.method,
            direction="lower is better",
            note=f"mean time without improvement within the first {horizon:g} {unit}s, had nobody left; {base.note}",
        )
    ]  # fmt: skip


def _sure(row: Estimate) -> Estimate:
    """Return the row without an interval where all or none had the event: no error is estimated there, which does not mean none."""
    if ROUNDING < row.estimate < 1 - ROUNDING:
        return row
    note = f"{'all' if row.estimate else 'none'} of those followed, so there is no interval; {row.note}"
    return replace(row, std_error=math.nan, ci_low=math.nan, ci_high=math.nan, note=note)


def _cannot(base: Estimate, what: str, reason: str) -> Estimate:
    return replace(not_testable(ANALYSIS, f"{what}: {reason}", outcome=base.outcome), group=what, definition=base.definition)


def _by_style(
    data: ChangeData, outcome: Outcome, times: Times, clusters: Any, horizon: float, unit: str, base: Estimate
) -> tuple[list[Estimate], pd.DataFrame]:  # fmt: skip
    """Return curves by style at baseline, and each style's restricted mean time minus that of all others."""
    style = baseline_style(data, outcome).reindex(times.person)
    known = style.notna().to_numpy()
    groups = sorted(str(g) for g, n in style[known].value_counts().items() if n >= FEWEST)
    rows: list[Estimate] = []
    frames: list[pd.DataFrame] = []
    data.flow.add(
        f"timing, {base.outcome}: style at baseline known",
        len(style),
        int(known.sum()),
        "no style, or on a boundary",
        unit="people",
    )
    if len(groups) < 2:
        return [_cannot(base, "by style", f"fewer than two styles at baseline with {FEWEST} people")], pd.DataFrame()
    of = style.to_numpy()
    kept = np.isin(of.astype(str), groups) & known

    def part(values: ArrayLike, inside: NDArray[np.bool_]) -> Any:
        return None if values is None else np.asarray(values)[inside]

    reach = min(horizon, *(float(stayed(times)[(of == g) & kept].max()) for g in groups))
    for group in groups:
        inside = kept & (of == group)
        try:
            improved, _ = cumulative_incidence(
                times.time[inside], times.cause[inside], causes=2, clusters=part(clusters, inside), ci_level=base.ci_level
            )
        except StatisticsError as error:
            rows.append(_cannot(base, str(group), str(error)))
            continue
        frames.append(curve_rows(improved, method=INCIDENCE, group=group))
        at = improved.at(horizon).iloc[0]
        row = replace(
            base, estimand="improved_by_horizon", group=group, estimate=at["estimate"], std_error=at["std_error"],
            ci_low=at["ci_low"], ci_high=at["ci_high"], n=float(inside.sum()), n_clusters=improved.n_clusters,
            unit="proportion", method=improved.method, direction="higher is better", note=f"by {unit} {horizon:g}; {base.note}",
        )  # fmt: skip
        rows.append(_sure(row))
        if reach > 0:
            differs = restricted_mean_difference(
                stayed(times)[kept], times.cause[kept] == 1, inside[kept], horizon=reach, clusters=part(clusters, kept),
                ci_level=base.ci_level,
            )  # fmt: skip
            rows.append(
                replace(
                    base, estimand="restricted_mean_difference", group=group, estimate=differs.estimate,
                    std_error=differs.std_error, ci_low=differs.ci_low, ci_high=differs.ci_high, p_value=differs.p_value,
                    n=float(inside.sum()), n_clusters=differs.n_clusters, unit=f"{unit}s", method=differs.method,
                    direction="lower is better",
                    note=f"minus all other styles, within the first {reach:g} {unit}s; {int(kept.sum())} people; {base.note}",
                )
            )  # fmt: skip
    try:
        test = log_rank(stayed(times)[kept], times.cause[kept] == 1, of[kept].astype(str), clusters=part(clusters, kept))
        rows.append(
            replace(
                base, estimand="log_rank", estimate=test.statistic, p_value=test.p_value, n=float(test.n),
                n_clusters=test.n_clusters, unit="chi-square", method=test.method,
                note=f"styles at baseline, {test.df} df; of those still in treatment (who left is censored); {base.note}",
            )
        )  # fmt: skip
    except StatisticsError as error:
        rows.append(_cannot(base, "styles compared", str(error)))
    return rows, pd.concat(frames, ignore_index=True).assign(definition=base.definition) if frames else pd.DataFrame()


def baseline_style(data: ChangeData, outcome: Outcome) -> pd.Series:
    """Return the primary style at the occasion of each person's baseline (or the nearest before), by person_id."""
    styles = data.styles
    if styles.empty:
        return pd.Series(dtype="str")
    counted = (styles["rater"] == SELF) & styles["primary"] & styles["style"].notna() & (styles["style"] != BOUNDARY)
    own = styles[counted.to_numpy(dtype=bool)]
    column = "wave" if own["wave"].notna().any() else "session_number"
    own = own[own[column].notna().to_numpy()].sort_values(["person_id", column], kind="stable")
    if data.occasions == "wave" and column == "wave":
        start = (
            data.pairs(outcome).set_index("person_id")["pre_at"].reindex(own["person_id"]).to_numpy(dtype=float, na_value=np.nan)
        )
        own = own[own[column].to_numpy(dtype=float) <= start]
        return own.drop_duplicates("person_id", keep="last").set_index("person_id")["style"]
    return own.drop_duplicates("person_id", keep="first").set_index("person_id")["style"]
