"""Do the criteria find the same ruptures? Kappa of every pair, by session and by client, and of all together.

Every criterion is a way of saying what a rupture is; where two of them do not agree, what is found with one cannot be held
against what is found with the other.

Vocabulary
----------
kappa             agreement beyond chance, given how often each criterion says yes
PABAK             2 x agreement − 1: kappa if both said yes in half of the cases; kappa is low where ruptures are rare, PABAK is not
prevalence index  (both − neither) / n; far from 0, kappa is low even for good agreement
bias index        (first only − second only) / n; far from 0, one criterion says yes more often
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.stats import t as student

from attachment_outcomes.inference.clustered_agreement import kappa_gradient, kappa_of
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.steps import Part, typed_table
from attachment_outcomes.rupture.aligned import EPISODE, LEVELS, UNKNOWN, Verdicts, align, reads_report
from attachment_outcomes.rupture.criteria import Detection
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.series import Numbers, Whole

AGREEMENT = "rupture_agreement"
ROBUST = ", influence values by person (CR1), t on G - 1 df"
COHEN = f"Cohen's kappa{ROBUST}"
FEW_PEOPLE = 10  # fewer persons: the variance between them is itself poorly known
# A row a pair of criteria and level.
TABLES = {
    "rupture_agreement": {
        "level": "str", "criterion_a": "str", "criterion_b": "str", "primary": "bool", "kappa": "float64", "std_error": "float64",
        "ci_low": "float64", "ci_high": "float64", "agreement": "float64", "pabak": "float64", "prevalence_index": "float64",
        "bias_index": "float64", "n": "int64", "n_people": "int64", "n_both": "int64", "n_a_only": "int64", "n_b_only": "int64",
        "note": "str",
    }
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement of a pair: kappa with its interval, and what is needed to read it; NaN and a note where it is not defined."""

    kappa: float
    std_error: float
    ci_low: float
    ci_high: float
    agreement: float
    pabak: float
    prevalence_index: float
    bias_index: float
    n: int
    n_people: int
    note: str = ""


def pair_agreement(cells: Numbers, *, ci_level: float = CI_LEVEL) -> Kappa:
    r"""Return kappa, PABAK and the indices of a pair from counts by person.

    .. math::

        \kappa = \frac{p_o - p_e}{1 - p_e}, \quad PABAK = 2p_o - 1, \quad PI = \frac{a - d}{n}, \quad BI = \frac{b - c}{n}

    The interval is :math:`\kappa \pm t_{G-1} SE`, with the influence values of kappa summed within persons (CR1), so that sessions
    of one person may be as alike as they are. It is held within −1 to 1.

    Parameters
    ----------
    cells : (persons, 4) floats
        Counts of both, first only, second only, neither; persons without any count say nothing.
    ci_level : float
        Confidence level.

    Returns
    -------
    Kappa
        Higher = more agreement. Kappa is NaN, with a note, where a criterion says the same of everything.

    References
    ----------
    Cohen, J. (1960). Educational and Psychological Measurement, 20, 37-46. Byrt, T., Bishop, J., & Carlin, J. B. (1993). Journal
    of Clinical Epidemiology, 46, 423-429 (PABAK and the indices). Yang, Z., & Zhou, M. (2014). Statistics in Medicine, 33,
    1069-1083 (kappa of clustered pairs).
    """
    cells = np.asarray(cells)
    own = cells[cells.sum(axis=1) > 0]
    n, people, nan = int(own.sum()), len(own), math.nan
    if n == 0:
        return Kappa(nan, nan, nan, nan, nan, nan, nan, nan, 0, 0, "nothing is judged by both")
    shares = own.sum(axis=0) / n
    agreement, prevalence, bias = shares[0] + shares[3], shares[0] - shares[3], shares[1] - shares[2]
    known = Kappa(
        nan, nan, nan, nan, float(agreement), float(2 * agreement - 1), float(prevalence), float(bias), n, people,
    )  # fmt: skip
    table = shares.reshape(2, 2)
    if min(*table.sum(axis=0), *table.sum(axis=1)) == 0:
        return replace(known, note="a criterion says the same of everything, so that kappa is not defined")
    kappa = kappa_of(table)
    slope = kappa_gradient(table).ravel()
    sums = own @ slope - own.sum(axis=1) * float(shares @ slope)
    error, low, high = _interval(kappa, sums, n, ci_level)
    notes = [
        f"few persons ({people}): the interval may be too short" if people < FEW_PEOPLE else "",
        "the two agree throughout, so that the interval has no length" if agreement == 1 else "",
    ]
    return replace(known, kappa=kappa, std_error=error, ci_low=low, ci_high=high, note="; ".join(filter(None, notes)))


def fleiss_kappa(votes: Numbers, raters: int, person: Whole | None = None, *, ci_level: float = CI_LEVEL) -> Kappa:
    r"""Return the kappa of several criteria that judge the same sessions, yes or no.

    With :math:`x_i` of m criteria that say yes of session i, :math:`p = \bar x / m`,

    .. math::

        P_o = \overline{\frac{x_i^2 + (m - x_i)^2 - m}{m(m - 1)}}, \quad P_e = p^2 + (1 - p)^2, \quad
        \kappa = \frac{P_o - P_e}{1 - P_e}

    The interval is by influence values summed within persons, t on G − 1 df. (Fleiss' own standard error is for kappa = 0 and for
    independent sessions.)

    Parameters
    ----------
    votes : (n,) floats
        How many criteria say yes.
    raters : int
        m, at least 2.
    person : (n,) numbers, optional
        The cluster of each session; every session is its own without it.
    ci_level : float
        Confidence level.

    References
    ----------
    Fleiss, J. L. (1971). Psychological Bulletin, 76, 378-382.
    """
    n, nan = len(votes), math.nan
    codes: Whole = np.arange(n) if person is None else np.unique(person, return_inverse=True)[1]
    people = int(codes.max(initial=-1)) + 1
    if n == 0 or raters < 2:
        return Kappa(nan, nan, nan, nan, nan, nan, nan, nan, n, people, "nothing is judged by two criteria or more")
    alike = (votes**2 + (raters - votes) ** 2 - raters) / (raters * (raters - 1))
    observed, p = float(alike.mean()), float(votes.mean() / raters)
    known = Kappa(nan, nan, nan, nan, observed, 2 * observed - 1, 2 * p - 1, nan, n, people)
    if p in (0.0, 1.0):
        return replace(known, note="all criteria say the same of everything, so that kappa is not defined")
    chance = p**2 + (1 - p) ** 2
    kappa = (observed - chance) / (1 - chance)
    influence = ((alike - observed) - (1 - kappa) * (4 * p - 2) * (votes / raters - p)) / (1 - chance)
    error, low, high = _interval(kappa, np.bincount(codes, weights=influence).astype(np.float64), n, ci_level)
    return replace(known, kappa=kappa, std_error=error, ci_low=low, ci_high=high)


def _interval(kappa: float, sums: Numbers, n: int, ci_level: float) -> tuple[float, float, float]:
    """Return standard error and limits from influence values summed within persons; NaN for fewer than two persons."""
    people = len(sums)
    if people < 2:
        return math.nan, math.nan, math.nan
    error = math.sqrt(people / (people - 1) * float((sums**2).sum())) / n
    half = float(student.ppf(0.5 + ci_level / 2, people - 1)) * error
    return error, max(-1.0, kappa - half), min(1.0, kappa + half)


def analyse(data: RuptureData) -> Part:
    """Return the agreement of every pair of criteria, and of all criteria together, at each of ``LEVELS``."""
    detections = [d for d in data.detections if d.assessable.any()]
    if len(detections) < 2:
        reason = f"{len(detections)} criteria could be applied; agreement takes two"
        return Part([not_testable(AGREEMENT, reason, outcome=data.alliance)])
    verdicts = align(detections)
    names = [d.criterion.name for d in detections]
    table, rows = [], []
    for level in LEVELS:
        pairs = [(names[i], names[j], verdicts.cells(i, j, level)) for i, j in combinations(range(len(names)), 2)]
        found = [(a, b, cells.sum(axis=0), pair_agreement(cells, ci_level=data.ci_level)) for a, b, cells in pairs]
        table += [_line(level, a, b, sums, kappa, primary=a == names[0]) for a, b, sums, kappa in found]
        rows += [_row(data, level, a, b, kappa) for a, b, _, kappa in found if a == names[0]]
        rows += _summary(data, level, [kappa for *_, kappa in found])
        rows += _together(data, level, verdicts, detections)
    return Part(rows, {"rupture_agreement": typed_table(table, TABLES["rupture_agreement"])})


def _line(level: str, a: str, b: str, sums: Numbers, found: Kappa, *, primary: bool) -> dict[str, object]:
    return {
        "level": level, "criterion_a": a, "criterion_b": b, "primary": primary, "kappa": found.kappa, "std_error": found.std_error,
        "ci_low": found.ci_low, "ci_high": found.ci_high, "agreement": found.agreement, "pabak": found.pabak,
        "prevalence_index": found.prevalence_index, "bias_index": found.bias_index, "n": found.n, "n_people": found.n_people,
        "n_both": int(sums[0]), "n_a_only": int(sums[1]), "n_b_only": int(sums[2]), "note": found.note,
    }  # fmt: skip


def _base(data: RuptureData, level: str, definition: str, *, primary: bool) -> Estimate:
    return Estimate(
        analysis=AGREEMENT, estimand="kappa", estimate=math.nan, method=COHEN, outcome=data.alliance, group=level,
        definition=definition, primary=primary, ci_level=data.ci_level, unit="kappa",
        direction="higher is better",
    )  # fmt: skip


def _row(data: RuptureData, level: str, a: str, b: str, found: Kappa) -> Estimate:
    """Return the kappa of the primary criterion with another one, or why there is none."""
    base = _base(data, level, f"{a} and {b}", primary=False)
    if math.isnan(found.kappa):
        gone = not_testable(AGREEMENT, f"{level}: {found.note}", outcome=data.alliance)
        return replace(gone, definition=base.definition, group=level)
    return replace(
        base, estimate=found.kappa, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, n=float(found.n),
        # Not the indices: beside kappa they give the cells back. The table of pairs has them.
        n_clusters=float(found.n_people), note="; ".join(filter(None, [_unit(level), found.note])),
    )  # fmt: skip


def _unit(level: str) -> str:
    return "n is clients" if level == LEVELS[2] else "n is sessions"


def _summary(data: RuptureData, level: str, pairs: Sequence[Kappa]) -> Iterator[Estimate]:
    """Yield the median kappa over the pairs; single ones are in the table, which small counts are hidden from."""
    defined = [found.kappa for found in pairs if not math.isnan(found.kappa)]
    if len(defined) < 2:
        return
    yield replace(
        _base(data, level, f"{len(defined)} pairs of criteria", primary=level == EPISODE), estimand="median_kappa",
        estimate=float(np.median(defined)), method="median over pairs",
    )  # fmt: skip


def _together(data: RuptureData, level: str, verdicts: Verdicts, detections: Sequence[Detection]) -> Iterator[Estimate]:
    """Yield the kappa of all criteria that judge the series, and of all criteria where some read reports."""
    if level == LEVELS[1]:
        return  # onsets that count as the same within a session are a matter of pairs
    states = verdicts.inside if level == EPISODE else verdicts.any_rupture
    person = verdicts.person[verdicts.unit] if level == EPISODE else verdicts.person
    ratings = [i for i, d in enumerate(detections) if not reads_report(d.criterion)]
    sets = {"all criteria of the rated alliance": ratings, "all criteria": list(range(len(detections)))}
    for name, chosen in sets.items():
        if len(chosen) < 2 or (name == "all criteria" and len(chosen) == len(ratings)):
            continue
        judged = np.all([states[i] != UNKNOWN for i in chosen], axis=0)
        votes = np.zeros(len(judged))
        for i in chosen:
            votes += states[i] == 1
        found = fleiss_kappa(votes[judged], len(chosen), person[judged], ci_level=data.ci_level)
        base = replace(
            _base(data, level, name, primary=False), estimand="fleiss_kappa",
            method=f"Fleiss' kappa{ROBUST}",
        )  # fmt: skip
        if math.isnan(found.kappa):
            yield replace(not_testable(AGREEMENT, f"{level}: {found.note}", outcome=data.alliance), definition=name, group=level)
            continue
        yield replace(
            base, estimate=found.kappa, std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, n=float(found.n),
            n_clusters=float(found.n_people), note=f"{len(chosen)} criteria; {_unit(level)}, judged by all of them",
        )  # fmt: skip
