"""Do client and therapist see the same ruptures? The same criterion on the ratings of each, kept apart.

Where they do not, who sees what is a result of its own: a session that only the client marks is a rupture the therapist missed.

Vocabulary
----------
pair              a client in one treatment whom both raters' ratings make assessable
client only       in a rupture by the client's ratings and not by the therapist's; the other way round, therapist only
level difference  the client's rating minus the therapist's in the same session, score points
congruence        correlation over sessions of the two ratings, each less its mean in that pair
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import t as student

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate, not_testable
from attachment_outcomes.inference.proportions import cluster_codes, proportion, robust_variance
from attachment_outcomes.inference.steps import Part, typed_table
from attachment_outcomes.rupture.agreement import COHEN, pair_agreement
from attachment_outcomes.rupture.aligned import CLIENT, LEVELS, align, reads_report
from attachment_outcomes.rupture.criteria import Detection, detect
from attachment_outcomes.rupture.data import RuptureData
from attachment_outcomes.rupture.inputs import rating_of
from attachment_outcomes.rupture.series import Numbers, Series, Whole, read_series

RATERS = "rupture_raters"
BY_THERAPIST = "_therapist"  # behind the name of a criterion of clients' reports: the same of therapists' reports
LEAST = 3  # sessions that both rated, for a pair to count in the congruence
GROUPS = ("both", "client only", "therapist only", "neither")
NO_RATINGS = "no alliance rating of the therapist is named (rupture, key therapist_alliance)"
# A row a criterion and level: who sees a rupture where.
TABLES = {
    "rupture_raters": {
        "criterion": "str", "primary": "bool", "level": "str", "n": "int64", "n_pairs": "int64", "n_both": "int64",
        "n_client_only": "int64", "n_therapist_only": "int64", "kappa": "float64", "ci_low": "float64", "ci_high": "float64",
        "note": "str",
    }
}  # fmt: skip


@dataclass(frozen=True)
class Ratings:
    """What both raters said of the same sessions: (n,) ratings, the pair of each session, and the person of each pair."""

    client: Numbers
    therapist: Numbers
    pair: Whole
    person: Whole


def analyse(data: RuptureData) -> Part:
    """Return how ruptures by the client's and by the therapist's ratings compare, and how the ratings themselves do.

    Every criterion that judges ratings is applied to each rater's own series; a criterion of reports is compared with the one of
    the same name for therapists (``psq`` with ``psq_therapist``).
    """
    rows: list[Estimate] = []
    table: list[dict[str, object]] = []
    rated: Series | None = None
    try:
        rated = _therapists_series(data)
        rows += _levels(data, rated)
    except StatisticsError as error:
        rows.append(not_testable(RATERS, str(error), outcome=data.alliance))
    named = {d.criterion.name: d for d in data.detections}
    for i, found in enumerate(data.detections):
        name = found.criterion.name
        if reads_report(found.criterion):
            other = named.get(name + BY_THERAPIST)
        else:
            other = None if rated is None else detect(rated, found.criterion)
        if other is None:
            continue
        estimates, lines = compare_raters(found, other, outcome=data.alliance, primary=i == 0, ci_level=data.ci_level)
        rows += estimates
        table += lines
    return Part(rows, {"rupture_raters": typed_table(table, TABLES["rupture_raters"])})


def _therapists_series(data: RuptureData) -> Series:
    if not data.settings.get("therapist_alliance"):
        raise StatisticsError(NO_RATINGS)
    ratings = data.therapist_ratings
    name = str(data.settings["therapist_alliance"])
    known = rating_of(data.settings, data.instruments, name=name)
    scale = None if known.low is None or known.high is None else (known.low, known.high)
    found = read_series(ratings, score="rating", scale=scale)
    n, rated = len(found.lengths), len(ratings) - found.n_missing
    data.count("rupture: sessions rated by the therapist", len(ratings), rated, "no rating", unit="sessions")
    reason = "the scale changes form midway"
    data.count("rupture: one form of the therapist's scale", n, n - found.n_changed, reason, unit="treatments")
    if not len(found.values):
        raise StatisticsError(f"no session has a rating by the therapist ({name})")
    return found


def compare_raters(
    client: Detection, therapist: Detection, *, outcome: str = "", primary: bool = True, ci_level: float = CI_LEVEL
) -> tuple[list[Estimate], list[dict[str, object]]]:
    """Compare what one criterion finds in the client's and in the therapist's ratings of the same treatments.

    Parameters
    ----------
    client, therapist : Detection
        What it finds in each.
    outcome : str
        Name of the alliance score.
    primary : bool
        Whether it is the study's primary criterion.
    ci_level : float
        Confidence level. All intervals allow for several sessions and treatments of a person.

    Returns
    -------
    estimates : list of Estimate
        Analysis ``rupture_raters``, definition the criterion: kappa a level; the share of sessions, onsets or clients that
        both, only the client or only the therapist mark (estimand ``share``, group the level and who) and that each rater marks
        (``share_by_rater``, a sum of two of these); and
        ``therapist_minus_client``, the difference of the two raters' shares (a clustered form of McNemar's question). One
        not-testable row if no treatment is assessable by both.
    lines : list of dict
        Rows of the table ``rupture_raters``.
    """
    verdicts = align([client, therapist])
    name = client.criterion.name
    rows: list[Estimate] = []
    lines: list[dict[str, object]] = []
    pairs = int(((verdicts.any_rupture[0] >= 0) & (verdicts.any_rupture[1] >= 0)).sum())
    base = Estimate(
        analysis=RATERS, estimand="kappa", estimate=math.nan, method="", outcome=outcome, definition=name, primary=primary,
        ci_level=ci_level,
    )  # fmt: skip
    for level in LEVELS if pairs else ():
        cells = verdicts.cells(0, 1, level)
        cells = cells[cells.sum(axis=1) > 0]
        if not len(cells):
            continue
        sums = cells.sum(axis=0)
        kappa = pair_agreement(cells, ci_level=ci_level)
        shared = replace(base, n=float(kappa.n), n_clusters=float(kappa.n_people), note=_unit(level))
        note = "; ".join(filter(None, [_unit(level), kappa.note]))
        rows.append(
            replace(
                shared, estimate=kappa.kappa, std_error=kappa.std_error, ci_low=kappa.ci_low, ci_high=kappa.ci_high, unit="kappa",
                group=level, method=COHEN, direction="higher is better",
                note=note,
            )
            if not math.isnan(kappa.kappa)
            else replace(not_testable(RATERS, f"{level}: {kappa.note}", outcome=outcome), definition=name, group=level)
        )  # fmt: skip
        rows += _directions(shared, level, cells)
        lines.append(
            {
                "criterion": name, "primary": primary, "level": level, "n": kappa.n, "n_pairs": pairs, "n_both": int(sums[0]),
                "n_client_only": int(sums[1]), "n_therapist_only": int(sums[2]), "kappa": kappa.kappa, "ci_low": kappa.ci_low,
                "ci_high": kappa.ci_high, "note": kappa.note,
            }
        )  # fmt: skip
    if not lines:
        gone = not_testable(RATERS, "no treatment is assessable by both raters", outcome=outcome)
        return [replace(gone, definition=name, primary=False)], []
    return rows, lines


def _unit(level: str) -> str:
    return "n is treatments" if level == CLIENT else "n is sessions that both rated"


def _directions(base: Estimate, level: str, cells: Numbers) -> Iterator[Estimate]:
    """Yield the shares that each rater, both, or only one of them mark, and by how much the therapist's is above the client's."""
    n = cells.sum(axis=1)
    columns = {("share", who): cells[:, k] for k, who in enumerate(GROUPS[:3])}
    columns |= {
        ("share_by_rater", "client"): cells[:, 0] + cells[:, 1], ("share_by_rater", "therapist"): cells[:, 0] + cells[:, 2],
    }  # fmt: skip
    for (estimand, who), column in columns.items():
        each = np.repeat(np.tile([True, False], len(cells)), np.column_stack([column, n - column]).astype(np.int64).ravel())
        found = proportion(each, clusters=np.repeat(np.arange(len(cells)), n.astype(np.int64)), ci_level=base.ci_level)
        yield replace(
            base, estimand=estimand, group=f"{level}: {who}", estimate=found.estimate, std_error=found.std_error,
            ci_low=found.ci_low, ci_high=found.ci_high, unit="proportion",
            method=found.method.replace("therapist clusters", "persons"),
            note="; ".join(filter(None, [base.note, found.note])),
        )  # fmt: skip
    if len(cells) < 2:
        return
    change = rater_difference(cells, ci_level=base.ci_level)
    yield replace(
        base, estimand="therapist_minus_client", group=level, estimate=change.estimate, std_error=change.std_error,
        ci_low=change.ci_low, ci_high=change.ci_high, p_value=change.p_value, unit="proportion", method=change.method,
        note="; ".join(filter(None, ["above 0: more by the therapist's ratings", base.note, change.note])),
    )  # fmt: skip


def rater_difference(cells: Numbers, *, ci_level: float = CI_LEVEL) -> Effect:
    r"""Return by how much the share that the therapist marks is above the client's: what McNemar's test asks, with clusters.

    .. math:: D = \frac{\sum_i (c_i - b_i)}{\sum_i n_i}, \quad
        SE^2 = \frac{G}{G - 1}\frac{\sum_i (c_i - b_i - D n_i)^2}{(\sum_i n_i)^2}

    with b sessions (onsets, treatments) of person i that only the client and c that only the therapist marks, of n; t on G − 1 df.

    Parameters
    ----------
    cells : (persons, 4) floats
        Counts of both, client only, therapist only, neither.
    ci_level : float
        Confidence level.

    Raises
    ------
    StatisticsError
        If fewer than two persons have a count.
    """
    own = cells[cells.sum(axis=1) > 0]
    person = np.repeat(np.arange(len(own)), 4)
    # Units of one person and cell are alike, so that each cell is one unit with its count as weight.
    change = np.tile([0.0, -1.0, 1.0, 0.0], len(own))
    weight = own.ravel()
    value = float((weight * change).sum() / max(weight.sum(), 1.0))
    influence = weight * (change - value) * len(weight) / max(weight.sum(), 1.0)
    how = "difference of paired shares, cluster-robust by person (CR1), t on G - 1 df"
    return replace(effect(value, influence, person, method=how, ci_level=ci_level), n=int(weight.sum()))


def both_rated(client: Series, therapist: Series) -> Ratings:
    """Return the ratings of the sessions that both rated, matched by person, treatment and session number."""
    keys = ["client", "treatment_id", "session"]
    frames = []
    for series in (client, therapist):
        who = series.clients.iloc[series.group].reset_index(drop=True)
        frames.append(who.assign(session=series.sessions, rating=series.values, treatment_id=who["treatment_id"].fillna("")))
    joined = frames[0].merge(frames[1], on=keys, suffixes=("", "_therapist")).sort_values(keys, kind="stable")
    pair = np.asarray(joined.groupby(["client", "treatment_id"], sort=True).ngroup(), dtype=np.int64)
    first = np.unique(pair, return_index=True)[1]
    person = np.asarray(pd.factorize(joined["client"].iloc[first], sort=True)[0], dtype=np.int64)
    return Ratings(joined["rating"].to_numpy(dtype=float), joined["rating_therapist"].to_numpy(dtype=float), pair, person)


def level_difference(ratings: Ratings, *, ci_level: float = CI_LEVEL) -> Effect:
    """Return by how many points the client rates the alliance higher than the therapist, over sessions, clustered by person.

    Raises
    ------
    StatisticsError
        If fewer than two persons have a session that both rated.
    """
    difference = ratings.client - ratings.therapist
    if not len(difference):
        raise StatisticsError("no session is rated by both client and therapist")
    value = float(difference.mean())
    how = "mean difference over sessions, cluster-robust by person (CR1), t on G - 1 df"
    return effect(value, difference - value, cluster_codes(ratings.person[ratings.pair]), method=how, ci_level=ci_level)


def congruence(ratings: Ratings, *, ci_level: float = CI_LEVEL) -> Effect:
    r"""Return the correlation of the two ratings over the sessions of a pair: do they rise and fall together?

    .. math:: r = \frac{\sum_{it} a_{it} b_{it}}{\sqrt{\sum a_{it}^2 \sum b_{it}^2}}, \quad
        a_{it} = x_{it} - \bar x_i, \ b_{it} = y_{it} - \bar y_i

    with an interval on Fisher's z from influence values :math:`a^*b^* - \frac r2(a^{*2} + b^{*2})` (a*, b* in SDs) summed by
    person. Pairs with fewer than three sessions that both rated are left out: two sessions always correlate perfectly.

    Raises
    ------
    StatisticsError
        If fewer than two persons are left, or a rating never varies.

    References
    ----------
    Bland, J. M., & Altman, D. G. (1995). BMJ, 310, 446 (correlation within subjects).
    """
    n = np.bincount(ratings.pair, minlength=len(ratings.person))
    used = n[ratings.pair] >= LEAST if len(ratings.pair) else np.zeros(0, dtype=bool)
    if not used.any():
        raise StatisticsError(f"no pair has {LEAST} sessions that both rated")
    pair = ratings.pair[used]
    a, b = (
        x - (np.bincount(pair, weights=x) / np.maximum(np.bincount(pair), 1))[pair]
        for x in (ratings.client[used], ratings.therapist[used])
    )
    spread_a, spread_b = float((a * a).mean()), float((b * b).mean())
    if min(spread_a, spread_b) < 1e-12:
        raise StatisticsError("a rating never varies within a treatment")
    a, b = a / math.sqrt(spread_a), b / math.sqrt(spread_b)
    r = float((a * b).mean())
    codes = cluster_codes(ratings.person[pair])
    variance, df = robust_variance(a * b - r / 2 * (a * a + b * b), codes)
    error = math.sqrt(variance)
    half = float(student.ppf(0.5 + ci_level / 2, df)) * error / (1 - r * r) if abs(r) < 1 else 0.0
    z = math.atanh(r) if abs(r) < 1 else math.copysign(math.inf, r)
    return Effect(
        estimate=r, std_error=error, ci_low=math.tanh(z - half), ci_high=math.tanh(z + half), ci_level=ci_level,
        p_value=float(2 * student.sf(abs(r) / error, df)) if error > 0 else math.nan, df=df, n=len(a), n_clusters=df + 1,
        method="correlation within pairs, Fisher's z, cluster-robust by person (CR1)",
    )  # fmt: skip


def _levels(data: RuptureData, rated: Series) -> Iterator[Estimate]:
    """Yield the level difference of the ratings (where both are of one scale) and their congruence."""
    ratings = both_rated(data.series, rated)
    names = f"{data.alliance} and {data.settings['therapist_alliance']}"
    n_pairs = len(ratings.person)
    of = {"level_difference": level_difference, "congruence": congruence}
    for estimand, function in of.items():
        try:
            found = function(ratings, ci_level=data.ci_level)
        except StatisticsError as error:
            yield replace(not_testable(RATERS, f"{estimand.replace('_', ' ')}: {error}", outcome=data.alliance), definition=names)
            continue
        level = estimand == "level_difference"
        note = f"n is sessions that both rated, of {n_pairs} pairs" + ("; client minus therapist" if level else "")
        yield Estimate(
            analysis=RATERS, estimand=estimand, outcome=data.alliance, definition=names, estimate=found.estimate,
            std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=data.ci_level, p_value=found.p_value,
            n=float(found.n), n_clusters=found.n_clusters, unit="score points" if level else "r", method=found.method,
            note="; ".join(filter(None, [note, found.note])),
        )  # fmt: skip
