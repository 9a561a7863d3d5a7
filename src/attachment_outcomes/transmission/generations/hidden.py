r"""Can error in the classifications alone make a first-order chain look as if grandparents mattered beyond parents?

It can. If the parent's class is misread, the grandparent's still says something about the parent's true class, and so about the
child. The model: true classes are a first-order chain, and each is read with known error,

.. math:: P(g, p, c) = \sum_{t_1t_2t_3} \pi(t_1) P_1(t_2|t_1) P_2(t_3|t_2)\,A_G(t_1, g) A_P(t_2, p) A_C(t_3, c)

with errors that do not depend on each other or on anybody else's class. It is fitted by EM, and what the data show beyond it is
tested by drawing data from the fit.

Vocabulary
----------
errors  matrix of the chance of each class read (columns) given the true one (rows); see
        :class:`attachment_outcomes.transmission.misclassification.reliability.Reliability`
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.proportions import check_generator
from attachment_outcomes.transmission.generations.markov import conditional_kappa
from attachment_outcomes.transmission.misclassification.reliability import Reliability

Numbers = npt.NDArray[np.float64]

ITERATIONS, TOLERANCE = 2000, 1e-7  # EM steps; change of the log-likelihood (not per person) at which a fit counts as found
DRAWS = 999


@dataclass(frozen=True, slots=True)
class HiddenChain:
    """A fitted chain, with leading axes for replicates.

    ``read`` (…, K, K, K) are shares of what is read; ``older`` and ``younger`` (…, K, K) those of the true classes of grandparent
    and parent and of parent and child; ``g2`` is the distance of the data from the fit.
    """

    read: Numbers
    older: Numbers
    younger: Numbers
    g2: Numbers
    converged: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorTest:
    """Test of a first-order chain read with error. ``conditional_kappa`` is what error alone leaves of ``kappa``, the one seen."""

    g2: float
    p_value: float
    kappa: float
    kappa_p: float
    conditional_kappa: float
    draws: int
    note: str = ""


def fit_hidden_chain(
    tables: npt.ArrayLike, reliabilities: Sequence[Reliability], *, iterations: int = ITERATIONS, tolerance: float = TOLERANCE
) -> HiddenChain:
    """Fit a first-order chain of true classes that are read with known errors, by EM.

    Parameters
    ----------
    tables : (…, K, K, K) counts
        Grandparent, parent and child as read; leading axes are replicates, each fitted for itself.
    reliabilities
        Of the classifications of grandparents, parents and children. Errors that follow from a kappa are made for the shares of the
        classes as they are read.
    iterations, tolerance
        EM stops when no log-likelihood changes by more than the tolerance, or after so many steps.

    Returns
    -------
    HiddenChain
        Maximum-likelihood estimates; on the edge of what is possible a true share is 0.

    References
    ----------
    Dempster, A. P., Laird, N. M., & Rubin, D. B. (1977). JRSS B, 39, 1-38. Baum, L. E., et al. (1970). Annals of Mathematical
    Statistics, 41, 164-171.
    """
    given = np.asarray(tables, dtype=np.float64)
    lead, k = given.shape[:-3], given.shape[-1]
    counts = given.reshape(-1, k, k, k)
    n = counts.sum(axis=(1, 2, 3))
    shares = counts / n[:, None, None, None]
    of_g, of_p, of_c = (
        reliability.matrices(shares.sum(axis=axes))
        for reliability, axes in zip(reliabilities, ((2, 3), (1, 3), (1, 2)), strict=True)
    )
    flat = counts.reshape(-1, k, k * k)
    # Start at what is read, moved a little inside, so that no true class begins with a chance of 0.
    joint = 0.9 * shares.sum(axis=3) + 0.1 / k**2
    pair = 0.9 * shares.sum(axis=1) + 0.1 / k**2
    onward = pair / pair.sum(axis=2, keepdims=True)
    read = np.empty_like(flat)
    log = np.full(len(counts), -math.inf)
    going = np.arange(len(counts))
    for _ in range(iterations):
        a_g, a_p, a_c, seen = of_g[going], of_p[going], of_c[going], flat[going]
        m1 = a_g.transpose(0, 2, 1) @ joint[going]
        m3 = onward[going] @ a_c
        w = (a_p[:, :, :, None] * m3[:, :, None, :]).reshape(-1, k, k * k)
        model = m1 @ w
        new = special.xlogy(seen, model).sum(axis=(1, 2))
        read[going] = model
        ratio = np.divide(seen, model, out=np.zeros_like(seen), where=model > 0)
        first = joint[going] * (a_g @ (ratio @ w.transpose(0, 2, 1)))
        by_class = (m1.transpose(0, 2, 1) @ ratio).reshape(-1, k, k, k)
        second = onward[going] * (np.einsum("btpc,btp->btc", by_class, a_p) @ a_c.transpose(0, 2, 1))
        joint[going] = first / n[going, None, None]
        whole = second.sum(axis=2, keepdims=True)
        onward[going] = np.divide(second, whole, out=onward[going].copy(), where=whole > 0)
        still = new - log[going] > tolerance
        log[going] = new
        going = going[still]
        if not len(going):
            break
    converged = np.ones(len(counts), dtype=bool)
    converged[going] = False
    saturated = special.xlogy(flat, shares.reshape(flat.shape)).sum(axis=(1, 2))
    younger = joint.sum(axis=1)[:, :, None] * onward
    return HiddenChain(
        read.reshape(*lead, k, k, k), joint.reshape(*lead, k, k), younger.reshape(*lead, k, k),
        np.maximum(2 * (saturated - log), 0.0).reshape(lead), converged.reshape(lead),
    )  # fmt: skip


def explained_by_error(
    table: npt.ArrayLike, reliabilities: Sequence[Reliability], *, rng: np.random.Generator, draws: int = DRAWS
) -> ErrorTest:
    r"""Test a first-order chain of true classes read with error, by data drawn from the fit and fitted again.

    ``p_value`` is of G², the distance from the fit in any direction; ``kappa_p`` of how far the conditional kappa of grandparent
    and child (:func:`.markov.conditional_kappa`) is from that of the fit, two-sided. Both are
    (1 + draws at least as far) / (1 + draws).

    Parameters
    ----------
    table : (K, K, K) counts
        Grandparent, parent and child as read; one chain a family.
    reliabilities
        Of the classifications of grandparents, parents and children, taken as known.
    rng, draws
        Generator, and how many data sets are drawn.

    Raises
    ------
    StatisticsError
        If the table is empty.
    """
    check_generator(rng, place="chain with error")
    counts = np.asarray(table, dtype=np.float64)
    n, k = int(counts.sum()), counts.shape[-1]
    if n == 0:
        raise StatisticsError(problem("chain with error", "there is no chain with all three classes."))
    fit = fit_hidden_chain(counts, reliabilities)
    drawn = rng.multinomial(n, (fit.read / fit.read.sum()).ravel(), size=draws).reshape(draws, k, k, k).astype(float)
    again = fit_hidden_chain(drawn, reliabilities, iterations=500, tolerance=1e-4)
    left = _kappa(fit.read)
    apart = abs(float(_kappa(counts)) - float(left))
    far = np.abs(_kappa(drawn) - _kappa(again.read))
    defined = np.isfinite(far)
    g2 = float(fit.g2)
    return ErrorTest(
        g2=g2, p_value=(1 + int((again.g2 >= g2 - 1e-6).sum())) / (1 + draws), kappa=float(_kappa(counts)),
        kappa_p=(1 + int((far[defined] >= apart - 1e-9).sum())) / (1 + int(defined.sum())) if math.isfinite(apart) else math.nan,
        conditional_kappa=float(left), draws=draws, note="" if bool(fit.converged) else "the fit did not settle",
    )  # fmt: skip


def _kappa(tables: Numbers) -> Numbers:
    """Return the conditional kappa of grandparent and child of tables (…, grandparent, parent, child)."""
    return conditional_kappa(np.moveaxis(tables, -2, -3))
