"""What all analyses between generations share: labels, and draws of families."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from attachment_outcomes.errors import ConfigError, StatisticsError
from attachment_outcomes.flow import Flow
from attachment_outcomes.study.contracts import empty, typed
from attachment_outcomes.transmission.continuous import analyse
from attachment_outcomes.transmission.correspondence import analyse as concordance
from attachment_outcomes.transmission.data import READS, TransmissionData
from attachment_outcomes.transmission.misclassification.study import analyse as corrected


def study(pairs=100, *, settings=None, **tables):
    """Pairs of a mother and a child, each a family; every other one labelled so."""
    table = pd.DataFrame({"person_a": [f"m{i}" for i in range(pairs)], "person_b": [f"c{i}" for i in range(pairs)]})
    table = table.assign(kind="parent_child", label=np.where(np.arange(pairs) % 2, "father-child", "mother-child"))
    whole = dict.fromkeys(READS, empty("classifications")) | {"relations": typed(table, "relations"), **tables}
    return TransmissionData(whole, settings or {}, replicates=99, seed=1, flow=Flow())


def share(sums):
    return sums[:, 0] / sums[:, 1]


def test_only_families_with_rows_are_clusters():
    values = np.column_stack([np.arange(8) % 2, np.ones(8)])
    found = study().resampled(share, values, families=np.arange(8) * 3)
    assert found.n_clusters == 8
    assert found.note == "few clusters (8): the interval may be too short"
    assert found.interval(0, method="percentile", most_failed=1).n_clusters == 8
    enough = study().resampled(share, np.tile(values, (2, 1)), families=np.arange(16))
    assert (enough.n_clusters, enough.note) == (16, "")


def test_all_families_are_drawn_so_that_analyses_share_their_draws():
    values = np.column_stack([np.arange(40) % 2, np.ones(40)])
    few, many = (study().resampled(lambda s: s, values[:n], families=np.arange(n)) for n in (20, 40))
    assert (few.draws[:, 1] <= many.draws[:, 1]).all()
    assert np.ptp(few.draws[:, 1]) > 0


def test_one_family_is_refused_though_the_study_has_more():
    with pytest.raises(StatisticsError, match="fewer than 2 families have data"):
        study().resampled(share, np.ones((6, 2)), families=np.full(6, 4))


def test_a_label_that_nobody_has_is_refused():
    with pytest.raises(
        ConfigError, match=r"label 'mothr-child'.*allowed: father-child, mother-child\. Did you mean 'mother-child'"
    ):
        study().labelled(["father-child", "mothr-child"])
    assert len(study().labelled(["father-child"])) == 50
    assert len(study().labelled([])) == 100
    assert study(0).labelled(["mother-child"]).empty


def test_two_correlations_of_the_same_scores_count_their_own_losses():
    rows = [(f"{who}{i}", "i", "s", w, float(i + 3 * w)) for who in "mc" for i in range(40) for w in (0, 1) if w == 0 or i < 33]
    scores = pd.DataFrame(rows, columns=["person_id", "instrument", "scale", "wave", "score"]).assign(rater="self")
    side = {"score": "i.s"}
    asked = [
        {"label": "all", "parent": {**side, "wave": w}, "child": {**side, "wave": w}} for w in (0, 1)
    ]  # fmt: skip
    data = study(40, settings={"continuous": asked}, scores=typed(scores, "scores"))
    assert [row.n for row in analyse(data).estimates] == [40, 33]
    lost = data.flow.frame().query("reason == 'parent without the score'")
    assert (lost["n_in"] - lost["n_out"]).tolist() == [0, 7]
    assert lost["step"].is_unique


@pytest.mark.parametrize(("verified", "told"), [(False, "the cutoff of AQS is not checked in its source"), (True, "")])
def test_a_cutoff_that_was_not_checked_is_told(verified, told):
    codes = pd.DataFrame({"person_id": [f"m{i}" for i in range(40)], "system": "AAI", "primary": ["F", "Ds"] * 20}).assign(wave=0)
    sorts = pd.DataFrame({"person_id": [f"c{i}" for i in range(40)], "instrument": "aqs", "scale": "security"})
    sorts = sorts.assign(score=np.resize([0.5, 0.1, 0.4], 40), wave=0, rater="observer")
    cutoff = {"system": "AQS", "score": "aqs.security", "secure_from": 0.3, "source": "somebody", "verified": verified}
    reliable = [{"way": "2-way, forced", "of": "coders", "kappa": 0.8, "source": "made up", "verified": True}]
    settings = {
        "parent_system": "AAI", "child_system": "AQS", "ways": ["2-way, forced"], "security_cutoffs": [cutoff],
        "misclassification": {"parent": reliable, "child": reliable},
    }  # fmt: skip
    tables = {"classifications": typed(codes, "classifications"), "scores": typed(sorts, "scores"), "styles": pd.DataFrame()}
    data = study(40, settings=settings, **tables)
    rows = [*concordance(data).estimates, *corrected(data).estimates]
    assert len({row.analysis for row in rows}) == 2
    for analysis in ("concordance", "transmission_corrected"):
        agreement = next(r for r in rows if r.analysis == analysis and r.estimand == "agreement")
        assert ("not checked in its source" in agreement.note) == bool(told)
        assert told in agreement.note
