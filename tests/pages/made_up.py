"""Made-up tables in the columns of the analyses, small enough to check by eye, for the tests of what people look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.audit.funnel import funnel_table
from attachment_outcomes.inference.estimate import Estimate, estimates_frame, read_estimates, tidy_estimates

RNG = 20261121
FOLDERS = tuple(Path(__file__).parent / topic for topic in ("change", "rupture", "transmission"))
CATEGORIES = ["recovered", "improved", "unchanged", "deteriorated", "harmed"]
STYLES = ["secure", "preoccupied", "dismissing", "fearful"]

SETTINGS: dict[str, Any] = {
    "name": "made_up",
    "title": "A made-up study",
    "threshold": 5,
    "ci_level": 0.95,
    "measures": {"styles": [{"anxiety": "ecr_r.anxiety", "avoidance": "ecr_r.avoidance", "rule": "midpoint"}]},
    "change": {
        "occasions": "wave",
        "sudden_gains": {"series": "symptoms"},
        "outcomes": [{"score": "core10.total"}, {"score": "ecr_r.anxiety"}],
    },
    "rupture": {"alliance": "wai_sr.total", "outcome": "core10.total", "symptoms": "symptoms"},
    "transmission": {"samples": {"pool": "secure/insecure"}},
    "audit": {"outcome": "core10.total"},
    "scales": {
        "core10.total": {"title": "Total", "instrument": "CORE-10", "direction": "higher is worse", "range": [0, 40]},
        "ecr_r.anxiety": {"title": "Attachment anxiety", "instrument": "ECR-R", "direction": "higher is worse", "range": [1, 7]},
        "ecr_r.avoidance": {
            "title": "Attachment avoidance",
            "instrument": "ECR-R",
            "direction": "higher is worse",
            "range": [1, 7],
        },
        "wai_sr.total": {"title": "Total", "instrument": "WAI-SR", "direction": "higher is better", "range": [1, 5]},
    },
}


def row(analysis: str, estimand: str, value: float, half: float = float("nan"), **more: Any) -> Estimate:
    """Return an estimate with a symmetric interval."""
    fixed = {"method": "made up", "unit": "proportion", "n": 120.0, "n_clusters": 12.0}
    low, high = (value - half, value + half) if half == half else (float("nan"), float("nan"))
    return Estimate(
        **{"analysis": analysis, "estimand": estimand, "estimate": value, "ci_low": low, "ci_high": high, **fixed, **more}
    )


def estimates() -> pd.DataFrame:
    """Return one row of everything that figures and tables look up."""
    rows = []
    for outcome, cutoff, change in (("core10.total", 11.0, 6.0), ("ecr_r.anxiety", 4.0, 1.1)):
        for definition, primary, shares in (
            ("JT c", True, [0.35, 0.15, 0.37, 0.08, 0.05]),
            ("published criterion", False, [0.30, 0.20, 0.42, 0.08, 0.0]),
        ):
            keys: dict[str, Any] = {"outcome": outcome, "definition": definition, "primary": primary}
            rows += [row("reliable_change", "share", s, 0.04, group=c, **keys) for c, s in zip(CATEGORIES, shares, strict=True)]
            rows.append(row("reliable_change", "crossed_without_reliable_change", 0.05, 0.03, **keys))
            rows.append(row("reliable_change", "cutoff_c", cutoff, unit="score points", **keys))
            rows.append(row("reliable_change", "reliable_change_threshold", change, unit="score points", **keys))
            rows.append(row("reliable_change", "mean_change", -5.2, 1.1, unit="score points", direction="lower is better", **keys))
        rows.append(row("growth", "slope", -0.12, 0.03, outcome=outcome, unit="points per week", direction="lower is better"))
        rows.append(row("growth", "change_to_end", -5.1, 1.2, outcome=outcome, unit="score points", direction="lower is better"))
    rows += [
        row("transition", e, v, 0.1, outcome="ecr_r midpoint")
        for e, v in (("stays_secure", 0.8), ("becomes_secure", 0.34), ("agreement", 0.6))
    ]
    rows.append(row("transition", "kappa", 0.41, 0.12, outcome="ecr_r midpoint", unit="kappa"))
    for i, criterion in enumerate(("control_chart", "within_person_drop", "strauss_2006")):
        rows.append(row("rupture_prevalence", "share_with_rupture", 0.3 + 0.2 * i, 0.08, definition=criterion, primary=i == 0))
        rows.append(row("rupture_prevalence", "expected_on_noise", 0.1 + 0.15 * i, definition=criterion, primary=i == 0))
        for estimand, value in (("repaired_minus_none", -1.2), ("unrepaired_minus_none", 2.4), ("repaired_minus_unrepaired", -3.6)):
            rows.append(
                row(
                    "rupture_outcome",
                    estimand,
                    value,
                    1.6,
                    definition=criterion,
                    primary=i == 0,
                    unit="score points",
                    outcome="core10.total",
                    p_value=0.012,
                    direction="lower is better",
                )
            )
    for e, v, unit in (("agreement", 0.63, "proportion"), ("chance_agreement", 0.36, "proportion"), ("kappa", 0.42, "kappa")):
        rows.append(row("concordance", e, v, 0.05, outcome="AAI-SSP", definition="4-way", unit=unit))
    rows += [
        row(
            "transmission_correlation",
            "correlation",
            0.2 + 0.1 * i,
            0.12,
            group=g,
            outcome="ecr_r.anxiety and ecr_r.anxiety",
            unit="r",
            definition="self",
        )
        for i, g in enumerate(("mother-child", "father-child"))
    ]
    rows.append(row("couple_correlation", "correlation", 0.28, 0.15, outcome="ecr_r.avoidance", unit="r"))
    rows += [
        row("reliability", "cronbach_alpha", v, 0.03, outcome=o, unit="alpha")
        for o, v in (("core10.total", 0.86), ("ecr_r.anxiety", 0.92), ("ecr_r.avoidance", 0.91), ("wai_sr.total", 0.9))
    ]
    rows.append(row("audit", "recovery", 0.48, 0.06, outcome="core10.total", definition="JT c", direction="higher is better"))
    rows.append(row("audit", "completeness", 0.82, 0.04, outcome="core10.total", definition="both occasions"))
    rows.append(
        row(
            "audit",
            "recovery",
            0.5,
            definition="benchmark",
            group="A national target",
            primary=False,
            note="not verified against its source",
            n=float("nan"),
            n_clusters=float("nan"),
        )
    )
    for rate, phi, tau2 in (("recovery", 3.2, 0.004), ("dropout", 0.8, 0.0)):
        rows.append(
            row("audit", "overdispersion_phi", phi, group=rate, definition="by therapist", primary=False, unit="variance ratio")
        )
        rows.append(
            row(
                "audit", "between_unit_variance", tau2, group=rate, definition="by therapist", primary=False, unit="squared radians"
            )
        )
    return estimates_frame(rows, study="made_up")


def people_change() -> pd.DataFrame:
    rng = np.random.default_rng(RNG)
    parts = []
    for outcome, mean, spread, cut, least in (("core10.total", 20.0, 6.0, 11.0, 6.0), ("ecr_r.anxiety", 4.4, 1.0, 4.0, 1.1)):
        pre = rng.normal(mean, spread, 120).round(1)
        post = (pre - rng.normal(spread * 0.8, spread, 120)).round(1)
        change = post - pre
        better, worse = change < -least, change > least
        category = np.select(
            [better & (pre > cut) & (post < cut), better, worse & (pre < cut) & (post > cut), worse],
            ["recovered", "improved", "harmed", "deteriorated"],
            "unchanged",
        )
        parts.append(
            pd.DataFrame(
                {
                    "person_id": [f"p{i:03d}" for i in range(120)],
                    "outcome": outcome,
                    "definition": "JT c",
                    "method": "JT",
                    "primary": True,
                    "pre": pre,
                    "post": post,
                    "change": change,
                    "statistic": change / least * 1.96,
                    "category": category,
                    "clinical_at_baseline": pre > cut,
                    "crossed": ~better & ~worse & (pre > cut) & (post < cut),
                }
            )
        )
    frame = pd.concat(parts, ignore_index=True)
    frame.loc[[3, 150], ["post", "category"]] = None
    return frame


def residuals() -> pd.DataFrame:
    counts = [[62, 29, 14, 11], [24, 210, 14, 39], [3, 9, 10, 6], [19, 26, 10, 62]]
    table = np.array(counts, dtype=float)
    expected = np.outer(table.sum(1), table.sum(0)) / table.sum()
    spread = np.sqrt(expected * np.outer(1 - table.sum(1) / table.sum(), 1 - table.sum(0) / table.sum()))
    lines = [
        ("AAI-SSP", "4-way", p, c, table[i, j], expected[i, j], (table[i, j] - expected[i, j]) / spread[i, j])
        for i, p in enumerate(("Ds", "F", "E", "U"))
        for j, c in enumerate("ABCD")
    ]
    return pd.DataFrame(lines, columns=["system", "way", "parent_class", "child_class", "n", "expected", "residual"])


def series() -> tuple[pd.DataFrame, pd.DataFrame]:
    score = [4.2, 4.3, 4.1, 4.4, 3.0, 3.1, 4.0, 4.3, None, 4.4, 4.5, 3.2, 2.9, 3.0]
    frame = pd.DataFrame(
        {
            "client": "c1",
            "treatment_id": "1",
            "session_number": range(1, 15),
            "score": score,
            "center": 3.9,
            "lower_limit": 3.3,
            "in_episode": [i in (5, 6, 12, 13, 14) for i in range(1, 15)],
            "criterion": "control_chart",
        }
    )
    calm = frame.assign(client="c0", score=4.0)
    episodes = pd.DataFrame(
        {
            "client": "c1",
            "treatment_id": "1",
            "criterion": "control_chart",
            "primary": True,
            "onset": [5, 12],
            "nadir": [5, 13],
            "recovered_at": [7.0, np.nan],
            "depth": [1.2, 1.6],
            "length": [2, 3],
            "duration": pd.array([2, 3], dtype="Int64"),
            "pattern": ["V", "open"],
            "outcome": ["repaired", "censored"],
        }
    )
    return pd.concat([calm, frame], ignore_index=True), episodes


def claims() -> pd.DataFrame:
    verdicts = ["supported", "contradicted", "inconclusive", "not testable"]
    rows = [
        {
            "claim": f"C{i:02d}",
            "verdict": verdicts[i % 4],
            "estimate": np.nan if i % 4 == 3 else 0.3 + i / 100,
            "ci_low": np.nan if i % 4 == 3 else 0.2,
            "ci_high": np.nan if i % 4 == 3 else 0.6,
            "rule": "95% interval above 0",
            "missing": "a couple satisfaction scale at two or more waves, with couple ids" if i % 4 == 3 else "",
            "note": "",
            "text": "The earned-secure look like the continuously secure on satisfaction, emotion regulation and parenting.",
            "n": 120.0,
            "n_clusters": 12.0,
            "unit": "proportion" if i % 2 else "score points",
            "method": "made up",
        }
        for i in range(1, 25)
    ]
    return pd.DataFrame(rows)


def funnel() -> pd.DataFrame:
    rng = np.random.default_rng(RNG)
    parts = []
    for rate, p in (("recovery", 0.48), ("dropout", 0.2)):
        n = rng.integers(3, 60, 24)
        units = pd.DataFrame(
            {"unit_id": [f"t{i:02d}" for i in range(24)], "label": [f"therapist {i + 1}" for i in range(24)], "n": n}
        )
        units["events"] = rng.binomial(n, np.clip(p + rng.normal(0, 0.12, 24), 0.02, 0.98))
        parts.append(funnel_table(units, unit="therapist", rate=rate)[0])
    return pd.concat(parts, ignore_index=True)


def completeness() -> pd.DataFrame:
    rows = [(i, f"wave {w}", 120, n) for i, m in (("core10", 118), ("ecr_r", 110)) for w, n in enumerate((m, m - 20, m - 45))]
    rows += [("wai_sr", f"session {s}", 120 - 3 * s, 116 - 3 * s - (s % 4) * 6) for s in range(1, 21)]
    frame = pd.DataFrame(rows, columns=["instrument", "occasion", "n_expected", "n_present"]).astype(
        {"n_expected": float, "n_present": float}
    )
    frame["proportion"] = frame["n_present"] / frame["n_expected"]
    frame.loc[2, ["n_present", "proportion"]] = np.nan
    return frame


def styles(n: int = 160) -> pd.DataFrame:
    rng = np.random.default_rng(RNG)
    anxiety, avoidance = rng.normal(3.9, 1.2, n).clip(1, 7), rng.normal(3.4, 1.1, n).clip(1, 7)
    style = np.select(
        [(anxiety < 4) & (avoidance < 4), (anxiety >= 4) & (avoidance < 4), (anxiety < 4)],
        ["secure", "preoccupied", "dismissing"],
        "fearful",
    )
    return pd.DataFrame(
        {
            "person_id": [f"p{i:04d}" for i in range(n)],
            "wave": 0,
            "session_number": None,
            "rater": "self",
            "name": "ecr_r midpoint",
            "primary": True,
            "anxiety": anxiety,
            "avoidance": avoidance,
            "style": style,
        }
    )


def transitions() -> pd.DataFrame:
    counts = [[30, 3, 4, 2], [14, 12, 1, 6], [9, 2, 11, 4], [8, 9, 6, 14]]
    lines = [("ecr_r midpoint", True, a, b, float(counts[i][j])) for i, a in enumerate(STYLES) for j, b in enumerate(STYLES)]
    moves = pd.DataFrame(lines, columns=["name", "primary", "from_class", "to_class", "n"])
    return moves.assign(share_without_change=[0.7 if a == b else 0.1 for a in STYLES for b in STYLES])


def growth() -> pd.DataFrame:
    rows = []
    for outcome, start, slope in (("core10.total", 20.0, -0.25), ("ecr_r.anxiety", 4.4, -0.025)):
        for week in range(0, 27):
            fit = start + slope * week
            seen = week % 13 == 0
            rows.append(
                (
                    outcome,
                    week,
                    fit,
                    fit - 0.06 * start,
                    fit + 0.06 * start,
                    fit + 0.02 * start if seen else None,
                    120 - week if seen else None,
                )
            )
    columns = ["outcome", "time", "predicted", "ci_low", "ci_high", "observed_mean", "n_observed"]
    found = pd.DataFrame(rows, columns=columns).astype({"observed_mean": float, "n_observed": float})
    return found.assign(shape="spline", primary=True)


def rupture_outcomes() -> pd.DataFrame:
    rng = np.random.default_rng(RNG)
    group = ["none"] * 50 + ["repaired"] * 40 + ["unrepaired"] * 30 + [None] * 5
    post = rng.normal(12, 5, 125).round(1)
    return pd.DataFrame(
        {
            "client": [f"c{i}" for i in range(125)],
            "therapist_id": [f"t{i % 9}" for i in range(125)],
            "group": pd.Series(group, dtype="str"),
            "pre": 20.0,
            "post": post,
            "n_sessions": 15,
        }
    )


def transmission_pairs() -> pd.DataFrame:
    rng = np.random.default_rng(RNG)
    parent = rng.normal(3.5, 1, 150)
    child = 2.2 + 0.35 * parent + rng.normal(0, 0.9, 150)
    return pd.DataFrame(
        {
            "label": np.where(np.arange(150) % 2 == 0, "mother-child", "father-child"),
            "definition": "self",
            "parent_score": "ecr_r.anxiety",
            "child_score": "ecr_r.anxiety",
            "parent": parent,
            "child": child,
        }
    )


def further_tables() -> dict[str, pd.DataFrame]:
    """Return the further tables of change and of ruptures: parts of those of made-up studies."""
    files = [path for folder in FOLDERS for path in sorted(folder.glob("*.csv")) if not path.stem.startswith("estimates")]
    tables = {path.stem: pd.read_csv(path, dtype={"treatment_id": "str"}) for path in files}
    words = ("group", "definition", "note", "refused", "cutoff", "reliability_source", "rule", "occasions", "clusters", "citation")
    for name, table in tables.items():
        empty = [c for c in table if c in words or table[c].dtype == "str"]
        tables[name] = (
            table.astype(dict.fromkeys(empty, object)).fillna(dict.fromkeys(empty, "")).astype(dict.fromkeys(empty, "str"))
        )
    return tables


def made_up_tables() -> dict[str, pd.DataFrame]:
    """Return every table that figures are drawn from, in the columns of the analyses."""
    rupture_series, episodes = series()
    flow = pd.DataFrame(
        {
            "step": ["clients.csv: read", "core10.total, both occasions", "audit: treatments ended"],
            "n_in": [125.0, 120.0, np.nan],
            "n_out": [125.0, 118.0, np.nan],
            "reason": ["", "no score at baseline or at the end", "going on, or how it ended is not known"],
            "unit": ["rows", "people", "people"],
        }
    )
    further = [read_estimates(str(path)).assign(study="") for folder in FOLDERS for path in sorted(folder.glob("estimates*.csv"))]
    return {
        **further_tables(),
        "flow": flow,
        "concordance": residuals()[["system", "way", "parent_class", "child_class", "n"]],
        "estimates": tidy_estimates(pd.concat([estimates(), *further], ignore_index=True)),
        "people_change": people_change(),
        "transitions": transitions(),
        "growth": growth(),
        "styles": styles(),
        "rupture_series": rupture_series,
        "episodes": episodes,
        "rupture_outcomes": rupture_outcomes(),
        "residuals": residuals(),
        "funnel": funnel(),
        "completeness": completeness(),
        "claims": claims(),
        "transmission_pairs": transmission_pairs(),
    }
