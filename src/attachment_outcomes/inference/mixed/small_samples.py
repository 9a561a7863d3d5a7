r"""Degrees of freedom and standard errors that hold with few therapists: Satterthwaite, Kenward–Roger, and cluster-robust.

Satterthwaite
    :math:`df = 2 v^2 / (g'Ag)` for the variance :math:`v = c'\Phi c` of a contrast, with g its derivative by the variance
    parameters and A their covariance from the deviance's second derivatives (Fai & Cornelius 1996; as lmerTest).
Kenward–Roger
    the fixed effects' covariance corrected for the variances' having been estimated, and df from the expected information
    (Kenward & Roger 1997; as pbkrtest).
CR2
    the sandwich over the highest level's units g, each score multiplied by :math:`(I - G_gM)^{-1/2}`, which makes it unbiased if
    the model's variances hold, and df by matching two moments (Bell & McCaffrey 2002, on the whitened model).

References
----------
Fai, A. H.-T., & Cornelius, P. L. (1996). J. Stat. Comput. Simul., 54, 363-378. Kenward, M. G., & Roger, J. H. (1997).
Biometrics, 53, 983-997. Bell, R. M., & McCaffrey, D. F. (2002). Survey Methodology, 28, 169-181. Pustejovsky, J. E., & Tipton,
E. (2018). J. Bus. Econ. Stat., 36, 672-683.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attachment_outcomes.inference.mixed.likelihood import evaluate, products
from attachment_outcomes.inference.mixed.resolve import Packed, pack, places, resolve, unpack
from attachment_outcomes.inference.mixed.search import Curvature
from attachment_outcomes.inference.mixed.working import Working

Numbers = NDArray[np.float64]
STEP = 1e-4  # of relative variances, in second derivatives
COMPLEX_STEP = 1e-30
FLAT = 1e-9  # of the largest second derivative: flatter directions are taken as known (a variance of zero, a correlation of ±1)


@dataclass(frozen=True, slots=True)
class Uncertainty:
    """Covariance of the fixed effects in the data's units, and how it depends on the variances.

    ``covariance`` (p, p); ``derivatives`` (k, p, p) by the variance parameters; ``of_parameters`` (k, k) those parameters'
    covariance.
    """

    covariance: Numbers
    derivatives: Numbers
    of_parameters: Numbers

    def std_errors(self, weights: Numbers) -> Numbers:
        """Return the standard errors of weighted sums (rows of weights) of the fixed effects."""
        return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", weights, self.covariance, weights)))

    def df(self, weights: Numbers) -> Numbers:
        """Return the degrees of freedom of those sums."""
        moves = np.einsum("ij,ajk,ik->ia", weights, self.derivatives, weights)
        variance = np.einsum("ij,jk,ik->i", weights, self.covariance, weights)
        around = np.einsum("ia,ab,ib->i", moves, self.of_parameters, moves)
        return np.asarray(np.divide(2 * variance**2, around, out=np.full(len(weights), np.inf), where=around > 0))


def satterthwaite(back: Numbers, curvature: Curvature, inverse: Numbers, sigma2: float) -> Uncertainty:
    """Return the plain covariance with Satterthwaite's pieces.

    Parameters
    ----------
    back : (p, p)
        From working fixed effects to the data's.
    curvature
        Of the deviance by (theta, log σ²).
    inverse : (p, p)
        Working fixed effects' covariance over σ².
    sigma2
        Residual variance in working units.
    """
    derivatives = sigma2 * np.einsum("ij,ajk,lk->ail", back, curvature.covariances, back)
    of_parameters = 2 * np.asarray(np.linalg.pinv(curvature.hessian, rcond=FLAT, hermitian=True))
    return Uncertainty(np.asarray(sigma2 * back @ inverse @ back.T), np.asarray(derivatives), of_parameters)


def kenward_roger(working: Working, psis: list[Numbers], sigma2: float) -> tuple[Uncertainty, Numbers]:
    """Return the pieces for df, and the corrected covariance of the fixed effects, in the data's units.

    The variance parameters are the entries of every Ψ and the residual variance, all over σ² at its estimate. First derivatives
    are exact (complex steps); second ones are central differences of them.
    """
    problem = working.problem
    sizes = [len(psi) for psi in psis]
    at = np.concatenate([*(pack(psi) for psi in psis), [1.0]])
    k, p = len(at), problem.p

    def pieces(parameters: Packed) -> tuple[Packed, Packed]:
        """Return X'V⁻¹X and log det V."""
        residual = parameters[-1]
        matrices, start = [], 0
        for size in sizes:
            entries = size * (size + 1) // 2
            matrices.append((parameters[start : start + entries][places(size)] / residual)[:, :, None])
            start += entries
        found = evaluate(problem, matrices)
        return found.top[:p, :p, 0] / residual, found.log_det[0] + problem.n * np.log(residual)

    def slopes(parameters: Numbers) -> tuple[Numbers, Numbers]:
        information, log_det = np.empty((k, p, p)), np.empty(k)
        for i in range(k):
            moved = parameters.astype(complex)
            moved[i] += 1j * COMPLEX_STEP
            one, two = pieces(moved)
            information[i], log_det[i] = one.imag / COMPLEX_STEP, two.imag / COMPLEX_STEP
        return information, log_det

    phi = np.linalg.inv(pieces(at)[0])
    first, _ = slopes(at)
    second, traces = np.empty((k, k, p, p)), np.empty((k, k))
    for i in range(k):
        up, down = at.copy(), at.copy()
        up[i] += STEP
        down[i] -= STEP
        (above, log_above), (below, log_below) = slopes(up), slopes(down)
        second[i], traces[i] = (above - below) / (2 * STEP), (log_above - log_below) / (2 * STEP)
    second, traces = (second + second.transpose(1, 0, 2, 3)) / 2, (traces + traces.T) / 2
    moves = np.einsum("ab,ibc,cd->iad", phi, first, phi)
    pairs = np.einsum("iab,bc,jcd->ijad", first, phi, first)
    expected = -traces - np.einsum("ab,ijba->ij", phi, second) + np.einsum("ab,ijba->ij", phi, pairs)
    of_parameters = 2 * np.linalg.pinv(expected, rcond=FLAT, hermitian=True)
    middle = np.einsum("ij,ijab->ab", of_parameters, second / 2 - pairs)
    corrected = phi + 2 * phi @ middle @ phi
    back = working.beta_back
    return (
        Uncertainty(sigma2 * back @ phi @ back.T, sigma2 * np.einsum("ij,ajk,lk->ail", back, -moves, back), of_parameters),
        sigma2 * back @ (corrected + corrected.T) / 2 @ back.T,
    )


@dataclass(frozen=True, slots=True)
class Robust:
    """Cluster-robust covariance (p, p) of the fixed effects in the data's units, and what its degrees of freedom need.

    Scores and information are in the coordinates in which the information over all clusters is the identity; ``back`` (p, p)
    goes from there to the data's fixed effects. ``root`` (clusters, p, p) is (I − G)^(−1/2), ``information`` is G.
    """

    covariance: Numbers
    root: Numbers
    information: Numbers
    back: Numbers

    def df(self, weights: Numbers) -> Numbers:
        """Return the degrees of freedom of weighted sums (rows of weights) of the fixed effects."""
        found = np.empty(len(weights))
        for row, weight in enumerate(weights @ self.back):
            a = self.root @ weight
            f = np.einsum("ga,gab->gb", a, self.information)
            own, length, shared = np.einsum("ga,ga->g", f, a), np.einsum("ga,ga->g", f, f), f.T @ f
            found[row] = (own - length).sum() ** 2 / (own @ own - 2 * own @ length + (shared**2).sum())
        return found


def robust(working: Working, psis: list[Numbers], beta: Numbers, sigma2: float) -> Robust:
    """Return CR2 over the units of the highest level."""
    problem, p = working.problem, working.problem.p
    if problem.uppers:
        top = evaluate(problem, [psi[:, :, None] for psi in psis]).uppers[-1]
        b, m_packed, d = top.b, top.m, top.d
    else:
        q_matrix = working.q_matrix
        b, m_packed = working.b, resolve(psis[0][:, :, None], working.a)[0]
        each = working.standard.sums(np.arange(len(working.standard.n)))
        d = pack(np.einsum("ki,kln,lj->ijn", q_matrix, each, q_matrix, optimize=True))
    left = d - np.einsum("an,atn->tn", m_packed, products(b))
    cross = np.moveaxis(unpack(left, problem.m), -1, 0) / sigma2
    scores = cross[:, :p, -1] - cross[:, :p, :p] @ beta
    to_unit = np.linalg.inv(np.linalg.cholesky(cross[:, :p, :p].sum(axis=0)))
    information = to_unit @ cross[:, :p, :p] @ to_unit.T
    values, vectors = np.linalg.eigh(np.eye(p) - information)
    # A cluster that alone determines a fixed effect says nothing of its own spread: its direction drops out.
    powers = np.where(values > FLAT, np.maximum(values, FLAT) ** -0.5, 0.0)
    root = np.einsum("gab,gb,gcb->gac", vectors, powers, vectors)
    moved = np.einsum("gab,gb->ga", root, scores @ to_unit.T)
    back = working.beta_back @ to_unit.T
    return Robust(back @ (moved.T @ moved) @ back.T, root, information, back)
