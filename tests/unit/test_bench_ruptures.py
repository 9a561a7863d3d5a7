"""The bench of ruptures: the same sessions every time, goals as by hand, and work that grows with the sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.present.validation.bench_ruptures import BEGIN, END, table, with_table
from attachment_outcomes.rupture.criteria import as_criteria
from attachment_outcomes.rupture.series import read_series
from attachment_outcomes.simulate.bench.ruptures import EACH, GOAL_MB, GOAL_SECONDS, goals, one, run, sessions_of


def measured(seconds: float, peak: float = 900.0) -> list[dict[str, object]]:
    """Return three sizes whose seconds grow as the sessions do, the largest taking so many."""
    part = {
        "detection": 1.0,
        "episode_table": 0.5,
        "client_summary": 0.25,
        "seconds": 1.75,
        "episodes": 1234567,
        "clients_with_rupture": 9,
    }
    return [
        {
            "sessions": n, "clients": n // 10, "seconds": seconds * n / 1e7, "process_seconds": seconds * n / 1e7, "peak_mb": peak,
            "criteria": {"control_chart": part},
        }
        for n in (10**5, 10**6, 10**7)
    ]  # fmt: skip


def test_the_sessions_are_the_same_every_time_and_as_they_are_described():
    first, second = sessions_of(2_000), sessions_of(2_000)
    pd.testing.assert_frame_equal(first, second)
    assert first["person_id"].nunique() == 2_000 // EACH
    assert first["session_number"].tolist()[:11] == [*range(1, 11), 1]
    rated = first["alliance"].dropna()
    assert rated.between(1, 7).all()
    assert np.allclose(rated * 10, np.round(rated * 10))
    assert 0.03 < first["alliance"].isna().mean() < 0.07


def test_planted_dips_are_found_more_often_than_nothing_is():
    series = read_series(sessions_of(20_000), score="alliance")
    found = as_criteria("within_person_drop")[0]
    told = one(series, found)
    assert told["episodes"] >= told["clients_with_rupture"] > 0
    assert told["seconds"] == pytest.approx(told["detection"] + told["episode_table"] + told["client_summary"])


def test_every_criterion_is_measured_and_the_seconds_add_up():
    from attachment_outcomes.config import load_criteria

    told = run(1_000)
    assert told["criteria"].keys() == load_criteria("rupture").keys()
    reading = sum(v for k, v in told["parts"].items() if k.startswith("reading"))
    assert told["seconds"] == pytest.approx(reading + sum(c["seconds"] for c in told["criteria"].values()))


def test_goals_of_linear_growth_within_time_and_memory_are_met():
    found = goals(measured(50.0))
    assert {name: goal["met"] for name, goal in found.items()} == dict.fromkeys(found, True)
    assert found["log-log slope of seconds by sessions"]["measured"] == pytest.approx(1.0)
    assert (found["seconds"]["measured"], found["seconds"]["at_most"]) == (50.0, GOAL_SECONDS)


def test_goals_that_are_missed_are_told():
    slow = goals(measured(GOAL_SECONDS + 1, GOAL_MB + 1))
    assert not slow["seconds"]["met"]
    assert not slow["peak memory in MB"]["met"]
    steep = measured(50.0)
    for one_size in steep:
        one_size["seconds"] = (one_size["sessions"] / 1e5) ** 1.5  # type: ignore[operator]
    found = goals(steep)["log-log slope of seconds by sessions"]
    assert found["measured"] == pytest.approx(1.5)
    assert not found["met"]


def test_the_page_gets_the_numbers_between_its_marks_and_keeps_the_rest():
    machine = {"system": "Linux", "processor": "x86_64", "processors": 2, "memory_gb": 8.0, "python": "3.11"}
    packages = {"numpy": "2.4", "pandas": "3.1"}
    record = {
        "machine": machine,
        "packages": packages,
        "load_before": 0.8,
        "measured": measured(50.0),
        "goals": goals(measured(50.0)),
    }
    page = with_table(f"before\n\n{BEGIN}\nstale words\n{END}\n\nafter\n", record)
    assert page == f"before\n\n{BEGIN}\n\n{table(record)}\n\n{END}\n\nafter\n"
    assert with_table(page, record) == page
    assert "| `control_chart` | 1 s | 0.5 s | 0.25 s |" in page
    assert "on average over a minute: 0.8." in page
    assert "stale words" not in page
    with pytest.raises(ValueError, match="lacks"):
        with_table("no marks", record)
