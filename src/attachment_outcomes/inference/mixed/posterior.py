r"""What is known of each person, therapist and site: conditional modes, their variances, and predictions for them.

Going down from the top, a unit's modes are :math:`u = MB(e_y - \pi)`, where :math:`\pi` gathers the coefficients of all that is
above it (fixed effects and its parents' modes), and the coefficients' covariance follows :math:`\Pi \leftarrow J\Pi J' + EME'`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.inference.mixed.likelihood import evaluate
from attachment_outcomes.inference.mixed.resolve import resolve, unpack
from attachment_outcomes.inference.mixed.working import Working

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Known:
    """A level's units, in working columns.

    ``modes`` (r, units); ``covariance`` (r, r, units) of the modes, over σ²; ``coefficients`` (m, units) with all that is above;
    ``spread`` (m, m, units) their covariance over σ².
    """

    modes: Numbers
    covariance: Numbers
    coefficients: Numbers
    spread: Numbers


def posterior(working: Working, psis: list[Numbers], beta: Numbers, spread: Numbers) -> list[Known]:
    """Return what is known of each level's units, lowest first.

    Parameters
    ----------
    working
        The problem.
    psis
        Each level's relative covariance, lowest first.
    beta : (p,)
        Working fixed effects.
    spread : (p, p)
        Their covariance over σ²; zeros to take them as known, as in lme4's conditional variances.
    """
    p, m = working.problem.p, working.problem.m
    kept = evaluate(working.problem, [psi[:, :, None] for psi in psis]).uppers
    levels = [(working.b, resolve(psis[0][:, :, None], working.a)[0]), *((level.b, level.m) for level in kept)]
    coefficients, around = np.zeros((m, 1)), np.zeros((m, m, 1))
    coefficients[:p, 0], around[:p, :p, 0] = beta, spread
    found: list[Known] = []
    for level in range(len(levels) - 1, -1, -1):
        b, packed = levels[level]
        e = working.es[level]
        if level < len(levels) - 1:
            parent = working.parents[level]
            coefficients, around = coefficients[:, parent], around[:, :, parent]
        mixed = unpack(packed, e.shape[1])
        along = -coefficients
        along[-1] = along[-1] + 1.0
        modes = np.einsum("abn,bjn,jn->an", mixed, b, np.broadcast_to(along, (m, b.shape[2])), optimize=True)
        gain = np.einsum("abn,bjn->ajn", mixed, b)
        covariance = mixed + np.einsum("ajn,jkn,ckn->acn", gain, np.broadcast_to(around, (m, m, b.shape[2])), gain, optimize=True)
        j = np.eye(m)[:, :, None] - np.tensordot(e, gain, axes=1)
        coefficients = coefficients + e @ modes
        around = np.einsum("ijn,jkn,lkn->iln", j, np.broadcast_to(around, j.shape), j, optimize=True)
        around = around + np.einsum("ia,abn,kb->ikn", e, mixed, e, optimize=True)
        found.append(Known(modes, covariance, coefficients, around))
    return found[::-1]
