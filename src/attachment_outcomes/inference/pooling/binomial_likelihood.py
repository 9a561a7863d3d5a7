r"""How likely are counts at a mean log odds and a standard deviation between samples, and which are likeliest?

.. math:: \ell = \sum_i \log \int \operatorname{Binomial}(x_i \mid n_i, \operatorname{expit}(\mu + \tau z))\,\varphi(z)\,dz

by adaptive Gauss–Hermite quadrature about each sample's mode. Slopes and curvatures are the posterior means and variances of
those of the complete data (Louis, 1982), by the same points.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln

Numbers = npt.NDArray[np.float64]

POINTS = 25
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(POINTS)
LOG_WEIGHTS = np.log(WEIGHTS) + NODES**2 / 2 - 0.5 * math.log(2 * math.pi)
MODE_STEPS, MODE_DONE = 100, 1e-10
MOST_STEPS, DONE, HALVINGS = 100, 1e-9, 10  # DONE: rise in log likelihood before a last step
STARTS = (0.4, 1.6)  # standard deviations from which the top is sought
NOTHING = 1e-5  # a standard deviation below this is 0: the likelihood differs by less than its own rounding
LONGEST = 2.0  # step, in log odds
TOO_FAR = 6.0  # standard deviation in log odds: beyond, nearly all samples have all or none, and the quadrature loses its digits


class TooFarError(ArithmeticError):
    """The likelihood rises without end."""


@dataclass(frozen=True)
class Counts:
    """Events and people of each sample, (k,)."""

    x: Numbers
    n: Numbers

    @cached_property
    def constant(self) -> float:
        """Log of the binomial coefficients."""
        return float((gammaln(self.n + 1) - gammaln(self.x + 1) - gammaln(self.n - self.x + 1)).sum())


@dataclass(frozen=True, slots=True)
class Fit:
    """Log likelihood, the samples' slopes by mean and sd (k, 2), and the observed information (2, 2), at a mean and an sd."""

    mean: float
    sd: float
    loglik: float
    scores: Numbers
    information: Numbers

    @property
    def std_error(self) -> float:
        """Standard error of the mean; where the sd is 0, as if it were known."""
        free = 2 if self.sd > 0 else 1
        return math.sqrt(float(np.linalg.inv(self.information[:free, :free])[0, 0]))

    def mean_share(self) -> float:
        """Return the average share over samples."""
        z, w = np.polynomial.hermite_e.hermegauss(POINTS)
        return float(w @ expit(self.mean + self.sd * z) / w.sum())


def evaluate(data: Counts, mean: float, sd: float) -> Fit:
    """Return the likelihood at a mean and a standard deviation, which is 0 or more."""
    x, n = data.x, data.n
    mode = _modes(x, n, mean, sd)
    p = expit(mean + sd * mode)
    width = 1 / np.sqrt(1 + sd**2 * n * p * (1 - p))
    z = mode[:, None] + width[:, None] * NODES
    eta = mean + sd * z
    logs = x[:, None] * eta - n[:, None] * np.logaddexp(0.0, eta) - z**2 / 2 + LOG_WEIGHTS + np.log(width)[:, None]
    most = logs.max(axis=1, keepdims=True)
    share = np.exp(logs - most)
    total = share.sum(axis=1, keepdims=True)
    share /= total
    p = expit(eta)
    pull, bend = x[:, None] - n[:, None] * p, n[:, None] * p * (1 - p)
    first = share * pull
    scores = np.column_stack([first.sum(axis=1), (first * z).sum(axis=1)])
    net = share * bend - first * pull  # information of the complete data less the square of its slope
    crossed = net * z
    both = float(crossed.sum())
    information = np.array([[float(net.sum()), both], [both, float((crossed * z).sum())]]) + scores.T @ scores
    return Fit(mean, sd, float((most + np.log(total)).sum()) + data.constant, scores, information)


def _modes(x: Numbers, n: Numbers, mean: float, sd: float) -> Numbers:
    """Return where each integrand is largest: Newton's steps, kept within bounds that close in."""
    z = np.zeros(len(x))
    if sd == 0:
        return z
    reach = sd * n + 1.0
    low, high = -reach, reach
    for _ in range(MODE_STEPS):
        p = expit(mean + sd * z)
        slope = sd * (x - n * p) - z
        low, high = np.where(slope > 0, z, low), np.where(slope > 0, high, z)
        step = z + slope / (1 + sd**2 * n * p * (1 - p))
        new = np.where((step >= low) & (step <= high), step, (low + high) / 2)
        if np.abs(new - z).max() < MODE_DONE * (1 + np.abs(z).max()):
            return new
        z = new
    return z


def at_sd(data: Counts, sd: float, start: float | None = None) -> Fit:
    """Return the likeliest mean at a standard deviation."""
    share = (data.x.sum() + 0.5) / (data.n.sum() + 1)
    mean = math.log(share / (1 - share)) if start is None else start
    return _climb(data, mean, sd, free=(True, False))


def at_mean(data: Counts, mean: float, sd: float) -> Fit:
    """Return the likeliest standard deviation at a mean, or 0 if that is likelier; sought from ``sd`` and from a large one.

    Off the likeliest mean there may be two tops, and which is reached must not depend on where the last search ended.
    """
    found = [evaluate(data, mean, 0.0), *(_climb(data, mean, s, free=(False, True)) for s in (max(sd, 0.1), STARTS[-1]))]
    return max(found, key=lambda f: f.loglik)


def maximise(data: Counts) -> Fit:
    """Return the likeliest mean and standard deviation, from several beginnings; 0 if nothing is likelier.

    Raises
    ------
    TooFarError
        If the standard deviation grows without end.
    """
    zero = at_sd(data, 0.0)
    found = [_climb(data, zero.mean, sd, free=(True, True)) for sd in STARTS]
    best = max(found, key=lambda f: f.loglik)
    if best.sd >= TOO_FAR:
        raise TooFarError
    return best if best.sd > NOTHING and best.loglik > zero.loglik else zero


def _climb(data: Counts, mean: float, sd: float, *, free: tuple[bool, bool]) -> Fit:
    """Climb by Newton's steps where the likelihood curves down, else along the slope; the sd's sign is of no matter."""
    here = evaluate(data, mean, sd)
    chosen = np.array(free)
    grid = np.ix_(chosen, chosen)
    for _ in range(MOST_STEPS):
        gradient = here.scores.sum(axis=0)[chosen]
        values, vectors = np.linalg.eigh(here.information[grid])
        steep = np.maximum(np.abs(values), 1e-8 * max(1.0, float(np.abs(values).max())))
        move = vectors @ ((vectors.T @ gradient) / steep)
        rise = float(move @ gradient)
        step = np.zeros(2)
        step[chosen] = move * (LONGEST / max(float(np.abs(move).max()), LONGEST))
        if rise < DONE:  # Newton's last step doubles the digits; the likelihood itself is too flat here to tell
            return evaluate(data, here.mean + float(step[0]), abs(here.sd + float(step[1])))
        for _ in range(HALVINGS):
            there = evaluate(data, here.mean + float(step[0]), abs(here.sd + float(step[1])))
            if there.loglik > here.loglik:
                break
            step = step / 2
        else:
            return here
        here = there
        if chosen[1] and not NOTHING < here.sd < TOO_FAR:
            return here
    return here
