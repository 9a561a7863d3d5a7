r"""Answers to items: whole numbers in the response range whose scale has the true score and reliability asked for.

The mean answer of a person is exactly the true score, at the ends of the range too, so that true change is not
shrunk by floors and ceilings. An answer is drawn from a Pólya (beta-binomial) distribution on the response range,
whose spread is set by the reliability; where that asks for less spread than a binomial has, part of the
probability is put on the two whole numbers beside the true score instead.

For :math:`k` items and a true-score variance :math:`\sigma_T^2` (item metric), coefficient alpha is
:math:`\alpha = k\sigma_T^2 / (k\sigma_T^2 + \sigma_e^2)`, which gives the error variance
:math:`\sigma_e^2 = k\sigma_T^2 (1-\alpha)/\alpha`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.simulate.draws import Floats, Whole

SHIFT = 0.1  # how far the easiest and the hardest item lie from the middle one, as a share of the range at its middle
ROUNDING_VARIANCE = 1 / 6  # mean of f(1 - f) over fractions f: the least variance whole-number answers can have


@dataclass(frozen=True)
class Form:
    """An instrument's form: number of items, lowest and highest answer, and the reverse-keyed items (from 1)."""

    items: int
    low: int
    high: int
    reverse: tuple[int, ...] = ()


# Keys as in config/instruments; a test holds them together.
ECR_R_ANXIETY = Form(18, 1, 7, (9, 11))
ECR_R_AVOIDANCE = Form(18, 1, 7, (2, 4, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18))  # items 19 to 36 of the form
CORE10 = Form(10, 0, 4, (2, 3))
WAI_SR = Form(12, 1, 5)


@dataclass(frozen=True)
class Noise:
    """How answers spread about the true score: share put on the neighbouring numbers, and Pólya over-dispersion."""

    neighbours: float = 0.0
    spread: float = 0.0


def error_variance(reliability: float, sd: float, *, items: int) -> float:
    r"""Return the error variance of one item, :math:`k\sigma_T^2(1-\alpha)/\alpha`; ``sd`` of the true item mean."""
    if not 0 < reliability < 1:
        raise StatisticsError(f"reliability {reliability} is not between 0 and 1")
    return items * sd**2 * (1 - reliability) / reliability


def noise_for(reliability: float, *, mean: float, sd: float, form: Form) -> Noise:
    """Return the noise that gives a scale the reliability asked for in a population.

    Parameters
    ----------
    reliability : float
        Coefficient alpha wanted.
    mean, sd : float
        Of the true scores in that population, in answer points (the metric of one item).
    form : Form
        Number of items and response range.

    Raises
    ------
    StatisticsError
        If no whole-number answers in this range can have that reliability.
    """
    top = form.high - form.low
    share = (mean - form.low) / top
    wanted = error_variance(reliability, sd, items=form.items)
    binomial = top * (share * (1 - share) - (sd / top) ** 2)
    if wanted >= binomial:
        spread = (wanted / binomial - 1) / (top - 1)
        if spread >= 1:
            raise StatisticsError(f"reliability {reliability} is too low for answers from {form.low} to {form.high} with SD {sd}")
        return Noise(spread=spread)
    neighbours = (binomial - wanted) / (binomial - ROUNDING_VARIANCE)
    if neighbours > 1:
        raise StatisticsError(f"reliability {reliability} is too high for {form.items} whole-number answers with SD {sd}")
    return Noise(neighbours=neighbours)


def item_positions(share: Floats, items: int) -> Floats:
    """Return each item's expected position in the range (0 to 1), easy items above and hard ones below the person's."""
    shifts = np.linspace(-SHIFT, SHIFT, items) if items > 1 else np.zeros(1)
    return np.asarray(share[:, None] + shifts[None, :] * 4 * (share * (1 - share))[:, None], dtype=np.float64)


def answer_items(true: Floats, uniform: Floats, *, form: Form, noise: Noise) -> Whole:
    """Draw the answers of n people to k items.

    Parameters
    ----------
    true : (n,) float array
        True scores in answer points, as the mean of the keyed items.
    uniform : (n, k) float array
        Uniform numbers; the same numbers with another true score give the same person's answers in another state.
    form : Form
        Range, and the items that are reverse-keyed (their answers are returned as the person gives them).
    noise : Noise
        From :func:`noise_for`.

    Returns
    -------
    (n, k) integer array
        Answers in the response range.
    """
    top = form.high - form.low
    p = item_positions(np.clip((true - form.low) / top, 0.0, 1.0), form.items)
    q = 1 - p
    gamma = noise.spread / (1 - noise.spread)
    below = np.floor(p * top)
    part = p * top - below
    rising = [np.ones_like(p)]  # p (p + g) (p + 2g) ...
    falling = [np.ones_like(p)]
    scale = 1.0
    for i in range(top):
        rising.append(rising[-1] * (p + i * gamma))
        falling.append(falling[-1] * (q + i * gamma))
        scale *= 1 + i * gamma
    answer = np.zeros(uniform.shape, dtype=np.int64)
    reached = np.zeros_like(p)
    for k in range(top):
        polya = comb(top, k) * rising[k] * falling[top - k] / scale
        beside = np.where(below == k, 1 - part, np.where(below == k - 1, part, 0.0))
        reached = reached + (1 - noise.neighbours) * polya + noise.neighbours * beside
        answer += uniform > reached
    answer += form.low
    return reverse_keyed(answer, form)


def reverse_keyed(answers: Whole, form: Form) -> Whole:
    """Turn reverse-keyed items round: lowest + highest - answer."""
    columns = [i - 1 for i in form.reverse]
    turned = answers.copy()
    turned[:, columns] = form.low + form.high - turned[:, columns]
    return turned


def keyed_mean(answers: Whole, form: Form) -> Floats:
    """Return the scale mean after turning the reverse-keyed items."""
    return np.asarray(reverse_keyed(answers, form).mean(axis=1), dtype=np.float64)


def item_names(prefix: str, first: int, form: Form) -> list[str]:
    """Return the column names of a form's items, numbered from ``first``."""
    return [f"{prefix}_{first + i}" for i in range(form.items)]
