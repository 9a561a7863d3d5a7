r"""How much did the thing itself change, once error of measurement is taken off? The latent change score model of two waves.

.. math:: y_{1i} = \nu_i + \lambda_i\eta + e_{1i}, \quad y_{2i} = \nu_i + \lambda_i(\eta + \Delta) + e_{2i}, \quad
   \mathrm{cov}(e_{1i}, e_{2i}) = \theta_{12i}

with the factor :math:`\eta` of the first wave (mean 0, variance 1) and the latent change :math:`\Delta`. Loadings and intercepts
are the same at both waves (scalar invariance), or a change could not be told from a change of meaning.

Vocabulary
----------
latent change      :math:`\Delta`: its mean, its variance, and its regression on :math:`\eta` (self-feedback). In score points
                   they are multiplied by what one unit of the factor moves the score, :math:`w = \sum_i c_i\lambda_i`, with
                   :math:`c_i` the points of one point of item i; else they are in SDs of the first wave's factor
observed change    second less first score. Its variance is the latent one in score points and the error's,
                   :math:`\sum_i c_i^2(\theta_{1i}+\theta_{2i}-2\theta_{12i})`
reliability of change   the latent part of the observed change's variance
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

from attachment_outcomes.change.inputs import ChangeData
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.factor.fit import FactorFit, fit_structure
from attachment_outcomes.inference.factor.indices import Fit, fit_indices
from attachment_outcomes.inference.factor.moments import Moments, moments_of
from attachment_outcomes.inference.factor.structure import Cell, Structure, structure
from attachment_outcomes.inference.steps import Part, typed_table
from attachment_outcomes.measures.assembly import item_matrices
from attachment_outcomes.measures.instruments import Instrument, read_instruments
from attachment_outcomes.measures.invariance import METRIC, Rule, longitudinal_model, paired_uniqueness
from attachment_outcomes.measures.repeated import Repeated, repeated_answers, scores_of

ANALYSIS = "latent_change"
METHOD = "latent change score model, maximum likelihood with missing answers, sandwich errors"
LEAST_ITEMS = 3
TABLES: dict[str, dict[str, str]] = {
    "latent_change": {
        "outcome": "str", "baseline_mean": "float64", "baseline_true_sd": "float64", "baseline_observed_sd": "float64",
        "mean_change": "float64", "true_change_sd": "float64", "observed_change_sd": "float64", "true_correlation": "float64",
        "observed_correlation": "float64", "true_slope": "float64", "observed_slope": "float64", "true_variance": "float64",
        "error_variance": "float64", "reliability": "float64", "cfi": "float64", "rmsea": "float64", "n": "int64",
        "n_both": "int64",
    }
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """The scale on which an interval is symmetric: there, the slope of the way there, and back."""

    to: Callable[[float], float]
    slope: Callable[[float], float]
    back: Callable[[float], float]


PLAIN = Scale(lambda v: v, lambda _: 1.0, lambda v: v)
LOG = Scale(math.log, lambda v: 1 / v, math.exp)
FISHER = Scale(math.atanh, lambda v: 1 / (1 - v**2), math.tanh)
COMPLEMENT = Scale(lambda v: math.log1p(-v), lambda v: 1 / (1 - v), lambda v: -math.expm1(v))


@dataclass(frozen=True)
class Quantity:
    """An estimate with its standard error and interval."""

    estimate: float
    std_error: float
    ci_low: float
    ci_high: float


@dataclass(frozen=True)
class LatentChange:
    """A fitted latent change score model; SDs are those of the first wave's factor, other units are score points.

    ``mean``, ``sd``                  of the latent change, score points
    ``mean_in_sds``                   mean latent change over the SD of the first wave's factor
    ``variance_in_sds``               variance of the latent change over the variance of the first wave's factor
    ``slope``                         change for one unit more at the first wave (self-feedback), both latent
    ``correlation``                   of latent change with the first wave's factor
    ``reliability``                   of the observed change
    ``baseline_true_variance`` …      what the model says of the variances, score points squared
    ``observed_slope``, ``observed_correlation``   the same of observed scores, by the model
    """

    mean: Quantity
    sd: Quantity
    mean_in_sds: Quantity
    variance_in_sds: Quantity
    slope: Quantity
    correlation: Quantity
    reliability: Quantity
    baseline_mean: float
    baseline_true_variance: float
    baseline_error_variance: float
    true_variance: float
    error_variance: float
    observed_slope: float
    observed_correlation: float
    fit: Fit
    model: FactorFit
    n_both: int
    n_clusters: int
    same_meaning: bool


def change_model(k: int) -> Structure:
    """Return the latent change score model of k items at two waves.

    Raises
    ------
    StatisticsError
        With fewer than three items.
    """
    if k < LEAST_ITEMS:
        raise StatisticsError(f"latent change needs {LEAST_ITEMS} items or more")
    loadings: list[list[Cell]] = [[f"loading {i}", 0] for i in range(k)]
    return structure(
        loadings=loadings + [[f"loading {i}", f"loading {i}"] for i in range(k)],
        intercepts=[f"intercept {i}" for i in range(k)] * 2,
        factor_covariance=[[1, "covariance"], ["covariance", "variance"]],
        factor_means=[0, "mean"],
        uniqueness=paired_uniqueness(k),
    )


def latent_change(
    first: np.ndarray,
    second: np.ndarray,
    *,
    points: Sequence[float] | Mapping[int, float] | None = None,
    clusters: Sequence[Hashable] | pd.Series | None = None,
    rule: Rule | None = None,
    ci_level: float = CI_LEVEL,
) -> LatentChange:
    """Fit the latent change score model to items answered at two waves.

    Parameters
    ----------
    first, second : (n, k) arrays
        Keyed answers of the same people to the same items; NaN = missing, at random given what was answered. People with one
        wave only count too.
    points : k numbers, optional
        Score points of one point of each item; a mean of the items (1/k) unless told.
    clusters : (n,) labels, optional
        What people share (a therapist): standard errors allow for it, with t on G - 1 degrees of freedom.
    rule : Rule, optional
        By which equal intercepts are judged.
    ci_level : float
        Confidence level.

    Raises
    ------
    StatisticsError
        With fewer than three items, fewer people at both waves than parameters, or a model without a proper solution.

    Notes
    -----
    Intervals: normal for means and slopes; of the logarithm for SDs and variances; of Fisher's z for the correlation; of
    ln(1 - r) for the reliability. Uniquenesses are taken as error: what is specific to an item and changes with time counts as
    error too.

    References
    ----------
    .. [1] McArdle, J. J. (2009). Annual Review of Psychology, 60, 577-605. doi:10.1146/annurev.psych.60.110707.163612
    """
    if first.shape != second.shape or first.ndim != 2:
        raise StatisticsError(
            f"latent change: found shapes {first.shape} and {second.shape}; the same people and items are needed twice"
        )
    k = first.shape[1]
    model = change_model(k)
    both = int((~np.isnan(first).all(axis=1) & ~np.isnan(second).all(axis=1)).sum())
    if both <= len(model.parameters):
        raise StatisticsError(
            f"{both} people answered at both waves; the model has {len(model.parameters)} parameters and needs more"
        )
    weights = np.full(k, 1 / k) if points is None else np.array([points[i] for i in range(k)], dtype=float)
    moments = moments_of(np.hstack([first, second]))
    fit = fit_structure(model, moments, start={"variance": 0.5, "covariance": -0.2})
    if not fit.converged or not fit.proper:
        what = "has no proper solution: a variance is not above 0" if fit.converged else "was not found: the search did not end"
        raise StatisticsError(f"the latent change score model {what}")
    covariance = fit.covariance_of_estimates(errors="robust", clusters=clusters)
    groups = int(pd.Series(list(clusters)).iloc[moments.place].nunique()) if clusters is not None else moments.total
    tail = (1 + ci_level) / 2
    z = float(student.ppf(tail, groups - 1) if clusters is not None else norm.ppf(tail))

    read = fit.derived(lambda p: _read(p, weights), covariance)

    def quantity(name: str, scale: Scale = PLAIN) -> Quantity:
        value, error = read[name]
        middle, half = scale.to(value), z * error * scale.slope(value)
        low, high = sorted((scale.back(middle - half), scale.back(middle + half)))
        return Quantity(value, error, low, high)

    now = {name: value for name, (value, _) in read.items()}
    indices = fit_indices(fit)
    return LatentChange(
        mean=quantity("mean"), sd=quantity("sd", LOG), mean_in_sds=quantity("mean_in_sds"),
        variance_in_sds=quantity("variance_in_sds", LOG), slope=quantity("slope"),
        correlation=quantity("correlation", FISHER),
        reliability=quantity("reliability", COMPLEMENT),
        baseline_mean=now["baseline_mean"], baseline_true_variance=now["true_first"], baseline_error_variance=now["error_first"],
        true_variance=now["true_change"], error_variance=now["error_change"], observed_slope=now["observed_slope"],
        observed_correlation=now["observed_correlation"], fit=indices, model=fit, n_both=both, n_clusters=groups,
        same_meaning=_same_meaning(k, moments, indices, rule or Rule()),
    )  # fmt: skip


def _read(parameters: Mapping[str, float], weights: np.ndarray) -> dict[str, float]:
    """Return what the parameters say, in score points."""
    k = len(weights)
    worth = sum(weights[i] * parameters[f"loading {i}"] for i in range(k))
    variance, covariance = parameters["variance"], parameters["covariance"]
    square = weights**2
    error_first = sum(square[i] * parameters[f"uniqueness {i}"] for i in range(k))
    error_second = sum(square[i] * parameters[f"second uniqueness {i}"] for i in range(k))
    shared = sum(square[i] * parameters[f"shared {i}"] for i in range(k))
    error_change = error_first + error_second - 2 * shared
    true_change, cross = worth**2 * variance, worth**2 * covariance + shared - error_first
    observed_first, observed_change = worth**2 + error_first, true_change + error_change
    sd = math.sqrt(max(variance, 0.0))
    return {
        "mean": worth * parameters["mean"],
        "sd": abs(worth) * sd,
        "mean_in_sds": parameters["mean"],
        "variance_in_sds": variance,
        "slope": covariance,
        "correlation": covariance / sd if sd else math.nan,
        "reliability": true_change / observed_change,
        "baseline_mean": sum(weights[i] * parameters[f"intercept {i}"] for i in range(k)),
        "true_first": worth**2,
        "error_first": error_first,
        "true_change": true_change,
        "error_change": error_change,
        "observed_slope": cross / observed_first,
        "observed_correlation": cross / math.sqrt(observed_first * observed_change),
    }


def _same_meaning(k: int, moments: Moments, scalar: Fit, rule: Rule) -> bool:
    """Tell whether equal intercepts and loadings are borne out: the model fits, and loses little against free intercepts."""
    metric = fit_indices(fit_structure(longitudinal_model(k, METRIC), moments))
    lost, gained = metric.cfi - scalar.cfi, scalar.rmsea - metric.rmsea
    return bool(lost <= rule.loss_of_cfi and gained <= rule.gain_of_rmsea and metric.cfi >= rule.cfi and metric.rmsea <= rule.rmsea)


def analyse(data: ChangeData) -> Part:
    """Fit the latent change score model of every outcome whose items were answered at two waves.

    Settings, under ``change.latent_change``: ``baseline`` and ``end`` (those of ``change`` unless told) and ``rule`` (fields of
    :class:`~attachment_outcomes.measures.invariance.Rule`).

    Returns
    -------
    Part
        Estimates, and the table ``latent_change``, a row an outcome; ``n`` and ``n_both`` count people. No table is by person.
    """
    settings = data.settings.get("latent_change") or {}
    rows: list[Estimate] = []
    lines: list[dict[str, Any]] = []
    given = set(data.answers["instrument"])
    known, own = ({k: v for k, v in of.items() if k in given} for of in (data.instruments, data.overrides))
    forms = read_instruments(known, own)
    matrices = item_matrices(data.answers, forms) if len(data.answers) else {}
    for position, outcome in enumerate(data.outcomes):
        name = str(outcome["score"])
        key, _, scale = name.partition(".")
        try:
            if data.occasions != "wave":
                raise StatisticsError("outcomes are ordered by session; the model is one of two waves")
            if key not in matrices:
                raise StatisticsError("the items were not given, only the score")
            when = {k: settings.get(k, v) for k, v in data.when.items()}
            pair = repeated_answers(
                matrices[key], forms[key], scale, rater=str(outcome.get("rater", "self")), people=data.people, **when
            )
            clusters = _clusters(data, pair)
            found = latent_change(
                pair.first, pair.second, points=scores_of(forms[key], scale), clusters=clusters, ci_level=data.ci_level,
                rule=Rule(**settings.get("rule", {})),
            )  # fmt: skip
        except StatisticsError as error:
            rows.append(not_testable(ANALYSIS, str(error), outcome=name))
            continue
        data.flow.add(f"latent change, {name}: at both waves", found.fit.n, found.n_both, "one wave only; kept", unit="people")
        rows += _rows(found, name, forms[key], scale, position == 0, data.ci_level)
        lines.append(_line(found, name))
    return Part(rows, {"latent_change": typed_table(lines, TABLES["latent_change"])})


def _clusters(data: ChangeData, pair: Repeated) -> pd.Series | None:
    """Return each person's therapist; somebody whose therapist is not known is a cluster of one."""
    found = data.therapists_of(pair.people)
    return None if found is None else found.where(found.notna(), "person " + pair.people).astype("str")


def _line(found: LatentChange, outcome: str) -> dict[str, Any]:
    return {
        "outcome": outcome,
        "baseline_mean": found.baseline_mean,
        "baseline_true_sd": math.sqrt(found.baseline_true_variance),
        "baseline_observed_sd": math.sqrt(found.baseline_true_variance + found.baseline_error_variance),
        "mean_change": found.mean.estimate,
        "true_change_sd": found.sd.estimate,
        "observed_change_sd": math.sqrt(found.true_variance + found.error_variance),
        "true_correlation": found.correlation.estimate,
        "observed_correlation": found.observed_correlation,
        "true_slope": found.slope.estimate,
        "observed_slope": found.observed_slope,
        "true_variance": found.true_variance,
        "error_variance": found.error_variance,
        "reliability": found.reliability.estimate,
        "cfi": found.fit.cfi,
        "rmsea": found.fit.rmsea,
        "n": found.fit.n,
        "n_both": found.n_both,
    }


def _rows(found: LatentChange, outcome: str, form: Instrument, scale: str, primary: bool, ci_level: float) -> list[Estimate]:
    better = form.scales[scale].estimate_direction
    fit = found.fit
    told = (
        f"{found.n_both} of {fit.n} people at both waves; CFI {fit.cfi:.3f}, RMSEA {fit.rmsea:.3f}; answers from {form.low:g} to "
        f"{form.high:g} treated as continuous"
    )
    told += "" if found.same_meaning else "; equal loadings and intercepts are not borne out: it may be a change of meaning"
    units = [
        ("latent_mean_change", found.mean, "score points", better, ""),
        ("latent_sd_of_change", found.sd, "score points", "", ""),
        ("latent_mean_change_standardised", found.mean_in_sds, "SDs of the true scores at baseline", better, ""),
        ("latent_variance_of_change", found.variance_in_sds, "variances of the true scores at baseline", "", ""),
        (
            "latent_change_on_baseline", found.slope, "points of change a point at baseline", "",
            f"observed scores, with regression to the mean: {found.observed_slope:.3f}",
        ),
        (
            "latent_correlation_of_change_and_baseline", found.correlation, "r", "",
            f"observed scores: {found.observed_correlation:.3f}",
        ),
        (
            "reliability_of_change", found.reliability, "proportion", "higher is better",
            f"of the variance of observed change, {1 - found.reliability.estimate:.0%} is error of measurement",
        ),
    ]  # fmt: skip
    return [
        Estimate(
            analysis=ANALYSIS, estimand=estimand, outcome=outcome, primary=primary, estimate=value.estimate,
            std_error=value.std_error, ci_low=value.ci_low, ci_high=value.ci_high, ci_level=ci_level, n=fit.n,
            n_clusters=found.n_clusters, unit=unit, direction=direction, method=METHOD,
            note="; ".join(p for p in (more, told) if p),
        )
        for estimand, value, unit, direction, more in units
    ]  # fmt: skip
