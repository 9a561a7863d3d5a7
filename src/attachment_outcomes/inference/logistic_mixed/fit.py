r"""What makes a yes or no likelier, when yeses and noes come from clients of therapists of sites?

.. math:: \mathrm{logit}\,P(y_i = 1) = x_i'\beta + \sum_l b_{l,g_l(i)}, \quad b_{l,g} \sim N(0, \sigma_l^2)

Vocabulary
----------
typical unit  one whose random intercepts are all 0; fixed effects are log odds for it, not for the population's average
singular      a variance of zero: the data show no more differences between the groups than chance brings
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from attachment_outcomes.errors import ConvergenceWarning, StatisticsError, problem
from attachment_outcomes.inference.design import Design, build_design, tied_columns
from attachment_outcomes.inference.logistic_mixed.likelihood import quadrature as integrate
from attachment_outcomes.inference.logistic_mixed.nested import Nest, Numbers, Positions, make_nest, shift_variances
from attachment_outcomes.inference.logistic_mixed.result import INTERCEPT, LogisticFit
from attachment_outcomes.inference.logistic_mixed.search import RUNAWAY_SD, Optimum, RunawayError, maximise
from attachment_outcomes.inference.logistic_mixed.start import ordinary_logistic, refuse_separation

PLACE = "logistic mixed model"
MOST_LEVELS, MOST_LEVELS_QUADRATURE = 3, 2
FEW_GROUPS = 30  # below this Wald intervals are noticeably too short
HUGE = 10.0  # standard deviation in log odds: nearly every unit always or never has the outcome
MORE_POINTS = 6  # of a quadrature that is proposed, and that tells whether fewer were enough
CHECK_POINTS = 5  # show what Laplace's approximation misses, at half the cost
NOTICEABLE = 0.25  # standard errors that quadrature would move an estimate by


def logistic_mixed_model(
    formula: str, data: pd.DataFrame, *, groups: str | Sequence[str], quadrature: int = 1, ci_level: float = 0.95
) -> LogisticFit:
    r"""Fit a logistic regression with random intercepts of nested groups by maximum likelihood.

    Parameters
    ----------
    formula
        Outcome (0 and 1, or False and True) and fixed effects over the columns of ``data``, e.g. ``"repaired ~ week + arm"``.
    data
        One row an observation. Rows with a missing value in a used column are left out and counted in ``n_excluded``.
    groups
        Column of the groups, or one to three, lowest first, each nested in the next: ``("person_id", "therapist_id")``.
    quadrature
        Points a level of adaptive Gauss–Hermite quadrature (odd; one or two levels); 1 is Laplace's approximation.
    ci_level
        Confidence level of the intervals.

    Raises
    ------
    StatisticsError
        If the outcome is not of 0 and 1 or does not vary (at all, or within any lowest group), the groups are fewer than two,
        not nested or not told apart (one observation each), the fixed effects determine one another or separate the outcome, or
        the quadrature is even, or asked for three levels.

    Warns
    -----
    ConvergenceWarning
        If the search did not converge, a variance is zero, or one is so large that it may be infinite; ``note`` says which.

    Notes
    -----
    Maximises the approximated likelihood jointly over fixed effects and standard deviations, as lme4's ``glmer`` with ``nAGQ`` =
    ``quadrature``; standard errors are from its second derivatives by all parameters. Limits: no random slopes, no crossed groups;
    Laplace's approximation takes variances too small where units have few observations, see
    docs/methods/logistic-mixed-models.md.

    References
    ----------
    Bates, D., et al. (2015). J. Stat. Softw., 67(1). Pinheiro, J. C., & Chao, E. C. (2006). J. Comput. Graph. Stat., 15, 58-81.
    """
    levels = (groups,) if isinstance(groups, str) else tuple(groups)
    _check_call(formula, levels, quadrature, ci_level)
    design = build_design(formula, data, extra=levels, as_is=levels)
    codes, labels = _nested_codes(design.rows, levels)
    _check_data(design, codes, levels)
    basis, triangle = np.linalg.qr(design.x)  # the search then minds neither units nor correlated predictors
    back = np.linalg.inv(triangle / np.sqrt(len(basis)))
    nest, order = make_nest(design.y, basis * np.sqrt(len(basis)), codes)
    start, far = ordinary_logistic(nest)
    if far:
        refuse_separation(nest, nest.x.T @ np.linalg.inv(back), design.names)
    best = _maximise(nest, start, quadrature, levels)

    to_terms = np.eye(len(best.parameters))
    to_terms[len(levels) :, len(levels) :] = back
    covariance = to_terms @ best.covariance @ to_terms.T
    fixed = covariance[len(levels) :, len(levels) :]
    notes, to_warn = _notes(nest, best, quadrature, levels, [*levels, *design.names], to_terms)
    note = "; ".join([*to_warn, *notes])
    if to_warn:
        warnings.warn(problem(PLACE, "; ".join(to_warn) + "."), ConvergenceWarning, stacklevel=2)
    names = [INTERCEPT, *(f"{group}: {INTERCEPT}" for group in levels[1:])]
    return LogisticFit(
        estimates=_table(design.names, back @ best.beta, fixed, ci_level),
        variances=dict(zip(names, (best.sd**2).tolist(), strict=True)), loglik=best.loglik, df=len(best.parameters),
        converged=best.converged, singular=bool((best.sd == 0).any()), n=len(design.y), n_groups=len(labels[0]),
        n_clusters=len(labels[-1]), n_excluded=design.n_excluded, quadrature=quadrature, ci_level=ci_level, note=note,
        n_evaluations=best.n_evaluations, groups=levels, covariance=fixed, sd_covariance=covariance, design=design.spec,
        intercepts=_intercepts(nest, best, levels, labels, order),
    )  # fmt: skip


def _check_call(formula: str, levels: tuple[str, ...], quadrature: int, ci_level: float) -> None:
    if "|" in formula:
        hint = "e.g. groups=('person_id', 'therapist_id')."
        raise StatisticsError(
            problem(PLACE, "the formula takes fixed effects only; random intercepts are told by groups.", hint=hint)
        )
    if not 1 <= len(levels) <= MOST_LEVELS or len(set(levels)) < len(levels):
        raise StatisticsError(problem(PLACE, f"groups must be one to {MOST_LEVELS} different columns, lowest first."))
    if isinstance(quadrature, bool) or not isinstance(quadrature, int) or quadrature < 1 or quadrature % 2 == 0:
        raise StatisticsError(problem(PLACE, f"quadrature must be an odd number of points, not {quadrature!r}.", hint="1, 7 or 9."))
    if quadrature > 1 and len(levels) > MOST_LEVELS_QUADRATURE:
        raise StatisticsError(
            problem(
                PLACE,
                f"quadrature takes at most {MOST_LEVELS_QUADRATURE} levels, not {len(levels)}.",
                hint="quadrature=1 (Laplace), or leave the level with the smallest variance out.",
            )
        )
    if not 0 < ci_level < 1:
        raise StatisticsError(problem(PLACE, f"ci_level must be between 0 and 1, not {ci_level!r}."))


def _nested_codes(rows: pd.DataFrame, levels: tuple[str, ...]) -> tuple[list[Positions], list[pd.Index]]:
    """Return each row's group by level as a number from 0, and what the numbers stand for; each group needs one parent."""
    codes, labels = [], []
    for level in levels:
        numbers, names = pd.factorize(rows[level])
        codes.append(numbers)
        labels.append(pd.Index(names))
        if len(names) < 2:
            raise StatisticsError(problem(PLACE, f"{level!r} has {len(names)} group; at least two are needed."))
    for i in range(1, len(levels)):
        lower, upper = codes[i - 1], codes[i]
        parent = np.empty(len(labels[i - 1]), dtype=np.intp)
        parent[lower] = upper
        broken = len(np.unique(lower[parent[lower] != upper]))
        if broken:
            raise StatisticsError(
                problem(
                    PLACE,
                    f"{broken} of {len(parent)} {levels[i - 1]!r} are under more than one {levels[i]!r}, so they are not nested.",
                    hint=f"if numbers start again in each {levels[i]!r}, join the two columns into one; "
                    "if people really changed, keep one for each or leave the level out.",
                )
            )
    return codes, labels


def _check_data(design: Design, codes: list[Positions], levels: tuple[str, ...]) -> None:
    y, x = design.y, design.x
    other = int(((y != 0) & (y != 1)).sum())
    if other:
        raise StatisticsError(problem(PLACE, f"the outcome has {other} values other than 0 and 1.", hint="code no as 0, yes as 1."))
    if not x.shape[1]:
        raise StatisticsError(problem(PLACE, "the formula has no fixed effect.", hint="'repaired ~ 1' has the intercept only."))
    if y.min() == y.max():
        raise StatisticsError(problem(PLACE, f"the outcome does not vary: all {len(y)} rows have {int(y[0])}."))
    counts = [len(y), *(int(c.max()) + 1 for c in codes)]
    for below, here, level, member in zip(counts, counts[1:], levels, ("observation", *levels), strict=False):
        if below == here:
            hint = f"leave {level!r} out of the groups."
            raise StatisticsError(
                problem(PLACE, f"each {level!r} has one {member}, so the two are not told apart.", hint=hint),
            )
    rows, ones = np.bincount(codes[0]), np.bincount(codes[0], weights=y)
    if ((ones == 0) | (ones == rows)).all():
        raise StatisticsError(
            problem(
                PLACE,
                f"the outcome never varies within a {levels[0]!r}, so the variance between them is infinite.",
                hint=f"analyse one row a {levels[0]!r}.",
            )
        )
    tied = tied_columns(x.T @ x, design.names)
    if tied:
        what = ", ".join(repr(name) for name in tied)
        raise StatisticsError(problem(PLACE, f"the other fixed effects determine {what}.", hint="leave it out."))


def _maximise(nest: Nest, start: Numbers, quadrature: int, levels: tuple[str, ...]) -> Optimum:
    try:
        return maximise(nest, start, quadrature)
    except RunawayError as error:
        better = max(9, quadrature + MORE_POINTS)
        hint = f"quadrature={better}, if the approximation is to blame; else " if len(levels) <= MOST_LEVELS_QUADRATURE else ""
        level = levels[error.level]
        raise StatisticsError(
            problem(
                PLACE,
                f"the standard deviation of {level!r} grows beyond {RUNAWAY_SD:.0f} log odds: nearly all have only 0s or only 1s.",
                hint=f"{hint}leave {level!r} out, or analyse one row for each.",
            )
        ) from error
    except np.linalg.LinAlgError as error:
        what = "the likelihood is flat: nearly all fitted probabilities are 0 or 1."
        raise StatisticsError(problem(PLACE, what, hint="fewer predictors or levels: the rows are too few for these.")) from error


def _notes(
    nest: Nest, best: Optimum, quadrature: int, levels: tuple[str, ...], names: list[str], to_terms: Numbers
) -> tuple[list[str], list[str]]:
    """Return what to know, and what to warn of."""
    to_warn = []
    if not best.converged:
        to_warn.append("the search did not converge: estimates and intervals may be off; simplify the model")
    zero = [level for level, sd in zip(levels, best.sd, strict=True) if sd == 0]
    if zero:
        what = ", ".join(repr(level) for level in zero)
        to_warn.append(f"singular fit: the variance between {what} is estimated as zero")
    for level, sd in zip(levels, best.sd, strict=True):
        if sd > HUGE:
            to_warn.append(f"the sd of {level!r} is {sd:.0f} log odds: nearly all have only 0s or only 1s, and it may be infinite")
    notes = []
    few = len(nest.starts[-1])
    if few < FEW_GROUPS:
        notes.append(f"few groups ({few}): intervals may be too short")
    if nest.levels <= MOST_LEVELS_QUADRATURE and best.converged:
        better = quadrature + MORE_POINTS
        pull = integrate(nest, best.sd, best.mode, CHECK_POINTS if quadrature == 1 else better).gradient
        covariance = to_terms @ best.covariance
        sizes = np.sqrt(np.diag(covariance @ to_terms.T))
        moves = np.abs(covariance @ pull) / np.where(sizes > 0, sizes, 1.0)
        most = int(moves.argmax())
        if moves[most] > NOTICEABLE:
            what = ("sd of " if most < len(levels) else "") + repr(names[most])
            size = f"about {moves[most]:.1f} standard errors"
            kind = "Laplace's approximation" if quadrature == 1 else f"quadrature={quadrature}"
            notes.append(f"{kind} is rough here: quadrature={better} would move the {what} by {size}")
    return notes, to_warn


def _table(names: list[str], beta: Numbers, covariance: Numbers, ci_level: float) -> pd.DataFrame:
    std_error = np.sqrt(np.diag(covariance))
    half = norm.ppf(0.5 + ci_level / 2) * std_error
    low, high = beta - half, beta + half
    with np.errstate(over="ignore"):  # of a predictor in units that nobody differs by, the odds ratio of one unit is infinite
        ratios = {"odds_ratio": np.exp(beta), "odds_ratio_low": np.exp(low), "odds_ratio_high": np.exp(high)}
    return pd.DataFrame(
        {
            "term": names, "estimate": beta, "std_error": std_error, "ci_low": low, "ci_high": high,
            "p_value": 2 * norm.sf(np.abs(beta) / std_error), **ratios,
        }
    )  # fmt: skip


def _intercepts(
    nest: Nest, best: Optimum, levels: tuple[str, ...], labels: list[pd.Index], order: list[Positions]
) -> dict[str, pd.DataFrame]:
    """Return each level's conditional modes in the order in which the data first name the groups."""
    above, _ = shift_variances(nest, best.sd, best.mode.d)
    found = {}
    for i, level in enumerate(levels):
        sd, a, d = best.sd[i], best.mode.a[i], best.mode.d[i]
        variance = 1 / d + (sd * a / d) ** 2 * above[i]
        estimate, std_error = np.empty(len(d)), np.empty(len(d))
        estimate[order[i]], std_error[order[i]] = sd * best.mode.u[i], sd * np.sqrt(variance)
        found[level] = pd.DataFrame({level: labels[i], "term": INTERCEPT, "estimate": estimate, "std_error": std_error})
    return found
