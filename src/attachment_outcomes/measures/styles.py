"""Which of four attachment styles do two dimensions point to, and how sure is that?

The dimensions are preferred. Splitting them throws information away and moves with the cut chosen. Nor does a new style show a
new attachment: two measurements of an unchanged person often fall on different sides of a line, the more often the nearer the
*true* score is to it; and somebody whose observed score is far from a line may be there by error and near it in truth. So every
classification names its rule, ties are called ``boundary``, and :func:`style_certainty` says for each person how likely the true
score belongs to another style, and how likely a second measurement without any change does.

Vocabulary
----------
anxiety       attachment anxiety, the model of self: higher is less secure
avoidance     attachment avoidance, the model of others: higher is less secure
secure        both low; preoccupied: anxiety high; dismissing: avoidance high; fearful: both high
misclassified the true score belongs to another style than the observed one
retest        a second measurement of somebody who did not change
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, problem
from attachment_outcomes.flow import Flow
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.half_planes import region_probability
from attachment_outcomes.measures.instruments import HIGHER_IS_WORSE, Instrument, Scale, split_score
from attachment_outcomes.measures.occasions import group_name

SECURE, PREOCCUPIED, DISMISSING, FEARFUL, BOUNDARY = "secure", "preoccupied", "dismissing", "fearful", "boundary"
STYLES = [SECURE, PREOCCUPIED, DISMISSING, FEARFUL]
MIDPOINT, NORM_MEAN, FISHER = "midpoint", "norm mean", "fisher functions"
RULES = [MIDPOINT, NORM_MEAN, FISHER]
MEDIANS = ("median", "sample median", "median split")
NO_MEDIAN = (
    "a sample's median moves with the sample: half of any sample would be high on each dimension whatever their attachment, the "
    "cut differs between occasions and studies, and a person would change style because others did."
)

# Classification functions of the ECR (Brennan, Clark & Shaver, 1998): avoidance, anxiety, constant. Copies in circulation swap
# the two dimensions, print the constant of secure as -1.53, or round the constant of fearful to -32.3553266 or ...48.
FISHER_FUNCTIONS = {
    SECURE: (3.2893296, 5.4725318, -11.5307833),
    FEARFUL: (7.2371075, 8.1776446, -32.3553266),
    PREOCCUPIED: (3.9246754, 9.7102446, -28.4573220),
    DISMISSING: (7.3654621, 4.9392039, -22.2281088),
}
FISHER_INSTRUMENT, FISHER_RANGE = "ecr", (1.0, 7.0)

COLUMNS = ["person_id", "wave", "session_number", "rater", "name", "primary", "anxiety", "avoidance", "style"]
ANALYSIS = "styles"


@dataclass(frozen=True)
class Split:
    """Where a rule cuts the two dimensions, in score points; no cuts for the classification functions."""

    rule: str
    anxiety: float = math.nan
    avoidance: float = math.nan


def attachment_styles(anxiety: np.ndarray | pd.Series, avoidance: np.ndarray | pd.Series, *, split: Split) -> np.ndarray:
    """Return the style of each pair of scores.

    Parameters
    ----------
    anxiety, avoidance : (n,) arrays
        Scores, higher = less secure. NaN in either gives a missing style.
    split : Split
        From :func:`find_split`.

    Returns
    -------
    (n,) object array
        One of ``STYLES``; ``boundary`` for a score exactly at a cut (or two classification functions that tie); None if missing.
    """
    x, y = np.asarray(anxiety, dtype=float), np.asarray(avoidance, dtype=float)
    if split.rule == FISHER:
        values = np.stack([a * y + b * x + c for a, b, c in FISHER_FUNCTIONS.values()])
        names = np.array(list(FISHER_FUNCTIONS), dtype=object)
        style = names[np.argmax(np.nan_to_num(values, nan=-np.inf), axis=0)]
        style[(values == values.max(axis=0)).sum(axis=0) > 1] = BOUNDARY
    else:
        high_x, high_y = x > split.anxiety, y > split.avoidance
        style = np.where(high_x, np.where(high_y, FEARFUL, PREOCCUPIED), np.where(high_y, DISMISSING, SECURE)).astype(object)
        style[(x == split.anxiety) | (y == split.avoidance)] = BOUNDARY
    style[np.isnan(x) | np.isnan(y)] = None
    return np.asarray(style, dtype=object)


def find_split(
    rule: str,
    *,
    anxiety: tuple[Instrument, Scale],
    avoidance: tuple[Instrument, Scale],
    registry: Mapping[str, Mapping[str, Any]] | None = None,
) -> Split:
    """Return where a rule cuts, or refuse by name what it cannot cut.

    Parameters
    ----------
    rule : {"midpoint", "norm mean", "fisher functions"}
        ``midpoint`` of each scale's range in use; ``norm mean`` of the instrument's first functional norm; the classification
        functions of the ECR.
    anxiety, avoidance : (Instrument, Scale)
        The two scales, see :func:`split_score`.
    registry : mapping, optional
        Instrument configurations, which hold the norms (``norm mean`` only).

    Raises
    ------
    ConfigError
        If a scale's direction is not "higher is worse", if its range is unknown, if the norm is missing or belongs to another
        range of answers, if the classification functions are asked of another instrument or range than the ECR's own, or if the
        rule is a sample's median.
    """
    for form, scale in (anxiety, avoidance):
        if scale.direction != HIGHER_IS_WORSE:
            raise ConfigError(
                problem(
                    f"styles of {form.key}.{scale.key}", f"its direction is {scale.direction!r}; styles need {HIGHER_IS_WORSE!r}."
                )
            )
    if rule == MIDPOINT:
        return Split(rule, _midpoint(*anxiety), _midpoint(*avoidance))
    if rule == NORM_MEAN:
        return Split(rule, _norm_mean(*anxiety, registry or {}), _norm_mean(*avoidance, registry or {}))
    if rule == FISHER:
        for (form, scale), wanted in ((anxiety, "anxiety"), (avoidance, "avoidance")):
            if form.key != FISHER_INSTRUMENT or scale.key != wanted or (form.low, form.high) != FISHER_RANGE:
                raise ConfigError(
                    problem(
                        f"styles of {form.key}.{scale.key}, rule {FISHER!r}",
                        f"found answers from {form.low:g} to {form.high:g}; the functions were estimated for ecr.{wanted} "
                        "with answers from 1 to 7 and hold for no other instrument or range.",
                        hint=f"use the rule {MIDPOINT!r}.",
                    )
                )
        return Split(rule)
    if rule in MEDIANS:
        raise ConfigError(problem("styles, key rule", f"found {rule!r}; {NO_MEDIAN}", hint=f"allowed: {', '.join(RULES)}."))
    raise ConfigError(problem("styles, key rule", f"found {rule!r}; allowed: {', '.join(RULES)}."))


def style_regions(split: Split) -> dict[str, np.ndarray]:
    """Return each style's half-planes over (anxiety, avoidance); see :mod:`attachment_outcomes.inference.half_planes`.

    For cuts they are quadrants; by the classification functions a style is where its function is above the three others.
    """
    if split.rule == FISHER:
        return {
            style: np.array([[b - d, a - c, e - f] for other, (c, d, f) in FISHER_FUNCTIONS.items() if other != style])
            for style, (a, b, e) in FISHER_FUNCTIONS.items()
        }
    signs = {SECURE: (-1, -1), PREOCCUPIED: (1, -1), DISMISSING: (-1, 1), FEARFUL: (1, 1)}
    return {style: np.array([[s, 0.0, -s * split.anxiety], [0.0, t, -t * split.avoidance]]) for style, (s, t) in signs.items()}


def _midpoint(form: Instrument, scale: Scale) -> float:
    if math.isnan(scale.low):
        raise ConfigError(problem(f"styles of {form.key}.{scale.key}", "the scale has no range, so no midpoint."))
    return (scale.low + scale.high) / 2


def _norm_mean(form: Instrument, scale: Scale, registry: Mapping[str, Mapping[str, Any]]) -> float:
    norms = [
        n
        for n in registry.get(form.key, {}).get("scales", {}).get(scale.key, {}).get("norms", [])
        if n["population"] == "functional"
    ]
    place = f"styles of {form.key}.{scale.key}, rule {NORM_MEAN!r}"
    if not norms:
        raise ConfigError(
            problem(place, "the instrument has no functional norm.", hint=f"add one with its source, or use the rule {MIDPOINT!r}.")
        )
    if form.own_range:
        raise ConfigError(problem(place, "the study has its own range of answers, to which the norm does not apply."))
    return float(norms[0]["mean"])


def classify(
    scores: pd.DataFrame,
    settings: Sequence[Mapping[str, Any]],
    instruments: Mapping[str, Instrument],
    *,
    flow: Flow,
    registry: Mapping[str, Mapping[str, Any]] | None = None,
) -> pd.DataFrame:
    """Return the styles table: a row a person, occasion, rater and classification.

    Parameters
    ----------
    scores : DataFrame
        The canonical scores.
    settings : sequence of mappings
        ``anxiety`` and ``avoidance`` (``<instrument>.<scale>``) and ``rule``; the first is the primary classification.
    instruments : mapping
        Instrument key to its form.
    flow : Flow
        Takes the counts of those without a style, and of ties.
    registry : mapping, optional
        Instrument configurations, for norms.

    Raises
    ------
    ConfigError
        See :func:`find_split`; also if two settings would bear one name.
    DataError
        If a person has several scores of one scale at one occasion (about several people).
    """
    names = [style_name(s) for s in settings]
    doubled = next((n for n in names if names.count(n) > 1), None)
    if doubled:
        raise ConfigError(problem("measures/styles", f"two classifications would be called {doubled!r}."))
    frames: list[pd.DataFrame] = []
    for position, setting in enumerate(settings):
        anxiety, avoidance = (split_score(str(setting[k]), instruments) for k in ("anxiety", "avoidance"))
        split = find_split(str(setting.get("rule", MIDPOINT)), anxiety=anxiety, avoidance=avoidance, registry=registry)
        frames.append(_classify_one(scores, setting, split, names[position], primary=position == 0, flow=flow))
    return pd.concat([f for f in frames if len(f)] or [no_styles()], ignore_index=True)


def style_name(setting: Mapping[str, Any]) -> str:
    """Return what a classification is called: its instrument (both, if they differ) and its rule."""
    instruments = dict.fromkeys(str(setting[k]).split(".")[0] for k in ("anxiety", "avoidance"))
    return f"{'/'.join(instruments)} {setting.get('rule', MIDPOINT)}"


def _classify_one(
    scores: pd.DataFrame, setting: Mapping[str, Any], split: Split, name: str, *, primary: bool, flow: Flow
) -> pd.DataFrame:
    keys = ["person_id", "wave", "session_number", "rater"]
    sides = []
    for side in ("anxiety", "avoidance"):
        instrument, _, scale = str(setting[side]).partition(".")
        frame = scores[(scores["instrument"] == instrument) & (scores["scale"] == scale)]
        if frame.duplicated(keys).any():
            raise DataError(
                problem(
                    f"styles of {setting[side]}",
                    "some people have several scores at one occasion (about several people).",
                    hint="use the scale that averages over targets.",
                )
            )
        sides.append(frame[[*keys, "score"]].rename(columns={"score": side}))
    both = sides[0].merge(sides[1], on=keys, how="outer", sort=True)
    style = attachment_styles(both["anxiety"], both["avoidance"], split=split)
    n, known = len(both), int(pd.notna(style).sum())
    ties = int((style == BOUNDARY).sum())
    flow.add(f"styles, {name}: both dimensions", n, known, "anxiety or avoidance has no score", unit="occasions")
    flow.add(f"styles, {name}: classified", known, known - ties, "a score exactly at a cut (kept as boundary)", unit="occasions")
    return both.assign(
        name=pd.Series(name, index=both.index, dtype="str"), primary=primary, style=pd.Series(style, index=both.index, dtype="str")
    )[COLUMNS]


def no_styles() -> pd.DataFrame:
    """Return a styles table without rows."""
    empty = pd.DataFrame({c: pd.Series(dtype="str") for c in COLUMNS})
    return empty.astype(
        {"wave": "Int64", "session_number": "Int64", "primary": "bool", "anxiety": "float64", "avoidance": "float64"}
    )


def style_certainty(
    anxiety: np.ndarray | pd.Series,
    avoidance: np.ndarray | pd.Series,
    *,
    split: Split,
    sem_anxiety: float,
    sem_avoidance: float,
    error_correlation: float = 0.0,
    reference_mean: tuple[float, float] | None = None,
    reliability: tuple[float, float] | None = None,
) -> pd.DataFrame:
    r"""Probability of each style when scores carry normal measurement error, of being misclassified, of another style at retest.

    The true scores are taken as normal around the observed score :math:`x` with the errors' covariance E, as a confidence interval
    is, or, with a reference mean :math:`\mu` and reliabilities r, around Kelley's estimate:

    .. math::

        \tau \sim N(x, E) \quad\text{or}\quad \tau_k \sim N\big(\mu_k + r_k(x_k - \mu_k),\; r_k SEM_k^2\big)

    P(style) is the probability of the style's region: quadrants, or where its classification function is the highest.

    Parameters
    ----------
    anxiety, avoidance : (n,) arrays
        Scores; NaN in either gives NaN.
    split : Split
        From :func:`find_split`, which refuses rules that are not valid for the instrument.
    sem_anxiety, sem_avoidance : float
        Standard errors of measurement, score points, above 0.
    error_correlation
        Of the two errors of one occasion, between -1 and 1; 0 unless something is known.
    reference_mean : (anxiety, avoidance), optional
        Mean of the population that the people come from. Scores are then pulled towards it, each dimension by itself, which is
        right if the population is known, and moves people who are near a cut but beyond the mean across it.
    reliability : (anxiety, avoidance), optional
        In that population, in (0, 1); needed with ``reference_mean`` only.

    Returns
    -------
    DataFrame
        ``secure, preoccupied, dismissing, fearful`` (they sum to 1); ``misclassified``: the probability that the true score belongs
        to another style than the one assigned; ``other_style_at_retest``: that a second measurement without any change would be
        assigned another style, which is larger, for it has an error of its own. The last two are NaN at a cut, where no style is.

    Raises
    ------
    StatisticsError
        If a standard error is not above 0, the errors' correlation not between -1 and 1, a reliability not in (0, 1) or missing
        with a reference mean, or the split has neither cuts nor functions.

    References
    ----------
    Kelley, T. L. (1927). Interpretation of educational measurements. World Book.
    """
    if not (sem_anxiety > 0 and sem_avoidance > 0):
        raise StatisticsError("style_certainty: standard errors of measurement must be above 0")
    if not -1 < error_correlation < 1:
        raise StatisticsError("style_certainty: the correlation of errors must be between -1 and 1")
    if split.rule != FISHER and (math.isnan(split.anxiety) or math.isnan(split.avoidance)):
        raise StatisticsError(f"style_certainty: the rule {split.rule!r} has no cuts")
    if reference_mean is not None and (reliability is None or not all(0 < r < 1 for r in reliability)):
        raise StatisticsError("style_certainty: a reference mean needs reliabilities between 0 and 1")
    x = np.column_stack([np.asarray(anxiety, dtype=float), np.asarray(avoidance, dtype=float)])
    known = ~np.isnan(x).any(axis=1)
    sem = np.array([sem_anxiety, sem_avoidance])
    mixing = np.array([[1.0, error_correlation], [error_correlation, 1.0]])
    error = np.outer(sem, sem) * mixing
    middle, spread = x[known], error
    if reference_mean is not None:
        pull = np.asarray(reliability, dtype=float)
        middle = np.asarray(reference_mean) + pull * (middle - np.asarray(reference_mean))
        spread = np.outer(np.sqrt(pull) * sem, np.sqrt(pull) * sem) * mixing
    regions = style_regions(split)
    found = pd.DataFrame({s: np.full(len(x), math.nan) for s in STYLES})
    again = found.copy()
    for style in STYLES:
        found.loc[known, style] = region_probability(middle, spread, regions[style])
        again.loc[known, style] = region_probability(middle, spread + error, regions[style])
    assigned = attachment_styles(x[:, 0], x[:, 1], split=split)
    own, same = (
        np.select([assigned == s for s in STYLES], [f[s].to_numpy() for s in STYLES], default=math.nan) for f in (found, again)
    )
    return found.assign(misclassified=1 - own, other_style_at_retest=1 - same)


def rotated_dimensions(
    anxiety: np.ndarray | pd.Series,
    avoidance: np.ndarray | pd.Series,
    *,
    anxiety_reference: tuple[float, float],
    avoidance_reference: tuple[float, float],
) -> pd.DataFrame:
    r"""Security and strategy: the two dimensions turned by 45 degrees, which keeps all their information.

    .. math:: security = -(z_{avoidance} + z_{anxiety}) / \sqrt 2, \quad strategy = (z_{anxiety} - z_{avoidance}) / \sqrt 2

    Parameters
    ----------
    anxiety, avoidance : (n,) arrays
        Scores; NaN in either gives NaN.
    anxiety_reference, avoidance_reference : (mean, SD)
        Reference population for the z scores, in score points. It is never taken from the data, or the zero would move with
        the sample.

    Returns
    -------
    DataFrame
        ``security`` (higher = more secure) and ``hyperactivation`` (positive = anxious strategy, negative = deactivation), in
        SD units.

    Raises
    ------
    StatisticsError
        If a reference SD is not above 0.
    """
    if not (anxiety_reference[1] > 0 and avoidance_reference[1] > 0):
        raise StatisticsError("rotated_dimensions: reference SDs must be above 0")
    x = (np.asarray(anxiety, dtype=float) - anxiety_reference[0]) / anxiety_reference[1]
    y = (np.asarray(avoidance, dtype=float) - avoidance_reference[0]) / avoidance_reference[1]
    return pd.DataFrame({"security": -(x + y) / math.sqrt(2), "hyperactivation": (x - y) / math.sqrt(2)})


def style_estimates(
    styles: pd.DataFrame,
    settings: Sequence[Mapping[str, Any]],
    instruments: Mapping[str, Instrument],
    reliability: Sequence[Estimate],
    *,
    registry: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[Estimate]:
    """Return, per classification, rater and first occasion, the share that measurement error alone would put elsewhere.

    ``expected_misclassified`` is the mean probability that a true score belongs to another style than the observed one,
    ``expected_other_style_at_retest`` that a second measurement without any change would give another style. The standard errors
    of measurement are those that this sample's answers gave (``reliability``); without them the row says that it is not testable.
    """
    rows: list[Estimate] = []
    sems = {(r.outcome, r.group): r.estimate for r in reliability if r.estimand == "standard_error_of_measurement"}
    for setting in settings:
        name = style_name(setting)
        anxiety, avoidance = (split_score(str(setting[k]), instruments) for k in ("anxiety", "avoidance"))
        split = find_split(str(setting.get("rule", MIDPOINT)), anxiety=anxiety, avoidance=avoidance, registry=registry)
        mine = styles[styles["name"] == name]
        done = 0
        for values, frame in mine.groupby(["wave", "session_number", "rater"], dropna=False, sort=True):
            group = group_name(values[0], values[1], str(values[2]))
            errors = [sems.get((str(setting[k]), group), math.nan) for k in ("anxiety", "avoidance")]
            if all(e > 0 for e in errors):
                rows += _expected_misclassified(frame, split, errors, name=name, group=group)
                done += 1
        if not done:
            why = "the items were not given"
            rows.append(not_testable(ANALYSIS, f"{name}: share misclassified by measurement error: {why}", outcome=name))
    return rows


def _expected_misclassified(frame: pd.DataFrame, split: Split, errors: Sequence[float], *, name: str, group: str) -> list[Estimate]:
    found = style_certainty(frame["anxiety"], frame["avoidance"], split=split, sem_anxiety=errors[0], sem_avoidance=errors[1])
    known = found["misclassified"].notna().to_numpy()
    people = int(frame.loc[known, "person_id"].nunique())
    return [
        Estimate(
            analysis=ANALYSIS, estimand=f"expected_{column}", estimate=float(found.loc[known, column].mean()),
            method="normal measurement error around the observed scores", outcome=name, group=group, definition=split.rule,
            n=int(known.sum()), n_clusters=people, unit="proportion", direction="lower is better",
            note=f"dimensions are preferred to styles; {told}",
        )
        for column, told in (
            ("misclassified", "measurement error alone puts this share into another style"),
            ("other_style_at_retest", "this share would be given another style if measured again without any change"),
        )
    ]  # fmt: skip
