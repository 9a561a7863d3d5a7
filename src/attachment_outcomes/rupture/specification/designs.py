r"""One regression of end scores on rupture groups, in a form that can be refitted to a thousand reshuffled outcomes at once.

With orthonormal columns q of the design and residuals :math:`r = y - qq'y`, a contrast and its robust error are

.. math:: \hat c = w'(q'y), \qquad \widehat{SE}^2 = \sum_g \Big(\sum_{i \in g} a_i r_i\Big)^2

The row weights a hold the design and the small-sample correction (CR2, or HC3 where rows are their own clusters) and not the
outcome: for other outcomes of the same people everything is a matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.proportions import cluster_sums
from attachment_outcomes.inference.robust_ols import Contrast, contrast, fit
from attachment_outcomes.rupture.effects.comparison import MIN_GROUP, MIN_THERAPISTS, UNITS
from attachment_outcomes.rupture.summary import GROUPS

Numbers = NDArray[np.float64]
Whole = NDArray[np.int64]
REPAIR, COMPARED, DIFFERENCE = "repaired_minus_none", "repaired_minus_unrepaired", "repair_minus_avoidance"
ESTIMANDS = (REPAIR, DIFFERENCE, COMPARED)
UNKNOWN = -1  # group of a client who has none


@dataclass(frozen=True, slots=True)
class Design:
    """One specification's regression.

    ``rows`` (n,) the clients, in an order in which those of one unit lie together; ``starts`` where each unit begins, or None
    where every client is one; ``basis`` (n, p) orthonormal; ``weights`` (p, c) and ``own`` (n, c) of the contrasts; ``df`` (c,);
    ``sizes`` of the groups.
    """

    rows: Whole
    starts: Whole | None
    basis: Numbers
    weights: Numbers
    own: Numbers
    df: Numbers
    sizes: tuple[int, ...]

    @property
    def n_units(self) -> int:
        """Units that count as independent."""
        return len(self.rows) if self.starts is None else len(self.starts)

    def refitted(self, outcomes: Numbers) -> tuple[Numbers, Numbers]:
        """Return the contrasts and their standard errors, each (b, c), for outcomes (b, everybody)."""
        y = outcomes[:, self.rows]
        projected = y @ self.basis
        k = self.own.shape[1]
        if self.starts is None:
            y -= projected @ self.basis.T
            squares = (y * y) @ (self.own * self.own)
        else:
            # Residuals are never made: their weighted sums by unit are those of the outcomes less those of the fitted values.
            n, units = len(self.rows), self.n_units
            unit = np.repeat(np.arange(units), np.diff(np.append(self.starts, n)))
            column = unit[:, None] + units * np.arange(k)
            sums = csr_matrix((self.own.ravel(), (column.ravel(), np.repeat(np.arange(n), k))), shape=(k * units, n))
            parts = (sums @ y.T).T - projected @ (sums @ self.basis).T
            squares = (parts * parts).reshape(len(y), k, units).sum(axis=2)
        return projected @ self.weights, np.sqrt(squares)


def group_contrasts(repaired: int, unrepaired: int, columns: int, *, higher_is_better: bool) -> Numbers:
    """Return the weights of the coefficients, (3, columns), for ``ESTIMANDS`` in points of improvement.

    The last two columns are repaired and unrepaired. ``repair_minus_avoidance`` is (R − U) − (N − A), A being any rupture in the
    observed proportions.
    """
    r, u = np.eye(columns)[-2:]
    share = repaired / (repaired + unrepaired)
    found = np.array([r, (r - u) + share * r + (1 - share) * u, r - u])
    return found if higher_is_better else -found


def build(
    outcome: Numbers,
    group: Whole,
    covariates: Numbers,
    therapist: Whole,
    *,
    within: bool,
    higher_is_better: bool,
    ci_level: float,
    min_group: int = MIN_GROUP,
) -> tuple[Design, list[Contrast]]:
    """Fit one specification.

    Parameters
    ----------
    outcome : (n,)
        End scores.
    group : (n,)
        Index in ``none, repaired, unrepaired``, or −1 for who has none.
    covariates : (n, k)
        NaN leaves a client out.
    therapist : (n,)
        Number of each client's therapist, −1 where nobody says.
    within
        Compare clients of the same therapist only: each therapist's own level is taken out (fixed effects), and clients whose
        therapist is not known are left out.
    higher_is_better
        Direction of the outcome; the contrasts are in points of improvement.
    ci_level, min_group
        Confidence level; fewest clients in each group.

    Returns
    -------
    Design, list of Contrast
        Contrasts in the order of ``ESTIMANDS``, with the same numbers as :func:`attachment_outcomes.rupture.repair_effect` where it
        gives them.

    Raises
    ------
    StatisticsError
        If a group is too small, therapists are too few to compare within them, or the model is not identified.
    """
    used = (group != UNKNOWN) & np.isfinite(outcome) & np.isfinite(covariates).all(axis=1)
    if within:
        used &= therapist >= 0
    rows = np.flatnonzero(used)
    sizes = np.bincount(group[rows], minlength=len(GROUPS))
    if sizes.min() < min_group:
        # The reason stands in tables as free text, where small counts cannot be withheld: it gives none.
        raise StatisticsError(f"groups too small for a comparison (at least {min_group} in each)")
    known = len(np.unique(therapist[rows][therapist[rows] >= 0]))
    if within and known < MIN_THERAPISTS:
        raise StatisticsError(f"too few therapists known; at least {MIN_THERAPISTS} are needed to compare within them")
    codes = None
    if known >= MIN_THERAPISTS:
        label = therapist[rows].copy()
        alone = label < 0
        label[alone] = -1 - np.arange(int(alone.sum()))
        order = np.argsort(label, kind="stable")
        rows, codes = rows[order], np.unique(label[order], return_inverse=True)[1].astype(np.int64)
    columns = [c for c in covariates[rows].T if np.ptp(c) > 0]
    columns += [(group[rows] == code).astype(float) for code in (1, 2)]
    y = outcome[rows]
    if within and codes is not None:
        columns, y = [_centred(c, codes) for c in columns], _centred(y, codes)
    else:
        columns.insert(0, np.ones(len(rows)))
    x = np.column_stack(columns)
    found = fit(x, y, codes, units=UNITS)
    weights = group_contrasts(int(sizes[1]), int(sizes[2]), x.shape[1], higher_is_better=higher_is_better)
    scale = np.linalg.norm(x, axis=0)
    q, r = np.linalg.qr(x / scale)
    back = np.linalg.inv(r) / scale[:, None]
    turned = back.T @ weights.T
    if found.small is None or codes is None:
        own, starts = (q @ turned) / (1 - (q**2).sum(axis=1))[:, None], None
    else:
        own = np.einsum("ia,iac->ic", q, np.einsum("gab,ac->gbc", found.small.root, turned)[codes])
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        if within:  # of an outcome whose therapists' means are taken out, by the weights instead
            own = np.column_stack([_centred(column, codes) for column in own.T])
    contrasts = [contrast(found, w, ci_level=ci_level) for w in weights]
    df = np.array([c.df for c in contrasts])
    return Design(rows, starts, q, turned, own, df, tuple(sizes.tolist())), contrasts


def _centred(values: Numbers, codes: Whole) -> Numbers:
    return values - (cluster_sums(values, codes) / np.bincount(codes))[codes]
