"""How long do many people's categories, cutoffs and shares take? Tasks with the time and memory that they may take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.inference.individual_change.bootstrap import Population, bootstrap_change
from attachment_outcomes.inference.individual_change.categories import change_categories
from attachment_outcomes.inference.individual_change.controls import regression_norm
from attachment_outcomes.inference.individual_change.methods import METHODS
from attachment_outcomes.inference.individual_change.reliable import setting_from
from attachment_outcomes.inference.individual_change.significance import choose_cutoff
from attachment_outcomes.inference.individual_change.slopes import person_slopes
from attachment_outcomes.simulate.bench.tasks import Task

Numbers = NDArray[np.float64]
PEOPLE, SAMPLE, REPLICATES, WAVES = 1_000_000, 10_000, 2_000, 3
NORM = (8.0, 5.0)
RELIABILITY = 0.88
KNOWN: dict[str, Any] = {
    "reliability": RELIABILITY, "control_post_mean": 19.0, "control_post_sd": 6.2, "icc": 0.85, "retest_sd": 6.0, "ms_error": 4.5,
    "mid": 4.0, "criterion": 5.0,
}  # fmt: skip


def waves(people: int) -> Numbers:
    """Return scores at three occasions, whole points from 0 to 40, of people who improve by 5 points on average."""
    rng = np.random.default_rng(1)
    true = rng.normal(20, 5.6, people)
    step = rng.normal(-2.5, 1.5, people)
    scores = true[:, None] + step[:, None] * np.arange(WAVES) + rng.normal(0, 2, (people, WAVES))
    return np.clip(np.round(scores), 0, 40)


def categories() -> int:
    """Categories of a million people by every rule of two scores; return how many rules there were."""
    scores = waves(PEOPLE)
    before, after = np.ascontiguousarray(scores[:, 0]), np.ascontiguousarray(scores[:, -1])
    control = waves(500)
    regression = regression_norm(control[:, 0], control[:, 0] * 0.8 + control[:, 1] * 0.2)
    cutoff = choose_cutoff("c", clinical=(20, 6), functional=NORM, higher_is_better=False)
    found = change_categories(before, after, cutoff=cutoff, regression=regression, **KNOWN)
    found.shares()
    return found.categories.shape[1]


def slopes() -> int:
    """Every person's own slope of a million, and the categories by it, from a growth model; return how many rules there were."""
    scores = waves(PEOPLE)
    people, occasions = np.repeat(np.arange(PEOPLE), WAVES), np.tile(np.arange(WAVES, dtype=float), PEOPLE)
    long = pd.DataFrame({"person_id": people, "time": occasions, "value": scores.ravel()})
    found = person_slopes(long)
    rules = [name for name, method in METHODS.items() if "slopes" in method.needs]
    change_categories(scores[:, 0], scores[:, -1], slopes=found, methods=rules)
    return len(rules)


def bootstrap() -> int:
    """Intervals of all cutoffs, thresholds and shares by every rule, of 10,000 people; return how many quantities there were."""
    scores = waves(SAMPLE)
    before, after = scores[:, 0], scores[:, -1]
    setting = setting_from(before, after, **KNOWN)
    found = bootstrap_change(
        before, after, setting=setting, rng=np.random.default_rng(2), functional=Population(mean=NORM[0], sd=NORM[1], n=500),
        cutoff="c", replicates=REPLICATES,
    )  # fmt: skip
    return len(found.table)


TASKS = {
    "categories": Task("Categories of a million people by every rule of two scores", categories, 10.0, 2_000.0),
    "slopes": Task("Slopes of a million people at three occasions, and categories by them", slopes, 30.0, 4_000.0),
    "bootstrap": Task("2,000 bootstrap draws of all cutoffs, thresholds and shares, 10,000 people", bootstrap, 10.0, 2_000.0),
}
