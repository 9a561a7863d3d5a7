"""Does one sample decide what is pooled, and do small samples show something else than large ones?

Vocabulary
----------
influence   what is pooled without each sample in turn, and with samples added one after the other
asymmetry   small samples with other effects than large ones; publication bias is one of its reasons
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, NOT_TESTABLE, Estimate
from attachment_outcomes.inference.pooling.effects import ALL_EQUAL
from attachment_outcomes.inference.pooling.influence import cumulative, influence_measures, leave_one_out
from attachment_outcomes.inference.pooling.random_effects import pool
from attachment_outcomes.inference.pooling.small_studies import egger, rank_correlation, trim_and_fill
from attachment_outcomes.transmission.samples.effects import Effects
from attachment_outcomes.transmission.samples.pooled import Interval

ANALYSIS = "sample_checks"
FEWEST_LEFT_OUT = 3
MOST_LEFT_OUT = 500  # beyond, no single sample can matter, and pooling once a sample takes long
FEWEST_SMALL = 10  # samples (Sterne et al., 2011, BMJ, 343, d4002)
WITHOUT, UP_TO = "without", "up to"
SHARED = "samples share people or authors, which this row does not allow for"
DEPENDENT = (
    "the error depends on the value itself, so that this goes wrong without any asymmetry: see the regression on 1 / sqrt(n)"
)
INFLUENCE = {
    "system": "str", "measure": "str", "primary": "bool", "kind": "str", "place": "int64", "sample_id": "str", "label": "str",
    "own": "bool", "k": "int64", "order": "float64", "estimate": "float64", "ci_low": "float64", "ci_high": "float64",
    "tau2": "float64", "i2": "float64", "hat": "float64", "rstudent": "float64", "cook_d": "float64", "influential": "bool",
}  # fmt: skip


def _interval(interval: Interval) -> Literal["z", "hartung-knapp"]:
    return "z" if interval == "z" else "hartung-knapp"


def influence(
    effects: Effects,
    system: str,
    order: pd.Series | None,
    *,
    primary: bool,
    interval: Interval,
    ci_level: float = CI_LEVEL,
) -> tuple[list[Estimate], pd.DataFrame]:
    """Pool without each sample in turn, and in order.

    Parameters
    ----------
    effects : Effects
        Of one measure.
    system : str
        The system pooled, for the rows.
    order : Series, optional
        Number of each sample (index: sample_id) by which samples are added; those without one are not added.
    primary : bool
        Whether figures show this measure, whose row is primary and which is then laid out sample by sample.
    interval, ci_level
        Of pooling.

    Returns
    -------
    estimates : list of Estimate
        ``<measure>_without_most_influential``: what is pooled without the sample whose absence moves it most; the range over all
        samples left out in ``note``. A reason where there are fewer than 3 samples or more than 500.
    table : DataFrame
        ``INFLUENCE`` of the primary measure, empty for others; ``estimate`` and limits as the measure is, not on the scale pooled.
    """
    measure, rows = effects.measure, effects.rows
    back, kind = measure.back, _interval(interval)
    if not FEWEST_LEFT_OUT <= len(rows) <= MOST_LEFT_OUT:
        reason = f"leaving samples out one at a time needs {FEWEST_LEFT_OUT} to {MOST_LEFT_OUT} of them"
        return [_silent(system, f"{measure.name}, influence", reason)], pd.DataFrame()
    y, v = rows["effect"].to_numpy(), rows["variance"].to_numpy()
    without = leave_one_out(y, v, interval=kind, ci_level=ci_level)
    most = int(np.abs(without["estimate"] - pool(y, v).estimate).to_numpy().argmax())
    span = [float(back(without["estimate"].min())), float(back(without["estimate"].max()))]
    found = without.iloc[most]
    row = Estimate(
        analysis=ANALYSIS, estimand=f"{measure.name}_without_most_influential", outcome=system, definition="leave one out",
        estimate=float(back(found["estimate"])), ci_low=float(back(found["ci_low"])), ci_high=float(back(found["ci_high"])),
        std_error=float(found["std_error"]), ci_level=ci_level, n=float(rows["n"].sum() - rows["n"].iloc[most]),
        n_clusters=float(len(rows) - 1), unit=measure.unit, direction=measure.direction, method=f"random effects (REML), {kind}",
        note=_joined(
            f"without {rows['name'].iloc[most]}; over all samples left out one at a time {min(span):.3f} to {max(span):.3f}",
            "" if found["std_error"] > 0 else ALL_EQUAL, SHARED if effects.shared else "",
        ),
        primary=primary,
    )  # fmt: skip
    if not primary:
        return [row], pd.DataFrame()
    marks = influence_measures(y, v)
    left = pd.DataFrame(
        {
            "kind": WITHOUT, "sample_id": rows["sample_id"], "label": rows["name"], "own": rows["own"], "k": len(rows) - 1,
            "order": math.nan, "tau2": without["tau2"], "i2": without["i2"],
            **{c: back(without[c]) for c in ("estimate", "ci_low", "ci_high")},
            **{c: marks[c] for c in ("hat", "rstudent", "cook_d", "influential")},
        }
    ).sort_values(["estimate", "sample_id"], kind="stable", ignore_index=True)  # fmt: skip
    parts = [left] if order is None else [left, _added(effects, order, kind, ci_level)]
    table = pd.concat([p for p in parts if len(p)], ignore_index=True).assign(system=system, measure=measure.name, primary=primary)
    table["place"] = table.groupby("kind", sort=False).cumcount() + 1
    return [row], table[list(INFLUENCE)]


def _added(effects: Effects, order: pd.Series, kind: Literal["z", "hartung-knapp"], ci_level: float) -> pd.DataFrame:
    """Return what is pooled with the samples up to each value of the order; samples of one value come together."""
    rows, back = effects.rows, effects.measure.back
    when = rows["sample_id"].map(order).astype("float64")
    used = rows[when.notna()]
    if used.empty:
        return pd.DataFrame(columns=list(INFLUENCE))
    found = cumulative(
        used["effect"].to_numpy(), used["variance"].to_numpy(), when[when.notna()].to_numpy(), interval=kind, ci_level=ci_level
    )  # fmt: skip
    return pd.DataFrame(
        {
            "kind": UP_TO, "sample_id": "", "label": [f"{v:g}" for v in found["order"]], "own": False, "k": found["k"],
            "order": found["order"], "tau2": found["tau2"], "i2": found["i2"],
            **{c: back(found[c]) for c in ("estimate", "ci_low", "ci_high")},
            "hat": math.nan, "rstudent": math.nan, "cook_d": math.nan, "influential": False,
        }
    )  # fmt: skip


def small_samples(
    effects: Effects, system: str, *, primary: bool = True, interval: Interval, ci_level: float = CI_LEVEL
) -> list[Estimate]:
    """Tell whether small samples show other effects than large ones: three rows, or why not.

    Parameters
    ----------
    effects : Effects
        Of one measure.
    system : str
        The system pooled, for the rows.
    primary : bool
        Whether figures show this measure, so that its rows are primary.
    interval, ci_level
        Of pooling.

    Returns
    -------
    list of Estimate
        analysis ``sample_checks``. ``<measure>_egger``: slope of the effect on its standard error, or, where the error depends on
        the effect itself (shares, odds ratios, kappa), on 1 / sqrt(n) (Peters et al.), n of a conditional share those in its row.
        Of phi only, whose error does not depend on it: ``phi_rank_correlation``, Kendall's tau of Begg and Mazumdar, and
        ``phi_trim_and_fill``, what is pooled with mirror images of samples that symmetry would ask for; of other measures the
        reason why not. With fewer than 10 samples one row says so.
    """
    measure, rows = effects.measure, effects.rows
    if len(rows) < FEWEST_SMALL:
        reason = f"fewer than {FEWEST_SMALL} samples: too few to see asymmetry"
        return [_silent(system, f"{measure.name}, small samples", reason)]
    y, v, n = (rows[c].to_numpy(dtype=float) for c in ("effect", "variance", "n"))
    own_error = measure.name == "phi"  # the error of Fisher's z is a function of n, but for own families of several pairs
    what = "standard error" if own_error else "1 / sqrt(n)"
    shared = SHARED if effects.shared else ""
    no_cause = _joined("asymmetry is not publication bias", shared)

    def base(estimand: str, **more: object) -> Estimate:
        fields = {
            "n": float(rows["n"].sum()),
            "n_clusters": float(len(rows)),
            "definition": "small samples",
            "primary": primary,
            **more,
        }
        return Estimate(
            analysis=ANALYSIS, estimand=f"{measure.name}_{estimand}", outcome=system, ci_level=ci_level, **fields  # type: ignore[arg-type]
        )  # fmt: skip

    def regression() -> Estimate:
        test = egger(y, v, predictor=None if own_error else 1 / np.sqrt(n), ci_level=ci_level)
        return base(
            "egger", estimate=test.estimate, std_error=test.std_error, p_value=test.p_value, unit=f"{measure.scale} per {what}",
            method=test.method, note=_joined(f"on {what}", test.note, no_cause),
        )  # fmt: skip

    def ranks() -> Estimate:
        _refuse_dependent(own_error)
        test = rank_correlation(y, v)
        return base(
            "rank_correlation", estimate=test.estimate, p_value=test.p_value, unit="Kendall's tau", method=test.method,
            note=_joined(test.note, no_cause),
        )  # fmt: skip

    def filled() -> Estimate:
        _refuse_dependent(own_error)
        found = trim_and_fill(y, v, interval=_interval(interval), ci_level=ci_level)
        pooled, back = found.pooled, measure.back
        return base(
            "trim_and_fill", estimate=float(back(pooled.estimate)), ci_low=float(back(pooled.ci_low)),
            ci_high=float(back(pooled.ci_high)), std_error=pooled.std_error, unit=measure.unit, direction=measure.direction,
            method=found.method,
            note=_joined(f"{found.k0} samples filled in on the {found.side}", found.note, "a what-if", shared),
        )  # fmt: skip

    return [_or_reason(made, system, f"{measure.name}, {name}") for name, made in _named(regression, ranks, filled)]


def _refuse_dependent(own_error: bool) -> None:
    if not own_error:
        raise StatisticsError(DEPENDENT)


def _joined(*parts: str) -> str:
    return "; ".join(filter(None, parts))


def _named(*made: Callable[[], Estimate]) -> list[tuple[str, Callable[[], Estimate]]]:
    return list(zip(("egger", "rank correlation", "trim and fill"), made, strict=True))


def _or_reason(make: Callable[[], Estimate], system: str, definition: str) -> Estimate:
    try:
        return make()
    except StatisticsError as error:
        return _silent(system, definition, str(error))


def _silent(system: str, definition: str, reason: str) -> Estimate:
    return Estimate(
        analysis=ANALYSIS, estimand=NOT_TESTABLE, estimate=math.nan, method=NOT_TESTABLE, outcome=system, definition=definition,
        primary=False, note=reason,
    )  # fmt: skip
