r"""Do people who have more sessions improve more? Read with care: how long people stay depends on how they do.

Vocabulary
----------
dose             sessions attended up to an occasion; ``total``: to the end of treatment
cumulative       share who have improved by a number of sessions, those who had fewer being censored (survival)
good enough      people leave when they are well enough (Barkham et al., 1996): the share improved then does not rise with
                 the total, and the change a session falls with it
selection        none of these is what one session more would do: nobody was assigned a number of sessions. Censoring at the total
                 presumes that who stops would have gone on like those who stay, and comparing totals that they are alike.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import t as student

from attachment_outcomes.change.improvement import IMPROVED, from_baseline, improvement_times
from attachment_outcomes.change.inputs import ChangeData, Outcome, Timed
from attachment_outcomes.change.timing import primary_definition
from attachment_outcomes.errors import AttachmentOutcomesError, StatisticsError
from attachment_outcomes.inference.estimate import Estimate, not_testable
from attachment_outcomes.inference.individual_change.definitions import changes
from attachment_outcomes.inference.proportions import cluster_codes, proportion, robust_variance
from attachment_outcomes.inference.regression import linear_contrasts
from attachment_outcomes.inference.steps import Part, stacked
from attachment_outcomes.inference.survival.interval_censored import REPLICATES, turnbull_curve

ANALYSIS = "dose_response"
DOSES = (4, 8, 16, 24)  # sessions at which the cumulative share is told
WIDTH = 4  # sessions a band of totals
FEWEST = 10  # people in a band, or over all
CUMULATIVE, SHARE, CHANGE, RATE, LINE = (
    "cumulative improvement", "share improved at the end", "mean change at the end", "mean change a session", "log-linear fit",
)  # fmt: skip
SELECTION = "how many sessions people have depends on how they do: not the effect of a session more"
TABLES = {
    "dose_response": {
        "outcome": "str", "measure": "str", "sessions": "float64", "estimate": "float64", "ci_low": "float64",
        "ci_high": "float64", "n": "int64",
    }
}  # fmt: skip


def doses_at(rows: pd.DataFrame, attended: pd.DataFrame) -> pd.Series:
    """Return how many sessions each person had attended by each occasion.

    Parameters
    ----------
    rows
        ``person_id, at``: occasions and their time.
    attended
        ``person_id, at``: one row a session attended, in the same time.
    """
    left = rows.reset_index(names="row").sort_values("at", kind="stable")
    right = attended.sort_values(["person_id", "at"], kind="stable").assign(dose=lambda d: d.groupby("person_id").cumcount() + 1)
    found = pd.merge_asof(left, right.sort_values("at", kind="stable"), on="at", by="person_id")
    return found.set_index("row")["dose"].reindex(rows.index).fillna(0).astype("int64")


def dose_times(rows: pd.DataFrame, *, confirmed: bool = True) -> pd.DataFrame:
    """Return between which doses each person first improved: ``person_id, left, right`` (right infinite where not seen).

    Parameters
    ----------
    rows
        ``person_id, time, dose, improved`` of observed occasions, the baseline first.
    confirmed
        Whether improvement counts only if the next observed occasion shows it too.

    Notes
    -----
    Improvement after the last session attended belongs to no dose: such people are followed to their total.
    """
    ordered = rows.sort_values(["person_id", "time"], kind="stable", ignore_index=True)
    if confirmed:
        after = ordered.groupby("person_id")["improved"].shift(-1)
        last = after.isna().to_numpy()
        first = ~ordered.duplicated("person_id").to_numpy()
        ordered = ordered.assign(improved=ordered["improved"].to_numpy() & after.eq(True).to_numpy())[~last | first]
    grown = ordered["dose"] > ordered.groupby("person_id")["dose"].shift(1, fill_value=-1)
    kept = ordered[grown.to_numpy()]
    times = improvement_times(kept.assign(time=kept["dose"].astype(float)), confirmed=False)
    return pd.DataFrame({"person_id": times.person, "left": times.left, "right": times.right})


def bands(total: ArrayLike, width: int = WIDTH) -> np.ndarray:
    """Return the band of each total: 0 for 1 to ``width`` sessions, 1 for the next ``width``, and so on."""
    return (np.maximum(np.asarray(total, dtype=np.int64), 1) - 1) // width


def analyse(data: ChangeData) -> Part:
    """Return the cumulative share improved by dose, and what people of different totals reached, of every outcome."""
    settings = data.settings.get("dose_response") or {}
    rows, tables = [], []
    for outcome in data.outcomes:
        try:
            if not settings.get("do", True):
                raise StatisticsError("the study asks for no dose-response (change.dose_response.do)")
            one, table = _outcome(data, outcome, settings)
            rows += one
            tables.append(table)
        except AttachmentOutcomesError as error:
            rows.append(not_testable(ANALYSIS, str(error), outcome=str(outcome["score"])))
    return Part(rows, {"dose_response": stacked(tables, TABLES["dose_response"], ["outcome", "measure", "sessions"])})


def _outcome(data: ChangeData, outcome: Outcome, settings: Mapping[str, Any]) -> tuple[list[Estimate], pd.DataFrame]:
    score = str(outcome["score"])
    definition = primary_definition(data, outcome)
    timed = data.timed(outcome)
    attended = _attended(data, timed)
    rows = from_baseline(timed.rows, data.pairs(outcome), definition)
    known = rows["person_id"].isin(attended["person_id"]).to_numpy()
    data.flow.add(
        f"dose-response, {score}: sessions known", rows["person_id"].nunique(), rows.loc[known, "person_id"].nunique(),
        "no session attended is known", unit="people",
    )  # fmt: skip
    rows = rows[known].reset_index(drop=True)
    if rows["person_id"].nunique() < FEWEST:
        raise StatisticsError(f"fewer than {FEWEST} people with a baseline and sessions")
    rows = rows.assign(at=rows["time"] + rows["start"])
    rows = rows.assign(dose=doses_at(rows[["person_id", "at"]], attended))
    # What was before the baseline is no dose of what is measured from it.
    rows = rows.assign(dose=rows["dose"] - rows.groupby("person_id")["dose"].transform("first"))
    base = Estimate(
        analysis=ANALYSIS, estimand="", estimate=math.nan, method="", outcome=score, definition=definition.name,
        ci_level=data.ci_level, note="; ".join([SELECTION, *definition.notes]),
    )  # fmt: skip
    confirmed = bool((data.settings.get("timing") or {}).get("sustained", True))
    one, first = _cumulative(data, rows, confirmed, base, settings)
    two, second = _totals(data, outcome, attended, definition, base, settings)
    return one + two, pd.concat([first, second], ignore_index=True).assign(outcome=score)


def _attended(data: ChangeData, timed: Timed) -> pd.DataFrame:
    column = {"week": "week", "session": "session_number"}.get(timed.unit)
    if data.sessions.empty and timed.unit == "session":
        # Without a list of sessions, those with a score are the ones that are known; number 0 is the assessment before.
        return timed.rows.loc[(timed.rows["time"] > 0).to_numpy(), ["person_id"]].assign(at=timed.rows["time"])
    if column is None or data.sessions.empty:
        raise StatisticsError("no sessions with the time of the outcome (weeks or session numbers)")
    came = data.sessions[(data.sessions["attended"].fillna(True) & data.sessions[column].notna()).to_numpy(dtype=bool)]
    return came[["person_id"]].assign(at=came[column].to_numpy(dtype=float))


def _cumulative(
    data: ChangeData, rows: pd.DataFrame, confirmed: bool, base: Estimate, settings: Mapping[str, Any]
) -> tuple[list[Estimate], pd.DataFrame]:  # fmt: skip
    found = dose_times(rows, confirmed=confirmed)
    coarse = ""
    if data.occasions != "session":
        # Waves fall after any number of sessions; as it is, all would be put at the fewest that anybody had before the first one.
        width = int(settings.get("width", WIDTH))
        found = found.assign(left=width * np.floor(found["left"] / width), right=width * np.ceil(found["right"] / width))
        coarse = f"measured at waves, so sessions are counted in steps of {width}; "
    labels = data.therapists_of(found["person_id"])
    seen = np.isfinite(found["right"].to_numpy())
    # Beyond the most sessions that anybody had without improvement, all that is left must improve: that says nothing.
    most = float(found.loc[~seen, "left"].max()) if (~seen).any() else float(found["right"].max())
    asked = [float(d) for d in settings.get("sessions", DOSES) if d <= most]
    if not asked:
        reason = "cumulative: nobody without improvement had that many sessions"
        return [replace(not_testable(ANALYSIS, reason, outcome=base.outcome), group=CUMULATIVE)], pd.DataFrame()
    ends = found.loc[seen, "right"].to_numpy(dtype=float)
    times = np.unique(np.concatenate([asked, ends[ends <= most]]))
    curve = turnbull_curve(
        found["left"], found["right"], times=times, rng=data.rng(ANALYSIS, base.outcome),
        clusters=None if labels is None else labels.to_numpy(), ci_level=base.ci_level,
        replicates=int(settings.get("replicates", REPLICATES)),
    )  # fmt: skip
    followed = np.where(seen, found["right"], found["left"])
    frame = pd.DataFrame(
        {
            "sessions": times, "estimate": curve.estimate, "ci_low": curve.ci_low, "ci_high": curve.ci_high,
            "n": [int((followed >= t).sum()) for t in times],
        }
    ).assign(measure=CUMULATIVE)  # fmt: skip
    told = "first confirmed improvement" if confirmed else "first improvement"
    out = [
        replace(
            base, estimand="improved_by_sessions", group=f"{r['sessions']:g} sessions", estimate=r["estimate"],
            ci_low=r["ci_low"], ci_high=r["ci_high"], n=float(len(found)), n_clusters=curve.n_clusters, unit="proportion",
            method=curve.method, direction="higher is better", primary=False,
            note=f"{told}; {coarse}{int(r['n'])} had so many sessions; {base.note}",
        )
        for r in frame[frame["sessions"].isin(asked)].to_dict("records")
    ]  # fmt: skip
    return out, frame


def _totals(
    data: ChangeData, outcome: Outcome, attended: pd.DataFrame, definition: Any, base: Estimate, settings: Mapping[str, Any]
) -> tuple[list[Estimate], pd.DataFrame]:  # fmt: skip
    """Compare people by how many sessions they had in all."""
    pairs = data.pairs(outcome)
    both = pairs[(pairs["pre"].notna() & pairs["post"].notna()).to_numpy(dtype=bool)]
    total = attended.groupby("person_id").size().reindex(both["person_id"]).fillna(0).to_numpy(dtype=np.int64)
    seen = total > 0
    data.flow.add(
        f"dose-response, {base.outcome}: both scores and sessions", len(both), int(seen.sum()), "no session attended is known",
        unit="people",
    )  # fmt: skip
    both, total = both[seen].reset_index(drop=True), total[seen]
    if len(both) < FEWEST or len(np.unique(total)) < 3:
        reason = f"totals: fewer than {FEWEST} people with both scores and sessions, or fewer than three totals"
        return [replace(not_testable(ANALYSIS, reason, outcome=base.outcome), group="totals")], pd.DataFrame()
    labels = data.therapists_of(both["person_id"])
    clusters = None if labels is None else labels.to_numpy()
    sign = 1.0 if definition.higher_is_better else -1.0
    change = sign * (both["post"] - both["pre"]).to_numpy(dtype=float)
    improved = changes(definition, both["pre"], both["post"])["category"].isin(IMPROVED).to_numpy()
    values = {SHARE: improved.astype(float), CHANGE: change, RATE: change / total}
    of = bands(total, int(settings.get("width", WIDTH)))
    frames: list[dict[str, Any]] = []
    for measure, y in values.items():
        for band in np.unique(of):
            inside = of == band
            frames.append(
                {
                    "measure": measure,
                    "sessions": float(total[inside].mean()),
                    **_mean(y[inside], part_of(clusters, inside), measure, base),
                }
            )
    log2 = np.log2(total)
    doublings, grid = log2 - log2.mean(), np.unique(total)
    data_of = pd.DataFrame({**{f"y{i}": y for i, y in enumerate(values.values())}, "doublings": doublings})
    if clusters is not None:
        data_of["cluster"] = cluster_codes(clusters, n=len(both))
    places = {str(t): [1.0, float(np.log2(t) - log2.mean())] for t in grid}
    out = []
    told = (
        (SHARE, "improved_per_doubling", "proportion"),
        (CHANGE, "change_per_doubling", "score points"),
        (RATE, "rate_per_doubling", "score points per session"),
    )
    for i, (measure, estimand, unit) in enumerate(told):
        found = linear_contrasts(
            f"y{i} ~ doublings", data_of, contrasts={"slope": "doublings", **places},
            cluster=None if clusters is None else "cluster", ci_level=base.ci_level,
        )  # fmt: skip
        fit = found["slope"]
        out.append(
            replace(
                base, estimand=estimand, estimate=fit.estimate, std_error=fit.std_error, ci_low=fit.ci_low, ci_high=fit.ci_high,
                p_value=fit.p_value, n=float(len(both)), n_clusters=fit.n_clusters, unit=unit,
                direction="higher is better", primary=measure == RATE, method=f"linear in log2 of total sessions, {fit.method}",
                note=f"{measure} per doubling of the total; change is positive for the better; {base.note}",
            )
        )  # fmt: skip
        for t in grid:
            at = found[str(t)]
            frames.append(
                {
                    "measure": f"{measure}, {LINE}", "sessions": float(t), "estimate": at.estimate, "ci_low": at.ci_low,
                    "ci_high": at.ci_high, "n": int((total == t).sum()),
                }
            )  # fmt: skip
    return out, pd.DataFrame(frames)


def part_of(clusters: Any, inside: np.ndarray) -> Any:
    """Return the labels of some, or None."""
    return None if clusters is None else clusters[inside]


def _mean(y: np.ndarray, clusters: Any, measure: str, base: Estimate) -> dict[str, Any]:
    if measure == SHARE:
        p = proportion(y, clusters=clusters, ci_level=base.ci_level)
        return {"estimate": p.estimate, "ci_low": p.ci_low, "ci_high": p.ci_high, "n": p.n}
    mean, half = float(y.mean()), math.nan
    codes = None if clusters is None else cluster_codes(clusters)
    if len(y) > 1 and (codes is None or codes.max() > 0):
        variance, df = robust_variance(y - mean, codes)
        half = float(student.ppf(0.5 + base.ci_level / 2, df)) * math.sqrt(variance)
    return {"estimate": mean, "ci_low": mean - half, "ci_high": mean + half, "n": len(y)}
