"""Do observers see what clients and therapists report, and what the alliance ratings show? And what goes with it?

Vocabulary
----------
other            the client's or the therapist's report of the same session, or whether it lies in a rupture by the study's
                 primary criterion
observer only    share of sessions in which the observer sees a rupture and the other does not; ``other only`` the reverse
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.clustered_agreement import clustered_kappa, paired_share_difference
from attachment_outcomes.inference.correlation import pearson
from attachment_outcomes.inference.effects import standardised_difference
from attachment_outcomes.inference.estimate import Estimate
from attachment_outcomes.inference.proportions import FEW_CLUSTERS, cluster_codes
from attachment_outcomes.rupture.observer.codings import SESSION
from attachment_outcomes.rupture.observer.occurrence import (
    FAMILIES,
    FEW_PARTS,
    KINDS,
    OBSERVER,
    PAIRED,
    Flags,
    Seen,
    effect_row,
    share_row,
    tried,
)
from attachment_outcomes.rupture.summary import not_assessable

REPORTS = {"rupture_reported": "the client's report", "rupture_reported_therapist": "the therapist's report"}
ENDS = ("completed", "dropped out")
MIN_GROUP = 10  # clients who left, and who completed: with fewer, d is not to be trusted
KAPPA = "Cohen's kappa, cluster-robust by client (CR1), t on G - 1 df"
NO_CAUSE = "an association: who leaves is not decided by chance"


def beside_others(seen: Seen, others: Mapping[str, pd.DataFrame]) -> Iterator[Estimate]:
    """Compare what observers saw with what others say of the same sessions.

    Parameters
    ----------
    seen : Seen
        Rated sessions.
    others : mapping
        By name, ``SESSION`` and ``rupture`` (true, false or missing), a row a session.

    Yields
    ------
    Estimate
        For any rupture, withdrawal and confrontation: ``kappa``, ``agreement`` (share of sessions), ``observer_only``,
        ``other_only`` and their difference ``observer_minus_other``, all with clients as clusters. ``group`` names the other.
    """
    for name, frame in others.items():
        both = seen.both_rated.merge(frame[[*SESSION, "rupture"]], on=SESSION)
        both = both[both["rupture"].notna()]
        if len(both) < FEW_PARTS:
            reason = f"{len(both)} sessions have an observer's rating and {name}; at least {FEW_PARTS} are needed"
            yield not_assessable(f"beside {name}", outcome="any rupture", reason=reason, analysis=OBSERVER)
            continue
        said = both["rupture"].to_numpy(dtype=bool)
        flags = {"any rupture": (both["kind"] != KINDS[0]).to_numpy()}
        flags |= {family: (both[family] >= seen.rupture_from).to_numpy() for family in FAMILIES}
        for outcome, saw in flags.items():
            yield from _pair(seen, outcome, name, saw, said, both["person_id"])


def _pair(seen: Seen, outcome: str, name: str, saw: Flags, said: Flags, people: pd.Series) -> Iterator[Estimate]:
    definition = f"{seen.definition}, beside {name}"
    yield tried(_kappa, seen, outcome, name, saw, said, people, outcome=outcome, definition=definition)
    for estimand, flags in (("agreement", saw == said), ("observer_only", saw & ~said), ("other_only", ~saw & said)):
        yield share_row(estimand, outcome, flags, people, seen, group=name)
    yield tried(_more_often, seen, outcome, name, saw, said, people, outcome=outcome, definition=f"{definition}, difference")


def _kappa(seen: Seen, outcome: str, name: str, saw: Flags, said: Flags, people: pd.Series) -> Estimate:
    first, second = saw.astype(np.int64), said.astype(np.int64)
    found = clustered_kappa(first, second, 2, cluster_codes(people), ci_level=seen.ci_level)
    how = {"unit": "kappa", "direction": "higher is better", "method": KAPPA}
    return effect_row("kappa", outcome, found, seen, group=name, **how)


def _more_often(seen: Seen, outcome: str, name: str, saw: Flags, said: Flags, people: pd.Series) -> Estimate:
    found = paired_share_difference(said, saw, cluster_codes(people), ci_level=seen.ci_level)
    note = f"above 0: observers see it more often than {name} tells it"
    how = {"unit": "proportion", "method": PAIRED, "p_value": found.p_value}
    return effect_row("observer_minus_other", outcome, found, seen, group=name, note=note, **how)


def with_attachment(seen: Seen, scores: Mapping[str, pd.Series]) -> Iterator[Estimate]:
    """Return the correlation of clients' mean ratings with their attachment before treatment, a row a family and dimension."""
    means = seen.frame.groupby("person_id")[list(FAMILIES)].mean()
    for dimension, score in scores.items():
        both = means.join(score.rename("score"), how="inner")
        for family in FAMILIES:
            yield tried(_r, both, family, dimension, seen, outcome=family, definition=f"mean rating, {dimension}")


def _r(both: pd.DataFrame, family: str, dimension: str, seen: Seen) -> Estimate:
    found = pearson(both[family].to_numpy(float), both["score"].to_numpy(float), ci_level=seen.ci_level)
    return Estimate(
        analysis=OBSERVER, estimand=f"r_with_{dimension}", outcome=family, definition="mean rating a client", estimate=found.r,
        std_error=found.std_error, ci_low=found.ci_low, ci_high=found.ci_high, ci_level=seen.ci_level, p_value=found.p_value,
        n=float(found.n), n_clusters=float(found.n_clusters), unit="r", method=found.method, note=found.note,
    )  # fmt: skip


def leaving(
    seen: Seen, treatments: pd.DataFrame, titles: Mapping[str, str], published: tuple[Mapping[str, Any], ...]
) -> Iterator[Estimate]:
    """Set what others found of dropping out beside this study's own association.

    Clients' mean ratings of the first sessions (``seen.early``), those who dropped out less those who completed, in pooled SDs;
    therapists as clusters where at least 10 are known. Later sessions are left out, since only those who stayed have them. What
    is published is printed as it was printed.
    """
    early = seen.frame[seen.frame["session_number"] <= seen.early]
    by = early.groupby(["person_id", "treatment_id"], dropna=False)[[name for name in titles if name in seen.frame]].mean()
    known = treatments[treatments["end_reason"].isin(ENDS)][["person_id", "treatment_id", "therapist_id", "end_reason"]]
    frame = known.merge(by.reset_index(), on=["person_id", "treatment_id"])
    for rating in titles:
        yield tried(_leaving, frame, rating, seen, outcome=rating, definition="dropped out and completed")
    for number in published:
        how = "as printed, without a sign" + ("" if number["verified"] else "; recalled, not checked")
        yield Estimate(
            analysis=OBSERVER, estimand="published_d_dropping_out", outcome=str(number["about"]), definition="published",
            estimate=float(number["value"]), n=float(number.get("n", np.nan)), primary=False, unit="SD", method=number["source"],
            note=how,
        )  # fmt: skip


def _leaving(frame: pd.DataFrame, rating: str, seen: Seen) -> Estimate:
    rows = frame[frame[rating].notna()] if rating in frame else frame.iloc[:0]
    left, stayed = (rows[rows["end_reason"] == end] for end in (ENDS[1], ENDS[0]))
    sizes = f"{len(left)} rated clients dropped out and {len(stayed)} completed"
    if min(len(left), len(stayed)) < MIN_GROUP:
        raise StatisticsError(f"{sizes}; at least {MIN_GROUP} are needed in each")
    clustered = rows["therapist_id"].nunique() >= FEW_CLUSTERS
    clusters = (left["therapist_id"], stayed["therapist_id"]) if clustered else None
    found = standardised_difference(left[rating], stayed[rating], clusters=clusters, ci_level=seen.ci_level)
    fixed = {"definition": f"mean of sessions 1 to {seen.early}", "unit": "SD", "method": found.method, "p_value": found.p_value}
    note = f"{sizes}; above 0: higher in those who dropped out; {NO_CAUSE}"
    return effect_row("d_dropping_out", rating, found, seen, note=note, **fixed)
