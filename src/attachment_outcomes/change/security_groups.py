"""Who was secure at the end, and had they been so from the start? Earned and continuously secure people."""

from __future__ import annotations

import pandas as pd

from attachment_outcomes.change.inputs import SELF, ChangeData
from attachment_outcomes.change.occasions import long_values, pairs
from attachment_outcomes.errors import StatisticsError
from attachment_outcomes.measures.codes import FOUR_WAY, SYSTEMS, classes
from attachment_outcomes.measures.styles import BOUNDARY, SECURE

INTERVIEW = "AAI"


def security_at_both(data: ChangeData) -> tuple[pd.DataFrame, set[str]]:
    """Return who was secure at the end, with whether that was earned (``person_id, earned``), and the scores it is read from.

    Raises
    ------
    StatisticsError
        If nothing says who is secure.
    DataError
        If a person has several classes at one occasion.
    """
    if data.settings.get("security") == INTERVIEW:
        own = data.classifications[(data.classifications["system"] == INTERVIEW).to_numpy(dtype=bool)]
        labels, _ = classes(own, system=INTERVIEW, way=FOUR_WAY)
        long = long_values(own.assign(label=labels), column="label", occasions="wave", name=INTERVIEW)
        secure, made_of = SYSTEMS[INTERVIEW].secure, set[str]()
    else:
        styles = data.styles[((data.styles["rater"] == SELF) & data.styles["primary"]).to_numpy(dtype=bool)]
        styles = styles[(styles["style"].notna() & (styles["style"] != BOUNDARY)).to_numpy(dtype=bool)]
        if styles.empty:
            raise StatisticsError("no style classification: name the two dimensions under measures/styles")
        name = str(styles["name"].iloc[0])
        long = long_values(styles, column="style", occasions=data.occasions, name=name)
        keys = name.split(" ")[0].split("/")
        secure, made_of = SECURE, {f"{keys[0]}.anxiety", f"{keys[-1]}.avoidance"}
    if long.empty:
        raise StatisticsError("nobody is classed")
    found = pairs(long, **data.when)
    found = found[(found["pre"].notna() & (found["post"] == secure)).to_numpy(dtype=bool)]
    return pd.DataFrame({"person_id": found["person_id"], "earned": found["pre"] != secure}).reset_index(drop=True), made_of
