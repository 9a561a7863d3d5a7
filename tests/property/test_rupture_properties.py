"""What holds for any series of ratings."""

from __future__ import annotations

import statistics

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attachment_outcomes.rupture import control_chart, detect_ruptures, read_series
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.rupture.summary import client_summary, session_series

DROP = "attachment_outcomes.rupture.rules:within_person_drop"
CHART = "attachment_outcomes.rupture.rules:control_chart"
CRITERIA = {
    "drop": {"rule": DROP, "settings": {"k": 1.0}},
    "slide": {"rule": DROP, "settings": {"k": 1.5, "relative_to": "decline", "sd": "stricter"}, "episode": {"late_repair": True}},
    "chart": {"rule": CHART, "settings": {"multiplier": 1.5}},
    "trend": {"rule": CHART, "settings": {"multiplier": 1.5, "detrend": True}, "episode": {"window": 2}},
}
FROM_BASELINE = {
    "drop": {"rule": DROP, "settings": {"baseline": 4}},
    "chart": {"rule": CHART, "settings": {"baseline": 4, "multiplier": 1.0}},
}

# Ratings in quarters of a point, a few of them missing, with gaps in the session numbers.
rating = st.one_of(st.integers(4, 28).map(lambda q: q / 4), st.just(float("nan")))
step = st.tuples(rating, st.integers(1, 2))
course = st.lists(step, min_size=0, max_size=25)
few = settings(max_examples=12)  # these build many small tables, which is slow; the loop above checks the numbers
cohort = st.lists(course, min_size=1, max_size=5)


def frame(courses):
    rows = [
        (f"p{i}", int(n), score)
        for i, steps in enumerate(courses)
        for (score, _), n in zip(steps, np.cumsum([1, *(gap for _, gap in steps[:-1])]), strict=False)
    ]
    return pd.DataFrame(rows, columns=["person_id", "session_number", "wai"]).astype({"wai": float, "session_number": "int64"})


def plain(scores, sessions, *, k, tolerance, window):
    """The drop rule and the state machine for one client, session by session, without arrays."""
    if len(scores) < 4:
        return []
    sd = statistics.stdev(scores)
    episodes, i = [], 1
    while i < len(scores):
        drop = scores[i - 1] - scores[i]
        if not (sessions[i] - sessions[i - 1] == 1 and drop > 0 and drop >= k * sd - 1e-9):
            i += 1
            continue
        level, j = scores[i - 1], i + 1
        while j < len(scores) and scores[j] < level - tolerance * sd - 1e-9:
            j += 1
        lowest = min(scores[i:j])
        if j < len(scores):
            outcome = "repaired" if j - i <= window else "unrepaired"
        else:
            outcome = "unrepaired" if len(scores) - 1 - i >= window else "censored"
        nadir = sessions[i + scores[i:j].index(lowest)]
        length = sessions[j] - sessions[i] if j < len(scores) else sessions[-1] - sessions[i] + 1
        episodes.append((sessions[i], nadir, sessions[j] if j < len(scores) else None, level - lowest, length, outcome))
        i = j + 1
    return episodes


@given(cohort)
def test_arrays_find_what_a_plain_loop_finds(courses):
    data = frame(courses)
    rows = detect_ruptures(data, score="wai", criteria={"drop": CRITERIA["drop"]})
    for person, own in data.dropna().groupby("person_id"):
        expected = plain(own["wai"].tolist(), own["session_number"].tolist(), k=1.0, tolerance=0.25, window=3)
        part = rows.loc[rows["client"] == person, ["onset", "nadir", "recovered_at", "depth", "length", "outcome"]]
        found = [tuple(None if pd.isna(v) else v for v in row) for row in part.itertuples(index=False)]
        assert found == expected


@few
@given(cohort, st.sampled_from([0.5, 1.0, 3.0, 10.0]), st.integers(-50, 50))
def test_shift_and_scale_change_the_depth_only(courses, scale, shift):
    data = frame(courses)
    before = detect_ruptures(data, score="wai", criteria=CRITERIA)
    after = detect_ruptures(data.assign(wai=data["wai"] * scale + shift), score="wai", criteria=CRITERIA)
    pd.testing.assert_frame_equal(before.drop(columns="depth"), after.drop(columns="depth"))
    np.testing.assert_allclose(after["depth"], before["depth"] * scale, rtol=1e-9, atol=1e-9)


@few
@given(cohort, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(courses, random):
    data = frame(courses)
    order = list(range(len(data)))
    random.shuffle(order)
    again = detect_ruptures(data.iloc[order], score="wai", criteria=CRITERIA)
    pd.testing.assert_frame_equal(detect_ruptures(data, score="wai", criteria=CRITERIA), again)


@few
@given(cohort)
def test_clients_do_not_influence_each_other_where_the_rule_is_personal(courses):
    personal = {name: CRITERIA[name] for name in ("drop", "chart", "trend")}
    data = frame(courses)
    together = detect_ruptures(data, score="wai", criteria=personal)
    alone = [detect_ruptures(own, score="wai", criteria=personal) for _, own in data.groupby("person_id")]
    assume(alone)
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True))


@few
@given(st.lists(step, min_size=8, max_size=15), course)
def test_later_sessions_never_change_earlier_onsets_with_a_baseline(first, later):
    known = frame([first]).dropna()
    assume(len(known) >= 5)
    longer = frame([[*first, *later]])
    now = detect_ruptures(known, score="wai", criteria=FROM_BASELINE)
    then = detect_ruptures(longer, score="wai", criteria=FROM_BASELINE)
    then = then[then["onset"] <= known["session_number"].max()]
    assert now[["criterion", "onset"]].to_numpy().tolist() == then[["criterion", "onset"]].to_numpy().tolist()


@few
@given(cohort)
def test_episodes_are_possible_and_apart(courses):
    data = frame(courses)
    rows = detect_ruptures(data, score="wai", criteria=CRITERIA)
    assert (rows["depth"] > 0).all()
    assert (rows["length"] >= 1).all()
    assert (rows["onset"] <= rows["nadir"]).all()
    assert (rows["recovered_at"].dropna() > rows["nadir"][rows["recovered_at"].notna()]).all()
    assert rows.loc[rows["outcome"] == "repaired", "recovered_at"].notna().all()
    assert rows.loc[rows["outcome"] == "censored", "recovered_at"].isna().all()
    for (client, _), own in rows.groupby(["client", "criterion"]):
        rated = data[(data["person_id"] == client) & data["wai"].notna()]["session_number"]
        assert own["onset"].min() > rated.min()
        assert (own["onset"].iloc[1:].to_numpy() > own["recovered_at"].iloc[:-1].to_numpy()).all()
        assert set(own["onset"]) | set(own["nadir"]) <= set(rated)


@few
@given(cohort)
def test_tables_agree_with_each_other(courses):
    data = frame(courses)
    series = read_series(data, score="wai")
    assert series.n_missing == data["wai"].isna().sum()
    for criterion in as_criteria(CRITERIA):
        found = detect(series, criterion)
        clients, table = client_summary(series, found), session_series(series, found)
        rows = detect_ruptures(data, score="wai", criteria={criterion.name: CRITERIA[criterion.name]})
        assert clients["n_ruptures"].sum() == len(rows)
        assert clients["n_repaired"].sum() == (rows["outcome"] == "repaired").sum()
        assert clients["n_sessions"].sum() == len(table) == data["wai"].notna().sum()
        assert (clients["group"].notna() <= clients["n_ruptures"].notna()).all()
        starts = set(zip(rows["client"], rows["onset"], strict=True))
        inside = table[table["in_episode"]]
        assert starts <= set(zip(inside["client"], inside["session_number"], strict=True))


@given(st.lists(st.integers(4, 28).map(lambda q: q / 4), min_size=3, max_size=25))
def test_no_score_of_a_chart_without_signals_lies_below_its_limit_after_a_normal_one(scores):
    data = pd.DataFrame({"person_id": "a", "session_number": range(1, len(scores) + 1), "wai": scores})
    signal = control_chart(read_series(data, score="wai"))
    below = np.array(scores) < signal.limit - 1e-6
    assert not (below[1:] & ~below[:-1] & ~signal.begins[1:]).any()
