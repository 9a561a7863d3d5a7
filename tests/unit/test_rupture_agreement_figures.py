"""The figures of ruptures: what they show, say and refuse; and the table's rows of noise."""

from __future__ import annotations

import importlib
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.inference.estimate import Estimate, estimates_frame
from attachment_outcomes.present.drawing import Drawing, NothingToDraw, svg_text
from attachment_outcomes.present.tables import rupture as table
from attachment_outcomes.rupture.agreement import TABLES as AGREEMENT
from attachment_outcomes.rupture.detection import TABLES

SETTINGS: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "pages" / "made_up.py"))["SETTINGS"]
FIGURES = ["rupture_prevalence", "rupture_agreement", "rupture_timeline", "rupture_clients", "alliance_series"]
CRITERIA = ["control_chart", "within_person_drop", "psq"]


def module(name: str) -> Any:
    return importlib.import_module(f"attachment_outcomes.present.figures.{name}")


def drawn(name: str, tables: dict[str, pd.DataFrame]) -> Drawing:
    return module(name).draw({need: tables[need].copy() for need in module(name).NEEDS}, SETTINGS)


def typed(rows: list[dict[str, Any]], columns: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)


def prevalences() -> pd.DataFrame:
    shared: dict[str, Any] = {"analysis": "rupture_prevalence", "method": "made up", "outcome": "wai_sr.total", "n": 20.0}
    rows = []
    for k, criterion in enumerate(CRITERIA):
        own = {"definition": criterion, "primary": k == 0, **shared}
        rows += [
            Estimate(estimand="share_with_rupture", estimate=0.3 + 0.2 * k, ci_low=0.2, ci_high=0.9, unit="proportion", **own),
            Estimate(estimand="rate_per_session", estimate=0.02, ci_low=0.01, ci_high=0.03, unit="ruptures per session", **own),
            Estimate(estimand="share_repaired", estimate=0.8, ci_low=0.6, ci_high=0.9, unit="proportion", **own),
        ]
        if criterion == "psq":
            continue  # no noise for reports
        for group in ("", "within the scale"):
            rows += [
                Estimate(estimand="expected_on_noise", estimate=0.1, unit="proportion", group=group, **own),
                Estimate(estimand="noise_rate_per_session", estimate=0.005, unit="ruptures per session", group=group, **own),
                Estimate(estimand="noise_share_repaired", estimate=0.75, unit="proportion", group=group, **own),
                Estimate(
                    estimand="repaired_above_noise", estimate=0.05, ci_low=-0.1, ci_high=0.2, unit="proportion", group=group, **own
                ),
            ]
    for level in ("sessions in a rupture", "clients with a rupture"):
        rows.append(
            Estimate(
                analysis="rupture_agreement", estimand="fleiss_kappa", estimate=0.42, ci_low=0.3, ci_high=0.5, unit="kappa",
                group=level, definition="all criteria of the rated alliance", method="made up",
            )
        )  # fmt: skip
    return estimates_frame(rows)


def made(people: int = 16) -> dict[str, pd.DataFrame]:
    """Return tables of clients of whom c00 has no rupture and c15 most; session 5 of c03 has no rating."""
    series, episodes, clients = [], [], []
    for i in range(people):
        name, onsets = f"client-{i:02d}", [4, 9][: i // 6]
        for s in range(1, 13):
            if (i, s) == (3, 5):
                continue
            low = s in onsets
            series.append((name, None, s, 4 - 1.5 * low + 0.02 * (s % 3), 3.9, 3.0, low, "control_chart"))
        for criterion in CRITERIA:
            known = not (criterion == "psq" and i % 2)
            n = len(onsets) if criterion == "control_chart" else (1 if known and i % 3 == 0 else 0)
            clients.append(
                {
                    "client": name, "treatment_id": None, "therapist_id": None, "criterion": criterion,
                    "primary": criterion == CRITERIA[0],
                    "n_sessions": 12, "n_ruptures": n if known else None, "n_repaired": n if known else None, "n_unrepaired": 0,
                    "rate": n / 12 if known else np.nan, "share_repaired": 1.0, "mean_depth": 1.5, "time_in_rupture": n / 12,
                    "group": "none",
                }
            )  # fmt: skip
            if criterion == "control_chart":
                episodes += [
                    {"client": name, "criterion": criterion, "primary": True, "onset": o, "recovered_at": o + 1 if o == 4 else None,
                     "depth": 1.5, "length": 1 if o == 4 else 4, "outcome": "repaired" if o == 4 else "unrepaired"}
                    for o in onsets
                ]  # fmt: skip
            elif n:
                episodes.append(
                    {"client": name, "criterion": criterion, "primary": False, "onset": 12, "recovered_at": None, "depth": 0.5,
                     "length": 1, "outcome": "censored"}
                )  # fmt: skip
    pairs = []
    for level, shift in (("sessions in a rupture", 0.0), ("clients with a rupture", -0.3), ("onsets within one session", 0.1)):
        for a, b, kappa in (
            ("control_chart", "within_person_drop", 0.3), ("control_chart", "psq", 0.61), ("within_person_drop", "psq", np.nan),
        ):  # fmt: skip
            pairs.append(
                {
                    "level": level, "criterion_a": a, "criterion_b": b, "primary": a == "control_chart", "kappa": kappa + shift,
                    "std_error": 0.05, "ci_low": kappa + shift - 0.1, "ci_high": kappa + shift + 0.1, "agreement": 0.8,
                    "pabak": 0.6, "prevalence_index": -0.5, "bias_index": 0.1, "n": 180, "n_people": 16, "n_both": 9, "n_a_only": 9,
                    "n_b_only": 9,
                    "note": "",
                }
            )  # fmt: skip
    episode_columns = TABLES["episodes"]
    return {
        "rupture_series": pd.DataFrame(series, columns=list(TABLES["rupture_series"])).astype(TABLES["rupture_series"]),
        "episodes": pd.DataFrame(episodes).reindex(columns=list(episode_columns)).astype(episode_columns),
        "rupture_clients": typed(clients, TABLES["rupture_clients"]),
        "rupture_agreement": typed(pairs, AGREEMENT["rupture_agreement"]),
        "estimates": prevalences(),
    }


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_repeats_to_the_byte_and_refuses_empty_tables(name: str) -> None:
    tables = made()
    assert svg_text(drawn(name, tables)) == svg_text(drawn(name, tables))
    with pytest.raises(NothingToDraw):
        drawn(name, {key: frame.iloc[:0] for key, frame in tables.items()})


@pytest.mark.parametrize("name", ["rupture_timeline", "rupture_clients", "alliance_series"])
def test_figures_of_clients_hold_no_id(name: str) -> None:
    drawing = drawn(name, made())
    told = drawing.caption + drawing.alt + svg_text(drawing) + drawing.data.to_csv()
    assert not any(f"client-{i:02d}" in told for i in range(10, 16))
    assert "client" not in drawing.data.columns


def test_prevalence_has_three_panels_and_keeps_both_noises_apart() -> None:
    drawing = drawn("rupture_prevalence", made())
    assert [ax.get_xlabel() for ax in drawing.figure.axes] == [
        "Clients with a rupture (%)", "Ruptures per 100 sessions", "Ruptures repaired (%)",
    ]  # fmt: skip
    assert len(drawing.data) == 9
    assert drawing.data["in_noise"].isna().sum() == 3  # reports have none
    assert drawing.caption.startswith("Control chart 30.0 % [20.0, 90.0] (noise alone 10 %); psq 70.0 % [20.0, 90.0]; within")
    assert "80.0 % [60.0, 90.0] are repaired, in noise 75.0 %; the difference is 5.0 % [−10.0, 20.0]" in drawing.caption
    labels = [t.get_text() for t in drawing.figure.axes[0].get_yticklabels()]
    assert labels == ["control chart (primary)", "psq", "within person drop"]


def test_prevalence_is_drawn_with_the_share_alone() -> None:
    tables = made()
    tables["estimates"] = tables["estimates"][tables["estimates"]["estimand"] == "share_with_rupture"]
    assert len(drawn("rupture_prevalence", tables).figure.axes) == 1


def test_the_heat_map_has_sessions_below_and_clients_above() -> None:
    drawing = drawn("rupture_agreement", made())
    ax = drawing.figure.axes[0]
    # psq agrees with the primary criterion more than the drop, so that it is next to it.
    assert [t.get_text() for t in ax.get_yticklabels()] == ["control chart (primary)", "psq", "within person drop"]
    cells = {(t.get_position()): t.get_text() for t in ax.texts if t.get_position()[1] >= 0}
    assert cells == {(0, 1): ".61", (0, 2): ".30", (1, 2): "–", (1, 0): ".31", (2, 0): ".00", (2, 1): "–"}
    told = "Sessions in a rupture: median kappa .45 over 2 pairs; lowest control chart and within person drop .30"
    assert told in drawing.caption
    assert "kappa of all criteria together .42 [95 % CI .30, .50]" in drawing.caption
    assert "2 pairs have no kappa or are suppressed" in drawing.caption
    assert len(drawing.data) == 9


def test_the_timeline_shows_the_client_on_whom_criteria_are_divided() -> None:
    drawing = drawn("rupture_timeline", made())
    # All three can assess the even clients. Two of three find a rupture in the first, one in others: as near to half; it is first.
    assert set(drawing.data["criterion"]) == {"", "within_person_drop", "psq"}
    assert (drawing.data["criterion"] == "").sum() == 12
    assert "2 of 3 criteria that can be applied find a rupture: within person drop, psq" in drawing.caption
    tables = made()
    tables["rupture_clients"].loc[tables["rupture_clients"]["criterion"] == "psq", "n_ruptures"] = pd.NA
    drawing = drawn("rupture_timeline", tables)
    assert "cannot be applied" in [t.get_text() for t in drawing.figure.axes[1].texts]
    assert "1 criteria cannot be applied" in drawing.caption


def test_twelve_clients_stand_at_even_steps_of_the_rate() -> None:
    drawing = drawn("rupture_clients", made())
    assert drawing.data["panel"].nunique() == 12
    assert drawing.caption.startswith("12 of 16 clients, at even steps of the rank by ruptures per session (control chart).")
    assert "6 clients have no rupture" in drawing.caption
    titles = [ax.get_title(loc="left") for ax in drawing.figure.axes]
    assert titles[0] == "0 ruptures in 12 sessions"
    assert titles[-1] == "2 ruptures in 12 sessions"
    few = drawn("rupture_clients", made(2))
    assert few.data["panel"].nunique() == 2


def test_a_session_without_a_rating_breaks_the_line() -> None:
    tables = {k: (v[v["client"] == "client-03"] if "client" in v else v) for k, v in made().items()}
    line = next(ln for ln in drawn("alliance_series", tables).figure.axes[0].lines if ln.get_label() == "alliance")
    assert np.isnan(line.get_ydata()[4])
    assert len(line.get_ydata()) == 12


def test_the_table_names_what_noise_would_show_once() -> None:
    built = table.build({"estimates": prevalences()}, SETTINGS)
    own = built.frame[built.frame["group"] == "control chart (primary)"]
    assert own["quantity"].tolist() == [
        "Clients with a rupture", "Clients with a rupture, in noise alone", "Ruptures per session",
        "Ruptures per session, in noise alone", "Ruptures repaired, of those whose end was seen",
        "Ruptures repaired, in noise alone",
        "More ruptures repaired than in noise",
    ]  # fmt: skip
