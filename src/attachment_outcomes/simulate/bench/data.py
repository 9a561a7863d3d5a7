"""Made-up therapies to time fits on: the same numbers every time for a model, a form and a number of clients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.simulate.bench.models import BALANCED, CLIENTS_EACH, MODELS, UNBALANCED, Row

Columns = dict[str, NDArray[np.float64] | NDArray[np.int32]]
SEED = 20_260
LOST = 0.2  # of the rows, in the unbalanced form
JITTER = 0.3  # of a week: how far a session may be from its day
# Growth of a symptom score: of the order of the CORE-OM's clinical score (0 to 40) in routine care.
MEAN, FALL, RESIDUAL, THERAPISTS = 20.0, -0.8, 3.0, 1.5
CLIENT_FACTOR = np.array([[5.0, 0.0], [-0.2, 0.6]])  # Cholesky factor: sd 5 of intercepts, 0.63 of slopes, correlation -.32


def columns(row: Row) -> tuple[Columns, list[int]]:
    """Return the columns of a row's data, and where each data set starts (with the end; one set for most models)."""
    rng = np.random.default_rng([SEED, list(MODELS).index(row.name), int(row.form == BALANCED), row.clients])
    make = {"session": _sessions, "logistic": _answers}.get(row.name, _growth)
    design = rng.integers(2**32)

    def one() -> Columns:
        # What the design holds, and which rows are lost, comes from a generator that begins anew where sets share a design.
        return make(row, rng, np.random.default_rng(design) if row.model.one_design else rng)

    sets = [one() for _ in range(row.model.fits)]
    starts = np.cumsum([0, *(len(s["client"]) for s in sets)]).tolist()
    return {name: np.concatenate([s[name] for s in sets]) for name in sets[0]}, starts


def _people(clients: int, each: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    client = np.repeat(np.arange(clients, dtype=np.int32), each)
    return client, (client // CLIENTS_EACH).astype(np.int32)


def _thinned(made: Columns, row: Row, rng: np.random.Generator) -> Columns:
    if row.form != UNBALANCED:
        return made
    kept = rng.random(len(made["client"])) >= LOST
    return {name: values[kept] for name, values in made.items()}


def _growth(row: Row, rng: np.random.Generator, of_design: np.random.Generator) -> Columns:
    each = row.model.rows_each
    client, therapist = _people(row.clients, each)
    week = np.tile(np.arange(each, dtype=float), row.clients)
    if row.form == UNBALANCED:
        week = week + of_design.uniform(-JITTER, JITTER, len(week))
    own = rng.standard_normal((row.clients, 2)) @ CLIENT_FACTOR.T
    of_therapist = THERAPISTS * rng.standard_normal(therapist[-1] + 1)
    y = MEAN + FALL * week + own[client, 0] + own[client, 1] * week + RESIDUAL * rng.standard_normal(len(week))
    if len(row.model.groups) > 1:
        y += of_therapist[therapist]
    return _thinned({"client": client, "therapist": therapist, "week": week, "y": y}, row, of_design)


def _sessions(row: Row, rng: np.random.Generator, of_design: np.random.Generator) -> Columns:
    """Make sessions of clients with a working alliance, each with the symptoms of the session before."""
    each = row.model.rows_each
    client, therapist = _people(row.clients, each)
    between = rng.normal(0.0, 0.6, row.clients)
    within = rng.normal(0.0, 0.5, (row.clients, each))
    within -= within.mean(axis=1, keepdims=True)
    level = rng.normal(0.0, 2.0, row.clients) + 1.0 * rng.standard_normal(therapist[-1] + 1)[therapist[::each]]
    symptoms = np.empty((row.clients, each + 1))
    symptoms[:, 0] = MEAN + 2 * level + rng.normal(0.0, RESIDUAL, row.clients)
    for k in range(each):
        expected = 12 + level - 1.2 * within[:, k] - 1.5 * between - 0.15 * k
        symptoms[:, k + 1] = expected + 0.4 * symptoms[:, k] + rng.normal(0.0, RESIDUAL, row.clients)
    made: Columns = {
        "client": client, "therapist": therapist, "session": np.tile(np.arange(1.0, each + 1), row.clients),
        "alliance_within": within.ravel(), "alliance_between": np.repeat(between, each),
        "symptoms_before": symptoms[:, :-1].ravel(), "symptoms": symptoms[:, 1:].ravel(),
    }  # fmt: skip
    return _thinned(made, row, of_design)


def _answers(row: Row, rng: np.random.Generator, of_design: np.random.Generator) -> Columns:
    """Make ruptures, of which some are repaired, likelier with a good alliance and later on."""
    client, therapist = _people(row.clients, row.model.rows_each)
    week = np.tile(np.arange(row.model.rows_each, dtype=float), row.clients)
    alliance = rng.normal(0.0, 1.0, len(week))
    level = rng.normal(0.0, 1.0, row.clients)[client] + rng.normal(0.0, 0.5, therapist[-1] + 1)[therapist]
    odds = np.exp(-0.6 + 0.1 * week + 0.5 * alliance + level)
    repaired = (rng.random(len(week)) < odds / (1 + odds)).astype(float)
    made: Columns = {"client": client, "therapist": therapist, "week": week, "alliance": alliance, "repaired": repaired}
    return _thinned(made, row, of_design)
