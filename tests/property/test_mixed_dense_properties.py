"""Mixed models against the definition itself: V written out as one dense matrix, on made-up nested data of every shape."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import cholesky, solve_triangular

from attachment_outcomes.errors import ConvergenceWarning
from attachment_outcomes.inference import mixed_model
from attachment_outcomes.inference.mixed import MixedFit

GROUPS = ("client", "therapist", "site")
DIGITS = 1e-7  # two ways to the same linear algebra
DOWNHILL = 2e-6  # of the deviance: by so much may a point beside the optimum be better


@dataclass(frozen=True)
class Case:
    data: pd.DataFrame
    groups: tuple[str, ...]
    slopes: dict[str, list[str]]
    reml: bool
    rng: np.random.Generator

    def fit(self) -> MixedFit:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # singular fits are among what is tried
            return mixed_model("y ~ week * arm", self.data, groups=self.groups, slopes=self.slopes, reml=self.reml)

    @property
    def x(self) -> np.ndarray:
        week, arm = self.data["week"].to_numpy(), (self.data["arm"] == "b").to_numpy(dtype=float)
        return np.column_stack([np.ones(len(week)), week, arm, week * arm])

    def z(self, group: str) -> np.ndarray:
        """Return the columns with a random effect at a level."""
        return np.column_stack([np.ones(len(self.data)), *(self.data[s] for s in self.slopes.get(group, []))])

    def member(self, group: str) -> np.ndarray:
        """Return which row is of which unit."""
        return pd.get_dummies(self.data[group]).to_numpy(dtype=float)


TERMS = ["Intercept", "week", "arm[T.b]", "week:arm[T.b]"]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    levels = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    site = np.repeat(np.arange(4), [3, *rng.integers(1, 4, 3)])
    caseload = np.array([5, *rng.integers(2, 6, len(site) - 1)]) if draw(st.booleans()) else np.full(len(site), 3)
    client_therapist = np.repeat(np.arange(len(site)), caseload)
    rows = rng.integers(1, 7, len(client_therapist)) if draw(st.booleans()) else np.full(len(client_therapist), 4)
    client = np.repeat(np.arange(len(rows)), rows)
    therapist = client_therapist[client]
    week = rng.uniform(0, 10, len(client)).round(1) if draw(st.booleans()) else np.concatenate([np.arange(r) * 2.0 for r in rows])
    spread = [draw(st.sampled_from([0.0, 0.3, 2.0])) for _ in GROUPS]
    steep = draw(st.sampled_from([0.0, 0.05, 0.3]))
    arm = client % 2
    y = 10 - 0.4 * week + arm + rng.normal(0, 1.5, len(client))
    y += spread[0] * rng.normal(size=len(rows))[client] + steep * rng.normal(size=len(rows))[client] * week
    y += spread[1] * rng.normal(size=len(site))[therapist] + spread[2] * rng.normal(size=4)[site[therapist]]
    data = pd.DataFrame(
        {"y": y, "week": week, "arm": np.where(arm, "b", "a"), "client": client, "therapist": therapist, "site": site[therapist]}
    )
    order = rng.permutation(len(data)) if draw(st.booleans()) else np.arange(len(data))
    slopes = {GROUPS[0]: ["week"]} if draw(st.booleans()) else {}
    if levels > 1 and draw(st.booleans()):
        slopes[GROUPS[1]] = ["week"]
    return Case(data.iloc[order].reset_index(drop=True), GROUPS[:levels], slopes, draw(st.booleans()), rng)


def loglik(case: Case, psis: list[np.ndarray], sigma2: float) -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
    """Return the (restricted) log likelihood, fixed effects, their covariance, and V⁻¹ times the residuals."""
    x, y = case.x, case.data["y"].to_numpy()
    v = sigma2 * np.eye(len(y))
    for group, psi in zip(case.groups, psis, strict=True):
        z, unit = case.z(group), case.data[group].to_numpy()
        v += (z @ psi @ z.T) * (unit[:, None] == unit)
    root = cholesky(v, lower=True)
    white = solve_triangular(root, np.column_stack([x, y]), lower=True)
    information = white[:, :-1].T @ white[:, :-1]
    beta = np.linalg.solve(information, white[:, :-1].T @ white[:, -1])
    r = white[:, -1] - white[:, :-1] @ beta
    value = len(y) * np.log(2 * np.pi) + 2 * np.log(np.diag(root)).sum() + r @ r
    if case.reml:
        value += np.linalg.slogdet(information)[1] - len(beta) * np.log(2 * np.pi)
    return -value / 2, beta, np.linalg.inv(information), solve_triangular(root, r, lower=True, trans="T")


def told_psis(fit: MixedFit, case: Case) -> list[np.ndarray]:
    """Return each level's covariance matrix from the named variances."""
    found = []
    for group in case.groups:
        before = "" if group == case.groups[0] else f"{group}: "
        psi = [[fit.variances[f"{before}intercept"]]]
        if group in case.slopes:
            both = fit.variances[f"{before}intercept:week"]
            psi = [[*psi[0], both], [both, fit.variances[f"{before}week"]]]
        found.append(np.array(psi))
    return found


@settings(max_examples=40)
@given(cases())
def test_a_fit_is_what_the_dense_matrix_says_at_its_variances(case: Case) -> None:
    fit = case.fit()
    psis = told_psis(fit, case)
    value, beta, covariance, weighted = loglik(case, psis, fit.variances["residual"])
    assert fit.loglik == pytest.approx(value, abs=DIGITS * abs(value))
    table = fit.estimates.set_index("term").loc[TERMS]
    np.testing.assert_allclose(table["estimate"], beta, rtol=DIGITS, atol=DIGITS)
    np.testing.assert_allclose(table["std_error"], np.sqrt(np.diag(covariance)), rtol=DIGITS)
    for group, psi in zip(case.groups, psis, strict=True):
        dense = case.member(group).T @ (case.z(group) * weighted[:, None]) @ psi
        modes = fit.modes(group).set_index(group).sort_index(kind="stable")["estimate"].to_numpy().reshape(-1, len(psi))
        np.testing.assert_allclose(modes, dense, rtol=1e-6, atol=1e-7)


@settings(max_examples=20)
@given(cases())
def test_no_other_variances_fit_better(case: Case) -> None:
    """Steps from the optimum towards other covariance matrices, of every level and of one alone, lower the likelihood."""
    fit = case.fit()
    assert fit.converged
    psis, sigma2 = told_psis(fit, case), fit.variances["residual"]
    most = -2 * loglik(case, psis, sigma2)[0] - DOWNHILL

    def worse(psis: list[np.ndarray], residual: float = sigma2) -> bool:
        return -2 * loglik(case, psis, residual)[0] >= most

    for step in (1e-3, 1e-2, 0.1):
        moved = [(1 - step) * psi + step * sigma2 * some_psi(case.rng, len(psi)) for psi in psis]
        assert worse(moved, sigma2 * np.exp(step * case.rng.normal() / 3)), f"{step} of the way"
        for level, psi in enumerate(psis):
            before, after, where = psis[:level], psis[level + 1 :], f"{case.groups[level]}, {step}"
            assert worse([*before, psi + step * sigma2 * some_psi(case.rng, len(psi)), *after]), f"more of {where}"
            assert worse([*before, psi * (1 - step), *after]), f"less of {where}"


def some_psi(rng: np.random.Generator, size: int) -> np.ndarray:
    """Return a random covariance matrix of full or lower rank, its slope the smaller."""
    root = rng.normal(size=(size, rng.integers(1, size + 1))) * np.array([[1.0], [0.2]])[:size]
    return root @ root.T
