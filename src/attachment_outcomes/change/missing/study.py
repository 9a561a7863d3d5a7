"""Missing data of a study's outcomes: who is missing, change by each way of handling it, and tipping points."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.change.inputs import ChangeData, Outcome
from attachment_outcomes.change.missing import ANALYSIS
from attachment_outcomes.change.missing.delta import ALL, EARLY, IMPROVED, Tipping, tipping_points
from attachment_outcomes.change.missing.from_study import panel_of, wide_scores
from attachment_outcomes.change.missing.handling import (
    COMPLETE,
    IMPUTED,
    WEIGHTED,
    Event,
    Handled,
    by_carrying_forward,
    by_complete_cases,
    by_imputation,
    by_own_last_score,
    by_weighting,
)
from attachment_outcomes.change.missing.panel import Panel
from attachment_outcomes.change.missing.who import (
    BASELINE,
    EARLY_CHANGE,
    SEEN_FIRST,
    SEEN_TWICE,
    attrition,
    difference_of_seen,
    predictors_of_being_seen,
)
from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, problem
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import Definition, estimate_direction, resolve
from attachment_outcomes.inference.individual_change.methods import expected_improved
from attachment_outcomes.inference.individual_change.reliable import statistic_and_code
from attachment_outcomes.inference.mcar import little_test
from attachment_outcomes.inference.multiple_imputation import ITERATIONS, Imputations, default_imputations, impute
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.steps import Part, stacked, typed_table
from attachment_outcomes.inference.weighting import LEAST_PROBABILITY, TRUNCATE, SeenWeights, balance

MEAN, RECOVERED = "mean_change", "recovered"
DELTA_RANGE = (-0.5, 1.5)  # SDs of the baseline, towards worse
DELTA_STEPS = 21
IMPROVED_CODE = 0  # of statistic_and_code
MISSINGNESS, ESTIMATES, TIPPING, BALANCE = "missingness", "missing_estimates", "tipping_point", "missing_balance"
TABLES: dict[str, dict[str, str]] = {
    MISSINGNESS: {
        "outcome": "str", "occasion": "int64", "n_expected": "int64", "n_seen": "int64", "n_dropout": "int64",
        "n_intermittent": "int64", "n_later": "int64", "n_never": "int64",
    },
    ESTIMATES: {
        "outcome": "str", "estimand": "str", "definition": "str", "handling": "str", "estimate": "float64", "ci_low": "float64",
        "ci_high": "float64", "n": "int64", "unit": "str", "note": "str",
    },
    TIPPING: {
        "outcome": "str", "pattern": "str", "estimand": "str", "delta": "float64", "delta_sd": "float64", "estimate": "float64",
        "ci_low": "float64", "ci_high": "float64", "null": "float64", "reached": "bool", "tipping": "float64", "n": "int64",
        "shifted_n": "int64", "unit": "str",
    },
    BALANCE: {
        "outcome": "str", "predictor": "str", "mean_all": "float64", "mean_seen": "float64", "mean_weighted": "float64",
        "difference_before": "float64", "difference_after": "float64", "n": "int64", "seen_n": "int64",
    },
}  # fmt: skip
ORDERS = {MISSINGNESS: ["outcome", "occasion"], ESTIMATES: [], TIPPING: [], BALANCE: []}


@dataclass(frozen=True, slots=True)
class _Setting:
    imputations: int | None
    iterations: int
    predictors: list[str] | None
    delta_range: tuple[float, float]
    truncate: float
    least_probability: float


def analyse(data: ChangeData) -> Part:
    """Return who is missing, change by each way of handling it, and tipping points, of every outcome.

    Reads the optional block ``missing`` of the settings: ``imputations``, ``iterations``, ``predictors``, ``delta_range`` (SDs of
    the baseline, towards worse), ``truncate`` and ``least_probability`` (of the weights).

    Parameters
    ----------
    data
        The study.

    Returns
    -------
    Part
        Tables as in ``TABLES``, none a row a person. What cannot be told is a row *not testable*.

    Raises
    ------
    ConfigError
        If a predictor named is no column of people or treatments, or ``delta_range`` does not go upwards.
    """
    given: Mapping[str, Any] = data.settings.get("missing") or {}
    low, high = given.get("delta_range", DELTA_RANGE)
    if not float(low) < float(high):
        what = f"found {low:g} to {high:g}; the first must be below the second."
        raise ConfigError(problem("change.missing.delta_range", what))
    count = given.get("imputations", "auto")
    setting = _Setting(
        imputations=None if count == "auto" else int(count), iterations=int(given.get("iterations", ITERATIONS)),
        predictors=given.get("predictors"), delta_range=(float(low), float(high)),
        truncate=float(given.get("truncate", TRUNCATE)), least_probability=float(given.get("least_probability", LEAST_PROBABILITY)),
    )  # fmt: skip
    rows: list[Estimate] = []
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for place, outcome in enumerate(data.outcomes):
        _Outcome(data, outcome, setting, primary=place == 0).add_to(rows, tables)
    return Part(rows, {name: stacked(parts, TABLES[name], ORDERS[name]) for name, parts in tables.items()})


class _Outcome:
    """One outcome's rows and tables."""

    def __init__(self, data: ChangeData, outcome: Outcome, setting: _Setting, *, primary: bool) -> None:
        self.data, self.outcome, self.setting, self.primary = data, outcome, setting, primary
        self.score, self.scale = str(outcome["score"]), data.scale(outcome)
        self.direction = estimate_direction(self.scale)
        self.rows: list[Estimate] = []

    def add_to(self, rows: list[Estimate], tables: dict[str, list[pd.DataFrame]]) -> None:
        self.rows, self.tables = rows, tables
        try:
            wide, never = wide_scores(self.data, self.outcome)
            counts = attrition(wide.to_numpy(dtype=float, na_value=np.nan), [int(o) for o in wide.columns], never=never)
            self._table(MISSINGNESS, counts)
            panel = panel_of(self.data, self.outcome, predictors=self.setting.predictors)
        except (DataError, StatisticsError) as error:
            self._refused(str(error))
            return
        self._who(panel)
        self._handle(panel)

    def _table(self, name: str, frame: pd.DataFrame) -> None:
        self.tables[name].append(typed_table(frame.assign(outcome=self.score), TABLES[name]))

    def _refused(self, reason: str, *, group: str = "", definition: str = "") -> None:
        self.rows.append(replace(not_testable(ANALYSIS, reason, outcome=self.score), group=group, definition=definition))

    def _row(self, **told: Any) -> None:
        self.rows.append(Estimate(**{"analysis": ANALYSIS, "outcome": self.score, "ci_level": self.data.ci_level, **told}))

    # ---- who is missing

    def _who(self, panel: Panel) -> None:
        seen = proportion(~panel.missing_end, clusters=panel.clusters, ci_level=self.data.ci_level)
        notes = "; ".join(p for p in (seen.note, *panel.notes) if p)
        self._row(
            estimand="seen_at_end", estimate=seen.estimate, std_error=seen.std_error, ci_low=seen.ci_low, ci_high=seen.ci_high,
            n=seen.n, n_clusters=seen.n_clusters, unit="proportion", method=seen.method, note=notes, primary=self.primary,
        )  # fmt: skip
        self._little(panel)
        if not panel.missing_end.any():
            return
        differences = [(BASELINE, panel.pre)]
        if panel.scores.shape[1] > 2:
            differences.append((EARLY_CHANGE, panel.scores[:, 1] - panel.pre))
        for name, values in differences:
            try:
                found = difference_of_seen(values, panel, ci_level=self.data.ci_level)
            except StatisticsError as error:
                self._refused(str(error), group=f"difference: {name}")
                continue
            self._row(
                estimand="seen_minus_not_seen", group=name.partition(" (")[0].partition(" of baseline")[0], estimate=found.estimate,
                std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, p_value=found.p_value, n=found.n,
                n_clusters=found.n_clusters, unit="SD units", method=found.method, note=found.note, primary=self.primary,
            )  # fmt: skip
        for early, definition in ((False, SEEN_FIRST), (True, SEEN_TWICE)):
            if not early or panel.scores.shape[1] > 2:
                self._odds(panel, early, definition)

    def _odds(self, panel: Panel, early: bool, definition: str) -> None:
        try:
            found, notes = predictors_of_being_seen(panel, early_change=early, ci_level=self.data.ci_level)
        except StatisticsError as error:
            self._refused(f"what predicts being seen at the end: {error}", definition=definition)
            return
        for name, odds in found:
            self._row(
                estimand="odds_ratio_seen_at_end", group=name, definition=definition, primary=self.primary and not early,
                estimate=math.exp(odds.estimate), ci_low=math.exp(odds.ci_low), ci_high=math.exp(odds.ci_high),
                p_value=odds.p_value, n=odds.n, n_clusters=odds.n_clusters, unit="odds ratio", method=odds.method,
                note="; ".join(p for p in (odds.note, *notes) if p),
            )  # fmt: skip

    def _little(self, panel: Panel) -> None:
        try:
            found = little_test(panel.scores)
        except StatisticsError as error:
            self._refused(str(error), group="missing completely at random")
            return
        self._row(
            estimand="little_mcar", estimate=found.statistic, p_value=found.p_value, n=found.n, unit="chi-square",
            primary=self.primary, method="Little's test of missing completely at random, normal maximum likelihood",
            note=f"{found.df} degrees of freedom, {found.patterns} patterns; it can speak against chance, not for it",
        )  # fmt: skip

    # ---- change

    def _handle(self, panel: Panel) -> None:
        level = self.data.ci_level
        imputed = self._impute(panel)
        definition, events = self._events(panel, imputed)
        found: list[Handled] = []
        ways: list[tuple[str, Callable[[], list[Handled]]]] = [(COMPLETE, lambda: by_complete_cases(panel, events, ci_level=level))]
        if self.data.when["end"] == "last":
            ways.append(("own last score", lambda: by_own_last_score(panel, events, ci_level=level)))
        ways.append(("carried forward", lambda: by_carrying_forward(panel, events, ci_level=level)))
        if imputed is not None:
            ways.append((IMPUTED, lambda: by_imputation(panel, imputed, events, ci_level=level)))
        ways.append((WEIGHTED, lambda: self._weigh(panel, events)))
        for name, way in ways:
            try:
                found += way()
            except StatisticsError as error:
                reason = str(error)
                self._refused(reason if reason.startswith(f"{name}:") else f"{name}: {reason}", group=name)
        name = "" if definition is None else definition.name
        for one in found:
            self._handled(one, name)
        listed = [
            {"estimand": one.event or MEAN, "definition": name if one.event else "", "handling": one.handling,
             "estimate": one.estimate, "ci_low": one.ci_low, "ci_high": one.ci_high, "n": one.n, "note": one.note,
             "unit": "proportion" if one.event else "score points"}
            for one in sorted(found, key=lambda o: ["", IMPROVED, RECOVERED].index(o.event))
        ]  # fmt: skip
        self._table(ESTIMATES, pd.DataFrame(listed))
        if imputed is not None and panel.missing_end.any():
            self._tip(panel, imputed, definition, events)

    def _impute(self, panel: Panel) -> Imputations | None:
        count = self.setting.imputations or default_imputations(panel.missing_end)
        try:
            return impute(
                panel.scores, imputations=count, rng=self.data.rng(ANALYSIS, self.score), covariates=panel.covariates,
                clusters=panel.clusters, iterations=self.setting.iterations,
            )  # fmt: skip
        except StatisticsError as error:
            self._refused(str(error), group=IMPUTED)
            return None

    def _events(self, panel: Panel, imputed: Imputations | None) -> tuple[Definition | None, dict[str, Event]]:
        """Return the primary definition and its events; what it takes from the sample is that of everybody who began."""
        given = next(iter(self.outcome.get("definitions") or [{}]))
        completed = [panel.post] if imputed is None else [imputed.values[k, :, -1] for k in range(len(imputed.values))]
        try:
            each = [resolve(given, self.scale, panel.pre, post, primary=True) for post in completed]
        except StatisticsError as error:
            self._refused(f"shares improved and recovered: {error}", group=IMPROVED)
            return None, {}

        def improved(pre: np.ndarray, post: np.ndarray, k: int) -> np.ndarray:
            definition = each[k]
            _, code = statistic_and_code(pre, post, definition.method, definition.setting, definition.higher_is_better)
            return np.asarray(code == IMPROVED_CODE)

        def recovered(pre: np.ndarray, post: np.ndarray, k: int) -> np.ndarray:
            cutoff, higher = each[k].cutoff, each[k].higher_is_better
            assert cutoff is not None  # the event is only there with a cutoff
            inside = cutoff.clinical(pre, higher_is_better=higher) & cutoff.functional(post, higher_is_better=higher)
            return np.asarray(improved(pre, post, k) & inside)

        events: dict[str, Event] = {IMPROVED: improved}
        if each[0].cutoff is not None:
            events[RECOVERED] = recovered
        return each[0], events

    def _weigh(self, panel: Panel, events: dict[str, Event]) -> list[Handled]:
        found, weights = by_weighting(
            panel, events, truncate=self.setting.truncate, least_probability=self.setting.least_probability,
            ci_level=self.data.ci_level,
        )  # fmt: skip
        self._balance(panel, weights)
        return found

    def _balance(self, panel: Panel, weights: SeenWeights) -> None:
        known = np.column_stack([panel.pre, panel.covariates])
        frame = balance(known, ["baseline score", *panel.names], weights)
        self._table(BALANCE, frame.assign(n=len(known), seen_n=int(weights.seen.sum())))
        self._row(
            estimand="effective_n", group=WEIGHTED, estimate=weights.effective_n, n=int(weights.seen.sum()), unit="people",
            primary=False, method="(sum of weights)² / sum of squared weights",
            note=f"weights up to {weights.bound:.2f}, {weights.n_truncated} truncated; least probability {weights.least:.2f}",
        )  # fmt: skip

    def _handled(self, one: Handled, definition: str) -> None:
        self._row(
            estimand=one.event or MEAN, group=one.handling, definition=definition if one.event else "", estimate=one.estimate,
            std_error=one.std_error, ci_low=one.ci_low, ci_high=one.ci_high, p_value=one.p_value, n=one.n,
            n_clusters=one.n_clusters, unit="proportion" if one.event else "score points",
            direction="higher is better" if one.event else self.direction,
            method=one.method, note=one.note, primary=self.primary and one.handling == IMPUTED,
        )  # fmt: skip

    # ---- tipping points

    def _tip(self, panel: Panel, imputed: Imputations, definition: Definition | None, events: dict[str, Event]) -> None:
        spread = float(panel.pre.std(ddof=1))
        worse = -1.0 if self.direction == "higher is better" else 1.0
        low, high = self.setting.delta_range
        nulls = dict.fromkeys(events, math.nan)
        if definition is not None:
            nulls[IMPROVED] = expected_improved(definition.method, definition.setting)
        limits = self.scale.get("range")
        curve, points = tipping_points(
            imputed, {ALL: panel.missing_end, EARLY: panel.missing_end & panel.ended_early},
            deltas=(worse * spread * np.linspace(low, high, DELTA_STEPS)).tolist(), spread=spread,
            scale_range=None if limits is None else (float(limits[0]), float(limits[1])),
            events={name: (event, nulls[name]) for name, event in events.items()}, clusters=panel.clusters,
            ci_level=self.data.ci_level,
        )  # fmt: skip
        found = {(p.pattern, p.estimand): p for p in points}
        keys = zip(curve["pattern"], curve["estimand"], strict=True)
        curve["tipping"] = [found[key].delta if key in found else math.nan for key in keys]
        curve["unit"] = ["score points" if e == MEAN else "proportion" for e in curve["estimand"]]
        self._table(TIPPING, curve)
        for point in points:
            self._tipping_row(point, panel, spread)

    def _tipping_row(self, point: Tipping, panel: Panel, spread: float) -> None:
        whose = "" if point.pattern == ALL else panel.how_ended
        shifted = f"{point.n_shifted} of {len(panel.pre)} people {'is' if point.n_shifted == 1 else 'are'} shifted"
        sd = "" if math.isnan(point.delta) else f"{point.delta / spread:.2f} SD of the baseline"
        note = "; ".join(p for p in (point.note, sd, shifted, whose, f"null value {point.null:.3g}") if p)
        self._row(
            estimand="tipping_point", group=f"{point.estimand}, {point.pattern}", estimate=point.delta, unit="score points",
            n=len(panel.pre), method="shift of the imputed end scores at which the interval reaches the null value, bisection",
            note=note, primary=self.primary and point.estimand == MEAN and point.pattern == ALL,
        )  # fmt: skip
