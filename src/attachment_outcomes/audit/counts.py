"""Rates of services that publish counts instead of people, and a check of them against the published percentages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from attachment_outcomes.errors import DataError, did_you_mean
from attachment_outcomes.flow import Flow

# rate: (measure of the events, whether those not at caseness at the start leave the denominator)
RATES = {
    "recovery": ("recovered", True),
    "reliable_recovery": ("reliably_recovered", True),
    "reliable_improvement": ("reliably_improved", False),
    "reliable_deterioration": ("reliably_deteriorated", False),
}
COLUMNS = ["sample_id", "label", "system", "rate", "events", "n", "proportion", "published", "difference"]


def count_rates(samples: pd.DataFrame, *, counts: Mapping[str, Any], flow: Flow | None = None) -> pd.DataFrame:
    r"""Rates from a service's published counts.

    .. math:: recovery = recovered / (finished - not\ at\ caseness)

    and the same denominator for reliable recovery; reliable improvement and deterioration are shares of all courses
    finished. The count published as "at caseness" is another number, which does not reproduce the published percentages.

    Parameters
    ----------
    samples : pd.DataFrame
        The canonical table samples: a row a provider, period (``system``) and measure.
    counts : mapping
        Names of the measures: ``finished, not_at_caseness, recovered`` and, if there, ``reliably_recovered,
        reliably_improved, reliably_deteriorated``; ``published``: rate to the measure with the published percentage.
    flow : Flow, optional
        Takes the providers whose counts were not published.

    Returns
    -------
    pd.DataFrame
        Columns ``COLUMNS``, a row a sample, period and rate that can be computed. ``published`` is a proportion;
        ``difference`` is computed minus published (proportion).

    Raises
    ------
    DataError
        If a named measure is not in the table, or events exceed their denominator.

    References
    ----------
    .. [1] NHS England, NHS Talking Therapies annual reports: definitions of recovery, reliable recovery and reliable
       improvement.
    """
    names = [str(v) for k, v in counts.items() if k not in ("published", "system", "national")]
    names += [str(v) for v in counts.get("published", {}).values()]
    there = samples["measure"].dropna().unique()
    for name in names:
        if name not in there:
            raise DataError(
                f"samples.measure: no measure {name!r}, which audit.counts names; there are "
                f"{', '.join(sorted(there)) or 'none'}.{did_you_mean(name, there)}"
            )
    used = samples[samples["measure"].isin(names)]
    doubled = int(used.duplicated(["sample_id", "system", "measure"]).sum())
    if doubled:
        raise DataError(
            f"samples: {doubled} counts of audit.counts occur twice for one sample and period. Hint: map the period to system."
        )
    wide = used.pivot(index=["sample_id", "system"], columns="measure", values="value")
    labels = samples.dropna(subset=["label"]).drop_duplicates(["sample_id", "system"]).set_index(["sample_id", "system"])["label"]
    finished, not_at_caseness = wide[counts["finished"]], wide[counts["not_at_caseness"]]
    parts = []
    for rate, (events, cases_only) in RATES.items():
        if events not in counts:
            continue
        part = pd.DataFrame({"events": wide[counts[events]], "n": finished - not_at_caseness if cases_only else finished})
        part["rate"] = rate
        measure = counts.get("published", {}).get(rate)
        part["published"] = wide[measure] / 100 if measure else float("nan")
        known = part[part["events"].notna() & part["n"].notna() & (part["n"] > 0)]
        if flow is not None:
            flow.add(
                f"audit: {rate.replace('_', ' ')} from counts",
                len(part),
                len(known),
                "counts suppressed or not published",
                unit="samples",
            )
        if (known["events"] > known["n"]).any():
            raise DataError(f"samples: {int((known['events'] > known['n']).sum())} samples have more events than cases for {rate}")
        parts.append(known)
    table = pd.concat(parts).reset_index()
    table["label"] = labels.reindex(pd.MultiIndex.from_frame(table[["sample_id", "system"]])).to_numpy()
    table["label"] = table["label"].fillna(table["sample_id"])
    table["proportion"] = table["events"] / table["n"]
    table["difference"] = table["proportion"] - table["published"]
    return table.sort_values(["system", "rate", "sample_id"], kind="stable")[COLUMNS].reset_index(drop=True)
