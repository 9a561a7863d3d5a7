"""What holds for any series of ratings."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import pandas as pd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attachment_outcomes.rupture import control_chart, detect_ruptures, read_series
from attachment_outcomes.rupture.criteria import as_criteria, detect
from attachment_outcomes.rupture.rules import level_shift
from attachment_outcomes.rupture.rules.partition import D2
from attachment_outcomes.rupture.summary import client_summary, session_series

DROP = "attachment_outcomes.rupture.rules:within_person_drop"
CHART = "attachment_outcomes.rupture.rules:control_chart"
LEVEL = "attachment_outcomes.rupture.rules:level_shift"
ERROR = "attachment_outcomes.rupture.rules:reliable_drop"
REPORT = "attachment_outcomes.rupture.rules:reported_rupture"
SCALE = (1.0, 7.0)  # of the ratings below
CRITERIA = {
    "drop": {"rule": DROP, "settings": {"k": 1.0}},
    "slide": {"rule": DROP, "settings": {"k": 1.5, "relative_to": "decline", "sd": "stricter"}, "episode": {"late_repair": True}},
    "chart": {"rule": CHART, "settings": {"multiplier": 1.5}},
    "trend": {"rule": CHART, "settings": {"multiplier": 1.5, "detrend": True}, "episode": {"window": 2}},
    "runs": {"rule": CHART, "settings": {"multiplier": 1.5, "run": 3, "screen": 2.0, "signals": ["limit", "two_of_three", "run"]}},
    "level": {"rule": LEVEL, "settings": {"penalty": 1.0, "k": 0.5}, "episode": {"late_repair": True}},
    "error": {"rule": ERROR, "settings": {"reliability": 0.9, "relative_to": "decline"}},
}
# Of these, a client's later sessions say nothing of the earlier ones.
BY_THE_PAST = {
    "drop": {"rule": DROP, "settings": {"baseline": 4}},
    "chart": {"rule": CHART, "settings": {"baseline": 4, "multiplier": 1.0}},
    "runs": {"rule": CHART, "settings": {"baseline": 4, "signals": ["two_of_three", "run"], "run": 3, "multiplier": 1.0}},
    "error": {"rule": ERROR, "settings": {"sem": 0.5}},
    "report": {"rule": REPORT, "settings": {"at_least": 3, "resolution": "eased"}, "reads": ["wai", "eased"]},
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


def detected(data, criteria, **keywords):
    """Return the episodes; on a scale that is known, so that no change of form is in doubt."""
    return detect_ruptures(data, score="wai", criteria=criteria, **{"scale": SCALE, **keywords})


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
    rows = detected(data, {"drop": CRITERIA["drop"]})
    for person, own in data.dropna().groupby("person_id"):
        expected = plain(own["wai"].tolist(), own["session_number"].tolist(), k=1.0, tolerance=0.25, window=3)
        part = rows.loc[rows["client"] == person, ["onset", "nadir", "recovered_at", "depth", "length", "outcome"]]
        found = [tuple(None if pd.isna(v) else v for v in row) for row in part.itertuples(index=False)]
        assert found == expected


@few
@given(cohort, st.sampled_from([0.5, 1.0, 3.0, 10.0]), st.integers(-50, 50))
def test_shift_and_scale_change_the_depth_only(courses, scale, shift):
    data = frame(courses)
    before = detected(data, CRITERIA)
    changed = data.assign(wai=data["wai"] * scale + shift)
    after = detected(changed, CRITERIA, scale=(SCALE[0] * scale + shift, SCALE[1] * scale + shift))
    pd.testing.assert_frame_equal(before.drop(columns="depth"), after.drop(columns="depth"))
    np.testing.assert_allclose(after["depth"], before["depth"] * scale, rtol=1e-9, atol=1e-9)


@few
@given(cohort, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(courses, random):
    data = frame(courses)
    order = list(range(len(data)))
    random.shuffle(order)
    pd.testing.assert_frame_equal(detected(data, CRITERIA), detected(data.iloc[order], CRITERIA))


@few
@given(cohort)
def test_clients_do_not_influence_each_other_where_the_rule_is_personal(courses):
    personal = {name: CRITERIA[name] for name in ("drop", "chart", "trend", "runs", "level")}
    data = frame(courses)
    together = detected(data, personal)
    alone = [detected(own, personal) for _, own in data.groupby("person_id")]
    assume(alone)
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True))


@few
@given(st.lists(step, min_size=8, max_size=15), course)
def test_later_sessions_never_change_earlier_onsets_unless_the_rule_uses_the_whole_series(first, later):
    known = frame([first]).dropna()
    assume(len(known) >= 5)
    longer = frame([[*first, *later]])
    last = known["session_number"].max()
    for data in (known, longer):
        data["eased"] = 8 - data["wai"]
    now = detected(known, BY_THE_PAST)
    then = detected(longer, BY_THE_PAST)
    then = then[then["onset"] <= last]
    columns = ["criterion", "onset"]
    assert now[columns].to_numpy().tolist() == then[columns].to_numpy().tolist()
    # And how it ended, once that is known.
    ended = now["outcome"] != "censored"
    assert now[ended]["outcome"].tolist() == then[ended.to_numpy()]["outcome"].tolist()


@few
@given(cohort)
def test_episodes_are_possible_and_apart(courses):
    data = frame(courses)
    rows = detected(data, CRITERIA)
    assert (rows["depth"] > 0).all()
    assert (rows["duration"] >= 1).all()
    assert (rows["duration"] <= rows["length"]).all()
    assert ((rows["pattern"] == "open") == rows["recovered_at"].isna()).all()
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
    series = read_series(data, score="wai", scale=SCALE)
    assert series.n_missing == data["wai"].isna().sum()
    for criterion in as_criteria(CRITERIA):
        found = detect(series, criterion)
        clients, table = client_summary(series, found), session_series(series, found)
        rows = detected(data, {criterion.name: CRITERIA[criterion.name]})
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
    signal = control_chart(read_series(data, score="wai", scale=SCALE))
    below = np.array(scores) < signal.limit - 1e-6
    assert not (below[1:] & ~below[:-1] & ~signal.begins[1:]).any()


def by_partitions(scores, price):
    """Return the means of the best of all partitions into segments of two scores or more, tried one by one."""
    n, best = len(scores), (np.inf, None)
    for cuts in itertools.chain.from_iterable(itertools.combinations(range(2, n - 1), m) for m in range(n // 2)):
        parts = [scores[a:b] for a, b in itertools.pairwise((0, *cuts, n))]
        if min(map(len, parts)) < 2:
            continue
        cost = sum(sum((x - statistics.fmean(part)) ** 2 for x in part) for part in parts) + price * len(cuts)
        if cost < best[0] - 1e-9:
            best = (cost, [statistics.fmean(part) for part in parts for _ in part])
    return best


@given(st.lists(st.integers(4, 28).map(lambda q: q / 4), min_size=4, max_size=10), st.sampled_from([0.3, 1.0, 3.0]))
def test_no_partition_is_better_than_the_one_found(scores, penalty):
    series = read_series(
        pd.DataFrame({"person_id": "a", "session_number": range(1, len(scores) + 1), "wai": scores}), score="wai", scale=SCALE
    )
    assume(len(set(scores)) > 1)
    width = statistics.fmean(abs(b - a) for a, b in itertools.pairwise(scores))
    price = penalty * (width / D2) ** 2 * np.log(len(scores))
    fitted = level_shift(series, penalty=penalty).center
    cost = float(((series.values - fitted) ** 2).sum()) + price * np.count_nonzero(np.abs(np.diff(fitted)) > 1e-9)
    assert cost <= by_partitions(scores, price)[0] + 1e-6


def looped_runs(scores, sessions, *, multiplier, run):
    """Return the sessions at which a chart with all three signals begins a rupture, session by session."""
    ranges = [
        abs(b - a) for (a, b), (s, t) in zip(itertools.pairwise(scores), itertools.pairwise(sessions), strict=True) if t - s == 1
    ]
    if len(ranges) < 2 or not sum(ranges):
        return []
    center, width = statistics.fmean(scores), statistics.fmean(ranges)
    tie = 1e-9 * width

    def low(i, share):
        return scores[i] < center - share * width - tie

    def joined(i, j):
        return i >= 0 and all(b - a == 1 for a, b in itertools.pairwise(sessions[i : j + 1]))

    found = []
    for i in range(len(scores)):
        near, under = multiplier * 2 / 3, 0.0
        signals = [
            low(i, multiplier) and any(not low(j, multiplier) for j in range(i)),
            low(i, near) and any(not low(j, near) for j in range(i)) and any(joined(j, i) and low(j, near) for j in (i - 1, i - 2)),
            joined(i - run + 1, i)
            and all(low(j, under) for j in range(i - run + 1, i + 1))
            and any(not low(j, under) for j in range(i)),
        ]
        found.append(any(signals))
    return [sessions[i] for i in range(1, len(scores)) if found[i] and not found[i - 1]]


@given(cohort)
def test_run_rules_find_what_a_plain_loop_finds(courses):
    data = frame(courses).dropna()
    series = read_series(data, score="wai", scale=SCALE)
    signal = control_chart(series, signals=["limit", "two_of_three", "run"], run=3, multiplier=1.2)
    begins = signal.begins & signal.assessable[series.group]
    for i, (_, own) in enumerate(data.groupby("person_id")):
        expected = looped_runs(own["wai"].tolist(), own["session_number"].tolist(), multiplier=1.2, run=3)
        assert series.sessions[begins & (series.group == i)].tolist() == expected


def looped_reports(reports, window):
    """Return onset, return and outcome of each reported rupture of one client: (severity, resolution) a session."""
    found, i, n = [], 0, len(reports)
    while i < n:
        if reports[i][0] < 3:
            i += 1
            continue
        back = next((j for j in range(i, min(n, i + window + 1)) if reports[j][1] >= 3), None)
        if back is not None:
            found.append((i + 1, back + 1, "repaired"))
            i = back + 1
        else:
            found.append((i + 1, None, "unrepaired" if n - 1 - i >= window else "censored"))
            i += window + 1
    return found


answer = st.tuples(st.integers(1, 5), st.one_of(st.integers(1, 5), st.just(float("nan"))))


@given(st.lists(st.lists(answer, max_size=12), min_size=1, max_size=4), st.integers(1, 4))
def test_reports_end_as_in_a_plain_loop(courses, window):
    rows = [(f"p{i}", j + 1, *pair) for i, course in enumerate(courses) for j, pair in enumerate(course)]
    data = pd.DataFrame(rows, columns=["person_id", "session_number", "wai", "eased"]).astype({"wai": float, "eased": float})
    preset = {**BY_THE_PAST["report"], "episode": {"window": window, "min_sessions": 1}}
    found = detected(data, {"report": preset})
    for i, course in enumerate(courses):
        own = found.loc[found["client"] == f"p{i}", ["onset", "recovered_at", "outcome"]]
        assert [tuple(None if pd.isna(v) else v for v in row) for row in own.itertuples(index=False)] == looped_reports(
            course, window
        )


def looped_pattern(scores, sessions, onset, nadir, back):
    start = onset
    while start > 0 and sessions[start] - sessions[start - 1] == 1 and scores[start] < scores[start - 1]:
        start -= 1
    down = np.diff(scores[start : nadir + 1])
    up = np.diff(scores[nadir : back + 1])
    if (down > 0).any() or (up < 0).any():
        return "irregular"
    several = (int((down < 0).sum()) > 1, int((up > 0).sum()) > 1)
    names = {(True, True): "stepwise fall and return", (True, False): "stepwise fall", (False, True): "stepwise return"}
    return names.get(several, "plateau" if back - nadir > 1 else "V")


@few
@given(cohort)
def test_patterns_are_those_of_a_plain_loop(courses):
    data = frame(courses).dropna()
    for row in detected(data, {"drop": CRITERIA["drop"]}).itertuples():
        own = data[data["person_id"] == row.client]
        scores, sessions = own["wai"].to_numpy(), own["session_number"].tolist()
        if pd.notna(row.recovered_at):
            at = [sessions.index(x) for x in (row.onset, row.nadir, row.recovered_at)]
            assert row.pattern == looped_pattern(scores, sessions, *at)
