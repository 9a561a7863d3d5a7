r"""What does change come to by each way of handling missing scores?

Vocabulary
----------
complete cases               those seen at the first occasion and at the end, as if nobody else had begun
last observation carried
forward                      whoever leaves is taken never to change again; only shown because it is still used
multiple imputation          missing scores drawn several times from what was seen, pooled by Rubin's rules
inverse-probability weights  those seen at the end stand for those like them who were not
event                        improved reliably, or recovered, by the primary definition

All are about everybody who began. Shares are pooled on the logit scale, with the variance of a share p among n people

.. math:: \max(deff, 1)\, p(1 - p)/n \;/\; [p(1 - p)]^2
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from attachment_outcomes.change.missing.panel import Panel
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.effects import paired_change
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.imputation import Combined, combine_imputations
from attachment_outcomes.inference.multiple_imputation import Imputations
from attachment_outcomes.inference.proportions import cluster_codes, proportion
from attachment_outcomes.inference.weighting import SeenWeights, seen_weights, weighted_mean

Numbers = NDArray[np.float64]
Flags = NDArray[np.bool_]
# Whether each person has the event: scores before (n,), scores after (n,), number of the imputation (0 where there is none).
Event = Callable[[Numbers, Numbers, int], Flags]

COMPLETE = "complete cases"
LAST_SEEN = "own last score of those seen twice"
CARRIED = "last observation carried forward (comparison only)"
IMPUTED = "multiple imputation"
WEIGHTED = "inverse-probability weights"
LOCF_NOTE = "takes those who left never to have changed again, and is too sure of it; shown for comparison only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """One estimate by one way of handling; ``event`` is empty for the mean change (score points), else names the share."""

    handling: str
    event: str
    estimate: float
    std_error: float
    ci_low: float
    ci_high: float
    n: int
    n_clusters: float
    method: str
    note: str = ""
    p_value: float = math.nan


def by_complete_cases(panel: Panel, events: dict[str, Event], *, ci_level: float = CI_LEVEL) -> list[Handled]:
    """Return mean change and shares of those seen at both ends.

    Raises
    ------
    StatisticsError
        If fewer than two people are.
    """
    return _plain(COMPLETE, panel, panel.post, events, "", ci_level)


def by_carrying_forward(panel: Panel, events: dict[str, Event], *, ci_level: float = CI_LEVEL) -> list[Handled]:
    """Return mean change and shares with everybody's own last score, the baseline included, in place of the end."""
    return _plain(CARRIED, panel, last_seen(panel.scores), events, LOCF_NOTE, ci_level)


def by_own_last_score(panel: Panel, events: dict[str, Event], *, ci_level: float = CI_LEVEL) -> list[Handled]:
    """Return mean change and shares of those seen after the first occasion, with their own last score."""
    again = ~np.isnan(panel.scores[:, 1:]).all(axis=1)
    note = "ends differ from person to person; as in the rows of reliable change where the end is the last score"
    return _plain(LAST_SEEN, panel, np.where(again, last_seen(panel.scores), np.nan), events, note, ci_level)


def last_seen(scores: Numbers) -> Numbers:
    """Return everybody's last score that is there (n,)."""
    place = scores.shape[1] - 1 - np.argmax(~np.isnan(scores[:, ::-1]), axis=1)
    return np.asarray(scores[np.arange(len(scores)), place], dtype=np.float64)


def _plain(name: str, panel: Panel, post: Numbers, events: dict[str, Event], note: str, ci_level: float) -> list[Handled]:
    both = ~np.isnan(post)
    mean, _ = paired_change(panel.pre, post, clusters=panel.clusters, ci_level=ci_level)
    rows = [
        Handled(handling=name, event="", estimate=mean.estimate, std_error=mean.std_error, ci_low=mean.ci_low, ci_high=mean.ci_high,
                n=mean.n, n_clusters=mean.n_clusters, method=mean.method, note=_joined(note, mean.note), p_value=mean.p_value)
    ]  # fmt: skip
    labels = None if panel.clusters is None else panel.clusters[both].reset_index(drop=True)
    for key, event in events.items():
        share = proportion(event(panel.pre[both], post[both], 0), clusters=labels, ci_level=ci_level)
        rows.append(
            Handled(handling=name, event=key, estimate=share.estimate, std_error=share.std_error, ci_low=share.ci_low,
                    ci_high=share.ci_high, n=share.n, n_clusters=share.n_clusters, method=share.method,
                    note=_joined(note, share.note))
        )  # fmt: skip
    return rows


class Pooled:
    """Mean change and shares over imputations, at any shift of imputed end scores, without drawing again.

    Parameters
    ----------
    imputations
        Completed scores; the end is the last occasion.
    shifted : (n,)
        Whose imputed end scores are shifted.
    clusters
        Therapist of each person.
    ci_level
        Confidence level.
    """

    def __init__(self, imputations: Imputations, shifted: Flags, clusters: pd.Series | None, *, ci_level: float = CI_LEVEL) -> None:  # noqa: D107
        values = imputations.values
        self.pre, self.post, self.ci_level = values[:, :, 0], values[:, :, -1], ci_level
        self.shifted = shifted & imputations.missing[:, -1]
        n = values.shape[1]
        codes = np.arange(n) if clusters is None else cluster_codes(clusters, n=n)
        self.order = np.argsort(codes, kind="stable")
        self.edges = np.flatnonzero(np.diff(codes[self.order], prepend=-1))
        self.groups, self.n = len(self.edges), n
        self.n_clusters = math.nan if clusters is None else float(self.groups)
        change = self.post - self.pre
        self.means, self.share = change.mean(axis=1), float(self.shifted.mean())
        inside = self._sums(change - self.means[:, None])
        moved = self._sums(np.asarray(self.shifted - self.share, dtype=np.float64)[None])
        factor = self.groups / (self.groups - 1) / n**2 if self.groups > 1 else math.nan
        # The variance of the mean change is a square function of the shift.
        self.terms = [factor * (a * b).sum(axis=1) for a, b in ((inside, inside), (2 * inside, moved), (moved, moved))]
        self._events: dict[int, Flags] = {}

    def mean_change(self, delta: float = 0.0) -> Combined:
        """Pool the mean change, score points, after adding ``delta`` to the shifted end scores."""
        variance = self.terms[0] + delta * self.terms[1] + delta**2 * self.terms[2]
        return combine_imputations(
            self.means + delta * self.share, variance, df_complete=max(self.groups - 1, 1), ci_level=self.ci_level
        )

    def proportion(self, event: Event, delta: float = 0.0) -> tuple[Combined, str]:
        """Pool the share with the event on the logit scale after the shift; the note says if a logit had to be kept finite."""
        happened = self._happened(event, delta)
        share = happened.mean(axis=1)
        note = ""
        if ((share == 0) | (share == 1)).any():
            share = (happened.sum(axis=1) + 0.5) / (self.n + 1)
            note = "nobody or everybody has the event in an imputation: half a person is added to both sides"
        plain = share * (1 - share) / self.n
        variance = plain
        if self.groups < self.n:
            sums = self._sums(happened - happened.mean(axis=1, keepdims=True))
            clustered = self.groups / max(self.groups - 1, 1) * (sums**2).sum(axis=1) / self.n**2
            variance = np.maximum(plain, clustered)
        scaled = variance / (share * (1 - share)) ** 2
        return combine_imputations(logit(share), scaled, df_complete=max(self.groups - 1, 1), ci_level=self.ci_level), note

    def _happened(self, event: Event, delta: float) -> Numbers:
        """Return who has the event in each imputation; only those shifted are assessed anew."""
        key = id(event)
        if key not in self._events:
            self._events[key] = np.array([event(self.pre[k], self.post[k], k) for k in range(len(self.post))])
        found = self._events[key].astype(float)
        if delta and self.shifted.any():
            who = self.shifted
            found[:, who] = [event(self.pre[k, who], self.post[k, who] + delta, k) for k in range(len(self.post))]
        return found

    def _sums(self, values: Numbers) -> Numbers:
        return np.add.reduceat(values[:, self.order], self.edges, axis=1)


def by_imputation(panel: Panel, imputations: Imputations, events: dict[str, Event], *, ci_level: float = CI_LEVEL) -> list[Handled]:
    """Return mean change and shares over imputations, with the Monte-Carlo error of each in its note.

    Raises
    ------
    StatisticsError
        As :func:`~attachment_outcomes.inference.imputation.combine_imputations`.
    """
    pooled = Pooled(imputations, panel.missing_end, panel.clusters, ci_level=ci_level)
    mean = pooled.mean_change()
    method = f"{imputations.method}; {mean.imputations} imputations, Rubin's rules with Barnard and Rubin's df"
    rows = [
        Handled(handling=IMPUTED, event="", estimate=mean.estimate, std_error=mean.std_error, ci_low=mean.ci_low,
                ci_high=mean.ci_high, n=pooled.n, n_clusters=pooled.n_clusters, method=method, p_value=mean.p_value,
                note=_joined(_monte_carlo(mean, 1.0, "score points"), imputations.note))
    ]  # fmt: skip
    for key, event in events.items():
        found, note = pooled.proportion(event)
        share = float(expit(found.estimate))
        slope = share * (1 - share)
        rows.append(
            Handled(handling=IMPUTED, event=key, estimate=share, std_error=slope * found.std_error,
                    ci_low=float(expit(found.ci_low)), ci_high=float(expit(found.ci_high)), n=pooled.n,
                    n_clusters=pooled.n_clusters, method=f"{method}, logits",
                    note=_joined(_monte_carlo(found, slope, ""), note, imputations.note))
        )  # fmt: skip
    return rows


def _monte_carlo(found: Combined, slope: float, unit: str) -> str:
    error = slope * math.sqrt(found.between / found.imputations)
    return f"Monte-Carlo error {error:.2g}{' ' if unit else ''}{unit}; fraction of information missing {found.fraction_missing:.2f}"


def stay_rows(panel: Panel) -> tuple[Numbers, Numbers, NDArray[np.int64], list[str]]:
    """Return design, stays and person of each step at risk, and the design's names.

    A person stays until last seen; a gap before is no leaving. The predictors: an intercept for each step at which anybody leaves,
    the baseline score, the last score seen before the step (both in SDs of the baseline), and the covariates.
    """
    scores = panel.scores
    t = scores.shape[1]
    last = t - 1 - np.argmax(~np.isnan(scores[:, ::-1]), axis=1)
    steps = [s for s in range(1, t) if (last == s - 1).any()]
    before = pd.DataFrame(scores).ffill(axis=1).to_numpy(dtype=float)
    centre, spread = panel.pre.mean(), panel.pre.std(ddof=1)
    design, stays, person = [], [], []
    for place, step in enumerate(steps):
        at_risk = np.flatnonzero(last >= step - 1)
        intercepts = np.zeros((len(at_risk), len(steps)))
        intercepts[:, place] = 1.0
        own = (np.column_stack([panel.pre, before[:, step - 1]])[at_risk] - centre) / spread
        design.append(np.column_stack([intercepts, own, panel.covariates[at_risk]]))
        stays.append((last[at_risk] >= step).astype(float))
        person.append(at_risk)
    if not steps:
        raise StatisticsError("everybody who began was seen at the end")
    names = [*(f"step to occasion {panel.occasions[s]}" for s in steps), "baseline score", "last score seen", *panel.names]
    x = np.concatenate(design)
    if steps == [1]:  # the last score seen is the baseline score then
        x, names = np.delete(x, 2, axis=1), [name for name in names if name != "last score seen"]
    return x, np.concatenate(stays), np.concatenate(person), names


def by_weighting(
    panel: Panel, events: dict[str, Event], *, truncate: float, least_probability: float, ci_level: float = CI_LEVEL
) -> tuple[list[Handled], SeenWeights]:
    """Return mean change and shares with inverse-probability weights, and the weights.

    Raises
    ------
    StatisticsError
        As :func:`~attachment_outcomes.inference.weighting.seen_weights`; or if everybody was seen at the end.
    """
    design, stays, person, _ = stay_rows(panel)
    weights = seen_weights(design, stays, person=person, truncate=truncate, least_probability=least_probability)
    told = (
        f"effective n {weights.effective_n:.0f}; largest weight {weights.weights.max():.2f}, {weights.n_truncated} truncated to it"
    )
    rows = []
    for key, event in ({"": None} | events).items():
        values = panel.post - panel.pre if event is None else np.full(len(panel.post), np.nan)
        if event is not None:
            values[weights.seen] = event(panel.pre[weights.seen], panel.post[weights.seen], 0)
        share = values[weights.seen].mean()
        bounded = event is not None and 0 < share < 1
        found = weighted_mean(values, weights, clusters=panel.clusters, scale="logit" if bounded else "identity", ci_level=ci_level)
        rows.append(
            Handled(handling=WEIGHTED, event=key, estimate=found.estimate, std_error=found.std_error, ci_low=found.ci_low,
                    ci_high=found.ci_high, n=found.n, n_clusters=found.n_clusters, method=found.method,
                    note=_joined(told, found.note), p_value=found.p_value if event is None else math.nan)
        )  # fmt: skip
    return rows, weights


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
