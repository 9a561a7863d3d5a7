"""What is drawn again with whole families: agreement over three generations, and projections, as functions of counts.

All functions take counts with leading axes for replicates, so that ten thousand replicates are one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from attachment_outcomes.inference.misclassification import most_likely
from attachment_outcomes.transmission.generations.odds import log_common_odds
from attachment_outcomes.transmission.generations.projection import (
    difference_left,
    half_life,
    long_run,
    powers,
    project,
    transitions,
)
from attachment_outcomes.transmission.misclassification.reliability import Reliability

Numbers = npt.NDArray[np.float64]
GAP = 1e-7  # of the log-likelihood a pair: moves a share by less than .0005
STEPS = ("grandparent and parent", "parent and child", "grandparent and child")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the counts of one way stand among all sums, and what is made of them.

    ``classes`` and ``secure`` are the number of classes and the place of the secure one, ``ahead`` the generations projected,
    ``errors`` the reliabilities of the classes of grandparents, parents and children where they are known.
    """

    way: str
    classes: int
    secure: int
    ahead: int
    offset: int = 0
    errors: Sequence[Reliability] | None = None

    @property
    def widths(self) -> tuple[int, int, int]:
        """Number of sums of chains, older and younger pairs.

        What is asked of chains needs their two tables and how many children are like the grandparent; only the odds ratio of two
        classes needs every cell.
        """
        square = self.classes**2
        return (2 * square + 1 if self.classes > 2 else self.classes**3), square, square

    def cells(self, kind: int, codes: npt.NDArray[np.int64]) -> Numbers:
        """Return what chains (0), older (1) or younger pairs (2) with these codes add to the sums, a row each."""
        k, width = self.classes, self.widths[kind]
        out = np.zeros((len(codes), width))
        rows = np.arange(len(codes))
        if kind or k == 2:
            out[rows, codes @ (k ** np.arange(codes.shape[1] - 1, -1, -1))] = 1.0
        else:
            out[rows, codes[:, 0] * k + codes[:, 1]] = 1.0
            out[rows, k**2 + codes[:, 1] * k + codes[:, 2]] = 1.0
            out[:, -1] = codes[:, 0] == codes[:, 2]
        return out

    def statistics(self, sums: Numbers, *, rng: np.random.Generator | None = None) -> Numbers:
        """Return everything of one way that has a bootstrap interval (replicates, k), in the order of :meth:`labels`.

        ``sums`` are (replicates, sums of all ways). With a generator the reliabilities are drawn too, one for each replicate.
        """
        own = sums[..., self.offset : self.offset + sum(self.widths)]
        chains, older, younger = np.split(own, np.cumsum(self.widths)[:2], axis=-1)
        shape = (*own.shape[:-1], self.classes, self.classes)
        older, younger = older.reshape(shape), younger.reshape(shape)
        found = [*_of_chains(chains, self.classes), *_of_pairs(older, younger, self)]
        if self.errors is not None:
            found += _of_true_pairs(older, younger, self, rng)
        return np.stack(found, axis=-1)

    def labels(self) -> list[tuple[str, str]]:
        """Return estimand and group of each statistic; a projection's group is its generation."""
        chains = [("kappa", step) for step in STEPS] + [("conditional_kappa", ""), ("agreement_beyond_markov", "")]
        if self.classes == 2:
            chains.append(("log_common_odds", ""))
        pairs = [(f"projected from {start}", str(k)) for start in self._starts() for k in range(self.ahead + 1)]
        pairs += [("long_run_secure", ""), ("difference_left", ""), ("half_life", "")]
        corrected = [(name, f"corrected {group}".strip()) for name, group in pairs] if self.errors is not None else []
        return [*chains, *pairs, *corrected]

    def _starts(self) -> list[str]:
        return ["all", *(str(i) for i in range(self.classes))]


def kappas(tables: Numbers) -> Numbers:
    """Return Cohen's kappa of tables (…, K, K); NaN where chance agreement is complete or nobody is there."""
    n = tables.sum(axis=(-2, -1))
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.trace(tables, axis1=-2, axis2=-1) / n
        chance = (tables.sum(axis=-1) * tables.sum(axis=-2)).sum(axis=-1) / n**2
        return np.asarray((seen - chance) / (1 - chance), dtype=float)


def _of_chains(sums: Numbers, k: int) -> list[Numbers]:
    shape = (*sums.shape[:-1], k, k)
    more = []
    if k == 2:
        chains = sums.reshape(*sums.shape[:-1], k, k, k)
        older, younger, same = chains.sum(axis=-1), chains.sum(axis=-3), np.trace(chains, axis1=-3, axis2=-1).sum(axis=-1)
        more = [log_common_odds(np.moveaxis(chains, -2, -3))]
    else:
        older, younger, same = sums[..., : k**2].reshape(shape), sums[..., k**2 : -1].reshape(shape), sums[..., -1]
    parents, grandparents, children = younger.sum(axis=-1), older.sum(axis=-1), younger.sum(axis=-2)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = parents.sum(axis=-1)
        seen, chance = same / n, (grandparents * children).sum(axis=-1) / n**2
        markov = (older.swapaxes(-1, -2) * younger / np.maximum(parents, 1.0)[..., None]).sum(axis=(-2, -1)) / n
        ends = (seen - chance) / (1 - chance)
        left = (seen - markov) / (1 - markov)
    return [kappas(older), kappas(younger), ends, left, seen - markov, *more]


def _of_pairs(older: Numbers, younger: Numbers, layout: Layout) -> list[Numbers]:
    parents = younger.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        start = parents / parents.sum(axis=-1, keepdims=True)
    return _projected(start, transitions(older + younger), layout)


def _of_true_pairs(older: Numbers, younger: Numbers, layout: Layout, rng: np.random.Generator | None) -> list[Numbers]:
    assert layout.errors is not None
    of_grandparent, of_parent, of_child = layout.errors
    true = _undone(younger, of_parent, of_child, rng)
    above, below = older.sum(axis=(-2, -1)), younger.sum(axis=(-2, -1))
    pooled = true * below[:, None, None]
    if above.any():
        pooled = pooled + np.where(
            above[:, None, None] > 0, _undone(older, of_grandparent, of_parent, rng) * above[:, None, None], 0.0
        )
    return _projected(true.sum(axis=-1), transitions(pooled), layout)


def _undone(pairs: Numbers, rows: Reliability, columns: Reliability, rng: np.random.Generator | None) -> Numbers:
    """Return the most likely true shares behind pairs (n, K, K); NaN where there is no pair or no error matrix."""
    n = pairs.sum(axis=(1, 2))
    shares = pairs / np.maximum(n, 1.0)[:, None, None]
    whole = pairs.sum(axis=0) / max(float(n.sum()), 1.0)
    errors = [
        side.matrices(shares.sum(axis=axis))
        if rng is None
        else side.drawn(shares.sum(axis=axis), whole.sum(axis=axis - 1), rng=rng)
        for side, axis in ((rows, 2), (columns, 1))
    ]
    fine = (n > 0) & np.isfinite(errors[0]).all(axis=(1, 2)) & np.isfinite(errors[1]).all(axis=(1, 2))
    out = np.full(pairs.shape, np.nan)
    if fine.any():
        out[fine] = most_likely(shares[fine], errors[0][fine], errors[1][fine], gap=GAP)[0]
    return np.asarray(np.clip(out, 0, None), dtype=float)


def _projected(start: Numbers, matrix: Numbers, layout: Layout) -> list[Numbers]:
    s = layout.secure
    lines = powers(matrix, layout.ahead)[..., s]  # (…, generation, start class)
    everybody = project(start, matrix, layout.ahead)[..., s]
    generations = range(layout.ahead + 1)
    found = [everybody[..., k] for k in generations]
    found += [lines[..., k, j] for j in range(layout.classes) for k in generations]
    left = difference_left(matrix)
    return [*found, long_run(start, matrix)[..., s], left, half_life(left)]


def family_cells(layouts: Sequence[Layout], codes: Sequence[Sequence[npt.NDArray[np.int64]]]) -> Numbers:
    """Return what every unit adds to the sums of all ways: rows are chains, older and younger pairs, way by way."""
    width = sum(sum(layout.widths) for layout in layouts)
    blocks = []
    for layout, parts in zip(layouts, codes, strict=True):
        first = layout.offset
        for kind, part in enumerate(parts):
            block = np.zeros((len(part), width))
            block[:, first : first + layout.widths[kind]] = layout.cells(kind, part)
            blocks.append(block)
            first += layout.widths[kind]
    return np.concatenate(blocks) if blocks else np.zeros((0, width))
