r"""How closely would two scores go together if both were measured without error?

.. math:: \rho = \frac{r}{\sqrt{r_{xx} r_{yy}}}

Vocabulary
----------
reliability  share of a score's variance that is no error; the correlation of two parallel measurements
"""

from __future__ import annotations

import math

import numpy as np

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.monte_carlo import monte_carlo_interval

FEWEST = 4  # people behind a reliability: the error of Fisher's z needs n - 3


def disattenuated(
    r: float,
    std_error: float,
    limits: tuple[float, float],
    *,
    reliabilities: tuple[float, float],
    n: tuple[int | None, int | None] = (None, None),
    rng: np.random.Generator,
    ci_level: float = CI_LEVEL,
) -> Interval:
    r"""Correct a correlation for the unreliability of both scores.

    Parameters
    ----------
    r : float
        Correlation seen.
    std_error : float
        Its error on Fisher's z scale.
    limits : (float, float)
        Its limits at ``ci_level``.
    reliabilities : (float, float)
        Of the two scores, above 0 and up to 1; 1 is a score without error.
    n : (int or None, int or None)
        People behind each reliability; None takes it as known.
    rng : numpy Generator
        For the draws, where a reliability is not known.
    ci_level : float
        Confidence level.

    Returns
    -------
    Interval
        With known reliabilities the limits of r, divided alike. Otherwise those of 40,000 draws of r and the reliabilities, each
        normal on Fisher's z scale (reliabilities with error :math:`1/\sqrt{n - 3}`, that of a retest correlation).
        ``std_error`` is that of the corrected correlation. A value beyond 1 is not clipped; ``note`` tells.

    Raises
    ------
    StatisticsError
        If a reliability is not above 0 and up to 1, or rests on fewer than 4 people.

    References
    ----------
    Spearman, C. (1904). American Journal of Psychology, 15, 72-101.
    Charles, E. P. (2005). Psychological Methods, 10, 206-226 (intervals).
    """
    for value, people in zip(reliabilities, n, strict=True):
        if not 0 < value <= 1:
            raise StatisticsError(problem("reliability", f"found {value:g}; allowed: above 0 and up to 1."))
        if people is not None and people < FEWEST:
            raise StatisticsError(problem("reliability", f"rests on {people} people; allowed: at least {FEWEST}."))
    root = math.sqrt(reliabilities[0] * reliabilities[1])
    estimate = r / root
    notes = ["beyond 1: the scores are more reliable here than was given, or it is chance"] if abs(estimate) > 1 else []
    if not (math.isfinite(r) and math.isfinite(std_error)) or abs(r) == 1:
        return Interval(estimate, math.nan, limits[0] / root, limits[1] / root, "; ".join(notes))
    uncertain = [(v, k) for v, k in zip(reliabilities, n, strict=True) if k is not None and v < 1]
    if not uncertain:
        return Interval(estimate, std_error * (1 - r**2) / root, limits[0] / root, limits[1] / root, "; ".join(notes))
    known = root / math.sqrt(math.prod(v for v, _ in uncertain))
    found = monte_carlo_interval(
        [math.atanh(r), *(math.atanh(v) for v, _ in uncertain)],
        np.diag([std_error**2, *(1 / (k - 3) for _, k in uncertain)]),
        lambda z, *others: np.tanh(z) / known / np.sqrt(np.prod(np.tanh(np.array(others)), axis=0)),
        rng=rng,
        ci_level=ci_level,
    )
    return Interval(estimate, found.std_error, found.ci_low, found.ci_high, "; ".join(filter(None, [*notes, found.note])))
