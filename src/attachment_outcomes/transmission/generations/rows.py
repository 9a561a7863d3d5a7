"""The rows that three generations give: agreement, tests of a first-order chain, and projections, one way at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.misclassification import fullest_diagonal, most_likely, seen_through
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.resampling import Replicates
from attachment_outcomes.transmission.data import TransmissionData
from attachment_outcomes.transmission.generations import hidden, markov, odds
from attachment_outcomes.transmission.generations.chains import Read
from attachment_outcomes.transmission.generations.projection import product_table
from attachment_outcomes.transmission.generations.resampled import STEPS, Layout

ANALYSIS = "three_generations"
ALPHA = 0.05
SPARSE = 5  # expected count below which the chi-square distribution is not trusted (Cochran, 1954)
BOOTSTRAP = "family bootstrap, percentile"
ASSUMED = "if transmission stays first-order and as it is"
CORRECTED = "corrected for error"
Drawn = Mapping[tuple[str, str], tuple[Replicates, int]]
Limits = tuple[float, float, float, float, str]


@dataclass(frozen=True)
class Way:
    """Chains and pairs read in one way.

    ``names`` are the classes of grandparents, parents and children; ``why`` says why nobody knows how reliable they are.
    """

    way: str
    primary: bool
    names: tuple[list[str], ...]
    layout: Layout
    chains: Read
    older: Read
    younger: Read
    why: str

    @cached_property
    def table(self) -> npt.NDArray[np.int64]:
        """Counts of grandparent, parent and child (K, K, K)."""
        k = self.layout.classes
        counts = np.zeros((k, k, k), dtype=np.int64)
        np.add.at(counts, tuple(self.chains.codes.T), 1)
        return counts

    @property
    def clustered(self) -> bool:
        """Whether a family gives several chains."""
        return self.chains.n_families < len(self.chains.families)


def limits(drawn: Drawn, label: tuple[str, str], *, ci_level: float) -> Limits:
    """Return estimate, standard error, lower and upper limit of a statistic, and a note; NaN where there are none."""
    if label not in drawn:
        return math.nan, math.nan, math.nan, math.nan, "no interval: a single family"
    replicates, which = drawn[label]
    estimate = float(replicates.estimates[which])
    try:
        found = replicates.interval(which, method="percentile", ci_level=ci_level)
    except StatisticsError as error:
        reason = "not defined for these counts" if math.isnan(estimate) else f"no interval: {_plain(error)}"
        return estimate, math.nan, math.nan, math.nan, reason
    return found.estimate, found.std_error, found.ci_low, found.ci_high, found.note


def _plain(error: StatisticsError) -> str:
    return (
        "too many replicates are not defined" if "replicates" in str(error) else "the replicates do not vary as they would need to"
    )


class _Rows:
    """Makes rows of one way."""

    def __init__(self, way: Way, data: TransmissionData, outcome: str) -> None:
        self.way, self.data, self.outcome = way, data, outcome

    def row(self, estimand: str, value: float, *, part: Read, method: str, primary: bool | None = None, **more: Any) -> Estimate:
        fixed: dict[str, Any] = {
            "analysis": ANALYSIS, "estimand": estimand, "estimate": value, "outcome": self.outcome, "definition": self.way.way,
            "primary": self.way.primary if primary is None else primary and self.way.primary, "ci_level": self.data.ci_level,
            "n": float(len(part.codes)), "n_clusters": float(part.n_families), "method": method,
        }  # fmt: skip
        return Estimate(**{**fixed, **more})

    def drawn(
        self, estimand: str, label: tuple[str, str], drawn: Drawn, *, part: Read, unit: str, note: str = "", **more: Any
    ) -> Estimate:
        """Return a statistic with its bootstrap interval."""
        found = limits(drawn, label, ci_level=self.data.ci_level)
        notes = "; ".join(filter(None, [note, found[4]]))
        fixed: dict[str, Any] = {
            "method": BOOTSTRAP,
            "std_error": found[1],
            "ci_low": found[2],
            "ci_high": found[3],
            "note": notes,
        }
        return self.row(estimand, found[0], part=part, **{**fixed, "unit": unit, **more})

    def share(self, estimand: str, events: npt.NDArray[np.bool_], families: npt.NDArray[np.int64], group: str) -> Estimate:
        """Return a share with Wilson's interval, on the effective number where families give several chains."""
        part = Read(np.empty((len(events), 0), dtype=np.int64), families)
        if not len(events):
            empty = f"no chain has {group}" if group else "no chain"
            return self.row(estimand, math.nan, part=part, method="Wilson interval", group=group, unit="proportion", note=empty)
        several = part.n_families < len(families)
        found = proportion(events, clusters=families if several else None, ci_level=self.data.ci_level)
        method = "Wilson interval on the effective n of families" if several else "Wilson interval"
        return self.row(
            estimand, found.estimate, part=part, method=method, group=group, unit="proportion", std_error=found.std_error,
            ci_low=found.ci_low, ci_high=found.ci_high, note=found.note,
        )  # fmt: skip

    def refused(self, reason: str, group: str = "") -> Estimate:
        return replace(not_testable(ANALYSIS, reason, outcome=self.outcome), definition=self.way.way, group=group)


def chain_rows(way: Way, drawn: Drawn, *, data: TransmissionData, outcome: str) -> list[Estimate]:
    """Return agreement between the generations, persistence, and the tests of a first-order chain."""
    make = _Rows(way, data, outcome)
    if not len(way.chains.codes):
        return [
            make.refused("no chain of grandparent, parent and child has all three classes: whether it is first-order is untested")
        ]
    return [*_agreement(make, drawn), *_persistence(make), *_order(make, drawn), *_beyond_error(make)]


def _agreement(make: _Rows, drawn: Drawn) -> list[Estimate]:
    way = make.way
    part = way.chains
    g, p, c = part.codes.T
    out = [make.share("agreement", same, part.families, step) for step, same in zip(STEPS, (g == p, p == c, g == c), strict=True)]
    out += [make.drawn("kappa", ("kappa", step), drawn, part=part, unit="kappa", group=step) for step in STEPS]
    out.append(make.share("all_alike", (g == p) & (p == c), part.families, ""))
    older, younger = way.table.sum(axis=2), way.table.sum(axis=0)
    parents = younger.sum(axis=1)
    alike = float(np.divide(np.diag(older) * np.diag(younger), parents, out=np.zeros(len(parents)), where=parents > 0).sum())
    ends = float(np.trace(product_table(way.table)))
    product: dict[str, Any] = {"part": part, "unit": "proportion", "method": "product of the two tables"}
    label = ("agreement_beyond_markov", "")
    return [
        *out,
        make.row("all_alike_if_markov", alike / len(g), **product),
        make.row("agreement_if_markov", ends, group=STEPS[2], **product),
        make.drawn("agreement_beyond_markov", label, drawn, part=part, unit="proportion", group=STEPS[2]),
    ]


def _persistence(make: _Rows) -> list[Estimate]:
    """Return how often security, and insecurity, of a grandparent is found in parent and child too."""
    way = make.way
    secure = way.chains.codes == way.layout.secure
    organised = way.names[1][way.layout.secure] == "organised"
    words = ("organised", "unresolved or disorganised") if organised else ("secure", "insecure")
    out = []
    for word, alike in zip(words, (secure, ~secure), strict=True):
        of = alike[:, 0]
        out.append(make.share("persists", alike[of, 1] & alike[of, 2], way.chains.families[of], word))
    return out


def _order(make: _Rows, drawn: Drawn) -> list[Estimate]:
    """Return the tests of a first-order chain and the association that is left between grandparent and child."""
    way = make.way
    by_parent = np.moveaxis(way.table, 1, 0)
    rng = make.data.rng("first-order chain", way.way)
    if way.clustered:
        k = way.layout.classes
        codes = way.chains.codes[:, [1, 0, 2]]
        found = markov.family_conditional_independence(codes, way.chains.families, shape=(k, k, k), rng=rng)
    else:
        found = markov.conditional_independence(by_parent, rng=rng)
    if not found.df:
        return [make.refused(f"first-order chain: {found.note}")]
    verdict = (
        "nothing says that grandparents matter beyond the parent's class"
        if found.x2_exact > ALPHA
        else "the grandparent's class says something beyond the parent's"
    )
    shared: dict[str, Any] = {"part": way.chains, "unit": "chi-square", "n": float(found.n)}
    df = f"{found.df} degrees of freedom"
    same = f"M² (Cochran-Mantel-Haenszel), {found.exact}"
    out = [
        make.row(
            "markov", found.x2, method=f"X², {found.exact}", p_value=found.x2_exact, note=f"{df}; at 5 %, {verdict}", **shared
        ),
        make.row("markov_same_direction", found.cmh, method=same, p_value=found.cmh_exact, **shared),
    ]
    if not way.clustered:
        note = f"{df}; an expected count is below {SPARSE}: it rejects too often" if found.smallest_expected < SPARSE else df
        asymptotic = "G², chi-square distribution"
        out.append(make.row("markov", found.g2, method=asymptotic, p_value=found.g2_p, primary=False, note=note, **shared))
    label, method = ("conditional_kappa", ""), f"{BOOTSTRAP}; p by {found.exact}"
    out.append(
        make.drawn(label[0], label, drawn, part=way.chains, unit="kappa", method=method, p_value=found.kappa_exact)
    )  # fmt: skip
    return [*out, *(_common_odds(make, drawn, by_parent) if way.layout.classes == 2 else [])]


def _common_odds(make: _Rows, drawn: Drawn, by_parent: npt.NDArray[np.int64]) -> list[Estimate]:
    """Return the odds ratio of grandparent and child common to both classes of parents, and the exact one."""
    way, level = make.way, make.data.ci_level
    plain = odds.mantel_haenszel(by_parent, ci_level=level)
    if way.clustered:
        value, error, low, high, note = limits(drawn, ("log_common_odds", ""), ci_level=level)
        shown = replace(
            plain, odds_ratio=math.exp(value), std_error=error, ci_low=math.exp(low), ci_high=math.exp(high), p_value=math.nan,
            method=f"Mantel-Haenszel, {BOOTSTRAP}", note=note,
        )  # fmt: skip
        kinds = [shown]
    else:
        kinds = [plain, odds.exact_common_odds(by_parent, ci_level=level)]
    return [
        make.row(
            "common_odds_ratio", found.odds_ratio, part=way.chains, method=found.method, unit="odds ratio",
            std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, p_value=found.p_value, note=found.note,
            primary=found is kinds[0],
        )
        for found in kinds
    ]  # fmt: skip


def _beyond_error(make: _Rows) -> list[Estimate]:
    """Return what error in the classes alone would leave between grandparent and child, and the test beyond it."""
    way = make.way
    if way.layout.errors is None:
        return [make.refused(f"{way.why}: error in the parent's class may stand for an influence of grandparents", CORRECTED)]
    rng = make.data.rng("chain read with error", way.way)
    # Chains of a family are not independent; the data drawn from the fit are. So every family counts with one chain.
    order = rng.permutation(len(way.chains.codes))
    _, first = np.unique(way.chains.families[order], return_index=True)
    kept = np.sort(order[first])
    part = Read(way.chains.codes[kept], way.chains.families[kept])
    table = np.zeros_like(way.table)
    np.add.at(table, tuple(part.codes.T), 1)
    if steps := _above_ceiling(make, part):
        why = f"the agreement of {' and of '.join(steps)} is clearly above what the reliability given lets anybody see"
        return [
            make.refused(f"{why}: the classes are more reliable here than was given, so error cannot be allowed for", CORRECTED)
        ]
    found = hidden.explained_by_error(table, way.layout.errors, rng=rng)
    alone = "one chain a family, by chance" if len(kept) < len(way.chains.codes) else ""
    shared: dict[str, Any] = {
        "part": part, "group": CORRECTED,
        "method": f"chain of true classes read with known error; {found.draws} data sets from the fit",
    }  # fmt: skip
    beyond = found.kappa - found.conditional_kappa
    words = (
        [_verdict(found.p_value), found.note],
        ["what error alone would leave", _told(way)],
        [_verdict(found.kappa_p, beyond=beyond)],
    )
    notes = ["; ".join(filter(None, [*w, alone])) for w in words]
    return [
        make.row("markov_given_error", found.g2, unit="chi-square", p_value=found.p_value, note=notes[0], **shared),
        make.row("conditional_kappa_by_error", found.conditional_kappa, unit="kappa", note=notes[1], **shared),
        make.row("conditional_kappa_beyond_error", beyond, unit="kappa", p_value=found.kappa_p, note=notes[2], **shared),
    ]


def _above_ceiling(make: _Rows, part: Read) -> list[str]:
    """Return the neighbours in the chain whose agreement is above its ceiling, with all of its interval.

    The ceiling is what would be seen if true classes corresponded as far as their shares allow. The chain read with error cannot
    reach what is above it, so that a test of the chain would reject the reliability and not the chain.
    """
    errors = make.way.layout.errors
    assert errors is not None
    found = []
    for which, step in enumerate(STEPS[:2]):
        above, below = part.codes[:, which], part.codes[:, which + 1]
        table = np.zeros((1, make.way.layout.classes, make.way.layout.classes))
        np.add.at(table[0], (above, below), 1.0 / len(above))
        matrices = errors[which].matrices(table.sum(axis=2)), errors[which + 1].matrices(table.sum(axis=1))
        likely, _ = most_likely(table, *matrices)
        ceiling = float(np.trace(seen_through(fullest_diagonal(likely), *matrices)[0]))
        if proportion(above == below, ci_level=make.data.ci_level).ci_low > ceiling:
            found.append(step)
    return found


def _verdict(p: float, *, beyond: float = math.nan) -> str:
    """Return what a test of the chain and the reliability given, both at once, says; ``beyond`` is the kappa that error leaves."""
    if math.isnan(p):
        return ""
    if p > ALPHA:
        return "at 5 %, error may explain what is seen"
    if math.isnan(beyond):
        return "at 5 %, either not first-order, or the classes are not as reliable as was given"
    if beyond > 0:
        return "at 5 %, grandparents matter beyond error, unless the classes are less reliable than was given"
    return "at 5 %, either not first-order, or the classes are more reliable than was given"


def projection_rows(way: Way, drawn: Drawn, *, data: TransmissionData, outcome: str) -> list[Estimate]:
    """Return the test that transmission is the same in both generations, and what becomes of security if it stays so."""
    make = _Rows(way, data, outcome)
    pairs = Read(np.concatenate([way.older.codes, way.younger.codes]), np.concatenate([way.older.families, way.younger.families]))
    out = _homogeneity(make, pairs)
    told = _told(way)
    untested = "" if len(way.chains.codes) else "; no chain: that it is first-order is untested"
    steps = [("", ""), *([("corrected", CORRECTED)] if way.layout.errors is not None else [])]
    for key, word in steps:
        note = ASSUMED + untested + (f"; {told}" if key else "")
        for k in range(1, way.layout.ahead + 1):
            group = f"generation {k}" + (f", {word}" if word else "")
            for estimand, start in (("projected_secure", "all"), ("secure_line", str(way.layout.secure))):
                label = (f"projected from {start}", f"{key} {k}".strip())
                out.append(make.drawn(estimand, label, drawn, part=pairs, unit="proportion", group=group, note=note))
        for estimand, unit in (
            ("long_run_secure", "proportion"),
            ("difference_left", "ratio"),
            ("half_life", "generations"),
        ):
            out.append(make.drawn(estimand, (estimand, key), drawn, part=pairs, unit=unit, group=word, note=note))
    return out


def _told(way: Way) -> str:
    """Return what the correction for error rests on."""
    if way.layout.errors is None:
        return ""
    _, parent, child = way.layout.errors
    known = " (as if known)" if parent.known and child.known else ""
    return f"parents: {parent.words}; children: {child.words}{known}; errors taken to be independent"


def _homogeneity(make: _Rows, pairs: Read) -> list[Estimate]:
    """Return the test that grandparents pass on to parents as parents do to children."""
    way = make.way
    if not len(way.older.codes) or not len(way.younger.codes):
        return []
    step = np.repeat([0, 1], [len(way.older.codes), len(way.younger.codes)])
    k = way.layout.classes
    # A family's pairs are of both steps, so that its sum of scores is what is independent.
    found = markov.family_conditional_independence(
        np.column_stack([pairs.codes[:, 0], step, pairs.codes[:, 1]]), pairs.families, shape=(k, 2, k),
        rng=make.data.rng("same transmission", way.way),
    )  # fmt: skip
    if not found.df:
        return [make.refused(f"same transmission in both generations: {found.note}")]
    method, note = f"X², {found.exact}", f"{found.df} degrees of freedom"
    return [
        make.row(
            "same_transmission",
            found.x2,
            part=pairs,
            method=method,
            unit="chi-square",
            p_value=found.x2_exact,
            note=note,
            n=found.n,
        )
    ]


def projection_table(way: Way, drawn: Drawn, *, ci_level: float) -> pd.DataFrame:
    """Return the projected share of the secure class by start and generation, with and without correction for error."""
    starts = [("all", "all"), *((str(i), name) for i, name in enumerate(way.names[1]))]
    rows = []
    for key in ("", "corrected") if way.layout.errors is not None else ("",):
        for start, name in starts:
            for k in range(way.layout.ahead + 1):
                value, _, low, high, _ = limits(drawn, (f"projected from {start}", f"{key} {k}".strip()), ci_level=ci_level)
                if start != "all" and k == 0:
                    low = high = value  # where a line starts is known
                rows.append((way.way, bool(key), name, k, value, low, high))
    return pd.DataFrame(rows, columns=["way", "corrected", "start_class", "generation", "share", "ci_low", "ci_high"])
