"""Which of the scores that should be there are there?

Who should have given a score is told from the data: everybody who plays a part (client, partner, parent …) of which
somebody answers the instrument at that occasion. A session
counts as held for a person who has any score at that session or a later one, since the scores alone do not tell a
missed questionnaire after the last session from a therapy that had ended.
"""

from __future__ import annotations

import pandas as pd

COLUMNS = ["instrument", "occasion", "n_expected", "n_present", "proportion"]


def completeness_table(scores: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Share of the expected questionnaires that are complete, per instrument and occasion.

    Parameters
    ----------
    scores : pd.DataFrame
        The canonical table scores, with missing scores where a questionnaire could not be scored.
    people : pd.DataFrame
        The canonical table people.

    Returns
    -------
    pd.DataFrame
        ``instrument`` (with the rater, where not the person), ``occasion`` ("wave 0", "session 3"), ``n_expected``,
        ``n_present`` (people), ``proportion``. A questionnaire is present when every scale that anybody has at that
        occasion has a score; with several people rated about, when that holds for at least one of them.
    """
    if scores.empty:
        return pd.DataFrame(columns=COLUMNS)
    frame = scores.assign(
        instrument=[i if r == "self" else f"{i} ({r})" for i, r in zip(scores["instrument"], scores["rater"], strict=True)],
        kind=scores["session_number"].notna().map({True: "session", False: "wave"}),
        number=scores["session_number"].fillna(scores["wave"]),
        present=scores["score"].notna(),
    )
    frame = frame[frame["number"].notna()]
    roles = people.set_index("person_id")["role"]
    last_session = frame[(frame["kind"] == "session") & frame["present"]].groupby("person_id")["number"].max()
    lines = []
    for instrument, rows in frame.groupby("instrument", sort=True):
        for kind, number in rows[["kind", "number"]].drop_duplicates().sort_values(["kind", "number"]).itertuples(index=False):
            part = rows[(rows["kind"] == kind) & (rows["number"] == number)]
            scales = part.loc[part["present"], "scale"].nunique()
            if scales == 0:
                continue
            answering = set(roles.reindex(part.loc[part["present"], "person_id"].unique()).dropna())
            expected = roles.index[roles.isin(answering)]
            held = last_session.reindex(expected)
            answered = part[part["present"]].groupby(["person_id", "about_person_id"], dropna=False)["scale"].nunique()
            complete = answered[answered == scales].index.get_level_values("person_id").unique()
            n_expected = len(expected) if kind == "wave" else int((held >= number).sum())
            lines.append((instrument, f"{kind} {int(number)}", n_expected, int(complete.isin(expected).sum())))
    table = pd.DataFrame(lines, columns=COLUMNS[:4])
    table["proportion"] = table["n_present"] / table["n_expected"].where(table["n_expected"] > 0)
    return table
