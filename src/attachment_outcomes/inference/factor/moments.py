r"""What do incomplete data say of means and covariances? The data by pattern of what is missing, and the saturated model.

People who answered the same variables are one pattern, and a pattern's number of people, means and covariances are all that a
normal likelihood needs of them. Complete data are one pattern. Missing values are taken as missing at random given what was
observed (full information maximum likelihood).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.errors import StatisticsError

Numbers = NDArray[np.float64]
LOG_TWO_PI = math.log(2 * math.pi)
CHUNK = 4_000_000  # numbers of a stack of matrices that are held at once
EM_STEPS = 2000
EM_TOLERANCE = 1e-11  # gain in log likelihood a person that no longer counts


@dataclass(frozen=True)
class Moments:
    """Patterns of missing values: ``seen`` (R × p), ``n`` (R), ``mean`` (R × p) and ``covariance`` (R × p × p, divisor n).

    Means and covariances are 0 where a variable is not seen. ``rows`` are the data (N × p, sorted), ``pattern`` (N)
    says which pattern a row has and ``place`` (N) which row of the data it was; people without any answer are not among them,
    and ``n_empty`` counts these.
    """

    seen: NDArray[np.bool_]
    n: Numbers
    mean: Numbers
    covariance: Numbers
    rows: Numbers
    pattern: NDArray[np.int64]
    place: NDArray[np.int64]
    n_empty: int

    @property
    def total(self) -> int:
        """Number of people with any answer."""
        return len(self.rows)

    @property
    def complete(self) -> bool:
        """Whether nobody lacks an answer."""
        return bool(self.seen.all())

    def chunks(self) -> Iterator[slice]:
        """Yield runs of patterns whose matrices fit into memory."""
        r, p = self.seen.shape
        step = max(1, CHUNK // (p * p))
        for start in range(0, r, step):
            yield slice(start, min(start + step, r))

    def minus_two_log(self, mean: Numbers, covariance: Numbers) -> tuple[float, Numbers, Numbers]:
        """Return -2 log likelihood and its gradient by the means (p) and covariances (p × p, as in tr(G dS)).

        The first is infinite where the covariances are not positive definite.
        """
        p = len(mean)
        value, by_mean, by_covariance = self.n @ self.seen.sum(axis=1) * LOG_TWO_PI, np.zeros(p), np.zeros((p, p))
        for part in self.chunks():
            found = inverses(covariance, self.seen[part])
            if found is None:
                return math.inf, by_mean, by_covariance
            weight, log_determinant = found
            d = np.where(self.seen[part], self.mean[part] - mean, 0.0)
            second = self.covariance[part] + d[:, :, None] * d[:, None, :]
            product = weight @ second
            n = self.n[part]
            value += n @ (log_determinant + np.trace(product, axis1=1, axis2=2))
            by_covariance += np.einsum("r,rij->ij", n, weight - product @ weight)
            by_mean -= 2 * np.einsum("r,rij,rj->i", n, weight, d)
        return float(value), by_mean, (by_covariance + by_covariance.T) / 2

    @cached_property
    def saturated(self) -> tuple[Numbers, Numbers, float]:
        """Means, covariances and log likelihood of the model that restricts nothing.

        Raises
        ------
        StatisticsError
            If the covariances are singular, or were not found.
        """
        if len(self.n) == 1:
            mean, covariance = self.mean[0], self.covariance[0]
        else:
            mean, covariance = self._expectation_maximisation()
        value = self.minus_two_log(mean, covariance)[0]
        if not math.isfinite(value) or np.linalg.cond(_correlation(covariance)) > 1e12:
            raise StatisticsError("the covariances of the variables are singular: some repeat others, or people are too few")
        return mean, covariance, -value / 2

    def _expectation_maximisation(self) -> tuple[Numbers, Numbers]:
        """Squared extrapolation (Varadhan & Roland, 2008) of the EM steps, dropped where a plain step gains more."""
        here = self._start()
        value = self.minus_two_log(*here)[0]
        for _ in range(EM_STEPS):
            first = self._em_step(*here)
            second = self._em_step(*first)
            plain = self.minus_two_log(*second)[0]
            if value - plain < EM_TOLERANCE * self.total:
                return second
            change = [b - a for a, b in zip(here, first, strict=True)]
            bend = [c - b - r for b, c, r in zip(first, second, change, strict=True)]
            size = math.sqrt(sum(float((v**2).sum()) for v in bend))
            length = math.sqrt(sum(float((r**2).sum()) for r in change)) / size if size > 0 else 1.0
            mean, covariance = (a + 2 * length * r + length**2 * v for a, r, v in zip(here, change, bend, strict=True))
            leap = self.minus_two_log(mean, covariance)[0]
            here, value = ((mean, covariance), leap) if leap < plain else (second, plain)
        raise StatisticsError("means and covariances of incomplete data were not found: too few people answered the same variables")

    def _start(self) -> tuple[Numbers, Numbers]:
        weight = self.n[:, None] * self.seen
        count = weight.sum(axis=0)
        mean = (weight * self.mean).sum(axis=0) / count
        spread = np.einsum("r,rii->i", self.n, self.covariance) + (weight * (self.mean - mean) ** 2).sum(axis=0)
        return mean, np.diag(spread / count)

    def _em_step(self, mean: Numbers, covariance: Numbers) -> tuple[Numbers, Numbers]:
        """Return means and covariances of the data completed by what the given ones make of what was seen."""
        p = len(mean)
        first, second = np.zeros(p), np.zeros((p, p))
        for part in self.chunks():
            found = inverses(covariance, self.seen[part])
            if found is None:
                raise StatisticsError("the covariances of the variables are singular: some repeat others, or people are too few")
            slopes = covariance @ found[0]
            d = np.where(self.seen[part], self.mean[part] - mean, 0.0)
            shift = np.einsum("rij,rj->ri", slopes, d)
            n = self.n[part]
            first += n @ shift
            spread = slopes @ self.covariance[part] @ slopes.transpose(0, 2, 1) - slopes @ covariance
            second += np.einsum("r,rij->ij", n, spread + shift[:, :, None] * shift[:, None, :])
        moved = first / self.total
        new = covariance + second / self.total - np.outer(moved, moved)
        return mean + moved, (new + new.T) / 2

    def independence(self) -> float:
        """Log likelihood of uncorrelated variables, the baseline that fit is judged from."""
        return -self.minus_two_log(*self._start())[0] / 2


def moments_of(values: NDArray[np.float64]) -> Moments:
    """Return the patterns of missing values of data (n × p; NaN = missing).

    Raises
    ------
    StatisticsError
        If a value is infinite, a variable is never answered or does not vary, or there are no more people than variables.
    """
    rows = np.asarray(values, dtype=float)
    if rows.ndim != 2 or np.isinf(rows).any():
        raise StatisticsError("a factor model needs a table of finite numbers, a row a person and a column a variable")
    some = ~np.isnan(rows).all(axis=1)
    kept = rows[some]
    n, p = kept.shape
    if n <= p:
        raise StatisticsError(f"{n} people with answers for {p} variables; a factor model needs more people than variables")
    seen = ~np.isnan(kept)
    if not seen.any(axis=0).all():
        raise StatisticsError(f"variable {int(np.flatnonzero(~seen.any(axis=0))[0]) + 1} of {p} has no answer at all")
    if (np.nanmax(kept, axis=0) == np.nanmin(kept, axis=0)).any():
        still = int(np.flatnonzero(np.nanmax(kept, axis=0) == np.nanmin(kept, axis=0))[0]) + 1
        raise StatisticsError(f"variable {still} of {p} does not vary")
    # Rows sorted by pattern and value, so that the last digits do not depend on the order of people.
    filled = np.where(seen, kept, 0.0)
    order = np.lexsort((*filled.T, *seen.T))
    kept, seen, filled = kept[order], seen[order], filled[order]
    starts = np.flatnonzero(np.r_[True, (seen[1:] != seen[:-1]).any(axis=1)])
    count = np.diff(np.r_[starts, n])
    pattern = np.repeat(np.arange(len(starts)), count)
    kinds = seen[starts]
    mean = np.add.reduceat(filled, starts, axis=0) / count[:, None]
    centred = np.where(seen, filled - mean[pattern], 0.0)
    covariance = np.stack([centred[a : a + c].T @ centred[a : a + c] / c for a, c in zip(starts, count, strict=True)])
    return Moments(kinds, count.astype(float), mean, covariance, kept, pattern, np.flatnonzero(some)[order], int((~some).sum()))


def inverses(covariance: Numbers, seen: NDArray[np.bool_]) -> tuple[Numbers, Numbers] | None:
    """Return, for each pattern, the inverse of the covariances of what is seen (0 elsewhere) and their log determinant.

    None if one of them is not positive definite.
    """
    both = seen[:, :, None] & seen[:, None, :]
    stack = np.where(both, covariance, np.eye(covariance.shape[0]))
    try:
        lower = np.linalg.cholesky(stack)
    except np.linalg.LinAlgError:
        return None
    log_determinant = 2 * np.log(np.diagonal(lower, axis1=1, axis2=2)).sum(axis=1)
    if not np.isfinite(log_determinant).all():
        return None
    return np.where(both, np.linalg.inv(stack), 0.0), log_determinant


def _correlation(covariance: Numbers) -> Numbers:
    sd = np.sqrt(np.diag(covariance))
    found: Numbers = covariance / np.outer(sd, sd)
    return found
