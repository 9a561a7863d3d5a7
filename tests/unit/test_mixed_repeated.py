"""Many fits at once are the fits one by one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.mixed import mixed_model, repeated_fits

# Both searches end within a hundred-millionth of the deviance of the optimum; second derivatives are taken there by differences.
ESTIMATE, ERROR, DF, VARIANCE, LOGLIK = 1e-6, 1e-5, 1e-3, 1e-4, 1e-7


def course(*, jitter: bool, clients: int = 40, seed: int = 4) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    client = np.repeat(np.arange(clients), 5)
    week = np.tile(np.arange(5.0), clients) + (rng.uniform(-0.3, 0.3, len(client)) if jitter else 0.0)
    frame = pd.DataFrame({"client": client, "therapist": [f"t{c // 5}" for c in client], "week": week})
    frame["site"] = "s" + (frame["client"] // 10).astype(str)
    frame["arm"] = np.where(frame["client"] % 2, "b", "a")
    return frame.sample(frac=1, random_state=1) if jitter else frame


def scores(data: pd.DataFrame, fits: int, *, therapist_sd: float, seed: int = 5) -> np.ndarray:
    rng = np.random.default_rng(seed)
    client, therapist = data["client"].to_numpy(), pd.factorize(data["therapist"])[0]
    found = np.empty((len(data), fits))
    for f in range(fits):
        own = rng.multivariate_normal([0, 0], [[9, -0.5], [-0.5, 0.5]], client.max() + 1)[client]
        shared = rng.normal(0, therapist_sd, therapist.max() + 1)[therapist]
        found[:, f] = 1000 * (f == 2) + 20 - data["week"] * (1 + own[:, 1]) + own[:, 0] + shared + rng.normal(0, 3, len(data))
    return found


@pytest.mark.filterwarnings("ignore::attachment_outcomes.errors.ConvergenceWarning")
@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("therapist_sd", [2.0, 0.0])
@pytest.mark.parametrize(
    ("formula", "groups", "slopes", "reml"),
    [
        ("score ~ week * arm", "client", ["week"], True),
        ("score ~ week", ("client", "therapist"), ["week"], True),
        ("score ~ week", ("client", "therapist", "site"), (), False),
        ("score ~ 0 + arm + week", ("client", "therapist"), ["week"], True),
        ("score ~ 1", ("client", "therapist"), {"client": ["week"]}, True),
    ],
)
def test_repeated_fits_are_the_fits_one_by_one(formula, groups, slopes, reml, therapist_sd, jitter) -> None:
    data = course(jitter=jitter)
    y = scores(data, 6, therapist_sd=therapist_sd)
    many = repeated_fits(formula, data, y, groups=groups, slopes=slopes, reml=reml)
    assert many.converged.all()
    for i in range(y.shape[1]):
        one = mixed_model(formula, data.assign(score=y[:, i]), groups=groups, slopes=slopes, reml=reml)
        table = many.estimates[many.estimates["fit"] == i].reset_index(drop=True)
        assert table["term"].tolist() == one.estimates["term"].tolist()
        np.testing.assert_allclose(table["estimate"], one.estimates["estimate"], rtol=ESTIMATE)
        np.testing.assert_allclose(table["std_error"], one.estimates["std_error"], rtol=ERROR)
        np.testing.assert_allclose(table["df"], one.estimates["df"], rtol=DF)
        np.testing.assert_allclose(table["ci_low"], one.estimates["ci_low"], rtol=1e-3, atol=1e-3)
        assert many.loglik[i] == pytest.approx(one.loglik, abs=LOGLIK * abs(one.loglik))
        assert many.singular[i] == one.singular
        size = np.sqrt(np.abs(np.outer(*[list(one.variances.values())] * 2)).max())
        np.testing.assert_allclose(many.variances.loc[i, list(one.variances)], list(one.variances.values()), atol=VARIANCE * size)


def test_fits_on_the_boundary_are_made_on_their_own() -> None:
    data = course(jitter=False)
    many = repeated_fits("score ~ week", data, scores(data, 30, therapist_sd=0.0), groups=("client", "therapist"))
    assert 0 < many.n_alone < 30
    assert many.singular.sum() == (many.variances["therapist: intercept"] == 0).sum() > 0
    assert many.singular.sum() <= many.n_alone


def test_outcomes_in_several_parts_keep_their_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    data = course(jitter=False)
    y = scores(data, 7, therapist_sd=2.0)
    whole = repeated_fits("score ~ week", data, y, groups=("client", "therapist"))
    monkeypatch.setattr("attachment_outcomes.inference.mixed.repeated.AT_ONCE", 3 * len(data))
    parts = repeated_fits("score ~ week", data, y, groups=("client", "therapist"))
    assert parts.estimates["fit"].tolist() == whole.estimates["fit"].tolist()
    np.testing.assert_allclose(parts.estimates["estimate"], whole.estimates["estimate"], rtol=1e-9)
    np.testing.assert_allclose(parts.variances, whole.variances, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d, y: (d, y[:-1]), r"outcomes of shape \(199, 3\) for 200 rows"),
        (lambda d, y: (d, y[:, 0]), r"outcomes of shape \(200,\)"),
        (lambda d, y: (d, np.where(y > 25, np.nan, y)), "values of the outcomes are missing or infinite"),
        (lambda d, y: (d, np.ones_like(y)), "an outcome does not vary"),
        (lambda d, y: (d.assign(week=d["week"].where(d["client"] > 0)), y), "5 rows have a missing value"),
    ],
)
def test_outcomes_that_do_not_fit_the_data_are_refused(change, match) -> None:
    data = course(jitter=False)
    data, y = change(data, scores(data, 3, therapist_sd=1.0))
    with pytest.raises(StatisticsError, match=match):
        repeated_fits("score ~ week", data, y, groups="client")
    with pytest.raises(StatisticsError, match=r"'np.log\(score\)' is not a plain name"):
        repeated_fits(
            "np.log(score) ~ week", course(jitter=False), scores(course(jitter=False), 3, therapist_sd=1.0), groups="client"
        )
