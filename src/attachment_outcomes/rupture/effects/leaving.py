"""Do clients leave treatment early more often from one state of rupture and repair than from another, session by session?

Vocabulary
----------
leaving        ending the treatment by drop-out after this session; who completes or is referred on after it is not at risk then
client-session a client at risk after one session; the state is what was known then (see ``states``), so that time spent before a
               rupture or a repair counts for the state it was spent in, and nobody is immortal
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.inference.estimate import CI_LEVEL, Estimate
from attachment_outcomes.inference.regression import FEW_CLUSTERS, logistic_contrasts
from attachment_outcomes.rupture.effects.comparison import few, numbers
from attachment_outcomes.rupture.effects.landmark import TIMING
from attachment_outcomes.rupture.effects.states import STATES
from attachment_outcomes.rupture.summary import not_assessable

LEAVING = "leaving_odds_ratio"
MIN_LEFT = 5  # who left from a state, and as many who stayed; with fewer a log odds ratio is far from normal
COLUMNS = {name: name.replace(" ", "_") for name in STATES[1:]}
CAVEATS = (
    "association, not effect; states by what was known after each session; odds ratios are given the covariates, and drift "
    "towards 1 where clients differ in what is not measured"
)


def leaving_odds(
    sessions: pd.DataFrame,
    *,
    outcome: str = "ending early",
    adjust: Sequence[str] = (),
    definition: str = "",
    primary: bool = False,
    ci_level: float = CI_LEVEL,
) -> list[Estimate]:
    r"""Compare the odds of leaving early after a session between states: a discrete-time hazard with time-varying exposure.

    .. math:: \mathrm{logit}\,h_{it} = \alpha_0 + \textstyle\sum_{k=1}^3\alpha_k t^k + \gamma'x_i + \sum_s\beta_s[state_{it} = s]

    Parameters
    ----------
    sessions : frame
        One row a client-session: ``client``, ``session_number``, ``state``, ``left`` (0 or 1), the columns of ``adjust``, and
        ``therapist_id``. Rows with a missing covariate are left out and counted.
    outcome : str
        Name of the outcome in the rows.
    adjust : list of str
        Covariates known before treatment.
    definition, primary, ci_level
        As in :func:`attachment_outcomes.rupture.repair_effect`.

    Returns
    -------
    list of Estimate
        Analysis ``repair_timing``, estimand ``leaving_odds_ratio``, group the state compared with none, and ``after repair against
        unrepaired``; above 1: more leave. ``std_error`` is on the log scale. Intervals are clustered by therapist where at least
        10 are known, else by client. One not-testable row for a state from which fewer than 5 left or stayed.

    Raises
    ------
    DataError
        If a session number, ``left`` or a covariate holds a word.

    References
    ----------
    Singer, J. D., & Willett, J. B. (1993). J. Educational Statistics, 18, 155-195. Suissa, S. (2008). American J. Epidemiology,
    167, 492-499.
    """
    checked = {c: numbers(sessions, c, "leaving") for c in dict.fromkeys(["session_number", "left", *adjust])}
    rows = sessions.assign(**checked)
    rows = rows[rows[list(adjust)].notna().all(axis=1)].reset_index(drop=True)
    made: list[Estimate] = []
    kept = [STATES[0]]
    size = {name: int((rows["state"] == name).sum()) for name in STATES}
    left = {name: int(rows.loc[rows["state"] == name, "left"].sum()) for name in STATES}
    told = ", ".join(f"{name} {few(left[name])} of {few(size[name])}" for name in STATES)

    def refuse(group: str, reason: str) -> Estimate:
        row = not_assessable(definition, outcome=outcome, reason=reason, analysis=TIMING)
        return replace(row, group=group)

    for name in STATES:
        if min(left[name], size[name] - left[name]) < MIN_LEFT:
            made.append(refuse(f"leaving, {name}", f"fewer than {MIN_LEFT} left or stayed (left of client-sessions: {told})"))
        elif name != STATES[0]:
            kept.append(name)
    if len(made) and made[0].group == f"leaving, {STATES[0]}":
        return [refuse("leaving", f"fewer than {MIN_LEFT} left or stayed without a rupture (left of client-sessions: {told})")]
    if len(kept) == 1:
        return made
    rows = rows[rows["state"].isin(kept)].reset_index(drop=True)
    number = rows["session_number"].to_numpy(dtype=float)
    spread = float(number.std()) or 1.0
    terms = []
    for power in range(1, min(3, len(np.unique(number)) - 1) + 1):
        terms.append(f"session_{power}")
        rows[terms[-1]] = ((number - number.mean()) / spread) ** power
    terms += [c for c in adjust if np.ptp(rows[c].to_numpy(dtype=float)) > 0]
    for name in kept[1:]:
        rows[COLUMNS[name]] = (rows["state"] == name).astype(float)
        terms.append(COLUMNS[name])
    named = rows["therapist_id"].nunique() >= FEW_CLUSTERS
    client, therapist = (pd.factorize(rows[c])[0] for c in ("client", "therapist_id"))
    # A client whose therapist is unknown is a cluster of their own; numbers, so that names of any type will do.
    rows["unit"] = np.where(therapist >= 0, therapist, therapist.max() + 1 + client) if named else client
    wanted = {name: COLUMNS[name] for name in kept[1:]}
    if {"after repair", "unrepaired"} <= set(kept):
        wanted["after repair against unrepaired"] = f"{COLUMNS['after repair']} - {COLUMNS['unrepaired']}"
    try:
        found = logistic_contrasts("left ~ " + " + ".join(terms), rows, contrasts=wanted, cluster="unit", ci_level=ci_level)
    except StatisticsError as error:
        return [*made, refuse("leaving", f"{error} (left of client-sessions: {told})")]
    note = (
        f"left of client-sessions: {told}; {rows['client'].nunique()} clients; "
        f"clusters are {'therapists' if named else 'clients'}; standard error on the log scale"
    )
    lost = len(sessions) - sum(size.values())
    note += f"; {lost} client-sessions without covariates left out" if lost else ""
    return made + [
        Estimate(
            analysis=TIMING, estimand=LEAVING, outcome=outcome, group=name, definition=definition, primary=primary,
            estimate=float(np.exp(c.estimate)), std_error=c.std_error, ci_low=float(np.exp(c.ci_low)),
            ci_high=float(np.exp(c.ci_high)), ci_level=ci_level, p_value=c.p_value, n=float(c.n), n_clusters=c.n_clusters,
            unit="odds ratio", method=f"discrete-time hazard, {c.method}", note=f"{note}; {CAVEATS}",
        )
        for name, c in found.items()
    ]  # fmt: skip
