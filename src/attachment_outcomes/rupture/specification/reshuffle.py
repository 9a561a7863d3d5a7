r"""Could a curve of associations as strong have come about if rupture groups went with nothing in the outcome?

What a client's outcome has beyond the covariates is given to another client with about as many sessions, and all specifications are
made anew from the same exchange, so that what they share (clients, criteria that agree in part) is kept. That is the same as
exchanging the clients' whole vectors of groups, with the covariates left where they are (Freedman & Lane, 1983).

Therapists differ in their clients' outcomes and in how many ruptures are repaired, so clients of one therapist may not be
exchanged as if they were independent. The residuals are parted into a therapist's and a client's,

.. math:: e_{ij} = u_j + w_{ij}, \qquad u_j \to u_j\sqrt{\tau^2/(\tau^2 + \sigma^2/m_j)}, \quad
    w_{ij} \to w_{ij}\sqrt{m_j/(m_j - 1)}

scaled so that they vary as much as the analysis of variance says, and exchanged apart: u among therapists, w among clients.

Vocabulary
----------
stratum   clients with about as many rated sessions: who stays longer has more occasions for a rupture and for its repair
expected  the mean over the exchanges; not 0 where groups and outcome both go with the number of sessions
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.proportions import check_generator, cluster_sums
from attachment_outcomes.rupture.specification.designs import Design

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
PLACE = "specification curve of repair"
PERMUTATIONS = 299
FEWEST = 20  # people: fewer give no p value to speak of
STRATA, PER_STRATUM = 10, 10  # at most so many strata of sessions, of at least so many clients each
CELLS = 2_000_000  # of a block of exchanged outcomes
MOST = 2e10  # outcomes that are refitted in all: minutes
ROUNDING = 1e-10
SMALLEST = 1e-300


@dataclass(frozen=True, kw_only=True)
class Exchanged:
    """A curve's statistics with p values, and what they and each specification would be if groups went with nothing.

    ``expected`` (specifications,); ``between`` is the share of the residuals' variance between therapists, of the first covariates.
    """

    median: float
    share_significant: float
    combined_z: float
    p_median: float
    p_share: float
    p_combined: float
    median_expected: float
    share_expected: float
    expected: Numbers
    permutations: int
    strata: int
    units: int
    people: int
    between: float


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """Whose residuals are exchanged: fitted values and residuals of each set of covariates (sets, n), strata and therapists (n,).

    ``therapist`` is −1 where nobody says: such a client counts as one alone.
    """

    fitted: Numbers
    residuals: Numbers
    stratum: Whole
    therapist: Whole

    def __post_init__(self) -> None:
        """Refuse too few people."""
        if len(self.stratum) < FEWEST:
            raise StatisticsError(problem(PLACE, f"{len(self.stratum)} people; at least {FEWEST} are needed to exchange them."))


def exchange_of(outcome: Numbers, covariates: Sequence[Numbers], sessions: Numbers, therapist: Whole) -> Exchange:
    """Return what is exchanged.

    Parameters
    ----------
    outcome : (n,)
        End scores, none missing.
    covariates
        For each set of covariates (n, k), none missing.
    sessions : (n,)
        Rated sessions, which make the strata; missing ones make one of their own.
    therapist : (n,)
        Number of the therapist, −1 where nobody says.
    """
    fitted = []
    for columns in covariates:
        x = np.column_stack([np.ones(len(outcome)), columns])
        q, r = np.linalg.qr(x)
        keep = np.abs(np.diag(r)) > ROUNDING * np.abs(np.diag(r)).max()
        q = q[:, keep]
        fitted.append(q @ (q.T @ outcome))
    found = np.array(fitted)
    return Exchange(fitted=found, residuals=outcome - found, stratum=strata_of(sessions), therapist=therapist)


def strata_of(sessions: Numbers) -> Whole:
    """Return each client's stratum: quantiles of the number of sessions, of ten clients or more each where there are such."""
    known = np.isfinite(sessions)
    wanted = int(np.clip(known.sum() // PER_STRATUM, 1, STRATA))
    edges = np.unique(np.quantile(sessions[known], np.arange(1, wanted) / wanted)) if known.any() else np.zeros(0)
    return np.where(known, np.searchsorted(edges, sessions, side="left"), len(edges) + 1).astype(np.int64)


def reshuffle_curve(
    designs: Sequence[Design],
    sets: Sequence[int],
    of_curve: Sequence[tuple[int, int]],
    exchange: Exchange,
    *,
    rng: np.random.Generator,
    permutations: int = PERMUTATIONS,
    by_therapist: bool = True,
    ci_level: float = CI_LEVEL,
) -> list[Exchanged]:
    """Test curves against no association of groups and outcome in any specification.

    Parameters
    ----------
    designs
        The regressions.
    sets
        Of each, which of the exchange's sets of covariates it is adjusted for.
    of_curve
        The specifications, as (design, contrast), of each contrast's curve.
    exchange
        What is exchanged.
    rng
        Of the exchanges.
    permutations
        Number of exchanges.
    by_therapist
        Exchange the therapists' part among therapists; without it clients are exchanged as if they were independent.
    ci_level
        1 − the two-sided level at which a specification is significant.

    Returns
    -------
    list of Exchanged
        One for each contrast that is named, in the order of their numbers. ``p_median`` and ``p_combined`` (mean of the z values):
        two-sided, how far from their expected value; ``p_share`` (of specifications that are significantly above 0): one-sided.
        Each is (b + 1)/(m + 1).

    Raises
    ------
    StatisticsError
        If there is no specification, or the data are too large for so many exchanges.

    References
    ----------
    Freedman, D., & Lane, D. (1983). J. Bus. Econ. Stat., 1, 292-298. Simonsohn, U., Simmons, J. P., & Nelson, L. D. (2020). Nature
    Human Behaviour, 4, 1208-1214. Winkler, A. M., et al. (2014). NeuroImage, 92, 381-397.
    """
    check_generator(rng, place=PLACE)
    if not of_curve:
        raise StatisticsError(problem(PLACE, "no specification has an estimate."))
    work = permutations * float(sum(len(d.rows) for d in designs))
    if work > MOST:
        hint = "fewer permutations, windows or criteria (rupture, key specification)."
        raise StatisticsError(problem(PLACE, f"{work:.0e} outcomes to refit; at most {MOST:.0e}.", hint=hint))
    parts = [_parted(e, exchange.therapist, by_therapist) for e in exchange.residuals]
    seen = _statistics(designs, sets, exchange.fitted[:, None, :] + exchange.residuals[:, None, :])
    drawn = [np.empty((permutations, len(designs), seen[0].shape[2])) for _ in range(2)]
    n = len(exchange.stratum)
    step = max(1, CELLS // (n * len(parts)))
    for done in range(0, permutations, step):
        size = min(step, permutations - done)
        clients = _within(exchange.stratum, size, rng)
        outcomes = np.empty((len(parts), size, n))
        for i, (_, _, w) in enumerate(parts):
            outcomes[i] = exchange.fitted[i] + w[clients]
        if len(parts[0][1]) > 1:
            order = rng.permuted(np.tile(np.arange(len(parts[0][1])), (size, 1)), axis=1)
            for i, (unit, u, _) in enumerate(parts):
                outcomes[i] += u[order][:, unit]
        for store, found in zip(drawn, _statistics(designs, sets, outcomes), strict=True):
            store[done : done + size] = found
    df = np.array([d.df for d in designs])
    return [
        _tested(np.array([s for s, c in of_curve if c == contrast]), contrast, seen, drawn, df, ci_level, exchange, parts)
        for contrast in sorted({c for _, c in of_curve})
    ]


def _statistics(designs: Sequence[Design], sets: Sequence[int], outcomes: Numbers) -> tuple[Numbers, Numbers]:
    """Return estimates and t values, each (b, designs, contrasts), for outcomes (sets, b, n)."""
    estimates, t = (np.empty((outcomes.shape[1], len(designs), designs[0].own.shape[1])) for _ in range(2))
    for j, (design, which) in enumerate(zip(designs, sets, strict=True)):
        estimate, error = design.refitted(outcomes[which])
        estimates[:, j] = estimate
        t[:, j] = np.divide(estimate, error, out=np.zeros_like(estimate), where=error > 0)
    return estimates, t


def _tested(
    which: Whole, contrast: int, seen: tuple[Numbers, Numbers], drawn: list[Numbers], df: Numbers, ci_level: float,
    exchange: Exchange, parts: list[tuple[Whole, Numbers, Numbers]],
) -> Exchanged:  # fmt: skip
    own = df[which, contrast]
    limit = student.ppf(0.5 + ci_level / 2, own)

    def summed(estimates: Numbers, t: Numbers) -> Numbers:
        t = t[:, which, contrast]
        z = np.sign(t) * norm.isf(np.maximum(student.sf(np.abs(t), own), SMALLEST))
        return np.column_stack([np.median(estimates[:, which, contrast], axis=1), (t > limit).mean(axis=1), z.mean(axis=1)])

    value, null = summed(*seen)[0], summed(drawn[0], drawn[1])
    centre = null.mean(axis=0)
    far, slack = np.abs(null - centre), ROUNDING * np.abs(value)
    extreme = [
        (far[:, 0] >= abs(value[0] - centre[0]) - slack[0]).sum(), (null[:, 1] >= value[1] - slack[1]).sum(),
        (far[:, 2] >= abs(value[2] - centre[2]) - slack[2]).sum(),
    ]  # fmt: skip
    p = (np.array(extreme) + 1) / (len(null) + 1)
    unit, u, w = parts[0]
    spread = float(u.var() + w.var())
    return Exchanged(
        median=float(value[0]), share_significant=float(value[1]), combined_z=float(value[2]), p_median=float(p[0]),
        p_share=float(p[1]), p_combined=float(p[2]), median_expected=float(centre[0]), share_expected=float(centre[1]),
        expected=drawn[0][:, which, contrast].mean(axis=0), permutations=len(null), strata=len(np.unique(exchange.stratum)),
        units=len(u), people=len(unit), between=float(u.var()) / spread if spread > 0 else 0.0,
    )  # fmt: skip


def _parted(residual: Numbers, therapist: Whole, by_therapist: bool) -> tuple[Whole, Numbers, Numbers]:
    """Return each client's unit, the units' parts and the clients' parts of the residuals, scaled to their variances."""
    n = len(residual)
    alone = np.zeros(n, dtype=np.int64), np.zeros(1), residual
    if not by_therapist or len(np.unique(therapist[therapist >= 0])) < 2:
        return alone
    label = np.where(therapist < 0, -1 - np.arange(n), therapist)
    unit = np.unique(label, return_inverse=True)[1].astype(np.int64)
    m = np.bincount(unit).astype(float)
    mean = cluster_sums(residual, unit) / m
    groups = len(m)
    within = float(((residual - mean[unit]) ** 2).sum()) / max(n - groups, 1)
    between = float((m * (mean - residual.mean()) ** 2).sum()) / (groups - 1)
    tau2 = max(0.0, (between - within) / ((n - float((m**2).sum()) / n) / (groups - 1)))
    u = mean * np.sqrt(tau2 / (tau2 + within / m)) if tau2 > 0 else np.zeros(groups)
    # A therapist with one client has no residual within: theirs is shared out by the variances.
    single = m[unit] == 1
    stretch = np.sqrt(np.divide(m, m - 1, out=np.ones(groups), where=m > 1))[unit]
    w = np.where(single, residual * np.sqrt(within / (tau2 + within)), (residual - mean[unit]) * stretch)
    return unit, u, w


def _within(stratum: Whole, size: int, rng: np.random.Generator) -> Whole:
    """Return for each exchange whose residual each client gets, within strata, (size, n)."""
    order = np.argsort(stratum, kind="stable")
    drawn = np.argsort(rng.random((size, len(stratum))) + stratum[order], axis=1, kind="stable")
    found = np.empty_like(drawn)
    found[:, order] = order[drawn]
    return found
