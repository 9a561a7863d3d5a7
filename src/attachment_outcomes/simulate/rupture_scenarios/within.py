"""Sessions of clients with known slopes from one to the next and known answers to breaks, and their estimators."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.special import expit

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.rupture.criteria import Criterion, detect
from attachment_outcomes.rupture.rules import within_person_drop
from attachment_outcomes.rupture.series import Flags, Numbers, Series, Whole
from attachment_outcomes.rupture.within.breaks import breaks_by_attachment
from attachment_outcomes.rupture.within.lagged import (
    UNADJUSTED,
    adjusted_slopes,
    coefficient,
    mixed_parts,
    questions,
    usable,
)
from attachment_outcomes.rupture.within.panel import Panel
from attachment_outcomes.rupture.within.states import NEXT, repair_next_session
from attachment_outcomes.simulate.draws import normals
from attachment_outcomes.simulate.recovery.study import Finding, Sample

ESTIMANDS = {"across_break": "across", "break_by_anxiety": "by anxiety", "break_by_avoidance": "by avoidance"}
STATES = dict(zip(NEXT, ("rupture", "repair", "repair minus rupture"), strict=True))
WEEKS = 2.0


def alliance_and_symptoms(
    rng: np.random.Generator,
    *,
    therapists: int,
    per_therapist: int,
    sessions: int,
    within: float,
    feedback: float,
    steadiness: float,
    carry_over: float,
    start: float,
    sd_level: float,
    sd_slope: float,
    sd_trend: float,
    missed: float,
) -> Sample:
    r"""Alliance and symptoms of clients who begin above where they settle, each client with a level of their own.

    .. math:: y_{i,t+1} = \rho\,y_{it} + (\beta + b_i + b_j)\,a_{it} + \alpha_i + \delta_i t + e_{i,t+1}, \qquad
        a_{it} = \tfrac{1}{2}\alpha_i + \psi\,a_{i,t-1} + \phi\,y_{it} + u_{it}

    with standard normal errors, :math:`\beta` ``within``, :math:`\rho` ``carry_over``, :math:`\phi` ``feedback``,
    :math:`\psi` ``steadiness``; clients' and therapists' deviations of the slope have SD ``sd_slope`` each, clients' own trends
    :math:`\delta_i` SD ``sd_trend``. Symptoms begin ``start`` points higher than the level says. A
    session's ratings are ``missed`` with that probability, so series have gaps. Targets: ``within`` and ``carry over``.
    """
    n = therapists * per_therapist
    therapist = np.repeat(np.arange(therapists), per_therapist)
    draws = normals(rng, 3, n)
    level, trend = sd_level * draws[0], sd_trend * draws[2]
    slope = within + sd_slope * (draws[1] + normals(rng, therapists)[therapist])
    errors = normals(rng, 2, sessions, n)
    symptoms, alliance = np.empty((2, sessions, n))
    now = start + level / (1 - carry_over) + normals(rng, n)
    for t in range(sessions):
        symptoms[t] = now
        before = alliance[t - 1] if t else level
        alliance[t] = level / 2 + steadiness * before + feedback * now + errors[0, t]
        now = carry_over * now + slope * alliance[t] + level + trend * t + errors[1, t]
    seen = rng.random((sessions, n)) >= missed
    return Sample(_panel(alliance, symptoms, np.ones((sessions, n)), seen, therapist), {"within": within, "carry over": carry_over})


def breaks(
    rng: np.random.Generator,
    *,
    therapists: int,
    per_therapist: int,
    sessions: int,
    across: float,
    by_anxiety: float,
    sd_response: float,
    persistence: float,
    cancelling: float,
    share: float,
    missed: float,
) -> Sample:
    r"""Alliance of clients with breaks between sessions, after which it lies lower, the more so the more anxious a client is.

    .. math:: a_{it} = \alpha_i + (\beta + \beta_X X_i + b_i + b_j)\,B_{it} + v_{it}

    with :math:`v` a stationary AR(1) of variance 1 and coefficient ``persistence``, anxiety X standard normal, avoidance too
    (correlation .3, no part in it), and responses that differ between clients and therapists with SD ``sd_response`` each. A break
    comes before a session with log odds of ``share`` minus ``cancelling`` times the :math:`v` of the session before: above 0,
    clients cancel after bad sessions. Targets: ``across``, ``by anxiety``, ``by avoidance`` (0).
    """
    n = therapists * per_therapist
    therapist = np.repeat(np.arange(therapists), per_therapist)
    draws = normals(rng, 4, n)
    anxiety, avoidance = draws[0], 0.3 * draws[0] + np.sqrt(1 - 0.09) * draws[1]
    response = across + by_anxiety * anxiety + sd_response * (draws[2] + normals(rng, therapists)[therapist])
    errors, uniform = normals(rng, sessions, n), rng.random((sessions, n))
    alliance, gap = np.empty((sessions, n)), np.ones((sessions, n))
    odds, state = np.log(share / (1 - share)), errors[0]
    for t in range(sessions):
        if t:
            broken = uniform[t] < expit(odds - cancelling * state)
            gap[t] = np.where(broken, WEEKS + 1, 1.0)
            state = persistence * state + np.sqrt(1 - persistence**2) * errors[t]
        alliance[t] = draws[3] + state + response * (gap[t] > 1)
    seen = rng.random((sessions, n)) >= missed
    z = np.column_stack([anxiety, avoidance])
    panel = _panel(alliance, alliance, gap, seen, therapist)
    return Sample((panel, z), {"across": across, "by anxiety": by_anxiety, "by avoidance": 0.0})


def ruptures_and_symptoms(
    rng: np.random.Generator,
    *,
    therapists: int,
    per_therapist: int,
    sessions: int,
    effect: float,
    depth: float,
    noise: float,
    feedback: float,
    carry_over: float,
    sd_level: float,
    sd_trend: float,
    missed: float,
) -> Sample:
    r"""One rupture a client, of one to three sessions, and symptoms that are higher after its sessions and lower after its repair.

    .. math:: y_{i,t+1} = \rho\,y_{it} + d\,(R_{it} - \tfrac{1}{2}P_{it}) + \alpha_i + \delta_i t + e_{i,t+1}

    with d ``effect``, R the sessions in rupture and P the first after them. The alliance lies ``depth`` lower in rupture, answers
    the symptoms with ``feedback``, and varies with SD ``noise``; symptoms' errors have SD 1. Targets: ``rupture`` (d), ``repair``
    (-d/2) and ``repair minus rupture``.
    """
    n = therapists * per_therapist
    therapist = np.repeat(np.arange(therapists), per_therapist)
    level, trend = sd_level * normals(rng, n), sd_trend * normals(rng, n)
    onset = 3 + np.floor((sessions - 8) * rng.random(n))
    until = onset + 1 + np.floor(3 * rng.random(n))
    errors = normals(rng, 2, sessions, n)
    symptoms, alliance = np.empty((2, sessions, n))
    now = level / (1 - carry_over) + errors[1, 0]
    for t in range(sessions):
        inside, back = (onset <= t) & (t < until), t == until
        symptoms[t] = now
        alliance[t] = noise * errors[0, t] + feedback * now - depth * inside
        if t + 1 < sessions:
            now = carry_over * now + effect * (inside - 0.5 * back) + level + trend * t + errors[1, t + 1]
    seen = rng.random((sessions, n)) >= missed
    truth = {"rupture": effect, "repair": -effect / 2, "repair minus rupture": -1.5 * effect}
    return Sample(_panel(alliance, symptoms, np.ones((sessions, n)), seen, therapist), truth)


def _panel(alliance: Numbers, symptoms: Numbers, gap: Numbers, seen: Flags, therapist: Whole) -> Panel:
    client, session = np.nonzero(seen.T)
    units = pd.DataFrame(
        {"client": np.arange(len(therapist)).astype(str), "treatment_id": "1", "therapist_id": therapist.astype(str)}
    )
    first, second, weeks = (v.T[client, session] for v in (alliance, symptoms, gap))
    return Panel(client, session + 1, first, second, weeks, units)


def next_session_slopes(panel: Panel, *, methods: Sequence[str]) -> Iterator[Finding]:
    """Tell ``within`` and ``carry over`` by ``adjusted, instruments``, ``adjusted, own trends`` and ``adjusted, uncorrected``, and
    ``within`` by ``unadjusted`` (mixed model, CR2) or ``unadjusted, Satterthwaite``.
    """
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    pairs = usable(panel, question, 1, own=True)
    for name, fit in adjusted_slopes(pairs, question).items():
        if name not in methods:
            continue
        if isinstance(fit, StatisticsError):
            raise fit
        for column, target in enumerate(("within", "carry over")):
            yield Finding(target, *fit.slope(column, 0.95), method=name)
    if any(name.startswith(UNADJUSTED) for name in methods):
        model, _, _ = mixed_parts(pairs, question)
        for name, table in ((UNADJUSTED, model.robust()), (f"{UNADJUSTED}, Satterthwaite", model.estimates)):
            if name in methods:
                estimate, error, low, high, p = coefficient(table, "own")
                yield Finding("within", estimate, error, low, high, p, model.converged, model.singular, name)


def break_responses(data: tuple[Panel, Numbers], *, methods: Sequence[str]) -> Iterator[Finding]:
    """Tell the targets of :func:`breaks` by the change from the session before and by the level beside the client's average."""
    panel, z = data
    for row in breaks_by_attachment(panel, panel.alliance, z, outcome="alliance", direction="higher is better", weeks=WEEKS):
        if row.definition in methods and row.estimand in ESTIMANDS:
            yield Finding(
                ESTIMANDS[row.estimand], row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value, method=row.definition
            )


def state_slopes(panel: Panel, *, k: float, tolerance: float) -> Iterator[Finding]:
    """Tell the targets of :func:`ruptures_and_symptoms` by the states that a drop of k own SDs finds in the alliance."""
    starts = np.concatenate([[0], np.cumsum(np.bincount(panel.unit, minlength=len(panel.units)))]).astype(np.int64)
    series = Series(panel.alliance, panel.session, starts, panel.units[["client", "treatment_id"]])
    found = detect(series, Criterion("drop", within_person_drop, settings={"k": k, "tolerance": tolerance}))
    question = questions(panel, alliance="alliance", symptoms="symptoms")[0]
    for row in repair_next_session(panel, found, question):
        if row.estimand not in STATES:
            raise StatisticsError(row.note)
        yield Finding(STATES[row.estimand], row.estimate, row.std_error, row.ci_low, row.ci_high, row.p_value)
