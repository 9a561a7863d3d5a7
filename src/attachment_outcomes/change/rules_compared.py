"""How much does what a study says of change hang on the rule it chose, and how large must a change be to matter?

Vocabulary
----------
rules compared     every rule of reliable change that the study's numbers allow, the percentage of improvement beside them
primary            the first definition of an outcome: its reliability, SD and cutoff are what all rules are given
anchor             another score that says who improved, named in the study's configuration
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from attachment_outcomes.change.inputs import ChangeData, Outcome
from attachment_outcomes.change.percentage import percentage_change
from attachment_outcomes.errors import ConvergenceWarning, DataError, StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.individual_change.agreement import (
    rule_agreement,
    rule_codes,
    rule_patterns,
    sensitivity_to_mid,
    sensitivity_to_reliability,
)
from attachment_outcomes.inference.individual_change.bootstrap import (
    CUTOFFS,
    REPLICATES,
    Population,
    bootstrap_change,
    usable_pair_methods,
)
from attachment_outcomes.inference.individual_change.definitions import Definition, estimate_direction, resolve_all
from attachment_outcomes.inference.individual_change.methods import CATEGORIES, METHODS, Setting
from attachment_outcomes.inference.individual_change.minimal_change import (
    ROC_QUANTITIES,
    anchor_roc,
    bootstrap_mids,
    distribution_mids,
    mean_change_mid,
    toward_better,
)
from attachment_outcomes.inference.individual_change.reliable import usable_methods
from attachment_outcomes.inference.individual_change.significance import Cutoff
from attachment_outcomes.inference.individual_change.slopes import person_slopes, slopes_for
from attachment_outcomes.inference.steps import Part, stacked, typed_table

ANALYSIS, MINIMAL = "rule_comparison", "minimal_change"
PERCENTAGE, RESPONSE = "50 %", 0.5  # half of the score before is the usual definition of response
SLOPES = "slopes"
RELIABILITIES = (0.60, 0.98)
RELIABILITY_STEP = 0.02
MID_SDS = np.arange(0.1, 1.51, 0.05)  # least changes that are tried, in SDs before treatment
TABLES: dict[str, dict[str, str]] = {
    "rule_agreement": {
        "outcome": "str", "rule_a": "str", "rule_b": "str", "kappa": "float64", "ci_low": "float64", "ci_high": "float64",
        "kappa_linear": "float64", "agreement": "float64", "n": "int64",
    },
    "rule_patterns": {"outcome": "str", "direction": "str", "pattern": "str", "n": "int64"},
    "rule_sensitivity": {
        "outcome": "str", "parameter": "str", "rule": "str", "value": "float64", "estimand": "str", "share": "float64",
        "ci_low": "float64", "ci_high": "float64", "expected_without_change": "float64", "in_use": "bool", "n": "int64",
    },
}  # fmt: skip
UNITS = {"auc": "area", "anchor_correlation": "r", "sensitivity": "proportion", "specificity": "proportion"}


def analyse(data: ChangeData) -> Part:
    """Compare the rules for every outcome, and find its minimal important differences.

    Settings: ``rules_compared`` (``replicates``, ``reliabilities``) and ``minimal_change`` (``replicates``, ``anchors``), each
    with defaults. Tables ``rule_agreement`` (a row a pair of rules), ``rule_patterns`` (which rules call people improved or
    deteriorated, rare sets pooled) and ``rule_sensitivity`` (shares over reliability and least change that counts); none is by
    person. Estimates, analysis ``rule_comparison``: cutoffs, thresholds and shares by every rule with bootstrap intervals, and
    the lowest and the median kappa; analysis ``minimal_change``: MIDs by distribution and by anchor. All cutoffs and shares of
    a study's own definitions with plain intervals are those of analysis ``reliable_change``.
    """
    rows: list[Estimate] = []
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for position, outcome in enumerate(data.outcomes):
        score = str(outcome["score"])
        try:
            found = data.pairs(outcome)
        except DataError as error:
            rows += [not_testable(a, str(error), outcome=score) for a in (ANALYSIS, MINIMAL)]
            continue
        estimates, tables = _outcome(data, outcome, found, first=position == 0)
        rows += estimates
        for name, table in tables.items():
            parts[name].append(table.assign(outcome=score))
    return Part(rows, {name: stacked(parts[name], columns) for name, columns in TABLES.items()})


def _outcome(
    data: ChangeData, outcome: Outcome, found: pd.DataFrame, *, first: bool
) -> tuple[list[Estimate], dict[str, pd.DataFrame]]:
    score, scale = str(outcome["score"]), data.scale(outcome)
    x1, x2 = (found[c].to_numpy(dtype=float, na_value=np.nan) for c in ("pre", "post"))
    both = ~(np.isnan(x1) | np.isnan(x2))
    if both.sum() < 2:
        reason = f"{int(both.sum())} people have this score at baseline and at the end; at least two are needed"
        return [not_testable(a, reason, outcome=score) for a in (ANALYSIS, MINIMAL)], {}
    people = found[both].reset_index(drop=True)
    x1, x2 = x1[both], x2[both]
    given = list(outcome.get("definitions") or [{}])
    ready, refused = resolve_all(given, scale, x1, x2, score=score)
    if not ready or np.isnan(ready[0].setting.reliability):
        reason = refused[0][1] if refused else "no reliability: neither the study nor the instrument gives one"
        return [not_testable(a, reason, outcome=score) for a in (ANALYSIS, MINIMAL)], {}
    primary = ready[0]
    entry = next(g for g in given if g.get("name", primary.name) == primary.name)
    setting = _enriched(primary.setting, ready, scale)
    labels = data.therapists_of(people["person_id"])
    rows: list[Estimate] = []
    codes, names, silent = _codes(data, outcome, people, setting, scale, primary.higher_is_better)
    rows += [not_testable(ANALYSIS, f"{score}: {reason}", outcome=score) for reason in silent]
    tables = {
        "rule_agreement": _agreement(codes, names, labels, data.ci_level),
        "rule_patterns": _patterns(codes, names),
        "rule_sensitivity": _sensitivity(data, x1, x2, setting, primary, labels),
    }
    rows += _kappas(tables["rule_agreement"], score, first, data.ci_level)
    rows += _bootstrap(data, score, x1, x2, setting, primary, _norms(entry, scale, primary), labels, first)
    rows += _minimal(data, outcome, people, setting, labels, first)
    return rows, tables


def _enriched(setting: Setting, ready: Sequence[Definition], scale: Mapping[str, Any]) -> Setting:
    """Return the primary definition's setting with what the other definitions and the instrument bring for further rules."""
    more: dict[str, Any] = {}
    for name in (f.name for f in fields(setting)):
        if getattr(setting, name) is None:
            known = (getattr(d.setting, name) for d in ready[1:])
            more[name] = next((value for value in known if value is not None), None)
    published = next(iter(scale.get("reliable_change", [])), None)
    if more.get("criterion", setting.criterion) is None and published is not None:
        more["criterion"] = float(published["value"])
    return replace(setting, **more)


def _codes(
    data: ChangeData, outcome: Outcome, people: pd.DataFrame, setting: Setting, scale: Mapping[str, Any], higher: bool
) -> tuple[NDArray[np.int8], list[str], list[str]]:
    """Return everybody's category by every rule, the rules, and in words those that say nothing here."""
    silent = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # a model that fails gives nobody a slope, which is told
            slopes = slopes_for(people["person_id"], person_slopes(data.timed(outcome).rows))
        setting = replace(setting, slopes=slopes)
    except (StatisticsError, DataError) as error:
        silent.append(f"rules of a person's own slope: {error}")
    x1, x2 = (people[c].to_numpy(dtype=float) for c in ("pre", "post"))
    names = usable_methods("all", setting)
    codes = rule_codes(x1, x2, setting=setting, names=names, higher_is_better=higher)
    lowest = scale.get("range", [None])[0]
    if not higher and lowest is not None:  # a percentage of the way to the best score, which is the lowest
        try:
            share = percentage_change(x1, x2, share=RESPONSE, minimum=float(lowest), higher_is_better=higher)
        except StatisticsError as error:
            silent.append(str(error))
        else:
            codes = np.column_stack([codes, share["category"].cat.codes.to_numpy(dtype=np.int8)])
            names = [*names, PERCENTAGE]
    says = [bool((codes[:, k] >= 0).any()) for k in range(len(names))]
    silent += [f"{name} gives nobody a category" for name, some in zip(names, says, strict=True) if not some]
    return codes[:, says], [name for name, some in zip(names, says, strict=True) if some], silent


def _agreement(codes: NDArray[np.int8], names: list[str], labels: pd.Series | None, ci_level: float) -> pd.DataFrame:
    plain = rule_agreement(codes, names, clusters=labels, ci_level=ci_level)
    return plain.assign(kappa_linear=rule_agreement(codes, names, weights="linear", ci_level=ci_level)["kappa"])


def _patterns(codes: NDArray[np.int8], names: list[str]) -> pd.DataFrame:
    wanted = {name: CATEGORIES.index(name) for name in ("improved", "deteriorated")}
    return pd.concat([rule_patterns(codes, names, called=k).assign(direction=d) for d, k in wanted.items()], ignore_index=True)


def _sensitivity(
    data: ChangeData, x1: NDArray[np.float64], x2: NDArray[np.float64], setting: Setting, primary: Definition,
    labels: pd.Series | None,
) -> pd.DataFrame:  # fmt: skip
    low, high = data.settings.get("rules_compared", {}).get("reliabilities", RELIABILITIES)
    grid = [float(v) for v in np.round(np.arange(low, high + 1e-9, RELIABILITY_STEP), 6)]
    rests = "reliability" in METHODS[primary.method].needs and "slopes" not in METHODS[primary.method].needs
    rule = primary.method if rests else "JT"
    shared: dict[str, Any] = {
        "setting": setting, "higher_is_better": primary.higher_is_better, "cutoff": primary.cutoff, "clusters": labels,
        "ci_level": data.ci_level,
    }  # fmt: skip
    in_use = setting.mid if setting.mid is not None else setting.criterion
    return pd.concat(
        [
            sensitivity_to_reliability(x1, x2, method=rule, values=grid, **shared).assign(rule=rule),
            sensitivity_to_mid(x1, x2, values=(MID_SDS * setting.sd).tolist(), in_use=in_use, **shared).assign(rule="MID"),
        ],
        ignore_index=True,
    )


def _kappas(table: pd.DataFrame, score: str, first: bool, ci_level: float) -> list[Estimate]:
    known = table[table["kappa"].notna()]
    if known.empty:
        return [not_testable(ANALYSIS, f"{score}: no two rules whose agreement is defined", outcome=score)]
    low: dict[Any, Any] = known.sort_values("kappa", kind="stable").iloc[0].to_dict()
    shared: dict[str, Any] = {
        "analysis": ANALYSIS, "outcome": score, "primary": first, "ci_level": ci_level, "n": float(known["n"].max()),
        "unit": "kappa", "direction": "higher is better", "method": "Cohen's kappa of every pair of rules",
    }  # fmt: skip
    told = f"{len(known)} pairs of rules: improved, unchanged, deteriorated"
    return [
        Estimate(
            estimand="lowest_kappa", estimate=float(low["kappa"]), ci_low=float(low["ci_low"]), ci_high=float(low["ci_high"]),
            group=f"{low['rule_a']} and {low['rule_b']}", note=told, **shared,
        ),
        Estimate(estimand="median_kappa", estimate=float(known["kappa"].median()), note=told, **shared),
    ]  # fmt: skip


def _norms(entry: Mapping[str, Any], scale: Mapping[str, Any], primary: Definition) -> dict[str, Population | None]:
    """Return the norms that the primary definition's cutoffs rest on, with their samples' sizes where these are known."""

    def one(population: str) -> Population | None:
        published = [n for n in scale.get("norms", []) if n["population"] == population]
        found = entry.get(population) or next(iter(published), None)
        if found is None:
            return None
        size = found.get("n")
        return Population(mean=float(found["mean"]), sd=float(found["sd"]), n=None if size is None else int(size))

    own = entry.get("clinical") is not None or entry.get("sd", "sample") == "reference"
    return {"functional": one("functional"), "clinical": one("clinical") if own else None}


def _bootstrap(
    data: ChangeData, score: str, x1: NDArray[np.float64], x2: NDArray[np.float64], setting: Setting, primary: Definition,
    norms: dict[str, Population | None], labels: pd.Series | None, first: bool,
) -> list[Estimate]:  # fmt: skip
    one = primary.cutoff if isinstance(primary.cutoff, Cutoff) else None
    kind = "" if one is None else one.kind
    cutoff: str | Cutoff | None = kind if kind in CUTOFFS else one
    replicates = int(data.settings.get("rules_compared", {}).get("replicates", REPLICATES))
    names = usable_pair_methods(setting)
    shared: dict[str, Any] = {
        "setting": setting, "higher_is_better": primary.higher_is_better, "clusters": labels, "replicates": replicates,
        "ci_level": data.ci_level, "methods": names, **norms,
    }  # fmt: skip
    try:
        found = bootstrap_change(x1, x2, rng=data.rng(ANALYSIS, score), cutoff=cutoff, **shared)
    except StatisticsError as error:
        return [not_testable(ANALYSIS, f"{score}: bootstrap: {error}", outcome=score)]
    how = "bootstrap of therapists, percentile" if labels is not None else "bootstrap of people, percentile"
    drawn = [f"norm of {n.n} people drawn too" for n in norms.values() if n and n.n]
    rows = []
    for row in found.table.to_dict("records"):
        estimand, method, category = (str(row[c]) for c in ("estimand", "method", "category"))
        # Sums of shares would give away a share that must be hidden; they are told by analysis reliable_change.
        if np.isnan(row["estimate"]) or estimand not in ("cutoff", "reliable_change_threshold", "share"):
            continue
        is_cutoff, is_share = estimand == "cutoff", estimand == "share"
        notes = [str(row["note"]), *(drawn if is_cutoff else [])]
        if not is_share:
            notes.append("reliability taken as known")
        rows.append(
            Estimate(
                analysis=ANALYSIS, estimand=f"cutoff_{category}" if is_cutoff else estimand, outcome=score,
                group="" if is_cutoff else category, definition="" if is_cutoff else method,
                primary=first and (category == kind if is_cutoff else method == primary.method), estimate=float(row["estimate"]),
                std_error=float(row["std_error"]), ci_low=float(row["ci_low"]), ci_high=float(row["ci_high"]),
                ci_level=data.ci_level, n=found.n, n_clusters=found.n_clusters, unit="proportion" if is_share else "score points",
                method=how, note="; ".join(n for n in notes if n),
            )
        )  # fmt: skip
    return rows


def _minimal(
    data: ChangeData, outcome: Outcome, people: pd.DataFrame, setting: Setting, labels: pd.Series | None, first: bool
) -> list[Estimate]:
    score = str(outcome["score"])
    asked = data.settings.get("minimal_change", {})
    replicates = int(asked.get("replicates", REPLICATES))
    shared: dict[str, Any] = {"analysis": MINIMAL, "outcome": score, "ci_level": data.ci_level}
    rows = []
    try:
        found = distribution_mids(
            people["pre"], reliability=setting.reliability, clusters=labels, replicates=replicates, ci_level=data.ci_level,
            rng=data.rng(MINIMAL, score), alpha=setting.alpha,
        )  # fmt: skip
    except StatisticsError as error:
        rows.append(not_testable(MINIMAL, f"{score}: by distribution: {error}", outcome=score))
    else:
        rows += [
            Estimate(
                estimand=str(row["quantity"]), estimate=row["estimate"], std_error=row["std_error"], ci_low=row["ci_low"],
                ci_high=row["ci_high"], n=row["n"], n_clusters=row["n_clusters"], unit="score points", definition="distribution",
                primary=False, method="SD before treatment, bootstrap, percentile",
                note="; ".join(t for t in ("what could be measured, not what matters", row["note"]) if t), **shared,
            )
            for row in found.to_dict("records")
        ]  # fmt: skip
    anchors = [a for a in asked.get("anchors", []) if not (a["score"] == score and a.get("of", "change") == "change")]
    if not anchors:
        reason = f"{score}: by anchor: no anchor but the score itself" if asked.get("anchors") else (
            f"{score}: by anchor: none is named under change.minimal_change.anchors"
        )  # fmt: skip
        rows.append(not_testable(MINIMAL, reason, outcome=score))
    for number, anchor in enumerate(anchors):
        rows += _anchored(data, outcome, people, anchor, labels, replicates, shared, primary=first and number == 0)
    return rows


def anchor_values(data: ChangeData, anchor: Mapping[str, Any], people: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Return each person's anchor (towards better), whether it says improved, and whether only a little.

    ``anchor``: ``score``, ``rater``, ``of`` (``change``: its own change towards better; ``end``: its value at the end, such as a
    rating of change), ``improved`` (from where on, in its points) and ``a_little`` (lowest and highest value, both included).
    """
    scale = data.scale(anchor)
    sign = -1.0 if scale["direction"] == "higher is worse" else 1.0
    found = data.pairs(anchor).set_index("person_id").reindex(pd.Index(people))
    of_change = anchor.get("of", "change") == "change"
    value = sign * (found["post"] - found["pre"]) if of_change else sign * found["post"]
    value = value.astype("Float64")
    points = 1.0 if of_change else sign
    improved = value >= points * float(anchor["improved"])
    little = pd.Series(pd.NA, index=value.index, dtype="boolean")
    if anchor.get("a_little") is not None:
        low, high = sorted(points * float(v) for v in anchor["a_little"])
        little = (value >= low) & (value <= high)
    return value, improved.mask(value.isna()), little.mask(value.isna())


def anchor_title(anchor: Mapping[str, Any]) -> str:
    """Return an anchor in words."""
    what = "changed towards better by" if anchor.get("of", "change") == "change" else "at the end"
    return f"{anchor['score']} {what} {anchor['improved']:g} or beyond"


def _anchored(
    data: ChangeData, outcome: Outcome, people: pd.DataFrame, anchor: Mapping[str, Any], labels: pd.Series | None,
    replicates: int, shared: dict[str, Any], *, primary: bool,
) -> list[Estimate]:  # fmt: skip
    score, title = str(outcome["score"]), anchor_title(anchor)
    higher = estimate_direction(data.scale(outcome)) == "higher is better"
    change = toward_better(people["pre"], people["post"], higher_is_better=higher)
    told, known = {**shared, "definition": title}, anchor.get("reliability")
    try:
        value, improved, little = anchor_values(data, anchor, people["person_id"])
        found = anchor_roc(change, improved.array, anchor=value.array, anchor_reliability=known, ci_level=data.ci_level)
        drawn = bootstrap_mids(change, improved.array, rng=data.rng(MINIMAL, score, title), clusters=labels, replicates=replicates,
            anchor_reliability=known,
        )  # fmt: skip
    except (StatisticsError, DataError) as error:
        return [replace(not_testable(MINIMAL, f"{score}, {title}: {error}", outcome=score), definition=title)]
    worth = f"anchor {'eligible' if found.eligible else 'not eligible'}: AUC {found.auc:.2f}, correlation {found.correlation:.2f}"
    share = f"{100 * found.share:.0f} % improved by the anchor"
    rows = []
    best = ROC_QUANTITIES[-1] if known is not None else ROC_QUANTITIES[-2]
    for which, name in enumerate(ROC_QUANTITIES[: ROC_QUANTITIES.index(best) + 1]):
        try:
            row = drawn.interval(which, method="percentile", ci_level=data.ci_level)
        except StatisticsError as error:
            rows.append(
                replace(not_testable(MINIMAL, f"{score}, {title}, {name}: {error}", outcome=score), definition=title, group=name)
            )
            continue
        note = "; ".join(t for t in (worth, share, found.note if name == "roc_youden" else "", row.note) if t)
        rows.append(
            Estimate(
                estimand=name, estimate=row.estimate, std_error=row.std_error, ci_low=row.ci_low, ci_high=row.ci_high, n=found.n,
                n_clusters=row.n_clusters, unit="score points", method=f"anchor; {row.method}", note=note,
                primary=primary and name == best, **told,
            )
        )  # fmt: skip
    rows.append(
        Estimate(
            estimand="auc", estimate=found.auc, std_error=found.auc_error, ci_low=found.auc_low, ci_high=found.auc_high, n=found.n,
            unit=UNITS["auc"], method="DeLong", note=f"{worth}; people taken as independent", primary=False, **told,
        )
    )  # fmt: skip
    rows.append(
        Estimate(
            estimand="anchor_correlation", estimate=found.correlation, n=found.n, unit=UNITS["anchor_correlation"],
            method="Spearman", note=worth, primary=False, **told,
        )
    )  # fmt: skip
    for name, n in (("sensitivity", found.n_improved), ("specificity", found.n - found.n_improved)):
        rows.append(
            Estimate(
                estimand=name, estimate=getattr(found, name), n=n, unit=UNITS[name], method="at Youden's point",
                note="of those improved by the anchor" if name == "sensitivity" else "of those not improved by the anchor",
                primary=False, **told,
            )
        )  # fmt: skip
    try:
        mean = mean_change_mid(change, little.array, clusters=labels, ci_level=data.ci_level)
    except StatisticsError as error:
        rows.append(replace(not_testable(MINIMAL, f"{score}, {title}: {error}", outcome=score), definition=title, group="mean"))
        return rows
    rows.append(
        Estimate(
            estimand="anchor_mean_change", estimate=mean.estimate, std_error=mean.std_error, ci_low=mean.ci_low,
            ci_high=mean.ci_high, n=mean.n, n_clusters=mean.n_clusters, unit="score points", method=mean.method,
            note="; ".join(t for t in (worth, mean.note) if t), primary=False, **told,
        )
    )  # fmt: skip
    return rows


def no_tables() -> dict[str, pd.DataFrame]:
    """Return every table without rows."""
    return {name: typed_table([], columns) for name, columns in TABLES.items()}
