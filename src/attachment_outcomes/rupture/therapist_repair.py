r"""Do therapists differ in how many of their clients' ruptures are repaired, by more than chance allows?

.. math:: \mathrm{logit}\,P(\text{repaired}_{jik}) = \beta_0 + w_j + u_{ji}, \qquad w_j \sim N(0, \sigma_T^2),\
    u_{ji} \sim N(0, \sigma_C^2)

for rupture k of client i of therapist j. It is no ranking: clients are not drawn by lot, and most therapists have few ruptures.

Vocabulary
----------
decided            a rupture that was repaired or not; one whose end nobody saw (censored) is left out and counted
share              of decided ruptures that were repaired
shrunken share     a therapist's share by the model, pulled towards the average the more the fewer ruptures there are
median odds ratio  of two therapists drawn at random, the median of the odds of repair with the better over those with the other:
                   :math:`\exp(\sqrt2\,\Phi^{-1}(.75)\,\sigma_T)`
expected range     the shares between which the middle 95 % of therapists lie
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import norm

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.funnel import LEVELS, Overdispersion, exact_limits, exact_overdispersion, exact_tail
from attachment_outcomes.inference.logistic_mixed.fit import logistic_mixed_model
from attachment_outcomes.inference.logistic_mixed.profile import TopSd, top_sd
from attachment_outcomes.inference.logistic_mixed.result import LATENT_VARIANCE, LogisticFit
from attachment_outcomes.inference.proportions import proportion
from attachment_outcomes.inference.steps import Part, typed_table
from attachment_outcomes.rupture.criteria import Detection, episodes_frame
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.episodes import REPAIRED, UNREPAIRED

Numbers = NDArray[np.float64]
ANALYSIS = "therapist_repair"
MIN_THERAPISTS = 10  # fewer do not tell a variance between them
FEWEST = 5  # decided ruptures of a therapist who is shown singly
ADJUST = ("depth", "onset")  # of the rupture: how deep it went, and the session it began in
REPEATED = 30  # clients with two decided ruptures or more, from whom the differences between clients can be told
POINTS = 5  # of the quadrature: Laplace's approximation takes clients of few ruptures for too much alike
MANY = 50_000  # ruptures, from which Laplace's approximation has to do
MEDIAN_RATIO = float(np.sqrt(2) * norm.ppf(0.75))
GRID = np.linspace(-8.0, 8.0, 161)
DENSITY = norm.pdf(GRID) * (GRID[1] - GRID[0])
CLIENT, THERAPIST = "client", "therapist_id"
CAVEAT = "association, not effect: clients are not drawn by lot, and no therapist is ranked"
# A row a therapist with enough decided ruptures, under the primary criterion; the codes are in random order.
TABLES: dict[str, dict[str, str]] = {
    "therapist_repair": {
        "criterion": "str", "therapist": "str", "n_clients": "int64", "n_ruptures": "int64", "n_repaired": "int64",
        "share": "float64", "log_odds": "float64", "log_odds_low": "float64", "log_odds_high": "float64", "estimate": "float64",
        "ci_low": "float64", "ci_high": "float64", "target": "float64", "low95": "float64", "high95": "float64",
        "low998": "float64", "high998": "float64", "low95_adjusted": "float64", "high95_adjusted": "float64",
        "low998_adjusted": "float64", "high998_adjusted": "float64", "position": "str",
    }
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RepairModel:
    """A fitted model of repair with the profile of the therapists' standard deviation; ``note`` says what limits it."""

    fit: LogisticFit
    therapists: TopSd
    client_sd: float
    note: str

    @property
    def intercept(self) -> float:
        """Log odds of repair with an average therapist and client, at average covariates."""
        return float(self.fit.estimates["estimate"].iloc[0])

    def share(self, deviation: Numbers | float) -> Numbers:
        """Return the share repaired with therapists of these deviations [log odds], averaged over their clients."""
        eta = self.intercept + np.atleast_1d(np.asarray(deviation, dtype=float))
        return np.asarray(expit(eta[:, None] + self.client_sd * GRID) @ DENSITY)


def analyse(data: RuptureData) -> Part:
    """Return what therapists' repairs say under every criterion, and the therapists under the primary one.

    Settings (``rupture.therapist_repair``, optional): ``fewest`` (decided ruptures of a therapist who is shown singly) and
    ``adjust`` (``depth``, ``onset``: covariates of a second model under the primary criterion).
    """
    block: Mapping[str, Any] = data.settings.get("therapist_repair") or {}
    fewest, adjust = int(block.get("fewest", FEWEST)), tuple(block.get("adjust", ADJUST))
    rows: list[Estimate] = []
    table: pd.DataFrame | Sequence[Mapping[str, object]] = []
    for i, (found, clients) in enumerate(zip(data.detections, data.clients, strict=True)):
        name = found.criterion.name
        try:
            ruptures = decided_ruptures(found, clients)
            if i == 0:
                _count(data, found, ruptures)
            decided = ruptures[ruptures[THERAPIST].notna()]
            more, shown = repair_by_therapist(
                decided, adjust=adjust if i == 0 else (), singly=i == 0, definition=name, primary=i == 0, outcome=data.alliance,
                fewest=fewest,
                rng=data.rng(ANALYSIS, name), ci_level=data.ci_level,
            )  # fmt: skip
        except StatisticsError as error:
            rows.append(replace(not_testable(ANALYSIS, str(error), outcome=data.alliance), definition=name))
            continue
        unseen, nameless = len(found.episodes.outcome) - len(ruptures), len(ruptures) - len(decided)
        left_out = f"; left out: {unseen} censored ruptures, {nameless} without a therapist"
        rows += [replace(e, note=e.note + left_out) if e.estimand == "share_repaired" else e for e in more]
        table = shown if i == 0 else table
    rows += [
        replace(not_testable(ANALYSIS, reason, outcome=data.alliance), definition=name) for name, reason in data.unread.items()
    ]
    return Part(rows, {"therapist_repair": typed_table(table, TABLES["therapist_repair"])})


def decided_ruptures(found: Detection, clients: pd.DataFrame) -> pd.DataFrame:
    """Return the ruptures of one criterion that were repaired or not, a row each.

    Parameters
    ----------
    found
        The criterion's finding.
    clients
        Its clients, with their therapists; see :func:`~attachment_outcomes.rupture.summary.client_summary`.

    Returns
    -------
    frame
        ``client`` (a number for each client and treatment), ``therapist_id`` (missing where nobody says), ``repaired`` (0 or 1),
        ``depth`` (score points) and ``onset`` (session number).
    """
    episodes = episodes_frame([found])
    episodes = episodes[episodes["outcome"].isin([REPAIRED, UNREPAIRED]).to_numpy(dtype=bool)]
    keys = ["client", "treatment_id"]
    owners = clients[[*keys, THERAPIST]].assign(number=np.arange(len(clients)))
    joined = episodes.merge(owners, how="left", on=keys)
    return pd.DataFrame(
        {
            CLIENT: joined["number"].to_numpy(dtype=np.int64), THERAPIST: joined[THERAPIST],
            "repaired": (joined["outcome"] == REPAIRED).to_numpy(dtype=float), "depth": joined["depth"].to_numpy(dtype=float),
            "onset": joined["onset"].to_numpy(dtype=float),
        }
    )  # fmt: skip


def _count(data: RuptureData, found: Detection, ruptures: pd.DataFrame) -> None:
    n, known = len(found.episodes.outcome), int(ruptures[THERAPIST].notna().sum())
    data.count("therapist repair: end seen", n, len(ruptures), "censored: nobody saw how it ended", unit="ruptures")
    data.count("therapist repair: therapist known", len(ruptures), known, "no therapist is named", unit="ruptures")


def repair_by_therapist(
    ruptures: pd.DataFrame,
    *,
    rng: np.random.Generator,
    adjust: Sequence[str] = (),
    definition: str = "",
    primary: bool = True,
    outcome: str = "",
    singly: bool = True,
    fewest: int = FEWEST,
    ci_level: float = CI_LEVEL,
) -> tuple[list[Estimate], pd.DataFrame]:
    r"""Estimate how therapists differ in the share of their clients' ruptures that are repaired.

    Parameters
    ----------
    ruptures : frame
        A row a decided rupture: ``client``, ``therapist_id``, ``repaired`` (0 or 1) and the columns of ``adjust``. A client has one
        therapist.
    rng
        For the order of the therapists' codes.
    adjust
        Covariates of a second model, each per SD; one that does not vary, or is missing, is left out.
    definition, primary, outcome
        The criterion that found the ruptures, whether it is the primary one, and the alliance score.
    singly, fewest
        Whether therapists are shown singly, with the funnel; decided ruptures from which one is. All count in the model.
    ci_level
        Confidence level.

    Returns
    -------
    (list of Estimate, frame)
        Analysis ``therapist_repair``. ``share_repaired`` (Wilson's interval at the effective n of therapists);
        ``therapist_variance`` and ``therapist_sd`` [log odds], ``therapist_share`` of the latent variance, ``median_odds_ratio``:
        limits by profile likelihood, p by the likelihood ratio at the boundary of 0; ``client_variance``; ``expected_low`` and
        ``expected_high``; ``overdispersion_phi`` and ``funnel_variance`` (of shares). With covariates again, group
        ``adjusted``, and ``odds_ratio_<covariate>``. The frame has the columns of ``TABLES`` but for codes instead of therapists.

    Raises
    ------
    StatisticsError
        If fewer than 10 therapists have a decided rupture, all or none were repaired, or the model cannot be fitted.

    Notes
    -----
    Limits of the funnel are exact, of the binomial around the share of all together (Spiegelhalter, 2005): therapists have few
    ruptures, for which the arcsine scale does not hold. They take ruptures of one client as independent; the adjusted ones are of a
    beta-binomial with the variation beyond chance, whatever it comes from, and decide the ``position``. Intervals of single
    therapists are the conditional modes ± 1.96 conditional standard errors in log odds, turned into shares.

    References
    ----------
    Larsen, K., & Merlo, J. (2005). Am. J. Epidemiol., 161, 81-88 (median odds ratio). Self, S. G., & Liang, K.-Y. (1987). JASA, 82,
    605-610. Spiegelhalter, D. J. (2005). Statistics in Medicine, 24, 1185-1202.
    """
    n_therapists = int(ruptures[THERAPIST].nunique())
    if n_therapists < MIN_THERAPISTS:
        raise StatisticsError(
            f"{n_therapists} therapists have a client with a rupture whose end was seen; at least {MIN_THERAPISTS} are needed"
        )
    if ruptures["repaired"].nunique() < 2:
        ended = "was repaired" if ruptures["repaired"].all() else "stayed unrepaired"
        raise StatisticsError(f"each of the {len(ruptures)} ruptures whose end was seen {ended}: there is nothing to differ in")
    found = proportion(ruptures["repaired"], clusters=ruptures[THERAPIST], ci_level=ci_level)
    said = f"{len(ruptures)} ruptures of {ruptures[CLIENT].nunique()} clients"
    shared: dict[str, Any] = {
        "analysis": ANALYSIS, "definition": definition, "outcome": outcome, "ci_level": ci_level, "n": float(len(ruptures)),
        "n_clusters": float(n_therapists),
    }  # fmt: skip
    rows = [
        Estimate(
            estimand="share_repaired", estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low,
            ci_high=found.ci_high, unit="proportion", method=found.method, primary=primary,
            note="; ".join(n for n in (said, found.note) if n), **shared,
        )
    ]  # fmt: skip
    model = fit_repair(ruptures, (), ci_level)
    rows += _model_rows(model, said, {**shared, "primary": primary})
    table = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in TABLES["therapist_repair"].items()})
    if singly:
        table, spread = _therapists(ruptures, model, fewest, rng)
        shown = f"with {fewest} or more decided ruptures; the others are in the model only"
        chance = "squared z scores of the therapists shown around the common share; 1 is chance alone, if ruptures were independent"
        for name, value, unit, note in (
            ("overdispersion_phi", spread.phi, "ratio", chance),
            ("funnel_variance", spread.tau2, "variance of proportions", "between therapists beyond chance, by moments"),
            ("n_shown", float(len(table)), "therapists", shown),
        ):
            rows.append(
                Estimate(estimand=name, estimate=value, unit=unit, method="funnel, exact", note=note, primary=primary, **shared)
            )
    used = [c for c in adjust if c in ruptures and ruptures[c].max() > ruptures[c].min()]
    if used:
        rows += _adjusted(ruptures, used, said, {**shared, "primary": False, "group": "adjusted"})
    return rows, table.assign(criterion=definition)[list(TABLES["therapist_repair"])]


def fit_repair(ruptures: pd.DataFrame, covariates: Sequence[str], ci_level: float = CI_LEVEL) -> RepairModel:
    """Fit the model of repair, of ruptures in clients in therapists; without the clients' level where too few have two ruptures.

    Raises
    ------
    StatisticsError
        If it cannot be fitted without the clients' level either.
    """
    points = POINTS if len(ruptures) <= MANY else 1
    rows = ruptures[[CLIENT, THERAPIST, "repaired"]].copy()
    for name in covariates:
        rows[name] = (ruptures[name] - ruptures[name].mean()) / ruptures[name].std()
    formula = " + ".join(["repaired ~ 1", *covariates])
    notes = []
    repeated = int((rows[CLIENT].value_counts() > 1).sum())
    try:
        if repeated < REPEATED:
            raise StatisticsError(f"{repeated} clients have two ruptures or more")
        fit = _quiet(formula, rows, (CLIENT, THERAPIST), points, ci_level)
        client_sd = float(np.sqrt(fit.variances["intercept"]))
    except StatisticsError:
        fit, client_sd = _quiet(formula, rows, (THERAPIST,), points, ci_level), 0.0
        notes.append(f"clients with two ruptures or more: {repeated}; so how clients differ is not told apart from chance")
    notes.append(fit.note)
    return RepairModel(fit=fit, therapists=top_sd(fit, formula, rows), client_sd=client_sd, note="; ".join(n for n in notes if n))


def _quiet(formula: str, rows: pd.DataFrame, groups: tuple[str, ...], points: int, ci_level: float) -> LogisticFit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the fit's own note says the same
        fit = logistic_mixed_model(formula, rows, groups=groups, quadrature=points, ci_level=ci_level)
    if not fit.converged:
        raise StatisticsError("the logistic mixed model of repair did not converge")
    return fit


def _model_rows(model: RepairModel, said: str, shared: Mapping[str, Any]) -> list[Estimate]:
    sd, others = model.therapists, model.client_sd**2 + LATENT_VARIANCE
    limits = np.array([sd.estimate, sd.ci_low, sd.ci_high])
    with np.errstate(invalid="ignore", over="ignore"):
        share = np.where(np.isinf(limits), 1.0, limits**2 / (limits**2 + others))
        ratio = np.exp(MEDIAN_RATIO * limits)
    fit = f"logistic mixed model, {'Laplace' if model.fit.quadrature == 1 else f'{model.fit.quadrature} points'}"
    note = "; ".join(n for n in (said, model.note, CAVEAT) if n)
    rows = [
        Estimate(
            estimand=name, estimate=float(value[0]), ci_low=float(value[1]), ci_high=float(value[2]), p_value=sd.p_value, unit=unit,
            method=f"{fit}, profile likelihood", note=note, **shared,
        )
        for name, value, unit in (
            ("therapist_variance", limits**2, "squared log odds"), ("therapist_sd", limits, "log odds"),
            ("therapist_share", share, "proportion"), ("median_odds_ratio", ratio, "odds ratio"),
        )
    ]  # fmt: skip
    z = float(norm.ppf(0.5 + shared["ci_level"] / 2))
    low, high = model.share(np.array([-z, z]) * sd.estimate)
    middle = f"of the middle {100 * shared['ci_level']:g} % of therapists, if they differ as the model says"
    rows += [
        Estimate(estimand=name, estimate=value, unit=unit, method=fit, note=told, **shared)
        for name, value, unit, told in (
            ("expected_low", float(low), "proportion", f"lowest share {middle}"),
            ("expected_high", float(high), "proportion", f"highest share {middle}"),
        )
    ]
    if len(model.fit.groups) > 1:
        client: dict[str, Any] = {"estimand": "client_variance", "estimate": model.client_sd**2, "unit": "squared log odds"}
        rows.append(Estimate(method=fit, note=model.note, **client, **shared))
    return rows


def _adjusted(ruptures: pd.DataFrame, covariates: Sequence[str], said: str, shared: Mapping[str, Any]) -> list[Estimate]:
    """Return the rows of the model with covariates, or why it cannot be had."""
    words = " and ".join(covariates)
    complete = ruptures[ruptures[list(covariates)].notna().all(axis=1)]
    try:
        model = fit_repair(complete, covariates, float(shared["ci_level"]))
    except StatisticsError as error:
        row = not_testable(ANALYSIS, f"adjusted for {words}: {error}", outcome=str(shared["outcome"]))
        return [replace(row, definition=str(shared["definition"]), group="adjusted")]
    shared = {**shared, "n": float(len(complete))}
    rows = _model_rows(model, f"{said}; adjusted for {words} of the rupture", shared)
    for one in model.fit.estimates.to_dict("records")[1:]:
        name = one["term"]
        rows.append(
            Estimate(
                estimand=f"odds_ratio_{name}", estimate=float(one["odds_ratio"]), ci_low=float(one["odds_ratio_low"]),
                ci_high=float(one["odds_ratio_high"]), p_value=float(one["p_value"]), unit="odds ratio per SD",
                method="logistic mixed model, Wald", note="above 1: repaired more often", **shared,
            )
        )  # fmt: skip
    return rows


def _therapists(
    ruptures: pd.DataFrame, model: RepairModel, fewest: int, rng: np.random.Generator
) -> tuple[pd.DataFrame, Overdispersion]:
    """Return a row a therapist who is shown, without names, and how much more they differ than chance."""
    grouped = ruptures.groupby(THERAPIST, sort=True)
    units = grouped["repaired"].agg(["size", "sum"]).rename(columns={"size": "n_ruptures", "sum": "n_repaired"})
    units["n_clients"] = grouped[CLIENT].nunique()
    units["n_repaired"] = units["n_repaired"].astype(np.int64)
    target = float(units["n_repaired"].sum() / units["n_ruptures"].sum())
    modes = model.fit.modes(THERAPIST).set_index(THERAPIST).reindex(units.index)
    # Where no difference is estimated, all would be equal without error: no interval is honest then.
    half = float(norm.ppf(0.5 + model.fit.ci_level / 2)) * modes["std_error"] * (1.0 if model.therapists.estimate > 0 else np.nan)
    for end, value in (("", modes["estimate"]), ("_low", modes["estimate"] - half), ("_high", modes["estimate"] + half)):
        units[f"log_odds{end}"] = value
        units[{"": "estimate", "_low": "ci_low", "_high": "ci_high"}[end]] = model.share(value.to_numpy(dtype=float))
    units = units.assign(share=units["n_repaired"] / units["n_ruptures"], target=target)
    units = units.iloc[rng.permutation(len(units))]
    units = units[(units["n_ruptures"] >= fewest).to_numpy(dtype=bool)].reset_index(drop=True)
    units["therapist"] = [f"therapist {i}" for i in range(1, len(units) + 1)]
    spread = exact_overdispersion(units["n_repaired"], units["n_ruptures"], target=target)
    # Proportions cannot vary more than this; so much is never seen but by chance.
    between = min(spread.tau2, 0.99 * target * (1 - target)) if np.isfinite(spread.tau2) else 0.0
    for name, level in LEVELS.items():
        for end, variance in (("", 0.0), ("_adjusted", between)):
            low, high = exact_limits(units["n_ruptures"], target=target, level=level, between=variance)
            units[f"low{name}{end}"], units[f"high{name}{end}"] = low, high
    tail = exact_tail(units["n_repaired"], units["n_ruptures"], target=target, between=between)
    units["position"] = np.select([tail < 1 - LEVELS["998"], tail < 1 - LEVELS["95"]], ["beyond 99.8 %", "beyond 95 %"], "inside")
    return units, spread
