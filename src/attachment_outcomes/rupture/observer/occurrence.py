"""How often do observers see withdrawal and confrontation, who shows which, how far are they resolved, and when?

Vocabulary
----------
seen        a session with a rating of at least ``rupture_from``; withdrawal and confrontation are kept apart throughout
resolved    a session with a rating of resolution of at least ``resolved_from``
third       first, middle or last third of the sessions of a treatment, by session number
kind        of a session: withdrawal only, confrontation only, both, neither; of a client: the same over all that was rated
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.clustered_agreement import paired_share_difference
from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.effects import Effect, effect
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.proportions import cluster_codes, proportion
from attachment_outcomes.rupture.observer.codings import RUPTURE_RATINGS, SESSION, filled_sessions
from attachment_outcomes.rupture.summary import not_assessable

OBSERVER = "observer_ratings"
THIRDS = ("first third", "middle third", "last third")
KINDS = ("neither", "withdrawal only", "confrontation only", "both")
FAMILIES = ("withdrawal", "confrontation")
SHARE = "share, Wilson interval on the effective n of clients"
MEAN = "mean, cluster-robust by client (CR1), t on G - 1 df"
DIFFERENCE = "difference of shares, cluster-robust by client (CR1), t on G - 1 df"
PAIRED = "difference of paired shares, cluster-robust by client (CR1), t on G - 1 df"
FEW_PARTS = 5  # sessions; fewer in a part of the data say nothing of it
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """Rated sessions and what counts as seen; ``frame`` has ``SESSION``, a column a rating and ``third``, a row a session.

    ``early`` is the last session number that counts as early.
    """

    frame: pd.DataFrame
    rupture_from: float
    resolved_from: float
    early: int
    ci_level: float = CI_LEVEL

    @property
    def definition(self) -> str:
        """What counts as seen, in words."""
        return f"rated {self.rupture_from:g} or more"

    @property
    def both_rated(self) -> pd.DataFrame:
        """Sessions in which withdrawal and confrontation were rated, with ``kind``."""
        known = self.frame[self.frame[list(FAMILIES)].notna().all(axis=1)]
        code = (known["withdrawal"] >= self.rupture_from) * 1 + (known["confrontation"] >= self.rupture_from) * 2
        return known.assign(kind=np.array(KINDS)[code.to_numpy(dtype=int)])


def observed_sessions(sessions: pd.DataFrame, rated: pd.DataFrame) -> pd.DataFrame:
    """Return every session that an observer rated, a row each.

    Ratings of the sessions table are taken first, those of the codings (:func:`.codings.session_ratings`) where it has none.
    """
    extra = [c for c in rated.columns if c not in SESSION and c not in RUPTURE_RATINGS and c != "n_coders"]
    own = sessions.loc[sessions[list(RUPTURE_RATINGS)].notna().any(axis=1), [*SESSION, *RUPTURE_RATINGS]]
    both = filled_sessions(own, rated).merge(rated[[*SESSION, *extra]], how="left", on=SESSION)
    both = both[both[[*RUPTURE_RATINGS, *extra]].notna().any(axis=1)]
    offered = sessions[sessions["person_id"].isin(both["person_id"])]
    last = offered.groupby(["person_id", "treatment_id"], dropna=False)["session_number"].max().rename("_last").reset_index()
    both = both.merge(last, how="left", on=["person_id", "treatment_id"])
    of = both.pop("_last").fillna(both["session_number"]).astype(float)
    number = np.clip(both["session_number"].astype(float), 1, of)
    both["third"] = np.minimum((number - 1) * 3 // np.maximum(of, 1), 2).astype("int64")
    return both.sort_values(SESSION, kind="stable", ignore_index=True)


def occurrence(seen: Seen) -> list[Estimate]:
    """Return how common withdrawal and confrontation are, who shows which, how far they are resolved, and their course."""
    rows: list[Estimate] = []
    for part in (_prevalence, _clients, _resolution, _course):
        rows += part(seen)
    return rows


def share_row(
    estimand: str, outcome: str, events: pd.Series | Flags, people: pd.Series | None, seen: Seen, **more: Any
) -> Estimate:
    """Return a share of sessions (clusters: clients) or of clients (none)."""
    found = proportion(np.asarray(events, dtype=float), clusters=people, ci_level=seen.ci_level)
    fixed = {"definition": seen.definition, "method": "share, Wilson interval" if people is None else SHARE, "unit": "proportion"}
    return Estimate(
        analysis=OBSERVER, estimand=estimand, outcome=outcome, estimate=found.estimate, std_error=found.std_error,
        ci_low=found.ci_low, ci_high=found.ci_high, ci_level=seen.ci_level, n=float(found.n), n_clusters=found.n_clusters,
        note="; ".join(filter(None, [more.pop("note", ""), found.note])), **{**fixed, **more},
    )  # fmt: skip


def effect_row(estimand: str, outcome: str, found: Effect, seen: Seen, **more: Any) -> Estimate:
    """Return a mean or a difference of sessions with its cluster-robust interval."""
    fixed = {"definition": seen.definition, "method": MEAN, "unit": "points of the rating"}
    return Estimate(
        analysis=OBSERVER, estimand=estimand, outcome=outcome, estimate=found.estimate, std_error=found.std_error,
        ci_low=found.ci_low, ci_high=found.ci_high, ci_level=seen.ci_level, p_value=more.pop("p_value", np.nan), n=float(found.n),
        n_clusters=found.n_clusters, note="; ".join(filter(None, [more.pop("note", ""), found.note])), **{**fixed, **more},
    )  # fmt: skip


def tried(make: Callable[..., Estimate], *given: Any, outcome: str, definition: str) -> Estimate:
    """Return the row that is made of what is given, or the row that says why there is none."""
    try:
        return make(*given)
    except StatisticsError as error:
        return not_assessable(definition, outcome=outcome, reason=str(error), analysis=OBSERVER)


def mean_effect(values: pd.Series, people: pd.Series, *, ci_level: float) -> Effect:
    """Return a mean over sessions with an interval that allows for clients."""
    if len(values) < FEW_PARTS:
        raise StatisticsError(f"{len(values)} rated sessions; at least {FEW_PARTS} are needed")
    x = values.to_numpy(dtype=float)
    return effect(float(x.mean()), x - x.mean(), cluster_codes(people), method=MEAN, ci_level=ci_level)


def mean_difference(values: pd.Series, first: Flags, people: pd.Series, *, ci_level: float) -> Effect:
    """Return the mean of the sessions flagged less that of the others, with clients as clusters that may span both."""
    x, n = values.to_numpy(dtype=float), len(values)
    n1, n2 = int(first.sum()), int((~first).sum())
    if min(n1, n2) < FEW_PARTS:
        raise StatisticsError(f"{n1} and {n2} rated sessions to compare; at least {FEW_PARTS} are needed in each")
    m1, m2 = float(x[first].mean()), float(x[~first].mean())
    influence = np.where(first, (x - m1) * n / n1, -(x - m2) * n / n2)
    return effect(m1 - m2, influence, cluster_codes(people), method=MEAN, ci_level=ci_level)


def _prevalence(seen: Seen) -> Iterator[Estimate]:
    frame = seen.frame
    for family in FAMILIES:
        known = frame[frame[family].notna()]
        if not len(known):
            yield not_assessable(seen.definition, outcome=family, reason=f"no session has a rating of {family}", analysis=OBSERVER)
            continue
        yield share_row("share_of_sessions", family, known[family] >= seen.rupture_from, known["person_id"], seen)
        yield tried(_mean_row, "mean_rating", known, family, "", seen, outcome=family, definition="mean")
    both = seen.both_rated
    if not len(both):
        return
    for name, kinds in (("both", ("both",)), ("any rupture", KINDS[1:])):
        yield share_row("share_of_sessions", name, both["kind"].isin(kinds), both["person_id"], seen)
    yield tried(_co_occurrence, both, seen, outcome="both", definition="ratings")
    yield tried(_more, both, seen, outcome="any rupture", definition=seen.definition)


def _mean_row(estimand: str, rows: pd.DataFrame, rating: str, group: str, seen: Seen) -> Estimate:
    found = mean_effect(rows[rating], rows["person_id"], ci_level=seen.ci_level)
    return effect_row(estimand, rating, found, seen, group=group)


def _co_occurrence(both: pd.DataFrame, seen: Seen) -> Estimate:
    first, second = (both[family].to_numpy(dtype=float) for family in FAMILIES)
    found = pearson(first, second, clusters=both["person_id"].tolist(), ci_level=seen.ci_level)
    return Estimate(
        analysis=OBSERVER, estimand="withdrawal_confrontation_r", outcome="both", definition="ratings", estimate=found.r,
        std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=seen.ci_level, p_value=found.p_value,
        n=float(found.n), n_clusters=float(found.n_clusters), unit="r", method=found.method,
        note="; ".join(filter(None, [found.note, "over sessions: whether both are high in the same ones"])),
    )  # fmt: skip


def _more(both: pd.DataFrame, seen: Seen) -> Estimate:
    first, second = ((both[family] >= seen.rupture_from).to_numpy() for family in FAMILIES)
    found = paired_share_difference(first, second, cluster_codes(both["person_id"]), ci_level=seen.ci_level)
    how = {"unit": "proportion", "method": PAIRED, "p_value": found.p_value}
    return effect_row("confrontation_minus_withdrawal", "any rupture", found, seen, **how)


def _clients(seen: Seen) -> Iterator[Estimate]:
    both = seen.both_rated
    if not len(both):
        return
    by = both.groupby("person_id")
    code = (by["withdrawal"].max() >= seen.rupture_from) * 1 + (by["confrontation"].max() >= seen.rupture_from) * 2
    sessions = by.size()
    note = f"{sessions.median():g} rated sessions a client at the median: who was rated more often has had more occasions"
    for i, kind in enumerate(KINDS):
        yield share_row("share_of_clients", "any rupture", code == i, None, seen, group=kind, note=note)


def _resolution(seen: Seen) -> Iterator[Estimate]:
    both = seen.both_rated
    both = both[both["resolution"].notna()]
    if not len(both):
        reason = "no session has ratings of ruptures and of their resolution"
        yield not_assessable(seen.definition, outcome="resolution", reason=reason, analysis=OBSERVER)
        return
    what = f"resolution rated {seen.resolved_from:g} or more"
    for group in ("any rupture", *KINDS[1:]):
        part = both[both["kind"] != KINDS[0]] if group == "any rupture" else both[both["kind"] == group]
        definition = f"{seen.definition}, {group}"
        if len(part) < FEW_PARTS:
            reason = f"{len(part)} rated sessions with {group}; at least {FEW_PARTS} are needed"
            yield not_assessable(definition, outcome="resolution", reason=reason, analysis=OBSERVER)
            continue
        resolved = part["resolution"] >= seen.resolved_from
        yield share_row("share_resolved", "resolution", resolved, part["person_id"], seen, group=group, note=what)
        yield tried(_mean_row, "mean_resolution", part, "resolution", group, seen, outcome="resolution", definition=definition)
    yield tried(_by_kind, both, seen, outcome="resolution", definition=f"{seen.definition}, compared")


def _by_kind(both: pd.DataFrame, seen: Seen) -> Estimate:
    one = both[both["kind"].isin(KINDS[1:3])]
    first = (one["kind"] == KINDS[1]).to_numpy()
    found = mean_difference(one["resolution"], first, one["person_id"], ci_level=seen.ci_level)
    note = "sessions with withdrawal only less sessions with confrontation only"
    return effect_row("withdrawal_minus_confrontation", "resolution", found, seen, note=note, p_value=found.p_value)


def _course(seen: Seen) -> Iterator[Estimate]:
    for family in FAMILIES:
        part = seen.frame[seen.frame[family].notna()]
        yield from _by_third(seen, part, family, (part[family] >= seen.rupture_from).astype(float))
    both = seen.both_rated
    both = both[both["resolution"].notna() & (both["kind"] != "neither")]
    yield from _by_third(seen, both, "resolution", (both["resolution"] >= seen.resolved_from).astype(float))


def _by_third(seen: Seen, part: pd.DataFrame, outcome: str, flags: pd.Series) -> Iterator[Estimate]:
    estimand = "share_resolved" if outcome == "resolution" else "share_of_sessions"
    for i, name in enumerate(THIRDS):
        here = part["third"] == i
        if here.sum() < FEW_PARTS:
            reason = f"{int(here.sum())} rated sessions in the {name}; at least {FEW_PARTS} are needed"
            yield not_assessable(f"{seen.definition}, {name}", outcome=outcome, reason=reason, analysis=OBSERVER)
            continue
        yield share_row(estimand, outcome, flags[here], part.loc[here, "person_id"], seen, group=name)
    yield tried(_ends_row, part, flags, seen, outcome, outcome=outcome, definition=f"{seen.definition}, last and first third")


def _ends_row(part: pd.DataFrame, flags: pd.Series, seen: Seen, outcome: str) -> Estimate:
    ends = part["third"] != 1
    last = (part.loc[ends, "third"] == 2).to_numpy()
    found = mean_difference(flags[ends], last, part.loc[ends, "person_id"], ci_level=seen.ci_level)
    note = "treatments that ended early have all thirds too"
    how = {"unit": "proportion", "method": DIFFERENCE, "p_value": found.p_value}
    return effect_row("last_minus_first_third", outcome, found, seen, note=note, **how)
