"""When a client's alliance is above the client's own average, are the symptoms of the next session lower? And the other way round.

Vocabulary
----------
within part     today's rating minus the client's mean over the rows of the model
between part    that mean
carry-over      slope of the next session's score on the session's own score
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.mixed.model import MixedFit, mixed_model
from attachment_outcomes.rupture.series import Numbers
from attachment_outcomes.rupture.within.panel import THERAPISTS, Pairs, Panel, pairs_of
from attachment_outcomes.rupture.within.regression import Slopes, fixed_effects, orthogonal_instruments, within
from attachment_outcomes.rupture.within.serial import residual_autocorrelation

ANALYSIS = "alliance_within"
CORRECTED, TRENDS, UNCORRECTED = "adjusted, instruments", "adjusted, own trends", "adjusted, uncorrected"
UNADJUSTED = "unadjusted"
LAGS = (0, 1, 2, 3)
FEWEST = 20  # clients with two pairs or more: fewer clusters give no interval to rely on
ASSOCIATION = "association within clients, not effect: what changes from week to week besides may move both"
IV = "two-stage least squares in forward orthogonal deviations"
FIXED = "least squares within clients"


@dataclass(frozen=True)
class Question:
    """Which rating is to go with which: the predictor of a session and the outcome of the next one.

    ``direction`` says how to read a change of the outcome; ``predictor`` and ``target`` have a value a session of the panel.
    """

    predictor_name: str
    outcome: str
    direction: str
    predictor: Numbers
    target: Numbers


def questions(panel: Panel, *, alliance: str, symptoms: str, symptoms_higher_is_better: bool = False) -> list[Question]:
    """Return the two directions: alliance before symptoms, and symptoms before alliance."""
    symptom_words = "higher is better" if symptoms_higher_is_better else "lower is better"
    return [
        Question(alliance, symptoms, symptom_words, panel.alliance, panel.symptoms),
        Question(symptoms, alliance, "higher is better", panel.symptoms, panel.alliance),
    ]


def usable(panel: Panel, question: Question, lag: int, *, own: bool) -> Pairs:
    """Return the pairs with the predictor now and the outcome then (and the outcome now, if ``own``), of units with two or more."""
    pairs = pairs_of(panel, lag)
    there = np.isfinite(question.predictor[pairs.now]) & np.isfinite(question.target[pairs.then])
    if own:
        there &= np.isfinite(question.target[pairs.now])
    pairs = pairs.where(there)
    several = np.bincount(pairs.unit, minlength=len(panel.units)) >= 2
    return pairs.where(several[pairs.unit])


def enough(pairs: Pairs) -> None:
    """Refuse too few clients.

    Raises
    ------
    StatisticsError
        If fewer than 20 clients have two pairs.
    """
    if pairs.n_clients < FEWEST:
        raise StatisticsError(f"{pairs.n_clients} clients have two pairs of adjacent sessions with both ratings; at least {FEWEST}")


def next_session(panel: Panel, question: Question, *, ci_level: float = CI_LEVEL) -> list[Estimate]:
    r"""Return what the within part of one rating goes with in the next session's other rating.

    .. math:: y_{i,t+1} = \rho\, y_{it} + \beta_W (x_{it} - \bar x_i) + \gamma' time_{t+1} + \alpha_i + e_{i,t+1}

    Parameters
    ----------
    panel : Panel
        The sessions.
    question : Question
        Predictor and outcome.
    ci_level : float
        Confidence level.

    Returns
    -------
    list of Estimate
        Analysis ``alliance_within``, points of the outcome per point of the predictor. ``within_next_session`` and ``carry_over``
        by ``adjusted, own trends`` (primary where the series are long enough for it), by ``adjusted, instruments`` (clients differ
        in level only; primary where they are not) and by ``adjusted, uncorrected`` (least squares, which has Nickell bias); see
        :func:`.regression.orthogonal_instruments`. ``within_next_session``, ``between_clients`` and ``slope_sd`` by ``unadjusted``,
        a mixed model with random slopes; ``residual_autocorrelation`` where clients differ in level only; ``within_lag`` for lags
        0 to 3 (group), unadjusted. What cannot be had is a not-testable row with the reason.

    Raises
    ------
    StatisticsError
        If fewer than 20 clients have two usable pairs.

    References
    ----------
    Nickell, S. (1981). Econometrica, 49, 1417-1426. Curran, P. J.,
    & Bauer, D. J. (2011). Annual Review of Psychology, 62, 583-619.
    """
    pairs = usable(panel, question, 1, own=True)
    enough(pairs)
    rows = list(_adjusted(pairs, question, ci_level))
    try:
        rows += unadjusted(pairs, question, ci_level=ci_level)
    except StatisticsError as error:
        rows.append(silent_row(question.outcome, UNADJUSTED, str(error)))
    return rows + [lagged(panel, question, lag, ci_level=ci_level) for lag in LAGS]


def adjusted_slopes(pairs: Pairs, question: Question) -> dict[str, Slopes | StatisticsError]:
    """Return the slopes of the next session's outcome on today's predictor (first) and on its own score of today (second).

    By definition: ``adjusted, instruments``; ``adjusted, own trends``, the same where every client has a straight line of their
    own; ``adjusted, uncorrected``. Where one cannot be had, the error that says why.
    """
    y, x = question.target[pairs.then], np.column_stack([question.predictor[pairs.now], question.target[pairs.now]])
    of: dict[str, Any] = {"unit": pairs.unit, "cluster": pairs.cluster}
    session = pairs.panel.session[pairs.now]
    return {
        CORRECTED: _or_error(lambda: orthogonal_instruments(y, x, pairs.time, session=session, **of)),
        TRENDS: _or_error(lambda: orthogonal_instruments(y, x, pairs.time, session=session, own_trends=True, **of)),
        UNCORRECTED: _or_error(lambda: fixed_effects(y, np.column_stack([x, pairs.time]), **of)),
    }


def best_slopes(outcome: Numbers, predetermined: Numbers, pairs: Pairs) -> tuple[Slopes, str]:
    """Return slopes by instruments that allow for clients' own trends, or for own levels only where series are too short for
    that, and words for what was allowed for.

    Raises
    ------
    StatisticsError
        If neither can be had.
    """
    of: dict[str, Any] = {"unit": pairs.unit, "cluster": pairs.cluster, "session": pairs.panel.session[pairs.now]}
    try:
        fit = orthogonal_instruments(outcome, predetermined, pairs.time, own_trends=True, **of)
    except StatisticsError as error:
        fit = orthogonal_instruments(outcome, predetermined, pairs.time, **of)
        return fit, f"own level of each client; their own trends are not allowed for ({str(error).rstrip('.')})"
    return fit, "own level and trend of each client"


def _or_error(run: Callable[[], Slopes]) -> Slopes | StatisticsError:
    try:
        return run()
    except StatisticsError as error:
        return error


def _adjusted(pairs: Pairs, question: Question, ci_level: float) -> Iterator[Estimate]:
    found = adjusted_slopes(pairs, question)
    primary = CORRECTED if isinstance(found[TRENDS], StatisticsError) else TRENDS
    for definition, fit in found.items():
        if isinstance(fit, StatisticsError):
            yield silent_row(question.outcome, definition, str(fit))
            continue
        note = f"{_about(question, pairs)}; {ASSOCIATION}"
        if definition == UNCORRECTED:
            note += "; Nickell bias: shown for comparison"
        note += f"; {fit.warning}" if fit.warning else ""
        shared: dict[str, Any] = {"outcome": question.outcome, "definition": definition, "ci_level": ci_level, "n": float(fit.n)}
        shared |= {"n_clusters": float(fit.n_clusters), "direction": question.direction}
        shared["method"] = f"{FIXED if definition == UNCORRECTED else IV}, {robust_by(pairs.panel)}"
        if definition == primary == CORRECTED:
            note += "; series are too short to allow for clients' own trends"
        yield slope_row("within_next_session", fit.slope(0, ci_level), note=note, primary=definition == primary, **shared)
        yield slope_row("carry_over", fit.slope(1, ci_level), note=note, primary=False, **shared)
        if definition != TRENDS:
            yield _serial(fit.residual, pairs, question, definition, ci_level)


def unadjusted(pairs: Pairs, question: Question, *, ci_level: float = CI_LEVEL) -> list[Estimate]:
    r"""Return within and between parts from a mixed model, sessions in clients in therapists.

    .. math:: y_{i,t+1} = \beta_0 + (\beta_W + b_{1i})(x_{it} - \bar x_i) + \beta_B \bar x_i + \gamma' time_{t+1}
        + w_j + b_{0i} + e_{i,t+1}

    ``within_next_session`` and ``between_clients`` by CR2 over the highest level and with Satterthwaite's degrees of freedom, which
    hold only where errors are not correlated from session to session; ``slope_sd``, the SD of the clients' own slopes.
    """
    fit, slopes, fitted = mixed_parts(pairs, question, ci_level=ci_level)
    note = f"{_about(question, pairs)}; {ASSOCIATION}"
    note += "; the session's own outcome is not held constant" + (f"; {fit.note}" if fit.note else "")
    shared: dict[str, Any] = {
        "outcome": question.outcome, "definition": UNADJUSTED, "primary": False, "ci_level": ci_level, "n": float(fit.n),
        "n_clusters": float(fit.n_clusters), "direction": question.direction,
    }  # fmt: skip
    rows = []
    for table, name in ((fit.robust(), "CR2"), (fit.estimates, "Satterthwaite")):
        for estimand, term in (("within_next_session", "own"), ("between_clients", "mean")):
            rows.append(slope_row(estimand, coefficient(table, term), note=note, method=f"mixed model (REML), {name}", **shared))
    if slopes:
        shared |= {"direction": "", "ci_level": ci_level}
        sd = float(np.sqrt(max(fit.variances["own"], 0.0)))
        rows.append(slope_row("slope_sd", (sd, *[np.nan] * 4), note=note, method="mixed model (REML)", **shared))
    return [*rows, _serial(question.target[pairs.then] - fitted, pairs, question, UNADJUSTED, ci_level)]


def mixed_parts(pairs: Pairs, question: Question, *, ci_level: float = CI_LEVEL) -> tuple[MixedFit, bool, Numbers]:
    """Return the model of :func:`unadjusted` (term ``own``: within, ``mean``: between), whether clients have slopes of their own,
    and what it says of each pair apart from levels.
    """
    x = question.predictor[pairs.now]
    deviation = within(x, pairs.unit)
    time = pairs.time - pairs.time.mean(axis=0)
    frame = pd.DataFrame(
        {
            "unit": pairs.unit, "therapist": pairs.cluster, "y": question.target[pairs.then], "own": deviation,
            "mean": (x - deviation) - x.mean(), "time": time[:, 0], "log_time": time[:, 1],
        }
    )  # fmt: skip
    fit, slopes = fit_slopes("y ~ own + mean + time + log_time", frame, pairs.panel, "own", ci_level=ci_level)
    beta = fit.estimates.set_index("term")["estimate"]
    return fit, slopes, deviation * beta["own"] + time @ beta[["time", "log_time"]].to_numpy()


def lagged(panel: Panel, question: Question, lag: int, *, ci_level: float = CI_LEVEL) -> Estimate:
    """Return the slope within clients, unadjusted, of the outcome ``lag`` sessions later; 0 is the same session."""
    pairs = usable(panel, question, lag, own=False)
    shared: dict[str, Any] = {"outcome": question.outcome, "definition": UNADJUSTED, "primary": False, "ci_level": ci_level}
    try:
        enough(pairs)
        x = np.column_stack([question.predictor[pairs.now], pairs.time])
        fit = fixed_effects(question.target[pairs.then], x, unit=pairs.unit, cluster=pairs.cluster)
    except StatisticsError as error:
        return silent_row(question.outcome, f"{UNADJUSTED}, lag {lag}", str(error))
    note = f"{_about(question, pairs)}; {ASSOCIATION}"
    return slope_row(
        "within_lag", fit.slope(0, ci_level), group=str(lag), note=note, method=f"{FIXED}, {robust_by(panel)}",
        direction=question.direction, **_units(fit), **shared,
    )  # fmt: skip


def fit_slopes(formula: str, frame: pd.DataFrame, panel: Panel, slope: str, *, ci_level: float) -> tuple[MixedFit, bool]:
    """Fit a mixed model, units in therapists where these are known, with random slopes by unit where the data allow them.

    Without therapists (column ``therapist`` is then the client) units are in clients where somebody has several: CR2 goes by the
    highest level, and a client's treatments are not independent.
    """
    several = frame["therapist"].nunique() < frame["unit"].nunique()
    groups = ("unit", "therapist") if panel.clustered_by == THERAPISTS or several else ("unit",)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its text is the fit's note
        try:
            fit = mixed_model(formula, frame, groups=groups, slopes={"unit": [slope]}, ci_level=ci_level)
            if fit.converged:
                return fit, True
        except StatisticsError:
            pass  # too few rows for slopes of their own
        return mixed_model(formula, frame, groups=groups, ci_level=ci_level), False


def _serial(residual: Numbers, pairs: Pairs, question: Question, definition: str, ci_level: float) -> Estimate:
    found = residual_autocorrelation(
        residual, unit=pairs.unit, session=pairs.panel.session[pairs.then], cluster=pairs.cluster, ci_level=ci_level
    )
    said = "no sign of correlated errors"
    if found.ci_low > 0 or found.ci_high < 0:
        told = {CORRECTED: "these instruments are then not valid (clients' own trends, or error of measurement)"}
        said = f"errors of adjacent sessions are correlated: {told.get(definition, 'read the cluster-robust interval')}"
    return Estimate(
        analysis=ANALYSIS, estimand="residual_autocorrelation", outcome=question.outcome, definition=definition, primary=False,
        estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=ci_level,
        n=float(len(residual)), n_clusters=float(len(np.unique(pairs.cluster))), unit="r",
        method="moments corrected for short series, jackknife", note=said,
    )  # fmt: skip


def coefficient(table: pd.DataFrame, term: str) -> tuple[float, ...]:
    """Return estimate, standard error, limits and p value of one term of a fit's table."""
    row = table.loc[(table["term"] == term).to_numpy(), ["estimate", "std_error", "ci_low", "ci_high", "p_value"]]
    return tuple(row.to_numpy(dtype=float)[0])


def slope_row(estimand: str, found: Sequence[float], *, unit: str = "points per point", **more: Any) -> Estimate:
    """Return the row of a slope from its estimate, standard error, limits and p value."""
    estimate, error, low, high, p = found
    return Estimate(
        analysis=ANALYSIS, estimand=estimand, estimate=estimate, std_error=error, ci_low=low, ci_high=high, p_value=p, unit=unit,
        **more,
    )  # fmt: skip


def silent_row(outcome: str, definition: str, reason: str) -> Estimate:
    """Return the row that says why one definition gives no answer."""
    return Estimate(
        analysis=ANALYSIS, estimand="not testable", estimate=float("nan"), method="not testable", outcome=outcome,
        definition=definition, primary=False, note=reason,
    )  # fmt: skip


def _units(fit: Slopes) -> dict[str, Any]:
    return {"n": float(fit.n), "n_clusters": float(fit.n_clusters)}


def robust_by(panel: Panel) -> str:
    """Return how the interval allows for clusters, in words."""
    return f"CR2 by {'therapist' if panel.clustered_by == THERAPISTS else 'client'}"


def _about(question: Question, pairs: Pairs) -> str:
    spread = float(np.std(within(question.predictor[pairs.now], pairs.unit)))
    return (
        f"predictor {question.predictor_name}, SD within clients {spread:.2f}; n counts pairs of sessions of {pairs.n_clients} "
        f"clients"
    )
