r"""How sure are cutoffs, thresholds and shares of change, given that they rest on this sample's own mean and SD?

A rule takes the SD, and some rules the means and the correlation, from the very people it is applied to; a cutoff takes their
mean and SD and a norm's. Intervals of shares that take these numbers as known are too narrow or too wide. Here people (or whole
therapists) are drawn again, everything is estimated anew, and every rule is applied anew.

Vocabulary
----------
a_true, c_true  the cutoffs a, b, c of distributions of true scores: both SDs without the standard error of measurement
threshold       least change towards better that counts for somebody who starts at the mean, score points
known           what does not come from this sample (a published SD or norm, the reliability) and is not drawn again
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import chi2

from attachment_outcomes.errors import StatisticsError, did_you_mean, problem
from attachment_outcomes.inference.estimate import CI_LEVEL
from attachment_outcomes.inference.individual_change.methods import (
    CATEGORIES as PLAIN_CATEGORIES,
)
from attachment_outcomes.inference.individual_change.methods import METHODS, SAMPLE, Setting, threshold
from attachment_outcomes.inference.individual_change.reading import scores_of
from attachment_outcomes.inference.individual_change.reliable import statistic_and_code, usable_methods
from attachment_outcomes.inference.individual_change.significance import CATEGORIES, SD_BEYOND, TRUE, Cutoff, Norm
from attachment_outcomes.inference.pairing import same_people
from attachment_outcomes.inference.resampling import Replicates, cluster_bootstrap_rows

Numbers = NDArray[np.float64]
PLACE = "bootstrap of change"
INTERVALS = ("percentile", "basic", "BCa")
REPLICATES = 1999  # (R + 1) times .025 and .975 are whole numbers
CUTOFFS = ("a", "b", "c", "a_true", "b_true", "c_true")
FROM_SAMPLE = ("mean_pre", "mean_post", "sd_pre", "sd_post", "r12")  # fields of Setting estimated anew, unless known
PER_PERSON = "slopes"  # a rule that needs these has no place for a person drawn twice: their slopes are of one fit to everybody
KEYS = ["estimand", "method", "category"]
REGIONS = 3  # clinical before and functional after; the reverse; neither


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """A norm: mean and SD (score points) and, where its sample's size is known, ``n``, from which its uncertainty is drawn."""

    mean: float
    sd: float
    n: int | None = None

    def __post_init__(self) -> None:
        Norm(self.mean, self.sd)
        if self.n is not None and self.n < 2:
            raise StatisticsError(problem("norm", f"a sample of {self.n}; allowed: at least two people, or unknown."))


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeBootstrap:
    """All intervals from one set of draws.

    ``table`` has a row a quantity: ``estimand, method, category, estimate, std_error, ci_low, ci_high, failed, note``. Estimands:
    ``cutoff`` (category: its kind) and ``reliable_change_threshold`` in score points; ``share`` a category, and
    ``reliably_improved``, ``reliably_deteriorated`` and ``crossed_without_reliable_change`` where there is a cutoff.
    ``replicates`` holds the draws, in the table's order.
    """

    table: pd.DataFrame
    replicates: Replicates
    n: int
    n_clusters: int
    cutoff: str


def usable_pair_methods(setting: Setting, methods: str | Sequence[str] = "all") -> list[str]:
    """Return the rules that two scores a person decide; ``"all"``: each checked one whose needs are met.

    Raises
    ------
    StatisticsError
        If a rule asked for by name is unknown, lacks what it needs, or needs more than two scores.
    """
    names = usable_methods(methods, setting)
    longer = [name for name in names if PER_PERSON in METHODS[name].needs]
    if longer and methods != "all":
        what = f"{', '.join(longer)}: needs more than two scores a person."
        raise StatisticsError(problem("methods", what, hint="name rules of a score before and one after."))
    return [name for name in names if name not in longer]


def bootstrap_change(
    pre: ArrayLike,
    post: ArrayLike,
    *,
    setting: Setting,
    rng: np.random.Generator,
    higher_is_better: bool = False,
    methods: str | Sequence[str] = "all",
    known: Collection[str] = (),
    functional: Population | Norm | tuple[float, float] | None = None,
    clinical: Population | Norm | tuple[float, float] | None = None,
    cutoff: str | Cutoff | None = None,
    clusters: ArrayLike | pd.Series | None = None,
    replicates: int = REPLICATES,
    interval: Literal["percentile", "basic", "BCa"] = "percentile",
    ci_level: float = CI_LEVEL,
) -> ChangeBootstrap:
    r"""Return every cutoff, threshold and share with its bootstrap interval, all from the same draws.

    .. math::

        a = M_1 + 2dS_1, \quad b = M_0 - 2dS_0, \quad c = \frac{S_0M_1 + S_1M_0}{S_0+S_1}, \quad
        c_{true} = \frac{T_0M_1 + T_1M_0}{T_0+T_1}, \quad T_j^2 = S_j^2 - SE^2

    Parameters
    ----------
    pre, post : (n,) floats
        Score points; people with NaN in either are left out, as they have no category.
    setting
        From :func:`.reliable.setting_from` on the same scores. What it took from them (``mean_pre, mean_post, sd_pre, sd_post,
        r12``; the SD if ``sd_source`` says so) is estimated anew in each replicate; reliabilities and all else are known.
    rng
        The job's generator.
    higher_is_better
        Direction of the scale.
    methods
        ``"all"`` or names from ``METHODS``; rules that need slopes over several occasions are left out of ``"all"``.
    known
        Which of those fields were given and stay as they are.
    functional, clinical
        Norms, for cutoffs; mean and SD will do.
        With ``n``, mean and SD are drawn too, as of a normal sample of that size; without, they are known.
        Without ``clinical`` the clinical side is this sample before treatment.
    cutoff
        Which cutoff the categories use: one of ``CUTOFFS``, estimated anew in each replicate; a :class:`.Cutoff`, which
        is known; or None for improved, unchanged and deteriorated only.
    clusters : (n,) labels, optional
        Therapists, drawn as a whole; a missing label makes a person a cluster of their own.
    replicates, interval, ci_level
        Number of draws, kind of interval and its level. ``BCa`` also leaves out each person (therapist) in turn.

    Raises
    ------
    StatisticsError
        If fewer than two people have both scores, a rule lacks what it needs, the cutoff's norm is missing, a name in ``known``
        is none, or labels do not fit.

    Notes
    -----
    The reliability is taken as known: its own uncertainty is not in the intervals (see the sensitivity to it). Percentile
    limits of a share of small samples are too narrow near 0 and 1, as all of resampling; where nobody has a category in the
    data, the interval has no length.

    References
    ----------
    Jacobson, N. S., & Truax, P. (1991). JCCP, 59, 12-19. Hageman, W. J. J. M., & Arrindell, W. A. (1999). Behav. Res. Ther.,
    37, 1169-1193 (cutoff on true scores). Davison, A. C., & Hinkley, D. V. (1997). Bootstrap methods, chapter 5.

    Examples
    --------
    >>> from attachment_outcomes.inference.individual_change.reliable import setting_from
    >>> before, after = [31, 25, 18, 40, 22, 29, 35, 27], [20, 24, 19, 22, 10, 30, 33, 12]
    >>> s = setting_from(before, after, reliability=0.86)
    >>> found = bootstrap_change(before, after, setting=s, methods="JT", rng=np.random.default_rng(1), replicates=199)
    >>> found.table.set_index(["estimand", "category"])["estimate"]["share", "improved"].item()
    0.5
    """
    if interval not in INTERVALS:
        raise _refuse(f"interval: found {interval!r}; allowed: {', '.join(INTERVALS)}.{did_you_mean(interval, INTERVALS)}")
    same_people(PLACE, pre=pre, post=post, clusters=clusters)
    x1, x2 = scores_of(pre, post, place=PLACE)
    functional, clinical = _population(functional), _population(clinical)
    unknown = [name for name in known if name not in (*FROM_SAMPLE, "sd")]
    if unknown:
        raise _refuse(f"known: found {unknown[0]!r}; allowed: sd, {', '.join(FROM_SAMPLE)}.{did_you_mean(unknown[0], FROM_SAMPLE)}")
    labels = pd.Series(np.arange(len(x1))) if clusters is None else pd.Series(clusters).reset_index(drop=True)
    if len(labels) != len(x1):
        raise _refuse(f"{len(labels)} cluster labels for {len(x1)} people; allowed: one for each.")
    both = ~(np.isnan(x1) | np.isnan(x2))
    if both.sum() < 2:
        raise _refuse(f"{int(both.sum())} people with both scores; at least two are needed.")
    names = usable_pair_methods(setting, methods)
    _check_cutoff(cutoff, functional)
    again = _Again(
        x1[both], x2[both], setting=setting, names=names, higher_is_better=higher_is_better, known=frozenset(known),
        norms=(clinical, functional), cutoff=cutoff, norm_draws=_norm_draws((clinical, functional), replicates, rng),
    )  # fmt: skip
    drawn = cluster_bootstrap_rows(
        again, rng=rng, clusters=labels[both].reset_index(drop=True), replicates=replicates, acceleration=interval == "BCa"
    )
    rows = [_row(drawn, which, interval, ci_level) for which in range(len(again.keys))]
    table = pd.concat([pd.DataFrame(again.keys, columns=KEYS), pd.DataFrame(rows)], axis=1)
    in_use = cutoff.kind if isinstance(cutoff, Cutoff) else cutoff or ""
    return ChangeBootstrap(table=table, replicates=drawn, n=int(both.sum()), n_clusters=drawn.n_clusters, cutoff=in_use)


def _refuse(what: str, *, hint: str = "") -> StatisticsError:
    return StatisticsError(problem(PLACE, what, hint=hint))


def _population(given: Population | Norm | tuple[float, float] | None) -> Population | None:
    if given is None or isinstance(given, Population):
        return given
    if isinstance(given, Norm):
        return Population(mean=given.mean, sd=given.sd)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise _refuse(f"found a norm of kind {type(given).__name__}; allowed: a Population, a Norm, or mean and SD.")
    return Population(mean=given[0], sd=given[1])


def _check_cutoff(cutoff: str | Cutoff | None, functional: Population | None) -> None:
    if isinstance(cutoff, str):
        if cutoff not in CUTOFFS:
            raise _refuse(
                f"cutoff: found {cutoff!r}; allowed: {', '.join(CUTOFFS)}, a Cutoff, or None.{did_you_mean(cutoff, CUTOFFS)}"
            )
        if cutoff[0] != "a" and functional is None:
            raise _refuse(f"cutoff {cutoff} needs a functional norm.", hint="give its mean and SD, or choose cutoff a.")


def _row(drawn: Replicates, which: int, interval: Any, ci_level: float) -> dict[str, Any]:
    """Return one quantity's interval; what has none says why."""
    try:
        found = drawn.interval(which, method=interval, ci_level=ci_level)
    except StatisticsError as error:
        failed = int(np.isnan(drawn.draws[:, which]).sum())
        nothing = {"std_error": np.nan, "ci_low": np.nan, "ci_high": np.nan}
        return {"estimate": float(drawn.estimates[which]), **nothing, "failed": failed, "note": str(error)}
    return {
        "estimate": found.estimate, "std_error": found.std_error, "ci_low": found.ci_low, "ci_high": found.ci_high,
        "failed": found.failed, "note": found.note,
    }  # fmt: skip


Pair = tuple[float, float]  # mean and SD
Moments = tuple[Pair | None, Pair | None]


def _true(norm: Pair | None, error: float) -> Pair | None:
    """Return mean and SD of true scores, without the standard error of measurement; None where nothing would be left."""
    if norm is None or not norm[1] > error:
        return None
    return norm[0], float(np.sqrt(norm[1] ** 2 - error**2))


def _norm_draws(norms: tuple[Population | None, Population | None], replicates: int, rng: np.random.Generator) -> Iterator[Moments]:
    r"""Yield both norms' mean and SD: as given for the data themselves, then for each replicate, then as given again.

    .. math:: M_0^* = M_0 + z S_0/\sqrt{n_0}, \quad S_0^* = S_0\sqrt{\chi^2_{n_0-1}/(n_0-1)}
    """
    # Always as many numbers, so that one norm's size does not change what is drawn for the other.
    uniform = rng.random((replicates, 2, 2)) if any(p and p.n for p in norms) else np.empty((replicates, 0))
    given: Moments = tuple((p.mean, p.sd) if p else None for p in norms)  # type: ignore[assignment]
    yield given
    if uniform.size:
        means, sds = np.empty((replicates, 2)), np.empty((replicates, 2))
        for side, norm in enumerate(norms):
            if norm is None or norm.n is None:
                means[:, side], sds[:, side] = (norm.mean, norm.sd) if norm else (np.nan, np.nan)
                continue
            means[:, side] = norm.mean + ndtri(np.clip(uniform[:, side, 0], 1e-12, 1 - 1e-12)) * norm.sd / np.sqrt(norm.n)
            sds[:, side] = norm.sd * np.sqrt(chi2.ppf(uniform[:, side, 1], norm.n - 1) / (norm.n - 1))
        for mean, sd in zip(means.tolist(), sds.tolist(), strict=True):
            yield tuple((m, s) if p else None for p, m, s in zip(norms, mean, sd, strict=True))  # type: ignore[misc]
    while True:
        yield given


class _Again:
    """The statistic: from the rows drawn to every cutoff, threshold and share.

    People with the same two scores are one cell with a weight, so that a questionnaire's few possible pairs of scores cost the
    same for ten thousand people as for a million. Two cells without weight stand for somebody at the mean, for the thresholds.
    """

    def __init__(
        self, x1: Numbers, x2: Numbers, *, setting: Setting, names: Sequence[str], higher_is_better: bool, known: frozenset[str],
        norms: tuple[Population | None, Population | None], cutoff: str | Cutoff | None, norm_draws: Iterator[Moments],
    ) -> None:  # fmt: skip
        pairs, self.cell = np.unique(x1 + 1j * x2, return_inverse=True)
        self.m = len(pairs)
        self.x1, self.x2 = (np.concatenate([part, [0.0, 0.0]]) for part in (pairs.real, pairs.imag))
        self.middle = float(x1.mean()), float(x2.mean())
        d1, d2 = pairs.real - self.middle[0], pairs.imag - self.middle[1]
        self.powers = np.column_stack([d1, d2, d1 * d1, d2 * d2, d1 * d2])
        self.setting, self.names, self.higher = setting, list(names), higher_is_better
        self.sign = 1.0 if higher_is_better else -1.0
        self.fields = [f for f in FROM_SAMPLE if f not in known and getattr(setting, f) is not None]
        self.own_sd = setting.sd_source == SAMPLE and "sd" not in known
        self.norms, self.cutoff, self.norm_draws = norms, cutoff, norm_draws
        self.cutoff_kinds = [k for k in CUTOFFS if k[0] == "a" or norms[1] is not None]
        self.categories = PLAIN_CATEGORIES if cutoff is None else CATEGORIES
        self.keys: list[tuple[str, str, str]] = [("cutoff", "", kind) for kind in self.cutoff_kinds]
        for name in self.names:
            self.keys.append(("reliable_change_threshold", name, ""))
            self.keys += [("share", name, category) for category in self.categories]
            if cutoff is not None:
                extra = ("reliably_improved", "reliably_deteriorated", "crossed_without_reliable_change")
                self.keys += [(estimand, name, "") for estimand in extra]
        self.fixed_regions = self._regions(cutoff) if isinstance(cutoff, Cutoff) else None

    def __call__(self, rows: NDArray[np.int64], copies: NDArray[np.int64]) -> Numbers:
        weights = np.bincount(self.cell[rows], minlength=self.m).astype(np.float64)
        setting, mean, sd = self._setting(weights, len(rows))
        places = self._cutoffs(mean, sd, setting)
        found: list[float] = [places[kind] for kind in self.cutoff_kinds]
        regions = self.fixed_regions
        if isinstance(self.cutoff, str):
            value = places[self.cutoff]
            regions = self._regions(Cutoff(self.cutoff, value)) if np.isfinite(value) else None
        undecided = self.cutoff is not None and regions is None
        self.x1[-2:] = mean
        self.x2[-2:] = mean, mean + 1.0
        for name in self.names:
            statistic, code = statistic_and_code(self.x1, self.x2, name, setting, self.higher)
            still, moved = self.sign * statistic[-2:]
            with np.errstate(divide="ignore", invalid="ignore"):
                # All rules of two scores are straight lines in the end score.
                found.append(float((threshold(name, setting) - still) / np.float64((moved - still) * self.sign)))
            found += [np.nan] * self._width if undecided else self._shares(code[:-2], regions, weights)
        return np.array(found)

    @property
    def _width(self) -> int:
        return len(self.categories) + (0 if self.cutoff is None else 3)

    def _setting(self, weights: Numbers, n: int) -> tuple[Setting, float, float]:
        """Return the setting of the people drawn, and their mean and SD before."""
        d1, d2, q1, q2, cross = (weights @ self.powers / n).tolist()
        unbias = n / (n - 1)
        v1, v2, c12 = (max(q1 - d1 * d1, 0.0) * unbias, max(q2 - d2 * d2, 0.0) * unbias, (cross - d1 * d2) * unbias)
        own = {
            "mean_pre": self.middle[0] + d1, "mean_post": self.middle[1] + d2, "sd_pre": float(np.sqrt(v1)),
            "sd_post": float(np.sqrt(v2)), "r12": c12 / float(np.sqrt(v1 * v2)) if v1 * v2 > 0 else np.nan,
        }  # fmt: skip
        if not own["sd_pre"] > 0:
            raise StatisticsError("everybody drawn scored alike before treatment")
        used: dict[str, Any] = {f: own[f] for f in self.fields}
        if self.own_sd:
            used["sd"] = own["sd_pre"]
        return replace(self.setting, **used), own["mean_pre"], own["sd_pre"]

    def _cutoffs(self, mean: float, sd: float, setting: Setting) -> dict[str, float]:
        clinical, functional = next(self.norm_draws)
        low, error = clinical or (mean, sd), setting.se_measurement
        return self._places(low, functional, "") | self._places(_true(low, error), _true(functional, error), TRUE)

    def _places(self, low: Pair | None, high: Pair | None, suffix: str) -> dict[str, float]:
        """Return the cutoffs a, b and c; NaN where a norm is missing, and c where the norms are on the wrong sides."""
        a = low[0] + self.sign * SD_BEYOND * low[1] if low else np.nan
        b = high[0] - self.sign * SD_BEYOND * high[1] if high else np.nan
        c = np.nan
        if low and high and self.sign * high[0] > self.sign * low[0]:
            c = (high[1] * low[0] + low[1] * high[0]) / (high[1] + low[1])
        return {f"a{suffix}": a, f"b{suffix}": b, f"c{suffix}": c}

    def _regions(self, cutoff: Cutoff) -> NDArray[np.int64]:
        """Return where each cell's counts begin: in the row of 1 clinical before and functional after, 2 the reverse, 0 neither."""
        x1, x2 = self.x1[: self.m], self.x2[: self.m]
        was, now = (cutoff.clinical(x, higher_is_better=self.higher) for x in (x1, x2))
        was_well, now_well = (cutoff.functional(x, higher_is_better=self.higher) for x in (x1, x2))
        return 4 * (was & now_well) + 8 * (was_well & now) + 1

    def _shares(self, code: NDArray[np.int8], regions: NDArray[np.int64] | None, weights: Numbers) -> list[float]:
        """Return the shares of the categories, and of what is told beside them, among those with a category."""
        place = np.add(code, 1 if regions is None else regions, dtype=np.intp)
        counts = np.bincount(place, weights=weights, minlength=4 * REGIONS).reshape(REGIONS, 4)[:, 1:]
        total = float(counts.sum())
        if total == 0:
            return [np.nan] * self._width
        improved, unchanged, deteriorated = (counts / total).T
        if regions is None:
            return [float(improved[0]), float(unchanged[0]), float(deteriorated[0])]
        recovered, harmed = float(improved[1]), float(deteriorated[2])
        better, worse = float(improved.sum()), float(deteriorated.sum())
        return [
            recovered, better - recovered, float(unchanged.sum()), worse - harmed, harmed, better, worse, float(unchanged[1])
        ]  # fmt: skip
