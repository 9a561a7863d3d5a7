"""The course over waves: when questionnaires are filled in, what they say, and who stays.

Dropping out depends on what had been observed by then (the last completed CORE-10 and the last alliance), never on
what was not: data are missing at random given the past.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from attachment_outcomes.simulate.answers import (
    CORE10,
    ECR_R_ANXIETY,
    ECR_R_AVOIDANCE,
    Form,
    answer_items,
    keyed_mean,
    noise_for,
)
from attachment_outcomes.simulate.clients import Truth, progress
from attachment_outcomes.simulate.draws import Flags, Floats, Whole, pick
from attachment_outcomes.simulate.sessions import NEVER, Calendar, Ruptures

LATE_WEEKS = (2, 3, 4, 5, 6)
SCALES: dict[str, Form] = {"core": CORE10, "anxiety": ECR_R_ANXIETY, "avoidance": ECR_R_AVOIDANCE}


@dataclass(frozen=True)
class WaveDraws:
    """What is random in the waves, drawn once: weeks, which are skipped, and uniform numbers of the answers."""

    weeks: Whole
    skipped: Flags
    skipped_after_dropout: Flags
    uniform: dict[str, Floats]


def make_waves(truth: Truth, n: int, rng: np.random.Generator) -> WaveDraws:
    """Return the draws of n clients' waves; the first is never late and never skipped."""
    waves = truth["waves"]
    planned = np.array(waves["weeks"])
    shape = (n, len(planned))
    jitter = pick(rng.random(shape), (0.15, 0.7, 0.15)) - 1
    late = np.where(rng.random(shape) < waves["late_share"], np.array(LATE_WEEKS)[pick(rng.random(shape), np.ones(5))], 0)
    skipped = rng.random(shape) < waves["missed_share"]
    after = rng.random(shape) < waves["missed_after_dropout_share"]
    weeks = planned[None, :] + np.where(late > 0, late, jitter)
    weeks[:, 0] = 0
    skipped[:, 0] = after[:, 0] = False
    uniform = {name: rng.random((n * len(planned), form.items)) for name, form in SCALES.items()}
    return WaveDraws(weeks, skipped, after, uniform)


def rupture_points(truth: Truth, ruptures: Ruptures, calendar: Calendar, weeks: Whole) -> Floats:
    """Return what ruptures add to true symptoms by each week: nothing before the onset, all of it by week 52."""
    first = np.minimum(ruptures.onset.min(axis=1), NEVER)
    column = np.clip(first - 1, 0, calendar.week.shape[1] - 1)
    onset_week = np.take_along_axis(calendar.week, column[:, None], axis=1).astype(float)
    pace = truth["symptoms"]["pace_weeks"]
    start = progress(onset_week, pace)
    since = np.clip((progress(weeks.astype(float), pace) - start) / (1 - start), 0.0, None)
    points = np.where(ruptures.unrepaired, truth["ruptures"]["unrepaired_points"], truth["ruptures"]["repaired_points"])
    return np.asarray(np.where(ruptures.any, points, 0.0)[:, None] * since, dtype=np.float64)


def true_symptoms(truth: Truth, clients: pd.DataFrame, ruptures: Ruptures, calendar: Calendar, weeks: Whole) -> Floats:
    """Return true CORE-10 totals (clients by occasions) in the given weeks."""
    reached = progress(weeks.astype(float), truth["symptoms"]["pace_weeks"])
    start, change = clients["symptoms"].to_numpy()[:, None], clients["symptoms_change"].to_numpy()[:, None]
    return np.asarray(start + change * reached + rupture_points(truth, ruptures, calendar, weeks), dtype=np.float64)


def wave_answers(truth: Truth, clients: pd.DataFrame, draws: WaveDraws, ruptures: Ruptures, calendar: Calendar) -> dict[str, Whole]:
    """Return the answers of every wave as if none were missed: scale to clients by waves by items."""
    symptoms, attachment = truth["symptoms"], truth["attachment"]
    n, waves = draws.weeks.shape
    true = {"core": true_symptoms(truth, clients, ruptures, calendar, draws.weeks) / CORE10.items}
    noise = {
        "core": noise_for(
            symptoms["reliability"], mean=symptoms["mean"] / CORE10.items, sd=symptoms["sd"] / CORE10.items, form=CORE10
        )
    }
    reached = progress(draws.weeks.astype(float), attachment["pace_weeks"])
    for name in ("anxiety", "avoidance"):
        true[name] = clients[name].to_numpy()[:, None] + clients[f"{name}_change"].to_numpy()[:, None] * reached
        noise[name] = noise_for(
            attachment[name]["reliability"], mean=attachment[name]["mean"], sd=attachment[name]["sd"], form=SCALES[name]
        )
    return {
        name: answer_items(true[name].ravel(), draws.uniform[name], form=form, noise=noise[name]).reshape(n, waves, form.items)
        for name, form in SCALES.items()
    }


@dataclass(frozen=True)
class Stay:
    """How long each client stayed: last session, and whether they dropped out or were referred on."""

    last: Whole
    dropped_out: Flags
    referred: Flags


def make_dropout(
    truth: Truth,
    *,
    planned: Whole,
    calendar: Calendar,
    waves: WaveDraws,
    core: Floats,
    alliance: Floats,
    rng: np.random.Generator,
) -> Stay:
    """Decide session by session who does not come back.

    ``core`` (clients by waves) are observed CORE-10 totals and ``alliance`` (clients by sessions) observed alliance
    means; ``planned`` is the number of sessions a client would have had.
    """
    dropout, symptoms = truth["dropout"], truth["symptoms"]
    n, sessions = calendar.week.shape
    base = np.log(dropout["hazard"] / (1 - dropout["hazard"]))
    spread = float(np.hypot(truth["alliance"]["sd"], truth["alliance"]["within_sd"]))
    leaves, referral_at = rng.random((n, sessions)), 2 + np.floor(rng.random(n) * (planned - 3)).astype(np.int64)
    referred = rng.random(n) < dropout["referred_share"]
    last = planned.copy()
    dropped = np.zeros(n, dtype=bool)
    last_core, last_alliance = core[:, 0].copy(), alliance[:, 0].copy()
    for s in range(sessions - 1):
        for w in range(1, core.shape[1]):
            seen = ~waves.skipped[:, w] & (waves.weeks[:, w] <= calendar.week[:, s])
            last_core = np.where(seen, core[:, w], last_core)
        last_alliance = np.where(calendar.came[:, s], alliance[:, s], last_alliance)
        logit = (
            base
            + dropout["symptoms_log_odds"] * (last_core - symptoms["mean"]) / symptoms["sd"]
            + dropout["alliance_log_odds"] * (last_alliance - truth["alliance"]["mean"]) / spread
        )
        goes = (leaves[:, s] < 1 / (1 + np.exp(-logit))) & ~dropped & (s + 1 < planned) & ~(referred & (referral_at <= s + 1))
        last = np.where(goes, s + 1, last)
        dropped |= goes
    referred &= ~dropped
    return Stay(np.where(referred, referral_at, last), dropped, referred)


def observed_core(answers: Whole) -> Floats:
    """Return observed CORE-10 totals (clients by waves) from their answers."""
    n, waves, items = answers.shape
    return (keyed_mean(answers.reshape(n * waves, items), CORE10) * CORE10.items).reshape(n, waves)


def seen_waves(draws: WaveDraws, stay: Stay, calendar: Calendar) -> Flags:
    """Return which waves a client filled in: some are skipped, more after dropping out."""
    end_week = np.take_along_axis(calendar.week, (stay.last - 1)[:, None], axis=1)
    gone = stay.dropped_out[:, None] & (draws.weeks > end_week)
    return ~(draws.skipped | (gone & draws.skipped_after_dropout))
