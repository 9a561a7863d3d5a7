"""How far do the coders of a study agree? Rows of what they count, rate and see, and a table of the single codes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.agreement import Interval
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.rupture.observer.codes import COUNT, RATING, SIGNIFICANCE, SUFFIX, CodingSystem
from attachment_outcomes.rupture.observer.codings import SESSION, counted, largest_significance, numbered
from attachment_outcomes.rupture.observer.occurrence import OBSERVER, SHARE, Flags
from attachment_outcomes.rupture.observer.reliability import ONE_WAY, CoderIcc, CoderKappa, Codes, coder_icc, coder_kappa
from attachment_outcomes.rupture.summary import not_assessable

COUNTS, RATINGS, WEIGHTS, PRESENCE = "count a session", "rating of the session", "largest significance", "seen in a segment"
ICC_METHOD = "ICC({form},{of}), mean squares; jackknife over clients on Fisher's scale, t on G - 1 df"
PABAK = f"2 x agreement - 1 ({SHARE})"
FORMS = {"agreement": "A", "consistency": "C", ONE_WAY: "1"}
# A row a code that is counted.
CODES = {
    "code": "str", "about": "str", "title": "str", "n_sessions": "int64", "n_seen": "int64", "share": "float64",
    "mean_significance": "float64", "n_targets": "int64", "agreement": "float64", "kappa": "float64", "note": "str",
}  # fmt: skip


def reliability(codings: pd.DataFrame, system: CodingSystem, *, ci_level: float = CI_LEVEL) -> Iterator[Estimate]:
    """Yield the agreement of coders on counts, ratings and significance (ICC), and on what was seen in a segment (kappa).

    See :func:`.reliability.coder_icc` and :func:`.reliability.coder_kappa`; what cannot be told is a row with its reason.
    """
    seen = counted(codings)
    for about in sorted(seen["about"].unique()):
        part = seen[seen["about"] == about]
        totals = part.groupby([*SESSION, "coder"], dropna=False)["value"].sum().reset_index()
        yield from _icc(totals, about, COUNTS, ci_level)
        yield from _kappa(part, about, ci_level)
    for rating in system.ratings:
        part = codings[codings["code"] == rating]
        if len(part):
            yield from _icc(part, rating, RATINGS, ci_level)
    if (codings["kind"] == SIGNIFICANCE).any():
        for family in system.ruptures:
            yield from _icc(largest_significance(codings, family, system), family, WEIGHTS, ci_level)


def _icc(part: pd.DataFrame, about: str, what: str, ci_level: float) -> Iterator[Estimate]:
    numbers = (numbered(part, by) for by in (SESSION, ["coder"], ["person_id"]))
    try:
        found = coder_icc(part["value"].to_numpy(dtype=float), *numbers, ci_level=ci_level)
    except StatisticsError as error:
        yield not_assessable(what, outcome=about, reason=str(error), analysis=OBSERVER)
        return
    for name, icc in found.items():
        for of, interval in (("single", icc.single), ("average", icc.average)):
            yield _icc_row(name, of, icc, interval, about, what, ci_level)


def _icc_row(name: str, of: str, icc: CoderIcc, interval: Interval, about: str, what: str, ci_level: float) -> Estimate:
    unbalanced = f"coders differ between sessions ({icc.k:.2f} a session on average): their differences count as error"
    notes = [
        f"{icc.n_targets} sessions coded by two coders or more, {icc.n_coders} coders",
        unbalanced if name == ONE_WAY else "the interval holds for these coders",
        interval.note,
    ]
    return Estimate(
        analysis=OBSERVER, estimand=f"icc_{of}_{name.replace('-', '_')}", outcome=about, definition=what,
        primary=what == RATINGS and name != "consistency" and of == "single", estimate=interval.estimate, ci_low=interval.ci_low,
        ci_high=interval.ci_high, ci_level=ci_level, n=float(icc.n_targets), n_clusters=float(icc.n_clusters), unit="reliability",
        direction="higher is better", method=ICC_METHOD.format(form=FORMS[name], of="1" if of == "single" else "k"),
        note="; ".join(filter(None, notes)),
    )  # fmt: skip


def _kappa(part: pd.DataFrame, about: str, ci_level: float) -> Iterator[Estimate]:
    try:
        found = _of_coders(part, ci_level)
    except StatisticsError as error:
        yield not_assessable(PRESENCE, outcome=about, reason=str(error), analysis=OBSERVER)
        return
    note = f"{found.n_targets} segments coded by two coders or more; seen in {100 * found.share:.1f} % of codings"
    agreed = found.agreement
    shared: dict[str, Any] = {"analysis": OBSERVER, "outcome": about, "definition": PRESENCE}
    plain = Interval(agreed.estimate, agreed.std_error, agreed.ci_low, agreed.ci_high, agreed.note)
    for estimand, value, unit, how in (("agreement", plain, "proportion", SHARE), ("pabak", found.pabak, "kappa", PABAK)):
        yield Estimate(
            **shared, estimand=estimand, primary=False, estimate=value.estimate, std_error=value.std_error, ci_low=value.ci_low,
            ci_high=value.ci_high, ci_level=ci_level, n=float(agreed.n), n_clusters=agreed.n_clusters, unit=unit,
            direction="higher is better", method=how, note="; ".join(filter(None, [note, value.note])),
        )  # fmt: skip
    if found.kappa is None:
        yield not_assessable(PRESENCE, outcome=about, reason=f"kappa: {found.note}", analysis=OBSERVER)
        return
    kappa = found.kappa
    whole = "" if kappa.std_error > 0 else "the interval has no length because the coders agree in everything"
    yield Estimate(
        **shared, estimand="kappa", estimate=kappa.estimate, std_error=kappa.std_error, ci_low=kappa.ci_low, ci_high=kappa.ci_high,
        ci_level=ci_level, n=float(kappa.n), n_clusters=kappa.n_clusters, unit="kappa",
        direction="higher is better", method=kappa.method,
        note="; ".join(filter(None, [note, found.note, kappa.note, whole])),
    )  # fmt: skip


def _of_coders(part: pd.DataFrame, ci_level: float = CI_LEVEL) -> CoderKappa:
    by = ([*SESSION, "segment"], ["coder"], ["person_id"])
    return coder_kappa((part["value"] > 0).to_numpy(), *(numbered(part, b) for b in by), ci_level=ci_level)


def code_table(codings: pd.DataFrame, system: CodingSystem) -> pd.DataFrame:
    """Return a row a code and channel: in how many sessions it was seen, how much it weighed, and how far coders agree on it."""
    rows = []
    counts, weights = codings[codings["kind"] == COUNT], codings[codings["kind"] == SIGNIFICANCE]
    looked = counted(codings)
    for about in sorted(looked["about"].unique()):
        # All that coders looked at for this family; a code that they did not write down there was not seen.
        places = looked[looked["about"] == about].drop(columns="value").reset_index(drop=True)
        numbers = [numbered(places, by) for by in ([*SESSION, "segment"], ["coder"], ["person_id"])]
        session = numbered(places, SESSION)
        own = counts[counts["about"] == about].merge(places.reset_index(names="place"), on=[*SESSION, "coder", "about", "segment"])
        for code in sorted(own["code"].unique(), key=list(system.codes).index):
            part = own[own["code"] == code]
            seen = np.zeros(len(places), dtype=bool)
            seen[part.loc[part["value"] > 0, "place"]] = True
            weight = weights.loc[(weights["code"] == f"{code}{SUFFIX}") & (weights["about"] == about), "value"].mean()
            rows.append(
                {"code": code, "about": about, "title": system.codes[code].title} | _code_row(seen, session, numbers, weight)
            )
    return pd.DataFrame(rows, columns=list(CODES))


def _code_row(seen: Flags, session: Codes, numbers: list[Codes], weight: float) -> dict[str, object]:
    n, found = len(np.unique(session)), len(np.unique(session[seen]))
    row = {"n_sessions": n, "n_seen": found, "share": found / n, "mean_significance": weight}
    try:
        agreed = coder_kappa(seen, *numbers)
    except StatisticsError as error:
        return row | {"n_targets": 0, "agreement": np.nan, "kappa": np.nan, "note": str(error)}
    return row | {
        "n_targets": agreed.n_targets, "agreement": agreed.agreement.estimate, "kappa": agreed.value, "note": agreed.note
    }  # fmt: skip


def coded_twice(codings: pd.DataFrame) -> tuple[int, int]:
    """Return how many sessions were coded, and how many of them by two coders or more."""
    coders = codings[codings["kind"].isin([COUNT, RATING])].groupby(SESSION, dropna=False)["coder"].nunique()
    return len(coders), int((coders > 1).sum())
