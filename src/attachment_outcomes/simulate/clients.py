"""Who is in the network: sites, therapists, clients, and each client's true start and true change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.simulate.answers import CORE10, error_variance
from attachment_outcomes.simulate.draws import Floats, correlated, normals, order, pick

MIDPOINT = 4.0  # of answers from 1 to 7: both dimensions above it is fearful
THERAPIST_ATTACHMENT = {"anxiety": (2.8, 0.7), "avoidance": (2.6, 0.7)}  # mean and SD of therapists' true scores
MODALITIES = ("attachment-based", "cognitive-behavioural")
AGE_BANDS = ("18 to 24", "25 to 34", "35 to 44", "45 to 54", "55 and over")
AGE_SHARES = (0.14, 0.31, 0.26, 0.18, 0.11)
GENDERS = ("woman", "man", "another")
GENDER_SHARES = (0.63, 0.35, 0.02)
REFERRALS = ("self", "physician", "hospital")
REFERRAL_SHARES = (0.45, 0.40, 0.15)
BUSY_TO_QUIET = 3.0  # how many times more clients the busiest therapist has than the quietest

Truth = Mapping[str, Any]


def make_therapists(truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """Return therapists with their site, true attachment and secure-base rating, and standard normal true effect."""
    n, sites = truth["network"]["therapists"], truth["network"]["sites"]
    secure_base = normals(rng, n)
    frame = pd.DataFrame(
        {
            "therapist_id": [f"T{i + 1:02d}" for i in range(n)],
            "site": np.arange(n) % sites,
            "secure_base_z": secure_base,
            # The rating is what an observer gives: whole numbers from 1 to 7 with some error.
            "secure_base": np.clip(np.rint(4.5 + secure_base + 0.4 * normals(rng, n)), 1, 7).astype(int),
            "effect_z": normals(rng, n),
            "workload": np.linspace(1.0, BUSY_TO_QUIET, n)[order(rng, n)],
        }
    )
    for name, (mean, sd) in THERAPIST_ATTACHMENT.items():
        frame[name] = mean + sd * normals(rng, n)
    return frame


def therapist_sd(truth: Truth) -> float:
    r"""Return the SD of therapists' effects, symptom points, that makes up their share of the variance of observed change.

    With share :math:`s`, :math:`\sigma_{th}^2 = \frac{s}{1-s}(\sigma_{change}^2 + 2\sigma_{error}^2)`: the change that
    is observed also holds the measurement error of both occasions.
    """
    symptoms, share = truth["symptoms"], truth["heterogeneity"]["therapist_share"]
    error = CORE10.items * error_variance(symptoms["reliability"], symptoms["sd"] / CORE10.items, items=CORE10.items)
    return float(np.sqrt(share / (1 - share) * (symptoms["change_sd"] ** 2 + 2 * error)))


def _modifiers(truth: Truth, frame: pd.DataFrame) -> Floats:
    """Return the symptom points that starting style and fit of the modality add to a client's change, centred."""
    heterogeneity = truth["heterogeneity"]
    points = heterogeneity["fearful_points"] * frame["fearful"].to_numpy(float)
    points = points - heterogeneity["fit_points"] * frame["fits"].to_numpy(float)
    return np.asarray(points - points.mean(), dtype=np.float64)


def make_clients(truth: Truth, therapists: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return clients with what the export shows of them and their true start and change (see the truth's keys).

    The mean of the true change over all clients of average therapists is the truth's: the effects of starting style
    and of fit are centred. ``change_sd`` is the SD of true change between clients of one therapist, these effects
    included.
    """
    n = truth["network"]["clients"]
    attachment, symptoms, heterogeneity = truth["attachment"], truth["symptoms"], truth["heterogeneity"]
    therapist = pick(rng.random(n), therapists["workload"].to_numpy())
    site = therapists["site"].to_numpy()[therapist]
    frame = pd.DataFrame(
        {
            "client_id": [f"C{i + 1:04d}" for i in range(n)],
            "file_number": (100_000 + np.cumsum(1 + pick(rng.random(n), np.ones(900))))[order(rng, n)],
            "site": site,
            "therapist": therapist,
            "modality": np.array(MODALITIES)[pick(rng.random(n), (0.5, 0.5))],
            "age_band": np.array(AGE_BANDS)[pick(rng.random(n), AGE_SHARES)],
            "gender": np.array(GENDERS)[pick(rng.random(n), GENDER_SHARES)],
            "referral": np.array(REFERRALS)[pick(rng.random(n), REFERRAL_SHARES)],
            "planned_sessions": np.array(truth["sessions"]["planned"])[
                pick(rng.random(n), np.ones(len(truth["sessions"]["planned"])))
            ],
        }
    )
    anxiety_z = normals(rng, n)
    avoidance_z = correlated(anxiety_z, attachment["correlation"], normals(rng, n))
    frame["anxiety_z"] = anxiety_z
    for name, z in (("anxiety", anxiety_z), ("avoidance", avoidance_z)):
        frame[name] = attachment[name]["mean"] + attachment[name]["sd"] * z
    frame["fearful"] = (frame["anxiety"] > MIDPOINT) & (frame["avoidance"] > MIDPOINT)
    frame["fits"] = (frame["avoidance"] > frame["anxiety"]) == (frame["modality"] == MODALITIES[0])

    symptoms_z = _regressed(anxiety_z, avoidance_z, truth, normals(rng, n))
    sites = heterogeneity["site_sd"] * normals(rng, truth["network"]["sites"])
    frame["symptoms"] = symptoms["mean"] + symptoms["sd"] * symptoms_z + (sites - sites.mean())[site]

    modifiers = _modifiers(truth, frame)
    tied = symptoms["correlation_start_change"]
    free = symptoms["change_sd"] ** 2 * (1 - tied**2) - modifiers.var()
    change_z = normals(rng, n)
    frame["symptoms_change"] = (
        symptoms["change"]
        + symptoms["change_sd"] * tied * symptoms_z
        + np.sqrt(max(free, 0.0)) * change_z
        + modifiers
        + therapist_sd(truth) * therapists["effect_z"].to_numpy()[therapist]
    )
    secure_base = heterogeneity["secure_base_points"] * therapists["secure_base_z"].to_numpy()[therapist]
    for name in ("anxiety", "avoidance"):
        z = correlated(change_z, symptoms["correlation_attachment_change"], normals(rng, n))
        frame[f"{name}_change"] = attachment[name]["change"] + attachment[name]["change_sd"] * z + secure_base
    return frame


def _regressed(anxiety_z: Floats, avoidance_z: Floats, truth: Truth, fresh: Floats) -> Floats:
    """Return standard normal symptoms that correlate with anxiety and avoidance as the truth says."""
    between = np.array([[1.0, truth["attachment"]["correlation"]], [truth["attachment"]["correlation"], 1.0]])
    wanted = np.array([truth["symptoms"]["correlation_anxiety"], truth["symptoms"]["correlation_avoidance"]])
    weights = np.linalg.solve(between, wanted)
    return np.asarray(weights[0] * anxiety_z + weights[1] * avoidance_z + np.sqrt(1 - weights @ wanted) * fresh, dtype=np.float64)


def progress(weeks: Floats, pace_weeks: float) -> Floats:
    r"""Return the share of the change by week 52 that is reached: :math:`(1-e^{-t/\tau}) / (1-e^{-52/\tau})`."""
    return np.asarray((1 - np.exp(-weeks / pace_weeks)) / (1 - np.exp(-52.0 / pace_weeks)), dtype=np.float64)
