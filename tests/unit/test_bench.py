"""The bench: the same data every time, medians and goals as by hand, and what a fit may cost in counts of work."""

from __future__ import annotations

import itertools
import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachment_outcomes.files import write_table
from attachment_outcomes.inference.logistic_mixed import logistic_mixed_model
from attachment_outcomes.inference.mixed import mixed_model, reading
from attachment_outcomes.present.drawing import NothingToDraw, svg_text
from attachment_outcomes.present.validation.bench import _apart, draw, goal_seconds, points
from attachment_outcomes.present.validation.bench_tables import BEGIN, END, seconds, tables, with_tables
from attachment_outcomes.simulate.bench.data import columns
from attachment_outcomes.simulate.bench.goals import AGREES, AHEAD, fastest_peer, goals, slope, slopes
from attachment_outcomes.simulate.bench.models import BALANCED, LME4, MILLION, MODELS, OURS, PACKAGES, UNBALANCED, Row, rows
from attachment_outcomes.simulate.bench.record import TIGHT, differences, record_of, reference_of, result

ESTIMATES = {
    "fixed": [2.0, -0.5],
    "std_errors": [0.1, 0.05],
    "variances": [4.0, -0.2, 1.0, 9.0],
    "loglik": -100.0,
    "converged": True,
}


def run(*calls: float, process: float = 5.0, peak: float = 200.0, fits: int = 1, **more: Any) -> dict[str, Any]:
    """Return what a fitting program writes."""
    return {
        "calls": [{"seconds": s, "cpu_seconds": s / 2} for s in calls], "fits": fits, "process_seconds": process, "peak_mb": peak,
        "before_mb": 100.0, **{"estimates": ESTIMATES, **more},
    }  # fmt: skip


def made_up(seconds_of: dict[str, dict[str, float]]) -> tuple[list[Row], dict[str, Any]]:
    """Return the rows of a made-up measurement, and its record."""
    there = [row for row in rows() if row.key in seconds_of]
    runs = {key: {p: [run(s, s)] for p, s in of.items()} for key, of in seconds_of.items()}
    head = {
        "machine": {"system": "Linux", "processor": "x86_64", "processors": 2, "memory_gb": 8.0, "python": "3.11"},
        "packages": {"lme4": "1.1", "numpy": "2.4"},
        "absent": [],
    }
    return there, record_of(there, runs, {row.key: 8 * row.clients for row in there}, head)


def goal_of(found: list[dict[str, Any]], row: str, text: str) -> dict[str, Any]:
    return next(goal for goal in found if goal["row"] == row and goal["goal"] == text)


# ---- data


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.fits == 1])
def test_data_are_the_same_every_time_and_others_for_another_form(name: str) -> None:
    row = Row(name, BALANCED, 75)
    (one, starts), (two, _), (other, _) = columns(row), columns(row), columns(Row(name, UNBALANCED, 75))
    assert starts == [0, 75 * MODELS[name].rows_each]
    assert all((one[c] == two[c]).all() for c in one)
    outcome = MODELS[name].fixed.split(" ~ ")[0]
    assert one[outcome][:20].tolist() != other[outcome][:20].tolist()
    assert len(np.unique(one["therapist"])) == 3


def test_the_unbalanced_form_lacks_a_fifth_of_the_rows_and_has_no_two_weeks_alike() -> None:
    made, _ = columns(Row("two_level", UNBALANCED, 5_000))
    lost = 1 - len(made["y"]) / 40_000
    assert abs(lost - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 40_000)
    assert len(np.unique(made["week"])) == len(made["week"])
    assert sorted(np.unique(columns(Row("two_level", BALANCED, 50))[0]["week"])) == list(range(8))


def test_many_fits_are_of_different_data_sets_of_one_shape() -> None:
    made, starts = columns(Row("many_fits", BALANCED, 200))
    assert starts == list(range(0, 1_600_001, 1_600))
    assert made["y"][:1_600].tolist() != made["y"][1_600:3_200].tolist()
    assert (made["client"][:1_600] == made["client"][1_600:3_200]).all()


@pytest.mark.parametrize("form", [BALANCED, UNBALANCED])
def test_outcomes_of_one_design_share_all_but_the_outcome(form: str) -> None:
    made, starts = columns(Row("many_outcomes", form, 200))
    first, second = ({k: v[a:b].tolist() for k, v in made.items()} for a, b in itertools.pairwise(starts[:3]))
    assert {k for k in first if first[k] != second[k]} == {"y"}


def test_symptoms_before_are_those_of_the_session_before() -> None:
    made, _ = columns(Row("session", BALANCED, 25))
    frame = pd.DataFrame(made)
    before = frame.groupby("client")["symptoms"].shift()
    assert (frame["symptoms_before"] == before)[frame["session"] > 1].all()
    assert frame.groupby("client")["alliance_within"].mean().abs().max() < 1e-12


# ---- which package is given what


def test_rows_have_names_of_their_own_and_sizes_that_grow() -> None:
    there = list(rows())
    assert len({row.key for row in there}) == len(there)
    for name in MODELS:
        for form in (BALANCED, UNBALANCED):
            sizes = [row.clients for row in there if (row.name, row.form) == (name, form)]
            assert sizes == sorted(sizes)


def test_each_package_is_given_a_row_or_a_reason_is_told() -> None:
    for row in rows():
        assert OURS in row.packages
        assert {*row.packages, *row.left_out} == set(PACKAGES)
        assert not set(row.packages) & set(row.left_out)
    assert Row("two_level", BALANCED, MILLION).left_out[LME4] == "given up to 200,000 clients"
    assert Row("three_level", UNBALANCED, 5_000).left_out["statsmodels"] == "given the balanced form only"


def test_formulas_are_written_as_lme4_takes_them() -> None:
    assert MODELS["three_level"].mixed == "y ~ week + (week | client) + (1 | therapist)"
    assert MODELS["logistic"].mixed == "repaired ~ week + alliance + (1 | client) + (1 | therapist)"


# ---- what the runs say


def test_seconds_are_the_median_over_runs_of_later_calls() -> None:
    found = result([run(9.0, 1.0, 3.0), run(8.0, 4.0), run(7.0, 6.0, 6.0, 7.0, process=20.0)], 1)
    assert found["seconds"] == {"median": 4.0, "min": 2.0, "max": 6.0}
    assert found["first_call"] == {"median": 8.0, "min": 7.0, "max": 9.0}
    assert found["process_seconds"] == {"median": 1.0, "min": 1.0, "max": 1.0}  # 5 - 4, 5 - 4, 20 - 19
    assert found["runs"] == 3


def test_a_single_call_counts_where_it_took_too_long_for_a_second() -> None:
    assert result([run(30.0, process=33.0)], 1)["seconds"]["median"] == 30.0


def test_fewer_fits_are_scaled_and_that_is_told() -> None:
    found = result([run(2.0, fits=50)], 1_000)
    assert found["seconds"]["median"] == 40.0
    assert found["scaled_from_fits"] == 50


def test_a_package_that_was_stopped_has_the_reason_only() -> None:
    assert result([{"not": "stopped after 150 s"}], 1) == {"not": "stopped after 150 s"}
    assert result([run(2.0), {"not": "stopped after 150 s"}], 1)["also"] == "stopped after 150 s"


def test_differences_by_hand() -> None:
    other = {**ESTIMATES, "fixed": [2.02, -0.5], "std_errors": [0.1, 0.06], "variances": [4.0, -0.1, 1.0, 9.9], "loglik": -101.0}
    found = differences(other, ESTIMATES)
    assert found["fixed"] == pytest.approx(0.01)
    assert found["std_errors"] == pytest.approx(0.2)
    assert found["variances"] == pytest.approx(0.1)  # 0.9 of 9; the covariance's 0.1 is a twentieth of sqrt(4 * 1)
    assert found["loglik"] == pytest.approx(0.01)


def test_a_fixed_effect_near_zero_is_held_beside_its_standard_error() -> None:
    theirs = {**ESTIMATES, "fixed": [2.0, 0.0]}
    assert differences({**theirs, "fixed": [2.0, 0.005]}, theirs)["fixed"] == pytest.approx(0.1)


def test_the_reference_is_lme4_with_tiny_tolerances_else_the_highest_likelihood() -> None:
    lower, higher = {"estimates": {**ESTIMATES, "loglik": -100.1}}, {"estimates": ESTIMATES}
    assert reference_of({LME4: {**lower, "tight": ESTIMATES}, "glmm": higher}) == (TIGHT, ESTIMATES)
    assert reference_of({LME4: lower, "glmm": higher}) == ("glmm", ESTIMATES)
    assert reference_of({OURS: higher, "gpboost": higher}) is None


# ---- goals


def test_goals_are_met_missed_or_not_measured() -> None:
    fast, slow = "two_level-balanced-50000", "two_level-balanced-200000"
    there, record = made_up({fast: {OURS: 0.1, LME4: 6.0, "glmm": 0.05}, slow: {OURS: 1.0, LME4: 40.0}})
    found = record["goals"]
    assert goal_of(found, fast, "times as fast as lme4") == {
        "goal": "times as fast as lme4", "row": fast, "bound": 50, "sense": "at least", "measured": 60.0, "met": True,
    }  # fmt: skip
    assert goal_of(found, slow, "times as fast as lme4")["met"] is False
    assert goal_of(found, fast, AHEAD)["measured"] == 0.5
    assert goal_of(found, fast, AHEAD)["met"] is False
    assert goal_of(found, slow, AHEAD) == {**goal_of(found, slow, AHEAD), "measured": None, "met": None}
    assert goal_of(found, "two_level-balanced", "log-log slope of seconds by clients, 5,000 to 1,000,000")["met"] is None
    assert len(there) == 2


def test_memory_is_a_share_of_lme4s_and_gigabytes_are_thousands_of_megabytes() -> None:
    row, large = Row("two_level", BALANCED, 50_000), Row("three_level", BALANCED, MILLION)
    measured = {
        row.key: {OURS: result([run(1.0, peak=300.0)], 1), LME4: result([run(9.0, peak=600.0)], 1)},
        large.key: {OURS: result([run(11.0, peak=2_100.0)], 1)},
    }
    found = goals(measured, [row, large])
    assert goal_of(found, row.key, "peak memory, as a share of lme4's")["measured"] == 0.5
    assert goal_of(found, large.key, "seconds")["met"] is True
    assert goal_of(found, large.key, "peak memory in GB") == {
        "goal": "peak memory in GB", "row": large.key, "bound": 2, "sense": "at most", "measured": 2.1, "met": False,
    }  # fmt: skip


def test_every_goal_of_the_core_stands_at_its_rows() -> None:
    asked = {(goal["row"], goal["goal"], goal["bound"]) for goal in goals({}, list(rows()))}
    for row, text, bound in [
        ("two_level-balanced-50000", "times as fast as lme4", 50), ("two_level-unbalanced-200000", "times as fast as lme4", 50),
        ("two_level-unbalanced-200000", "peak memory, as a share of lme4's", 1),
        ("three_level-balanced-5000", "times as fast as lme4", 10), ("three_level-unbalanced-50000", "times as fast as lme4", 30),
        ("three_level-balanced-5000", "times as fast as statsmodels", 500), ("three_level-balanced-1000000", "seconds", 12),
        ("three_level-unbalanced-1000000", "peak memory in GB", 2), ("session-balanced-5000", "times as fast as lme4", 10),
        ("session-balanced-50000", "times as fast as lme4", 30), ("session-balanced-5000", "times as fast as statsmodels", 1_000),
        ("logistic-balanced-5000", "times as fast as lme4", 10), ("many_fits-balanced-200", "seconds", 15),
        ("three_level-unbalanced", "log-log slope of seconds by clients, 5,000 to 1,000,000", 1.05),
    ]:  # fmt: skip
        assert (row, text, bound) in asked
    ahead = {row for row, text, _ in asked if text == AHEAD}
    assert ahead == {row.key for row in rows() if not row.model.from_file}


@given(
    st.floats(0.2, 2.0), st.floats(1e-6, 1.0), st.lists(st.sampled_from([5_000, 50_000, 200_000, MILLION]), min_size=2, unique=True)
)
def test_the_slope_of_a_power_is_its_exponent(power: float, factor: float, sizes: list[int]) -> None:
    assert slope({n: factor * n**power for n in sizes}) == pytest.approx(power, rel=1e-3)


def test_agreement_is_a_goal_only_beside_lme4_with_tiny_tolerances() -> None:
    row = Row("two_level", BALANCED, 5_000)
    near = {**ESTIMATES, "variances": [4.0002, -0.2, 1.0, 9.0]}
    runs = {row.key: {OURS: [run(1.0, estimates=near)], LME4: [run(2.0, tight=ESTIMATES)], "glmm": [run(3.0)]}}
    record = record_of([row], runs, {row.key: 40_000}, {})
    assert goal_of(record["goals"], row.key, AGREES)["measured"] == pytest.approx(0.5)
    assert record["rows"][0]["reference"] == TIGHT
    del runs[row.key][LME4]
    record = record_of([row], runs, {row.key: 40_000}, {})
    assert record["rows"][0]["reference"] == "glmm"
    assert AGREES not in {goal["goal"] for goal in record["goals"]}


def test_growth_is_told_from_5000_clients_on_and_only_up_to_a_million() -> None:
    seconds_of = {f"two_level-balanced-{n}": {OURS: n / 1e6} for n in (5_000, 50_000, MILLION)}
    there, _ = made_up({"two_level-balanced-200": {OURS: 5.0}, **seconds_of, "three_level-balanced-5000": {OURS: 1.0}})
    measured = {key: {OURS: {"seconds": {"median": of[OURS]}}} for key, of in seconds_of.items()}
    measured["two_level-balanced-200"] = {OURS: {"seconds": {"median": 5.0}}}
    assert slopes(measured, there) == {"two_level-balanced": pytest.approx(1.0), "three_level-balanced": None}


def test_the_fastest_peer_is_neither_ours_nor_lme4_nor_statsmodels() -> None:
    timed = {
        p: {"seconds": {"median": s}} for p, s in {OURS: 0.1, LME4: 0.2, "statsmodels": 0.3, "mixedlm": 2.0, "glmm": 1.0}.items()
    }
    assert fastest_peer(timed) == "glmm"
    assert fastest_peer({LME4: timed[LME4], "glmm": {"not": "stopped"}}) is None


# ---- figure and tables


@pytest.fixture
def record() -> dict[str, Any]:
    keys = ["two_level-balanced-5000", "two_level-balanced-50000", "session-balanced-5000", "logistic-balanced-5000"]
    return made_up({key: {OURS: 0.036, LME4: 7.1 + i, "glmm": 0.3} for i, key in enumerate(keys)})[1]


def test_the_figure_shows_each_package_at_each_size_and_counts_the_goals(record: dict[str, Any]) -> None:
    drawing = draw(record)
    assert len(drawing.data) == 12
    assert [ax.get_title(loc="left") for ax in drawing.figure.axes if ax.axison] == [
        "Two-level growth, balanced", "Within/between lagged session model", "Logistic model, and many fits",
    ]  # fmt: skip
    known = [goal["met"] for goal in record["goals"] if goal["met"] is not None]
    assert f"{sum(known)} of {len(known)} goals that could be measured are met" in drawing.caption
    assert {t.get_text() for ax in drawing.figure.axes for t in ax.texts} == {"ours", "lme4", "glmm", "goal"}


def test_goal_bars_stand_where_lme4_divided_by_the_bound_is(record: dict[str, Any]) -> None:
    assert goal_seconds(record) == pytest.approx(
        {"two_level-balanced-50000": 8.1 / 50, "session-balanced-5000": 9.1 / 10, "logistic-balanced-5000": 10.1 / 10}
    )


def test_nothing_timed_is_nothing_to_draw(record: dict[str, Any]) -> None:
    with pytest.raises(NothingToDraw, match="no fit was timed"):
        draw({**record, "rows": []})
    assert points({**record, "rows": []}).empty


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7).map(sorted))
def test_labels_are_moved_apart_in_order_and_about_where_they_were(heights: list[float]) -> None:
    moved = list(_apart(heights))
    assert all(b - a > 0.0849 for a, b in itertools.pairwise(moved))
    assert sum(moved) == pytest.approx(sum(heights))


def test_durations_have_two_digits_and_a_unit() -> None:
    assert [seconds(s) for s in (0.0021, 0.0364, 0.0999, 0.714, 16.4, 109.2)] == [
        "2.1 ms",
        "36 ms",
        "0.1 s",
        "0.71 s",
        "16 s",
        "110 s",
    ]


def test_tables_tell_seconds_memory_and_why_a_cell_is_empty(record: dict[str, Any]) -> None:
    text = tables(record)
    assert "| 5\u202f000 | balanced | 40\u202f000 |" not in text  # one form only: no column for it
    assert "| 5\u202f000 | 40\u202f000 | 36 ms, 200 MB | 7.1 s, 200 MB | 0.3 s, 200 MB | 36 ms | 5 s |" in text
    assert "- mixedlm-rs: takes one grouping factor only." in text
    assert "5\u202f000: not met" not in text
    assert "| logistic model | times as fast as lme4: at least 10 | 5\u202f000 balanced: 281 | met |" in text


def test_the_order_of_a_file_changes_nothing(record: dict[str, Any]) -> None:
    read = json.loads(json.dumps(record, sort_keys=True))
    assert list(read["rows"][0]["results"]) != list(record["rows"][0]["results"])
    assert tables(read) == tables(record)
    assert svg_text(draw(read)) == svg_text(draw(record))


def test_a_page_keeps_its_words_and_gets_the_same_tables_twice(record: dict[str, Any]) -> None:
    page = f"# Title\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"
    once = with_tables(page, record)
    assert once.startswith("# Title\n\nBefore.\n")
    assert once.endswith("\n\nAfter.\n")
    assert "old" not in once
    assert with_tables(once, record) == once
    with pytest.raises(ValueError, match="the page lacks"):
        with_tables("# Title\n", record)


# ---- the programs that fit


def test_a_fitting_process_writes_seconds_memory_and_estimates(root: Path, tmp_path: Path) -> None:
    script = runpy.run_path(str(root / "scripts" / "bench.py"), run_name="bench")
    row = Row("three_level", UNBALANCED, 200)
    assert script["write_rows"](row, tmp_path) == len(columns(row)[0]["y"])
    out = tmp_path / "out.json"
    command = [sys.executable, str(root / "validation" / "bench" / "fit.py"), OURS, str(tmp_path), str(out)]
    told = script["fitted"](command, out, 60.0, {**script["plain_environment"](), "PYTHONPATH": str(root / "src")})
    assert 2 <= len(told["calls"]) <= 5
    assert told["process_seconds"] > sum(call["seconds"] for call in told["calls"]) + told["read_seconds"]
    assert told["peak_mb"] >= told["before_mb"] > 30
    fit = mixed_model("y ~ week", pd.DataFrame(columns(row)[0]), groups=("client", "therapist"), slopes=["week"])
    assert told["estimates"]["fixed"] == pytest.approx(fit.estimates["estimate"].tolist(), rel=1e-9)
    names = ["intercept", "intercept:week", "week", "therapist: intercept", "residual"]
    assert told["estimates"]["variances"] == pytest.approx([fit.variances[name] for name in names], rel=1e-9)


def test_a_process_that_takes_too_long_or_fails_is_stopped_and_told(root: Path, tmp_path: Path) -> None:
    script = runpy.run_path(str(root / "scripts" / "bench.py"), run_name="bench")
    env, out = script["plain_environment"](), tmp_path / "out.json"
    assert script["fitted"]([sys.executable, "-c", "import time; time.sleep(30)"], out, 0.3, env) == {"not": "stopped after 0 s"}
    assert script["fitted"]([sys.executable, "-c", "raise SystemExit('no such thing')"], out, 9.0, env) == {
        "not": "failed: no such thing"
    }


def test_runs_are_kept_and_go_on_only_with_the_same_code(root: Path, tmp_path: Path) -> None:
    script = runpy.run_path(str(root / "scripts" / "bench.py"), run_name="bench")
    path, row = tmp_path / "runs.jsonl", Row("two_level", BALANCED, 200)
    kept = script["Kept"](path, {"code": "a"}, resume=False)
    kept.add(row, OURS, run(1.0, 0.5))
    assert script["Kept"](path, {"code": "a"}, resume=True).of(row, OURS) == [run(1.0, 0.5)]
    assert script["Kept"](path, {"code": "b"}, resume=True).of(row, OURS) == []
    assert json.loads(path.read_text(encoding="utf-8")) == {"code": "b"}


def test_an_unknown_part_and_an_unknown_row_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = runpy.run_path(str(root / "scripts" / "bench.py"), run_name="bench")["main"]
    with pytest.raises(SystemExit, match="2"):
        main(["speed"])
    assert "no part 'speed'; there are: pipeline, models, change, transmission, ruptures." in capsys.readouterr().err
    with pytest.raises(SystemExit, match="--only: there are two_level-balanced-200, "):
        main(["models", "--only", "four_level-*"])


# ---- counts of work: what keeps the fits fast, on any machine

MOST_EVALUATIONS = {"two_level": 16, "three_level": 22, "session": 22}


@pytest.mark.parametrize("clients", [200, 5_000])
@pytest.mark.parametrize("form", [BALANCED, UNBALANCED])
@pytest.mark.parametrize("name", list(MOST_EVALUATIONS))
def test_a_fit_takes_few_evaluations_and_one_pass_over_the_rows(
    name: str, form: str, clients: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = count_rows(monkeypatch)
    row = Row(name, form, clients)
    data = pd.DataFrame(columns(row)[0])
    fit = mixed_model(row.model.fixed, data, groups=row.model.groups, slopes=row.model.slopes)
    assert fit.n_evaluations <= MOST_EVALUATIONS[name]
    assert sum(passed) == len(data)
    assert fit.converged


def test_a_fit_from_a_file_takes_one_pass_and_no_more_evaluations(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = Row("three_level", UNBALANCED, 5_000)
    data = pd.DataFrame(columns(row)[0])
    write_table(data, tmp_path / "rows.parquet")
    passed = count_rows(monkeypatch)
    moments = reading.moments_of(
        row.model.fixed, tmp_path / "rows.parquet", groups=row.model.groups, slopes=row.model.slopes, rows_at_a_time=4_000
    )
    assert len(passed) >= len(data) // 4_000
    assert sum(passed) == len(data)
    fit = mixed_model(row.model.fixed, moments, groups=row.model.groups, slopes=row.model.slopes)
    whole = mixed_model(row.model.fixed, data, groups=row.model.groups, slopes=row.model.slopes)
    assert fit.n_evaluations <= MOST_EVALUATIONS["three_level"]
    assert fit.loglik == pytest.approx(whole.loglik, rel=1e-10)


@pytest.mark.parametrize(("clients", "most"), [(500, 36), (2_000, 30)])
def test_a_logistic_fit_takes_few_evaluations(clients: int, most: int) -> None:
    row = Row("logistic", BALANCED, clients)
    fit = logistic_mixed_model(row.model.fixed, pd.DataFrame(columns(row)[0]), groups=row.model.groups)
    assert fit.n_evaluations <= most
    assert fit.converged


def count_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the rows of each chunk that cross products are made of."""
    passed, real = [], reading.person_moments

    def counted(values: Any, starts: Any) -> Any:
        passed.append(values.shape[1])
        return real(values, starts)

    monkeypatch.setattr(reading, "person_moments", counted)
    return passed
