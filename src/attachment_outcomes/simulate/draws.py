"""Random draws that repeat: one generator a part, and everything made from uniform numbers.

Only ``Generator.random`` is used: of numpy's streams it is the one least likely to change between versions. Normal
numbers are its quantiles, choices are thresholds on it, and what is written is rounded, so that the same truth gives
the same bytes elsewhere too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from attachment_outcomes.job import seed

Floats = npt.NDArray[np.float64]
Whole = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SMALLEST = 2.0**-54  # half the step of Generator.random: keeps normal numbers finite


def part_generator(base: int, part: str) -> np.random.Generator:
    """Return the generator of one part of a cohort, so that a change to one part moves no other."""
    return np.random.default_rng(seed(base, "simulate", part))


def normals(rng: np.random.Generator, *shape: int) -> Floats:
    """Return standard normal numbers."""
    return np.asarray(ndtri(np.clip(rng.random(shape), SMALLEST, 1 - 2.0**-53)), dtype=np.float64)


def correlated(first: Floats, correlation: float, fresh: Floats) -> Floats:
    """Return standard normal numbers that correlate with ``first``, from fresh ones that do not."""
    return np.asarray(correlation * first + np.sqrt(1 - correlation**2) * fresh, dtype=np.float64)


def pick(uniform: Floats, shares: Sequence[float] | Floats) -> Whole:
    """Return the index of a choice for each uniform number, with the given shares."""
    steps = np.cumsum(np.asarray(shares, dtype=np.float64))
    return np.minimum(np.searchsorted(steps / steps[-1], uniform, side="right"), len(steps) - 1).astype(np.int64)


def order(rng: np.random.Generator, n: int) -> Whole:
    """Return the numbers 0 to n - 1 in random order."""
    return np.argsort(rng.random(n), kind="stable").astype(np.int64)
