"""The estimation core against dense matrices, across chunks and parts, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import approx_fprime

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference.mixed import (
    compare,
    load_moments,
    merge_moments,
    mixed_model,
    moments_of,
    save_moments,
)
from attachment_outcomes.inference.mixed.search import Search, diagonal
from attachment_outcomes.inference.mixed.working import working

EXACT = 1e-10  # the same sums in another order


def clinic(
    seed: int = 1, therapists: int = 12, per: int = 6, sites: int = 3, *, jitter: bool = True, missing: float = 0.2
) -> pd.DataFrame:
    """Clients under therapists under sites, unequal in size, at irregular weeks; a tenth of the clients are seen once."""
    rng = np.random.default_rng(seed)
    rows = []
    for t in range(therapists):
        u, v = rng.normal(0, 2), rng.normal(0, 0.2)
        for c in range(int(rng.integers(2, per + 4))):
            a, b = rng.multivariate_normal([0, 0], [[9, -0.6], [-0.6, 0.3]])
            n = 1 if rng.random() < 0.1 else 6
            for k in range(n):
                week = k + (rng.uniform(-0.3, 0.3) if jitter else 0.0)
                y = 30 - week + u + v * week + a + b * week + rng.normal(0, 3)
                rows.append((f"c{t:02d}-{c:02d}", f"t{t:02d}", f"s{t % sites}", "ab"[t % 2], week, y))
    frame = pd.DataFrame(rows, columns=["client", "therapist", "site", "arm", "week", "score"])
    frame.loc[rng.random(len(frame)) < missing, "score"] = np.nan
    return frame


def dense(fit, data: pd.DataFrame, formula_columns) -> dict[str, np.ndarray]:
    """V, X, y and the random effects' Z of a fit by its estimated variances, as whole matrices."""
    rows = data.dropna(subset=["score"]).reset_index(drop=True)
    x = formula_columns(rows)
    y = rows["score"].to_numpy()
    residual = fit.variances["residual"]
    v = residual * np.eye(len(rows))
    parts = []
    for group, slopes, psi in zip(fit.groups, fit.moments.recipe.slopes, fit.psis, strict=True):
        z = np.column_stack([np.ones(len(rows)), *(rows[s] for s in slopes)])
        same = rows[group].to_numpy()[:, None] == rows[group].to_numpy()
        parts.append((group, z, psi, same))
        v = v + same * (z @ psi @ z.T)
    return {"x": x, "y": y, "v": v, "rows": rows, "parts": parts}


MODELS = [
    ("score ~ week", "client", ["week"], lambda r: np.column_stack([np.ones(len(r)), r["week"]])),
    (
        "score ~ week * arm", ("client", "therapist"), ["week"],
        lambda r: np.column_stack([np.ones(len(r)), r["week"], r["arm"] == "b", r["week"] * (r["arm"] == "b")])[:, [0, 1, 2, 3]],
    ),
    (
        "score ~ week", ("client", "therapist", "site"), {"client": ["week"], "therapist": ["week"]},
        lambda r: np.column_stack([np.ones(len(r)), r["week"]]),
    ),
    ("score ~ 1", ("client", "therapist"), ["week"], lambda r: np.ones((len(r), 1))),
    ("score ~ 0 + arm + week", ("client", "therapist"), {"therapist": ["week"]},
     lambda r: np.column_stack([r["arm"] == "a", r["arm"] == "b", r["week"]])),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::attachment_outcomes.errors.ConvergenceWarning")
@pytest.mark.parametrize(("formula", "groups", "slopes", "columns"), MODELS)
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("jitter", [True, False])
def test_fit_agrees_with_dense_matrices(formula, groups, slopes, columns, reml, jitter) -> None:
    """Likelihood, generalised least squares, modes and their spread, straight from V = Σ ZΨZ' + σ²I."""
    data = clinic(jitter=jitter)
    fit = mixed_model(formula, data, groups=groups, slopes=slopes, reml=reml)
    d = dense(fit, data, columns)
    x, y, v = d["x"].astype(float), d["y"], d["v"]
    inverse = np.linalg.inv(v)
    information = x.T @ inverse @ x
    covariance = np.linalg.inv(information)
    beta = covariance @ x.T @ inverse @ y
    rest = y - x @ beta
    value = np.linalg.slogdet(v)[1] + rest @ inverse @ rest
    value += np.linalg.slogdet(information)[1] + (len(y) - x.shape[1]) * np.log(2 * np.pi) if reml else len(y) * np.log(2 * np.pi)
    order = [list(fit.estimates["term"]).index(t) for t in fit.estimates["term"]]
    np.testing.assert_allclose(fit.estimates["estimate"].to_numpy()[order], beta, rtol=1e-8)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-7, atol=1e-12)
    assert fit.loglik == pytest.approx(-value / 2, abs=1e-7)
    for group, z, psi, same in d["parts"]:
        units = list(dict.fromkeys(d["rows"][group]))
        modes = fit.modes(group).set_index([group, "term"])
        inside = [d["rows"][group].to_numpy() == unit for unit in units]
        for unit, rows_of in zip(units[:5], inside, strict=False):
            zu = z * rows_of[:, None]
            expected = psi @ zu.T @ inverse @ rest
            spread = np.sqrt(np.maximum(np.diag(psi - psi @ zu.T @ inverse @ zu @ psi), 0))
            np.testing.assert_allclose(modes.loc[unit, "estimate"], expected, atol=1e-7)
            np.testing.assert_allclose(modes.loc[unit, "std_error"], spread, atol=1e-6)
        assert same.any()


@pytest.mark.filterwarnings("ignore::attachment_outcomes.errors.ConvergenceWarning")
@pytest.mark.parametrize(("formula", "groups", "slopes", "columns"), MODELS)
def test_prediction_for_known_persons_agrees_with_dense_matrices(formula, groups, slopes, columns) -> None:
    data = clinic()
    fit = mixed_model(formula, data, groups=groups, slopes=slopes)
    d = dense(fit, data, columns)
    x, y, inverse = d["x"].astype(float), d["y"], np.linalg.inv(d["v"])
    covariance = np.linalg.inv(x.T @ inverse @ x)
    beta = covariance @ x.T @ inverse @ y
    signal = d["v"] - fit.variances["residual"] * np.eye(len(y))
    weights = signal @ inverse
    moved = x - weights @ x
    spread = signal - weights @ signal + moved @ covariance @ moved.T
    found = fit.predict(d["rows"], known=True)
    np.testing.assert_allclose(found["predicted"], x @ beta + weights @ (y - x @ beta), rtol=1e-8)
    np.testing.assert_allclose(found["std_error"], np.sqrt(np.diag(spread)), rtol=1e-5)


@pytest.mark.parametrize(
    ("groups", "slopes"),
    [
        ("client", ["week"]),
        (("client", "therapist"), ["week"]),
        (("client", "therapist", "site"), {"client": ["week", "square"], "therapist": ["week"]}),
    ],
)
@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("reml", [True, False])
def test_gradient_is_the_slope_of_the_deviance(groups, slopes, jitter, reml) -> None:
    data = clinic(jitter=jitter).assign(square=lambda d: d["week"] ** 2 / 5)
    work = working(moments_of("score ~ week + arm", data, groups=groups, slopes=slopes))
    search = Search(work.problem, reml, tuple(e.shape[1] for e in work.es))
    theta = np.where(diagonal(search.sizes), 0.5, 0.2)
    by_steps = approx_fprime(theta, lambda t: search.at(t).deviance, 1e-6)
    np.testing.assert_allclose(search.at(theta).by_theta, by_steps, rtol=2e-3, atol=2e-3)


@pytest.fixture(scope="module")
def whole() -> pd.DataFrame:
    return clinic(therapists=40, sites=4)


SETTINGS = {"groups": ("client", "therapist"), "slopes": ["week"]}


def same_fit(one, two) -> None:
    np.testing.assert_allclose(one.estimates.iloc[:, 1:], two.estimates.iloc[:, 1:], rtol=1e-7)
    np.testing.assert_allclose(one.covariance, two.covariance, rtol=1e-8)
    np.testing.assert_allclose(list(one.variances.values()), list(two.variances.values()), rtol=1e-7)
    assert one.loglik == pytest.approx(two.loglik, abs=1e-8)
    assert (one.n, one.n_groups, one.n_clusters, one.n_excluded) == (two.n, two.n_groups, two.n_clusters, two.n_excluded)


def test_moments_by_chunks_are_those_of_one_pass(whole: pd.DataFrame) -> None:
    one = moments_of("score ~ week * arm", whole, **SETTINGS)
    many = moments_of("score ~ week * arm", whole, **SETTINGS, rows_at_a_time=17)
    for name in ("n", "mean", "scatter"):
        np.testing.assert_allclose(getattr(many, name), getattr(one, name), rtol=EXACT, atol=EXACT)
    assert [list(a) for a in one.labels] == [list(a) for a in many.labels]


@pytest.mark.parametrize("sort", ["client", "shuffled"])
def test_a_file_read_in_chunks_gives_the_fit_of_the_table(whole: pd.DataFrame, sort: str, tmp_path: Path) -> None:
    rows = whole if sort == "client" else whole.sample(frac=1, random_state=3)
    rows.to_parquet(tmp_path / "rows.parquet")
    part = moments_of("score ~ week * arm", tmp_path / "rows.parquet", **SETTINGS, rows_at_a_time=50)
    same_fit(mixed_model("score ~ week * arm", part, **SETTINGS), mixed_model("score ~ week * arm", whole, **SETTINGS))
    same_fit(
        mixed_model("score ~ week * arm", tmp_path / "rows.parquet", **SETTINGS),
        mixed_model("score ~ week * arm", whole, **SETTINGS),
    )


def test_parts_by_site_merge_to_the_fit_of_the_whole(whole: pd.DataFrame, tmp_path: Path) -> None:
    """A site may lack an arm, so the levels are named; parts go through files, as between machines."""
    for site, rows in whole.groupby("site"):
        part = moments_of("score ~ week * arm", rows, **SETTINGS, levels={"arm": ["a", "b"]})
        save_moments(part, tmp_path / f"{site}.parquet")
    merged = merge_moments(load_moments(p) for p in sorted(tmp_path.glob("*.parquet")))
    fit = mixed_model("score ~ week * arm", merged, **SETTINGS)
    direct = mixed_model("score ~ week * arm", whole, **SETTINGS)
    same_fit(fit, direct)
    new = pd.DataFrame({"week": [0.0, 5.0], "arm": ["a", "b"]})
    np.testing.assert_allclose(fit.predict(new), direct.predict(new), rtol=1e-7)


def test_parts_that_do_not_fit_together_are_refused(whole: pd.DataFrame, tmp_path: Path) -> None:
    one = moments_of("score ~ week", whole, **SETTINGS)
    with pytest.raises(StatisticsError, match="in more than one part"):
        merge_moments([one, one])
    with pytest.raises(StatisticsError, match="differ in their formula"):
        merge_moments([one, moments_of("score ~ week + arm", whole, **SETTINGS)])
    with pytest.raises(StatisticsError, match="nothing to merge"):
        merge_moments([])
    pd.DataFrame({"n": [1.0]}).to_parquet(tmp_path / "other.parquet")
    with pytest.raises(StatisticsError, match=r"other.parquet: holds no moments"):
        load_moments(tmp_path / "other.parquet")


def test_the_level_of_the_scores_and_the_origin_of_time_lose_no_digits(whole: pd.DataFrame) -> None:
    plain = mixed_model("score ~ week", whole, **SETTINGS)
    moved = whole.assign(score=whole["score"] + 1e6, week=whole["week"] + 2**13)
    far = mixed_model("score ~ week", moved, **SETTINGS)
    np.testing.assert_allclose(far.estimates["estimate"].iloc[1], plain.estimates["estimate"].iloc[1], rtol=1e-7)
    np.testing.assert_allclose(far.estimates["std_error"].iloc[1], plain.estimates["std_error"].iloc[1], rtol=1e-7)
    assert far.variances["residual"] == pytest.approx(plain.variances["residual"], rel=1e-7)
    assert far.variances["week"] == pytest.approx(plain.variances["week"], rel=1e-6)
    assert far.loglik == pytest.approx(plain.loglik, abs=1e-5)


def test_robust_errors_agree_with_dense_matrices(whole: pd.DataFrame) -> None:
    """Bell and McCaffrey's adjustment of the whitened model, cluster by cluster, and its degrees of freedom by brute force."""
    fit = mixed_model("score ~ week + arm", whole, **SETTINGS)
    d = dense(fit, whole, lambda r: np.column_stack([np.ones(len(r)), r["week"], r["arm"] == "b"]))
    cluster = d["rows"]["therapist"].to_numpy()
    values, vectors = np.linalg.eigh(d["v"])
    root = vectors @ np.diag(values**-0.5) @ vectors.T
    xs, ys = root @ d["x"].astype(float), root @ d["y"]
    bread = np.linalg.inv(xs.T @ xs)
    hat = xs @ bread @ xs.T
    rest = ys - hat @ ys
    rows, scores = [], []
    for unit in np.unique(cluster):
        inside = np.flatnonzero(cluster == unit)
        values, vectors = np.linalg.eigh(np.eye(len(inside)) - hat[np.ix_(inside, inside)])
        adjust = vectors @ np.diag(np.where(values > 1e-9, np.maximum(values, 1e-9) ** -0.5, 0)) @ vectors.T
        scores.append(xs[inside].T @ adjust @ rest[inside])
        rows.append(bread @ xs[inside].T @ adjust @ (np.eye(len(ys)) - hat)[inside])
    covariance = bread @ sum(np.outer(s, s) for s in scores) @ bread
    found = fit.robust()
    np.testing.assert_allclose(found["std_error"], np.sqrt(np.diag(covariance)), rtol=1e-6)
    for j in range(3):
        p = np.array([r[j] for r in rows])
        gram = p @ p.T
        assert found["df"].iloc[j] == pytest.approx(np.trace(gram) ** 2 / (gram**2).sum(), rel=1e-6)


def test_shares_at_a_week_follow_the_random_slope(whole: pd.DataFrame) -> None:
    fit = mixed_model("score ~ week", whole, **SETTINGS)
    v = fit.variances
    at_five = v["intercept"] + 10 * v["intercept:week"] + 25 * v["week"]
    shares = fit.shares({"week": 5})
    assert shares["client"] == pytest.approx(at_five / (at_five + v["therapist: intercept"] + v["residual"]))
    assert sum(shares.values()) == pytest.approx(1)
    table = fit.variance_shares.set_index(["group", "term"])
    assert table.loc[("client", "week"), "correlation"] == pytest.approx(v["intercept:week"] / np.sqrt(v["intercept"] * v["week"]))
    assert table["share"].sum() == pytest.approx(1)
    with pytest.raises(StatisticsError, match=r"'weeks' has no random slope. Did you mean 'week'"):
        fit.shares({"weeks": 5})


def test_likelihood_ratio_tests(whole: pd.DataFrame) -> None:
    def fit(formula: str, slopes: list[str], *, reml: bool = False, groups: object = SETTINGS["groups"]):
        return mixed_model(formula, whole, groups=groups, slopes=slopes, reml=reml)

    small, large = fit("score ~ week", ["week"]), fit("score ~ week * arm", ["week"])
    found = compare(small, large)
    assert found.statistic == pytest.approx(2 * (large.loglik - small.loglik))
    assert (found.df, found.note) == (2, "")
    assert found.p_value == pytest.approx(np.exp(-found.statistic / 2))  # chi-square with two degrees of freedom
    slope = compare(fit("score ~ week", []), small)
    assert slope.df == 2
    assert 0 < slope.p_boundary < slope.p_value
    assert "boundary" in slope.note
    with pytest.raises(StatisticsError, match="different fixed effects"):
        compare(fit("score ~ week", [], reml=True), fit("score ~ week * arm", [], reml=True))
    with pytest.raises(StatisticsError, match="one model is REML"):
        compare(fit("score ~ week", [], reml=True), small)
    with pytest.raises(StatisticsError, match="no special case"):
        compare(large, small)
    with pytest.raises(StatisticsError, match="no more parameters"):
        compare(small, small)
    with pytest.raises(StatisticsError, match="the models are of"):
        compare(mixed_model("score ~ week", whole.iloc[30:], **SETTINGS, reml=False), large)


REFUSALS = [
    ({"therapist": lambda d: np.where(d.index % 2, "t1", "t2")}, {}, r"have rows under more than one 'therapist'.*MixedLM"),
    ({"site": lambda d: np.where(d["client"].str.endswith("1"), "s1", "s2")}, {"groups": ("client", "therapist", "site")},
     "'therapist' are under more than one 'site'"),
    ({"score": 3.0}, {}, "'score' does not vary"),
    ({"score": np.nan}, {}, "column 'score' has no values"),
    ({"week": lambda d: d["week"].where(d.index > 3, np.inf)}, {}, "column 'week' has 4 infinite values"),
    ({"twice": lambda d: 2 * d["week"] + 1}, {"formula": "score ~ week + twice"}, "determine one another: 'twice'"),
    ({"none": 0.0, "week": lambda d: d["week"]}, {"formula": "score ~ 0 + week + none"}, "determine one another: 'none'"),
    ({"name": lambda d: d.index.astype(str)}, {"formula": "score ~ name"}, "levels, more than 500"),
    ({"client": lambda d: d.index.astype(str)}, {}, "cannot tell 2 random effects each from the residual"),
    ({"therapist": lambda d: d["client"]}, {}, "cannot tell 1 random effects each from the level below"),
    ({"therapist": "t1"}, {}, "1 'therapist'; at least two are needed"),
    ({}, {"slopes": ["arm"]}, "'arm' is not numeric"),
    ({}, {"slopes": "week"}, r"slopes is a list of columns: slopes=\['week'\]"),
    ({}, {"slopes": {"therapists": ["week"]}}, "is no group. Did you mean 'therapist'"),
    ({}, {"slopes": ["week", "week"]}, "named twice"),
    ({}, {"groups": ()}, "name at least one group"),
    ({}, {"groups": ("client", "client")}, "a group is named twice"),
    ({}, {"groups": ("client", "therapists")}, "no column 'therapists'. Did you mean 'therapist'"),
    ({}, {"formula": "scores ~ week"}, "no column 'scores'. Did you mean 'score'"),
    ({}, {"formula": "score ~ 0"}, "has no fixed effect"),
    ({}, {"formula": "score ~ week + client"}, "'client' is a group and in the formula"),
    ({}, {"formula": "score ~ week + (1 | client)"}, "has a random effect in it.*groups="),
    ({}, {"formula": "score"}, "needs one outcome left of"),
    ({}, {"slopes": ["score"]}, "the random slope's column cannot be 'score'"),
    ({"residual": lambda d: d["week"]}, {"slopes": ["residual"]}, "cannot be 'residual'. Hint: rename it"),
    ({"arm": lambda d: d["arm"].astype(object).where(d.index > 0, 1)}, {"formula": "score ~ arm"}, "'arm' mixes numbers, text"),
    ({"score": lambda d: d["score"] * 1e200}, {}, "the values of 'score' are too large"),
    ({}, {"formula": "arm ~ week"}, "not one numeric column"),
    ({}, {"formula": "score ~ np.log(week - 3)"}, "missing or infinite values"),
    ({}, {"ci_level": 95}, "ci_level 95 is not between"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "settings", "match"), REFUSALS)
def test_what_cannot_be_fitted_is_refused_by_name(change, settings, match) -> None:
    data = clinic(missing=0.0, therapists=20, per=8).assign(**change)
    given = {"formula": "score ~ week", **SETTINGS, **settings}
    with pytest.raises(StatisticsError, match=match):
        mixed_model(given.pop("formula"), data, **given)


@pytest.mark.parametrize(
    ("change", "settings", "match"),
    [
        ({"score": np.nan}, {}, "column 'score' has no values"),
        ({"week": lambda d: d["week"].where(d.index > 3, np.inf)}, {}, "column 'week' has 4 infinite values"),
        ({"name": lambda d: d.index.astype(str)}, {"formula": "score ~ name"}, "levels, more than 500"),
        ({"therapist": lambda d: np.where(d.index % 2, "t1", "t2")}, {}, "have rows under more than one 'therapist'"),
        ({}, {"formula": "score ~ scale(week)"}, "depends on all the data, which are read in parts"),
        ({}, {"groups": "clients"}, "no column 'clients'. Did you mean 'client'"),
    ],
)
def test_files_are_refused_with_the_same_words(change, settings, match, tmp_path: Path) -> None:
    clinic(missing=0.0, therapists=20, per=8).assign(**change).to_parquet(tmp_path / "rows.parquet")
    given = {"formula": "score ~ week", **SETTINGS, **settings}
    with pytest.raises(StatisticsError, match=match):
        mixed_model(given.pop("formula"), tmp_path / "rows.parquet", **given)
    with pytest.raises(StatisticsError, match=r"no file or folder 'absent.parquet'"):
        mixed_model("score ~ week", tmp_path / "absent.parquet", **SETTINGS)


def test_what_would_go_wrong_silently_is_refused(whole: pd.DataFrame, tmp_path: Path) -> None:
    """Seen by a fresh user: each of these once gave a number."""
    part = moments_of("score ~ week", whole, **SETTINGS)
    with pytest.raises(StatisticsError, match="the moments are of 'score ~ week'"):
        mixed_model("score ~ arm", part, **SETTINGS)
    with pytest.raises(StatisticsError, match="'arm' has 1 levels that are not among the given ones"):
        moments_of("score ~ arm", whole, **SETTINGS, levels={"arm": ["a", "c"]})
    with pytest.raises(StatisticsError, match="no column 'arms'"):
        moments_of("score ~ arm", whole, **SETTINGS, levels={"arms": ["a", "c"]})
    sites = [rows for _, rows in whole.groupby("site")]
    for formula in ("score ~ scale(week)", "score ~ I(week - week.mean())", "score ~ C(visit)"):
        parts = [moments_of(formula, rows.assign(visit=rows["week"].round()), **SETTINGS) for rows in sites]
        with pytest.raises(StatisticsError, match=r"parts do not merge|differ in their"):
            merge_moments(parts)
    whole.to_parquet(tmp_path / "rows.parquet")
    for formula in ("score ~ I(week - week.mean())", "score ~ np.mean(week)", "score ~ week.rank()"):
        with pytest.raises(StatisticsError, match="depends on all the data"):
            moments_of(formula, tmp_path / "rows.parquet", **SETTINGS)
    fit = mixed_model("score ~ I(week - week.mean())", whole, **SETTINGS)
    with pytest.raises(StatisticsError, match="depends on the other rows"):
        fit.predict(pd.DataFrame({"week": [1.0, 2.0]}))
    with pytest.raises(StatisticsError, match="column 'week' is not numeric, as it was"):
        mixed_model("score ~ week", whole, **SETTINGS).predict(pd.DataFrame({"week": ["Anna", "Smith"]}))
    with pytest.raises(StatisticsError, match="2 weights for 1 fixed effects"):
        mixed_model("score ~ 1", whole, **SETTINGS).combination([1, 2])


def test_models_that_are_not_nested_are_not_compared(whole: pd.DataFrame) -> None:
    data = whole.dropna().assign(other=lambda d: d["score"] ** 2 / 10, flag=lambda d: (d["week"] > 2).astype(float))

    def fit(formula: str, rows: pd.DataFrame = data, slopes: tuple[str, ...] = ()):
        return mixed_model(formula, rows, groups=SETTINGS["groups"], slopes=slopes, reml=False)

    large = fit("score ~ week + arm")
    with pytest.raises(StatisticsError, match="not of the same values of one outcome"):
        compare(fit("score ~ arm", data.assign(score=data["other"])), large)
    with pytest.raises(StatisticsError, match="not of the same values of one outcome"):
        compare(fit("score ~ arm", data.iloc[:-6]), fit("score ~ week + arm", data.iloc[6:]))
    with pytest.raises(StatisticsError, match="no special case"):
        compare(fit("score ~ flag"), large)
    with pytest.raises(StatisticsError, match="no special case"):
        compare(fit("score ~ week", slopes=("flag",)), fit("score ~ week + arm", slopes=("week",)))


def test_columns_that_need_all_the_data_may_be_in_a_table() -> None:
    data = clinic()
    scaled = mixed_model("score ~ scale(week)", data, **SETTINGS)
    used = data.dropna()
    by_hand = mixed_model("score ~ z", used.assign(z=(used["week"] - used["week"].mean()) / used["week"].std()), **SETTINGS)
    np.testing.assert_allclose(scaled.estimates["estimate"], by_hand.estimates["estimate"], rtol=1e-7)


def test_a_therapist_variance_of_zero_ends_on_the_boundary() -> None:
    rng = np.random.default_rng(5)
    data = clinic(missing=0.0, therapists=15)
    data["therapist"] = data["client"].map(
        dict(zip(data["client"].unique(), rng.integers(0, 9, data["client"].nunique()), strict=True))
    )
    with pytest.warns(ConvergenceWarning, match="singular"):
        fit = mixed_model("score ~ week", data, **SETTINGS)
    without = mixed_model("score ~ week", data, groups="client", slopes=["week"])
    assert fit.converged
    assert fit.variances["therapist: intercept"] == 0
    assert fit.loglik == pytest.approx(without.loglik, abs=1e-7)
    np.testing.assert_allclose(fit.estimates["df"], without.estimates["df"], rtol=1e-3)


def test_new_persons_cannot_be_predicted_as_known(whole: pd.DataFrame) -> None:
    fit = mixed_model("score ~ week", whole, **SETTINGS)
    with pytest.raises(StatisticsError, match="1 rows are of a 'client' that the model does not know"):
        fit.predict(pd.DataFrame({"week": [1.0], "client": ["nobody"]}), known=True)
    with pytest.raises(StatisticsError, match=r"no level 'clients'. Did you mean 'client'"):
        fit.modes("clients")
    with pytest.raises(StatisticsError, match="for REML fits"):
        mixed_model("score ~ week", whole, **SETTINGS, reml=False).kenward_roger()
