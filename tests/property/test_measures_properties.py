"""What must hold of scores, reliabilities, styles and codes whatever the answers are."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from attachment_outcomes.config import load_instruments
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.measures.codes import WAYS, classes
from attachment_outcomes.measures.instruments import read_instrument
from attachment_outcomes.measures.reliability import cronbach_alpha
from attachment_outcomes.measures.scoring import keyed_answers, score
from attachment_outcomes.measures.styles import FISHER, MIDPOINT, Split, attachment_styles, style_certainty

REVERSED = [k for k, v in load_instruments().items() if any(s["reverse"] for s in v["scales"].values())]
MADE = [k for k, v in load_instruments().items() if any(s["items"] for s in v["scales"].values())]
FEWER = 12  # each example scores a whole instrument
ROUNDING = 1e-9  # a change of the order of summation


@st.composite
def questionnaires(draw: st.DrawFn, keys: list[str]) -> tuple[str, pd.DataFrame]:
    """Draw whole answers within the range, some missing, of a few people on one instrument."""
    key = draw(st.sampled_from(keys))
    form = read_instrument(key)
    n = draw(st.integers(1, 6))
    low, high = int(form.low), int(form.high)
    values = draw(arrays(float, (n, len(form.items)), elements=st.integers(low, high).map(float)))
    missing = draw(arrays(bool, values.shape, elements=st.booleans())) & draw(arrays(bool, values.shape, elements=st.booleans()))
    return key, pd.DataFrame(np.where(missing, np.nan, values), columns=[f"q{i}" for i in form.items])


@given(questionnaires(MADE))
@settings(max_examples=FEWER)
def test_scores_stay_in_range_and_missing_is_counted(case: tuple[str, pd.DataFrame]) -> None:
    key, frame = case
    form, found = read_instrument(key), score(frame, instrument=key)
    for name, scale in form.scales.items():
        if name not in found:
            continue
        made = found[name].dropna()
        assert made.between(scale.low - ROUNDING, scale.high + ROUNDING).all()
        answered = frame[[f"q{i}" for i in form.items_of(name)]].notna().sum(axis=1)
        assert (found[f"{name}_n_answered"] == answered).all()
        assert (found[f"{name}_prorated"] == (found[name].notna() & (answered < len(form.items_of(name))))).all()


@given(questionnaires(MADE), st.randoms())
@settings(max_examples=FEWER)
def test_order_of_people_and_of_columns_does_not_matter(case: tuple[str, pd.DataFrame], random: object) -> None:
    key, frame = case
    columns, rows = list(frame.columns), list(frame.index)
    random.shuffle(columns)  # type: ignore[attr-defined]
    random.shuffle(rows)  # type: ignore[attr-defined]
    shuffled = score(frame.loc[rows, columns], instrument=key).sort_index()
    pd.testing.assert_frame_equal(shuffled, score(frame, instrument=key), atol=ROUNDING)


@given(questionnaires(MADE))
@settings(max_examples=FEWER)
def test_long_and_wide_answers_score_alike(case: tuple[str, pd.DataFrame]) -> None:
    key, frame = case
    wide = score(frame, instrument=key)
    rows = (
        frame.set_axis([c[1:] for c in frame.columns], axis=1)
        .rename_axis("person_id")
        .reset_index()
        .melt("person_id", var_name="item")
    )
    long = score(rows.assign(person_id=rows["person_id"].map(lambda p: f"{p:03d}")), instrument=key)
    for name, part in long.groupby("scale"):
        if name in wide:
            assert part.sort_values("person_id")["score"].to_numpy() == pytest.approx(
                wide[name].to_numpy(), nan_ok=True, abs=ROUNDING
            )


@given(questionnaires(REVERSED))
@settings(max_examples=FEWER)
def test_reversing_twice_changes_nothing(case: tuple[str, pd.DataFrame]) -> None:
    key, frame = case
    form = read_instrument(key)
    for scale in form.scales.values():
        values = frame[[f"q{i}" for i in scale.items]].to_numpy()
        if scale.reverse:
            assert keyed_answers(keyed_answers(values, scale, form), scale, form) == pytest.approx(values, nan_ok=True)


@given(questionnaires(["wai_sr", "phq9", "gad7", "ecr_rs"]), st.integers(0, 3))
@settings(max_examples=FEWER)
def test_one_more_on_every_straight_item_adds_one_to_a_mean_and_k_to_a_sum(case: tuple[str, pd.DataFrame], position: int) -> None:
    key, frame = case
    form = read_instrument(key)
    lower = frame.clip(upper=form.high - 1)
    before, after = score(lower, instrument=key), score(lower + 1, instrument=key)
    names = [n for n, s in form.scales.items() if s.items and not s.reverse]
    name = names[position % len(names)]
    step = 1 if form.scales[name].combine == "mean" else len(form.scales[name].items)
    assert (after[name] - before[name]).dropna().to_numpy() == pytest.approx(step)


@given(
    arrays(float, (8, 4), elements=st.integers(0, 6).map(float)),
    st.integers(-50, 50),
    st.floats(0.1, 20),
    st.permutations(range(4)),
)
def test_alpha_does_not_change_with_origin_unit_or_order_and_is_at_most_one(
    values: np.ndarray, shift: int, factor: float, order: list[int]
) -> None:
    try:
        found = cronbach_alpha(values)
    except StatisticsError:
        return
    assert found.alpha <= 1 + ROUNDING
    assert found.ci_low <= found.alpha + ROUNDING
    moved = cronbach_alpha((values[:, order] + shift) * factor)
    assert moved.alpha == pytest.approx(found.alpha, abs=1e-6, rel=1e-6)


SCORE = st.floats(1, 7)


@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=8), st.sampled_from([MIDPOINT, FISHER]))
def test_swapping_the_dimensions_swaps_preoccupied_and_dismissing_for_the_midpoint(
    pairs: list[tuple[float, float]], rule: str
) -> None:
    anxiety, avoidance = np.array(pairs).T
    split = Split(rule) if rule == FISHER else Split(rule, 4, 4)
    found = attachment_styles(anxiety, avoidance, split=split)
    assert set(found) <= {"secure", "preoccupied", "dismissing", "fearful", "boundary"}
    if rule == MIDPOINT:
        other = {"preoccupied": "dismissing", "dismissing": "preoccupied"}
        assert [other.get(s, s) for s in found] == attachment_styles(avoidance, anxiety, split=split).tolist()


@given(SCORE, SCORE, st.floats(0.05, 2), st.floats(0.05, 2))
def test_style_probabilities_sum_to_one_and_the_assigned_style_is_the_likeliest(
    x: float, y: float, sem_x: float, sem_y: float
) -> None:
    split = Split(MIDPOINT, 4, 4)
    found = style_certainty([x], [y], split=split, sem_anxiety=sem_x, sem_avoidance=sem_y).iloc[0]
    styles = found[["secure", "preoccupied", "dismissing", "fearful"]]
    assert styles.sum() == pytest.approx(1)
    assigned = attachment_styles([x], [y], split=split)[0]
    if assigned != "boundary":
        assert styles[assigned] == pytest.approx(styles.max())
        assert found["misclassified"] <= 0.75 + ROUNDING


AAI_CODES = ["F", "F3", "Ds1", "E", "U", "U/F", "U/Ds2", "CC", "CC/E", "secure", "insecure", None, ""]


@given(st.lists(st.sampled_from(AAI_CODES), min_size=1, max_size=20))
@settings(max_examples=2 * FEWER)
def test_everyone_has_a_class_or_a_reason_and_the_ways_agree(codes: list[str | None]) -> None:
    frame = pd.DataFrame({"primary": pd.Series(codes, dtype="str")})
    read = {}
    for way in WAYS:
        labels, excluded = classes(frame, system="AAI", way=way)
        assert labels.isna().sum() == sum(excluded.values())
        read[way] = labels
    four, three, two, forced, disorganised = (read[w] for w in WAYS)
    known = four.notna()
    assert ((four[known] == "F") == (two[known] == "secure")).all()
    assert (known == disorganised.notna()).all()
    assert ((four[known] == "U") == (disorganised[known] == "unresolved or disorganised")).all()
    known = three.notna()
    assert ((three[known] == "F") == (forced[known] == "secure")).all()
    both = four.notna() & three.notna() & (four != "U")
    assert (four[both] == three[both]).all()
    assert math.isclose(len(codes), len(four))
