"""What does one sample say of one measure, on the scale on which it is pooled?

Rows of a table are parents (or the earlier time), columns children (or the later time); of two classes the secure one is last.

Vocabulary
----------
measure   what is pooled, e.g. ``kappa``
scale     where it is nearly normal, and pooled: log odds of shares, Fisher's z of phi, the logarithm of odds ratios
source    what the effect was made from: counts, the jackknife over families, or a number that was reported without a table
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from attachment_outcomes.errors import StatisticsError, problem
from attachment_outcomes.inference.agreement import critical
from attachment_outcomes.inference.pooling.effects import fisher_z, logit_proportion
from attachment_outcomes.inference.steps import stacked
from attachment_outcomes.transmission.samples.contrasts import kappas, log_odds_ratios, phis
from attachment_outcomes.transmission.samples.tables import Reported, Sample, named
from attachment_outcomes.transmission.tables import Table

Numbers = npt.NDArray[np.float64]
Read = Callable[[Table], tuple[Numbers, Numbers]]
Counts = Callable[[Table], tuple[Numbers, Numbers]]

COUNTS, FAMILIES = "counts", "jackknife over families"
ALIKE = "all agree: 1 without an error that could weight it"
PUBLISHED_LEVEL = 0.95  # level of the intervals that are printed beside a number
EFFECT_COLUMNS = {
    "sample_id": "str", "label": "str", "cluster": "str", "own": "bool", "n": "float64", "effect": "float64", "variance": "float64",
    "successes": "float64", "of": "float64", "source": "str", "smallest": "float64",
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One measure: how it is read from (S, K, K) tables on the scale it is pooled on, and how it comes back.

    ``counts`` gives successes and totals, where it is a share; ``reported`` are the numbers that stand in for a table.
    """

    name: str
    unit: str
    scale: str
    read: Read
    back: Callable[[npt.ArrayLike], Numbers]
    missing: str
    two_class: bool = True
    direction: str = ""
    counts: Counts | None = None
    reported: tuple[str, ...] = ()


def _given(row: int) -> Counts:
    """Return successes (last column) and total of one row."""
    return lambda tables: (tables[:, row, -1].astype(np.float64), tables[:, row].sum(axis=1).astype(np.float64))


def _diagonal(tables: Table) -> tuple[Numbers, Numbers]:
    return np.trace(tables, axis1=1, axis2=2).astype(np.float64), tables.sum(axis=(1, 2)).astype(np.float64)


def _share(counts: Counts) -> Read:
    return lambda tables: logit_proportion(*counts(tables))


def _kappa(tables: Table) -> tuple[Numbers, Numbers]:
    found = kappas(tables)
    return found.kappa, found.std_error**2


def _phi(tables: Table) -> tuple[Numbers, Numbers]:
    return fisher_z(phis(tables), tables.sum(axis=(1, 2)))


def _as_is(value: npt.ArrayLike) -> Numbers:
    return np.asarray(value, dtype=np.float64)


def _from_logit(value: npt.ArrayLike) -> Numbers:
    return np.asarray(expit(value), dtype=np.float64)


def _proportion(name: str, row: int, missing: str) -> Measure:
    counts = _given(row)
    better = "higher is better"
    return Measure(name, "proportion", "log odds", _share(counts), _from_logit, missing, direction=better, counts=counts)


NO_SECURE, NO_INSECURE = "nobody secure in the rows", "nobody insecure in the rows"
MEASURES = {
    m.name: m
    for m in (
        _proportion("stays_secure", 1, NO_SECURE),
        _proportion("becomes_secure", 0, NO_INSECURE),
        _proportion("secure_given_secure", 1, NO_SECURE),
        _proportion("secure_given_insecure", 0, NO_INSECURE),
        Measure(
            "phi", "phi", "Fisher's z", _phi, lambda x: np.tanh(np.asarray(x, dtype=np.float64)),
            "an empty row or column, a phi of 1, or fewer than 4 people", reported=("r", "d"),
        ),
        Measure(
            "odds_ratio", "odds ratio", "log odds ratio", log_odds_ratios, lambda x: np.exp(np.asarray(x, dtype=np.float64)),
            "an empty row or column",
        ),
        Measure(
            "agreement", "proportion", "log odds", _share(_diagonal), _from_logit, "no people", two_class=False, counts=_diagonal,
            reported=("proportion",),
        ),
        Measure("kappa", "kappa", "kappa", _kappa, _as_is, "kappa or its error not defined", two_class=False, reported=("kappa",)),
    )
}  # fmt: skip
BY_MEANING = {
    "transmission": ["kappa", "agreement", "phi", "odds_ratio", "secure_given_secure", "secure_given_insecure"],
    "stability": ["stays_secure", "becomes_secure", "phi"],
}


class Effects(NamedTuple):
    """The samples that say something of a measure, a row each: ``EFFECT_COLUMNS`` and ``name``; and how many samples there were.

    ``n`` is people, of a share those in its row. ``alike`` samples are left out because all agree (kappa or phi of 1).
    """

    measure: Measure
    rows: pd.DataFrame
    asked: int
    alike: int = 0

    @property
    def shared(self) -> bool:
        """Whether samples share clusters."""
        return int(self.rows["cluster"].nunique()) < len(self.rows)

    def record(self, add: Callable[..., object], step: str, n_in: int) -> None:
        """Record, of the samples that come in, who is left out and why; ``add`` as :meth:`attachment_outcomes.flow.Flow.add`."""
        if self.alike:
            add(step, n_in, n_in - self.alike, ALIKE, unit="samples")
        add(step, n_in - self.alike, len(self.rows), self.measure.missing, unit="samples")


def read_effects(samples: Sequence[Sample], reported: Sequence[Reported], measure: Measure) -> Effects:
    """Return the effect of each sample of one system, with its sampling variance; samples without one are left out.

    The variance of the study's own families, where a family has several pairs, is that of the jackknife over families on the
    scale pooled. A reported r has 1 / (n − 3), a d is read as r = d / sqrt(d² + 4) (groups of one size), a proportion is taken as
    n times it of n, and a kappa has the variance of its printed interval.

    Raises
    ------
    StatisticsError
        If the measure needs two classes and the tables have more.
    """
    wrong = next((s for s in samples if measure.two_class and len(s.table) != 2), None)
    if wrong is not None:
        raise StatisticsError(
            problem(
                f"{measure.name} of {wrong.system}",
                f"its tables have {len(wrong.table)} classes; allowed: 2.",
                hint="pool a secure/insecure system, or measure agreement or kappa.",
            )
        )
    told = [r for r in _first_told(reported, measure) if measure.reported]
    frame = stacked([_of_tables(samples, measure), _of_numbers(told, measure)], EFFECT_COLUMNS)
    frame["name"] = named([*samples, *told])
    usable = np.isfinite(frame["effect"]) & np.isfinite(frame["variance"]) & (frame["variance"] > 0)
    perfect = np.array([*(_alike(s) for s in samples), *(r.measure != "d" and abs(r.value) >= 1 for r in told)], dtype=bool)
    alike = int((perfect & ~usable.to_numpy(dtype=bool)).sum())
    return Effects(measure, frame[usable].reset_index(drop=True), len(frame), alike)


def _alike(sample: Sample) -> bool:
    """Return whether all agree and are not of one class; of families with several pairs the error is not from counts."""
    diagonal = np.diag(sample.table)
    return not sample.clustered and int(diagonal.sum()) == sample.n and int((diagonal > 0).sum()) > 1


def _of_tables(samples: Sequence[Sample], measure: Measure) -> pd.DataFrame:
    if not samples:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    tables = np.array([s.table for s in samples])
    effect, variance = measure.read(tables)
    people = np.array([float(s.n) for s in samples])
    successes, of = measure.counts(tables) if measure.counts else (np.full(len(tables), np.nan),) * 2
    source = np.full(len(tables), COUNTS, dtype=object)
    for i, sample in enumerate(samples):
        if sample.families is not None and sample.clustered:
            variance[i] = family_variance(sample.families, measure)
            source[i] = FAMILIES
            successes[i] = np.nan  # pairs of a family are no independent successes
    return pd.DataFrame(
        {
            "sample_id": [s.sample_id for s in samples], "label": [s.label for s in samples],
            "cluster": [s.cluster for s in samples], "own": [s.own for s in samples],
            "n": of if measure.counts else people,
            "effect": effect, "variance": variance, "successes": successes, "of": of, "source": source,
            "smallest": [s.smallest for s in samples],
        }
    )  # fmt: skip


def family_variance(families: Table, measure: Measure) -> float:
    r"""Return the jackknife variance of a measure over families, :math:`\frac{G-1}{G}\sum_g(\theta_{(g)} - \bar\theta)^2`.

    NaN where the measure is not defined without some family, or needs a half added to a zero without it, which would make it jump.
    """
    different, often = np.unique(families.reshape(len(families), -1), axis=0, return_counts=True)
    rest = families.sum(axis=0) - different.reshape(-1, *families.shape[1:])
    if (rest.sum(axis=(1, 2)) == 0).any():
        return math.nan
    if measure.counts:
        successes, of = measure.counts(rest)
        if ((successes == 0) | (successes == of)).any():
            return math.nan
    elif measure.name == "odds_ratio" and (rest == 0).any():
        return math.nan
    values, _ = measure.read(rest)
    groups = len(families)
    return float((groups - 1) / groups * (often * (values - np.average(values, weights=often)) ** 2).sum())


def _first_told(reported: Sequence[Reported], measure: Measure) -> list[Reported]:
    """Return one number a sample: the first of the measure's kinds that it gives."""
    ranked = sorted((r for r in reported if r.measure in measure.reported), key=lambda r: measure.reported.index(r.measure))
    return list({(r.system, r.sample_id): r for r in reversed(ranked)}.values())[::-1]


def _of_numbers(reported: Sequence[Reported], measure: Measure) -> pd.DataFrame:
    if not reported:
        return pd.DataFrame(columns=list(EFFECT_COLUMNS))
    n = np.array([r.n for r in reported])
    value = np.array([r.value for r in reported])
    kinds = np.array([r.measure for r in reported])
    successes, of = np.full(len(n), np.nan), np.full(len(n), np.nan)
    if measure.name == "phi":
        r = np.where(kinds == "d", value / np.sqrt(value**2 + 4), np.clip(value, -1, 1))
        effect, variance = fisher_z(r, n)
    elif measure.name == "agreement":
        successes, of = np.round(np.clip(value, 0, 1) * n), n
        effect, variance = logit_proportion(np.where(np.isnan(n), 0.0, np.clip(value, 0, 1) * n), n)
    else:
        width = np.array([r.ci_high - r.ci_low for r in reported])
        effect, variance = value, (width / (2 * critical(PUBLISHED_LEVEL))) ** 2
    return pd.DataFrame(
        {
            "sample_id": [r.sample_id for r in reported], "label": [r.label for r in reported],
            "cluster": [r.cluster for r in reported], "own": False, "n": n, "effect": effect, "variance": variance,
            "successes": successes, "of": of, "source": [f"reported {k}" for k in kinds],
            "smallest": np.nan,
        }
    )  # fmt: skip
