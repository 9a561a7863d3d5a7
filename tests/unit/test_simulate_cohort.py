"""A large simulated cohort reproduces the truth it was made from; tolerances are about four standard errors."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.config import read_yaml
from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.measures.codes import classes
from attachment_outcomes.simulate.clients import therapist_sd
from attachment_outcomes.simulate.cohort import CORE_ITEMS, ECR_ITEMS, WAI_ITEMS, simulate_cohort
from attachment_outcomes.simulate.dirt import repeat_rows
from attachment_outcomes.simulate.trial import THERAPY, child_secure_share, make_trial
from attachment_outcomes.simulate.truth import check_truth

ANXIETY_REVERSED = [9, 11]
AVOIDANCE_REVERSED = [20, 22, 26, 27, 28, 29, 30, 31, 33, 34, 35, 36]


@pytest.fixture(scope="module")
def truth(root):
    return read_yaml(root / "data" / "example" / "truth.yaml")


@pytest.fixture(scope="module")
def small_truth(truth):
    return deepcopy(truth) | {"network": {"sites": 2, "therapists": 6, "clients": 80}}


@pytest.fixture(scope="module")
def large_truth(truth):
    """The example's truth with enough of everybody that sampling error is small."""
    large = deepcopy(truth)
    large["network"] = {"sites": 20, "therapists": 250, "clients": 5000}
    large["families"] |= {"dyads": 12_000, "siblings": 1000, "grandparents": 1000}
    large["couples"]["couples"] = 2000
    large["samples"]["samples"] = 300
    return large


@pytest.fixture(scope="module")
def large(large_truth):
    return simulate_cohort(large_truth)


@pytest.fixture(scope="module")
def waves(large):
    """Waves with hand-scored scales; questionnaires with a gap are left out."""
    frame = large["waves"].copy()
    core, ecr = frame[CORE_ITEMS].astype(float), frame[ECR_ITEMS].astype(float)
    core = core.mask(core > 4)
    for item in (2, 3):
        core[f"core_{item}"] = 4 - core[f"core_{item}"]
    for item in [*ANXIETY_REVERSED, *AVOIDANCE_REVERSED]:
        ecr[f"ecr_{item}"] = 8 - ecr[f"ecr_{item}"]
    frame["core"] = core.sum(axis=1, skipna=False)
    frame["anxiety"] = ecr.iloc[:, :18].mean(axis=1, skipna=False)
    frame["avoidance"] = ecr.iloc[:, 18:].mean(axis=1, skipna=False)
    return frame[["client_id", "wave", "weeks", "core", "anxiety", "avoidance"]]


@pytest.fixture(scope="module")
def changes(waves, large):
    """Change from baseline to the last wave, of those who filled in both."""
    start, end = (waves[waves["wave"] == w].set_index("client_id") for w in (0, 4))
    change = (end - start)[["core", "anxiety", "avoidance"]].dropna()
    return change.join(large["true_clients"].set_index("client_id")[["therapist_id", "group"]])


def test_start_and_change_are_the_truths(waves, changes, large_truth):
    start = waves[waves["wave"] == 0]
    symptoms, attachment = large_truth["symptoms"], large_truth["attachment"]
    assert start["core"].mean() == pytest.approx(symptoms["mean"], abs=0.4)
    for name in ("anxiety", "avoidance"):
        assert start[name].mean() == pytest.approx(attachment[name]["mean"], abs=0.07)
        assert changes[name].mean() == pytest.approx(attachment[name]["change"], abs=0.05)


def test_repaired_ruptures_cost_nothing_and_unrepaired_ones_what_the_truth_says(changes, large_truth):
    mean = changes.groupby("group")["core"].mean()
    assert mean["none"] == pytest.approx(large_truth["symptoms"]["change"], abs=0.6)
    assert mean["repaired"] - mean["none"] == pytest.approx(0.0, abs=0.8)
    assert mean["unrepaired"] - mean["none"] == pytest.approx(large_truth["ruptures"]["unrepaired_points"], abs=1.0)


def test_therapists_hold_their_share_of_the_variance_of_change(changes, large_truth):
    kept = changes[changes["group"] != "unrepaired"]
    groups = kept.groupby("therapist_id")["core"]
    size, k, n = groups.size(), groups.ngroups, len(kept)
    between = (size * (groups.mean() - kept["core"].mean()) ** 2).sum() / (k - 1)
    within = ((kept["core"] - groups.transform("mean")) ** 2).sum() / (n - k)
    per_group = (n - (size**2).sum() / n) / (k - 1)
    variance = (between - within) / per_group
    assert variance / (variance + within) == pytest.approx(large_truth["heterogeneity"]["therapist_share"], abs=0.03)


def test_the_therapists_sd_follows_from_the_share():
    # share .06, SD of change 5, error variance 36 x .12 / .88 = 4.909: 0.06/0.94 x (25 + 9.818) = 2.2224, root 1.4908
    truth = {
        "symptoms": {"sd": 6, "reliability": 0.88, "change_sd": 5},
        "heterogeneity": {"therapist_share": 0.06},
    }
    assert therapist_sd(truth) == pytest.approx(1.4908, abs=1e-4)


def test_ruptures_happen_as_often_as_the_truth_says_if_nobody_leaves(large, large_truth):
    # Ruptures make some leave, so the share is read where hardly anybody does.
    staying = deepcopy(large_truth)
    staying["dropout"] |= {"hazard": 1e-6, "referred_share": 0}
    group = simulate_cohort(staying)["true_clients"]["group"]
    ruptures = large_truth["ruptures"]
    assert (group != "none").mean() == pytest.approx(ruptures["share"], abs=0.026)
    assert (group == "repaired").sum() / (group != "none").sum() == pytest.approx(ruptures["repaired_share"], abs=0.035)
    assert (large["true_clients"]["group"] != "none").mean() < ruptures["share"]


def test_a_rupture_is_a_dip_and_a_repair_brings_the_alliance_back(large):
    sessions = large["sessions"].merge(large["true_clients"][["client_id", "group", "last_session"]], on="client_id")
    sessions["alliance"] = sessions[WAI_ITEMS].astype(float).mean(axis=1)
    lowest = sessions.groupby("client_id")["alliance"].min()
    end = sessions[sessions["session"] > sessions["last_session"] - 2].groupby("client_id")["alliance"].mean()
    group = sessions.drop_duplicates("client_id").set_index("client_id")["group"]
    fall = lowest.groupby(group).mean()
    assert fall["none"] - fall["repaired"] > 0.4
    final = end.groupby(group).mean()
    assert final["none"] - final["unrepaired"] > 0.6
    assert final["none"] - final["repaired"] < 0.15


def test_breaks_cost_alliance_and_more_so_with_anxiety(large, large_truth):
    sessions = large["sessions"].merge(large["true_clients"][["client_id", "anxiety", "group"]], on="client_id")
    sessions = sessions[sessions["group"] == "none"].dropna(subset=WAI_ITEMS)
    alliance = sessions[WAI_ITEMS].astype(float).mean(axis=1)
    alliance -= alliance.groupby(sessions["client_id"]).transform("mean")
    after = (sessions["weeks_since_last"].fillna(0) >= 2).to_numpy(bool)
    attachment = large_truth["attachment"]["anxiety"]
    z = (sessions["anxiety"] - attachment["mean"]) / attachment["sd"]
    slope, level = np.polyfit(z[after], alliance[after], 1)
    settings = large_truth["alliance"]
    assert level == pytest.approx(-settings["break_dip"], abs=0.03)
    # Centring on a client's own mean takes off the share of sessions that follow a break, about 6 %.
    assert slope == pytest.approx(-0.94 * settings["break_dip_per_anxiety_sd"], abs=0.02)


def test_depth_follows_felt_security_within_clients(large, large_truth):
    rated = large["sessions"].dropna(subset=["security", "depth"])
    centred = rated[["security", "depth"]].astype(float)
    centred -= centred.groupby(rated["client_id"]).transform("mean")
    slope = (centred["security"] * centred["depth"]).sum() / (centred["security"] ** 2).sum()
    assert slope == pytest.approx(large_truth["exploration"]["security_slope"], abs=0.02)


def test_who_leaves_was_worse_and_had_the_weaker_alliance_before(large):
    clients = large["true_clients"].set_index("client_id")
    assert 0.15 < clients["dropped_out"].mean() < 0.30
    last = large["sessions"].dropna(subset=WAI_ITEMS).drop_duplicates("client_id", keep="last").set_index("client_id")
    alliance = last[WAI_ITEMS].astype(float).mean(axis=1).groupby(clients["dropped_out"]).mean()
    assert alliance[False] - alliance[True] > 0.1
    symptoms = clients.groupby("dropped_out")["symptoms"].mean()
    assert symptoms[True] - symptoms[False] > 0.5


def test_nothing_is_seen_of_ruptures_after_a_client_left(large):
    left = large["true_clients"]
    shown = large["sessions"].groupby("client_id")["session"].max()
    assert (shown.reindex(left["client_id"]).to_numpy() == left["last_session"].to_numpy()).all()
    late = (left["dropped_out"] & (left["last_session"] < 4)).to_numpy()
    assert late.any()
    assert (left.loc[late, "group"] == "none").all()  # ruptures begin in session 4 at the earliest


def kappa(table):
    table = np.asarray(table) / np.asarray(table).sum()
    chance = table.sum(axis=0) @ table.sum(axis=1)
    return (np.trace(table) - chance) / (1 - chance)


def pairs(cohort, way, generation, child_system):
    coded = cohort["classifications"].set_index("person_id")
    pair = cohort["families"].query("generation == @generation")
    labels = {
        system: classes(coded[coded["system"] == system].replace("", pd.NA), system=system, way=way)[0] for system in ("AAI", "SSP")
    }
    parent = labels["AAI"].reindex(pair["parent_id"]).to_numpy()
    return parent, labels[child_system].reindex(pair["child_id"]).to_numpy()


@pytest.mark.parametrize(
    ("way", "child_system", "generation", "tolerance"),
    [("4-way", "SSP", 2, 0.03), ("3-way", "SSP", 2, 0.04), ("4-way", "AAI", 1, 0.09)],
)
def test_transmission_has_the_kappa_of_the_truth(large, large_truth, way, child_system, generation, tolerance):
    parent, child = pairs(large, way, generation, child_system)
    order = {"Ds": 0, "F": 1, "E": 2, "U": 3, "A": 0, "B": 1, "C": 2, "D": 3}
    both = pd.notna(parent) & pd.notna(child)
    table = np.zeros((4, 4))
    np.add.at(table, ([order[p] for p in parent[both]], [order[c] for c in child[both]]), 1)
    size = 3 if way == "3-way" else 4
    assert kappa(table[:size, :size]) == pytest.approx(large_truth["families"]["kappa"], abs=tolerance)
    if way == "4-way":
        assert table.sum(axis=1)[1] / table.sum() == pytest.approx(large_truth["families"]["classes"]["secure"], abs=0.07)


def test_three_generations_are_chained(large, large_truth):
    families = large["families"]
    first, second = families[families["generation"] == 1], families[families["generation"] == 2]
    assert first["child_id"].isin(second["parent_id"]).all()
    assert len(first) == large_truth["families"]["grandparents"]
    assert (second["parent_id"].value_counts() == 2).sum() == large_truth["families"]["siblings"]


def test_reflective_functioning_of_two_generations_correlates(large, large_truth):
    coded = large["classifications"].set_index("person_id")["reflective_functioning"]
    first = large["families"].query("generation == 1")
    elder, parent = (coded.reindex(first[c]).to_numpy() for c in ("parent_id", "child_id"))
    settings = large_truth["families"]["reflective_functioning"]
    # Beyond the classes, plus what the classes share: 0.4 x 1.69 + 0.28 of a variance of 2.2 makes about 0.44.
    assert settings["between_generations"] == 0.4
    assert np.corrcoef(elder, parent)[0, 1] == pytest.approx(0.44, abs=0.1)


def test_earlier_samples_scatter_about_kappa_with_tau_and_lie_lower_at_high_risk(large, large_truth):
    four = large["samples"].query("table == 'AAI-SSP 4-way'")
    kappas = four.groupby("sample_id")["count"].apply(lambda c: kappa(c.to_numpy().reshape(4, 4)))
    sizes = four.groupby("sample_id")["n"].first()
    assert (four.groupby("sample_id")["count"].sum() == sizes).all()
    settings = large_truth["samples"]
    risk = large["sample_traits"].set_index("sample_id")["risk"].reindex(kappas.index)
    assert (risk == "high").sum() == round(settings["high_risk_share"] * settings["samples"])
    assert kappas.mean() == pytest.approx(settings["kappa"], abs=0.03)
    by_risk = kappas.groupby(risk)
    assert by_risk.mean()["high"] - by_risk.mean()["low"] == pytest.approx(settings["high_risk_kappa"], abs=0.06)
    # Sampling error of kappa with 75 pairs is about .075; with tau it makes sqrt(.10^2 + .075^2) = .125.
    assert by_risk.std()["low"] == pytest.approx(0.125, abs=0.02)


def test_traits_of_samples_are_theirs(large):
    traits = large["sample_traits"].set_index("sample_id")
    assert set(traits.index) == set(large["samples"]["sample_id"])
    assert traits["year"].is_monotonic_increasing
    assert ((traits["coding"] == "revised") == (traits["year"] >= 2005)).all()
    assert traits["child_age"].between(12, 18).all()


@pytest.fixture(scope="module")
def trial(large_truth):
    """A trial of thousands, read without the classes' codes: who was secure, and what they gained."""
    truth = deepcopy(large_truth)
    truth["trial"]["parents"] = 40_000
    frame = make_trial(truth, np.random.default_rng(5))
    return frame.assign(
        therapy=frame["arm"] == THERAPY,
        secure_before=frame["before_primary"].str.startswith("F"),
        secure_after=frame["after_primary"].str.startswith("F").where(frame["after_primary"] != ""),
        child=frame["child_primary"].str.startswith("B").where(frame["child_primary"] != ""),
        gain=frame["after_functioning"] - frame["before_functioning"],
    )


def test_children_in_the_trial_are_as_often_secure_as_the_truth_says(trial, large_truth):
    seen = trial.dropna(subset="child")
    share = seen.groupby(["therapy", "secure_before"])["child"].mean()
    for therapy in (False, True):
        for before in (False, True):
            truth = child_secure_share(large_truth, therapy=therapy, secure_before=before)
            assert share[therapy, before] == pytest.approx(truth, abs=0.025)
    assert child_secure_share(large_truth, therapy=True) - child_secure_share(large_truth, therapy=False) == pytest.approx(0.25)


def test_parents_in_the_trial_change_as_the_truth_says(trial, large_truth):
    settings = large_truth["trial"]
    insecure = trial[~trial["secure_before"]]
    became = insecure.dropna(subset="secure_after").groupby("therapy")["secure_after"].mean()
    gain = insecure.groupby("therapy")["gain"].mean()
    for therapy, arm in ((True, "therapy"), (False, "usual_care")):
        assert became[therapy] == pytest.approx(settings["becomes_secure"][arm], abs=0.02)
        assert gain[therapy] == pytest.approx(settings["reflective_functioning"]["gain"][arm], abs=0.05)
    same = insecure[(insecure["secure_after"] == 0) & insecure["child"].notna()]
    slope = np.polyfit(same["gain"], same["child"].astype(float), 1)[0]
    assert 0.05 < slope < settings["child_secure"]["per_point"] + 0.05  # error of two ratings flattens it, therapy adds to it


def test_the_trials_missing_are_those_of_the_truth_and_its_people_nobody_elses(trial, large_truth, large):
    settings = large_truth["trial"]
    assert (trial["child_primary"] == "").mean() == pytest.approx(settings["missed_child_share"], abs=0.01)
    assert (trial["after_primary"] == "").mean() == pytest.approx(settings["missed_interview_share"], abs=0.01)
    assert trial.loc[trial["after_primary"] == "", "after_functioning"].isna().all()
    assert not set(large["trial"]["parent_id"]) & set(large["classifications"]["person_id"])
    assert not set(large["trial"]["child_id"]) & set(large["classifications"]["person_id"])
    ids = pd.concat([trial["parent_id"], trial["child_id"]])
    assert not ids.duplicated().any()


def test_the_two_class_tables_are_the_four_class_ones_collapsed(large):
    tables = large["samples"].set_index(["sample_id", "parent_class", "child_class"])["count"]
    two = tables[large["samples"]["table"].to_numpy() == "AAI-SSP 2-way"]
    four = tables[large["samples"]["table"].to_numpy() == "AAI-SSP 4-way"]
    assert (two.xs(("secure", "secure"), level=(1, 2)) == four.xs(("secure", "secure"), level=(1, 2))).all()
    assert (two.groupby("sample_id").sum() == four.groupby("sample_id").sum()).all()


def test_couples_change_as_the_truth_says_and_partners_resemble_each_other(large, large_truth):
    partners = large["partners"]
    total = partners.pivot_table(index=["couple_id", "partner_id"], columns="occasion", values="das_total")
    settings = large_truth["couples"]
    assert total["start"].mean() == pytest.approx(settings["satisfaction"]["mean"], abs=1.2)
    assert (total["end"] - total["start"]).mean() == pytest.approx(settings["satisfaction"]["change"], abs=1.0)
    start = total["start"].to_numpy().reshape(-1, 2)
    observed = settings["correlation"] * settings["satisfaction"]["reliability"]
    assert np.corrcoef(start.T)[0, 1] == pytest.approx(observed, abs=0.08)


def test_the_same_truth_gives_the_same_cohort_and_a_generator_another(small_truth):
    first, again = simulate_cohort(small_truth), simulate_cohort(small_truth)
    for name in first:
        pd.testing.assert_frame_equal(first[name], again[name])
    other = simulate_cohort(small_truth, np.random.default_rng(1))
    assert not first["waves"].equals(other["waves"])


def test_a_change_to_one_part_moves_no_other(small_truth):
    changed = deepcopy(small_truth)
    changed["families"]["kappa"] = 0.6
    first, other = simulate_cohort(small_truth), simulate_cohort(changed)
    assert not first["classifications"].equals(other["classifications"])
    for name in ("clients", "waves", "sessions", "therapists", "couples", "partners"):
        pd.testing.assert_frame_equal(first[name], other[name])


def test_faults_are_exactly_those_of_the_truth(small_truth):
    cohort = simulate_cohort(small_truth)
    assert cohort["sessions"].duplicated().sum() == 1
    assert (cohort["waves"][CORE_ITEMS] > 4).sum().sum() == 1
    assert not cohort["waves"].duplicated(["client_id", "wave"]).any()
    clean = deepcopy(small_truth)
    clean["dirt"] = dict.fromkeys(clean["dirt"], 0)
    cohort = simulate_cohort(clean)
    assert not cohort["waves"].isna().any().any()
    assert not cohort["sessions"].duplicated().any()


def test_more_repeated_rows_than_rows_are_refused():
    with pytest.raises(DataError, match="5 rows to repeat, but the table has 2"):
        repeat_rows(pd.DataFrame({"a": [1, 2]}), np.random.default_rng(0), rows=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("dropout"), r"truth, key \(top level\): required key 'dropout' is missing"),
        (lambda t: t["network"].update(client=5), "key network: unknown key 'client'; .* Did you mean 'clients'"),
        (lambda t: t["ruptures"].update(share=1.2), "key ruptures/share: found 1.2; allowed: a number from 0 to 1"),
        (lambda t: t["network"].update(clients="many"), "key network/clients: found 'many'; allowed: a number"),
        (lambda t: t.update(samples=3), "key samples: found 3; it holds the keys"),
        (lambda t: t["families"].update(siblings=200), "more siblings and grandparents than there are parents"),
        (lambda t: t["families"]["classes"].update(secure=0.9), "shares do not add up to 1"),
        (lambda t: t["trial"]["classes"].update(secure=0.9), "key trial/classes: the shares do not add up to 1"),
        (lambda t: t["samples"].update(largest=10), "largest is below smallest"),
        (lambda t: t["waves"].update(weeks=8), "are lists"),
    ],
)
def test_an_impossible_truth_is_refused_in_one_line(truth, change, message):
    wrong = deepcopy(truth)
    change(wrong)
    with pytest.raises(ConfigError, match=message):
        check_truth(wrong)
