"""Which attachment class does a coder's code mean, read in two, three or four ways?

Vocabulary
----------
organised class   Ds, F, E (Adult Attachment Interview) and A, B, C (Strange Situation)
unresolved        U, the interview's class that takes priority over an organised one; disorganised, D, in the Strange Situation
cannot classify   CC, counted with U or D, as is usual
secondary class   the organised class beside U, D or CC: the F of U/F
forced class      the organised class a coder was told to choose
way               4-way: U and D take priority. 3-way: only organised classes; U/F counts as F. The two-class ways differ in
                  what they do with U/F and D/B: ``2-way, unresolved insecure`` counts them insecure, ``2-way, forced`` secure;
                  ``2-way, disorganised`` sets U and D against all organised classes.
AQS               attachment Q-set: security only, so that secure and insecure are all its classes in every way that has them
styles            self-reported styles: secure, preoccupied, dismissing, fearful, and boundary, which is no class

Codes are read without regard to case; sub-classes (Ds1 to Ds4, F1 to F5, E1 to E3, A1 to A2, B1 to B4, C1 to C2, with or
without a letter) count as their class. The plain words secure and insecure are read in the two-class ways only.

Styles correspond to the interview's and the Strange Situation's classes by name: dismissing to Ds and A, secure to F and B,
preoccupied to E and C. Fearful has no true match: in the 4-way reading it stands beside U and D because both are what is left,
not because theory or data say that they are alike, and in the 3-way reading it is no class.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from attachment_outcomes.errors import ConfigError, DataError, StatisticsError, did_you_mean, problem, rows_text

FOUR_WAY = "4-way"
THREE_WAY = "3-way"
TWO_WAY_UNRESOLVED = "2-way, unresolved insecure"
TWO_WAY_FORCED = "2-way, forced"
TWO_WAY_DISORGANISED = "2-way, disorganised"
WAYS = [FOUR_WAY, THREE_WAY, TWO_WAY_UNRESOLVED, TWO_WAY_FORCED, TWO_WAY_DISORGANISED]

SECURE, INSECURE = "secure", "insecure"
ORGANISED, NOT_ORGANISED = "organised", "unresolved or disorganised"
PREOCCUPIED, DISMISSING, FEARFUL, BOUNDARY = "preoccupied", "dismissing", "fearful", "boundary"
CANNOT_CLASSIFY = "CC"
AQS, STYLES = "AQS", "styles"

NO_PRIMARY = "no class given"
NO_CLASS_BEHIND = "only secure or insecure given, not the class"
NO_ORGANISED = "no organised class beside the unresolved or disorganised one"
ON_BOUNDARY = "on the boundary of two styles"
NO_MATCH = "fearful, which is none of three classes"
FEARFUL_NOTE = "fearful stands beside the unresolved or disorganised class, with which it has no true match"


@dataclass(frozen=True)
class CodingSystem:
    """One coding system: its organised classes with the number of their sub-classes, and the class that takes priority.

    ``whole`` systems have no sub-classes and no class that takes priority: a code is one of their words.
    """

    organised: dict[str, int]
    priority: str
    priority_aliases: tuple[str, ...]
    secure: str
    whole: bool = False


SYSTEMS = {
    # Main, Goldwyn & Hesse, Adult attachment scoring and classification systems; U is also written Ud or U/d.
    "AAI": CodingSystem({"Ds": 4, "F": 5, "E": 3}, "U", ("Ud",), "F"),
    # Ainsworth et al. (1978), Patterns of attachment; Main & Solomon (1990) for D.
    "SSP": CodingSystem({"A": 2, "B": 4, "C": 2}, "D", (), "B"),
}

CLASSES: dict[str, dict[str, list[str]]] = {
    name: {
        FOUR_WAY: [*system.organised, system.priority],
        THREE_WAY: list(system.organised),
        TWO_WAY_UNRESOLVED: [SECURE, INSECURE],
        TWO_WAY_FORCED: [SECURE, INSECURE],
        TWO_WAY_DISORGANISED: [ORGANISED, NOT_ORGANISED],
    }
    for name, system in SYSTEMS.items()
}
# Neither has an unresolved class, so the two two-class ways are the same for them.
SYSTEMS |= {
    # Waters & Deane (1985): a sort tells how secure a child is, not how it is insecure.
    AQS: CodingSystem({}, "", (), SECURE, whole=True),
    # Bartholomew & Horowitz (1991): four styles.
    STYLES: CodingSystem({DISMISSING: 0, SECURE: 0, PREOCCUPIED: 0}, "", (), SECURE, whole=True),
}
CLASSES |= {
    AQS: {TWO_WAY_UNRESOLVED: [SECURE, INSECURE], TWO_WAY_FORCED: [SECURE, INSECURE]},
    STYLES: {
        FOUR_WAY: [DISMISSING, SECURE, PREOCCUPIED, FEARFUL],
        THREE_WAY: [DISMISSING, SECURE, PREOCCUPIED],
        TWO_WAY_UNRESOLVED: [SECURE, INSECURE],
        TWO_WAY_FORCED: [SECURE, INSECURE],
    },
}
WORDS = {AQS: (SECURE, INSECURE), STYLES: (SECURE, PREOCCUPIED, DISMISSING, FEARFUL, BOUNDARY, INSECURE)}
NOT_READ = {
    AQS: "AQS tells secure from insecure only, not how somebody is insecure",
    STYLES: "a self-reported style does not say who is unresolved or disorganised",
}

# Parent's interview class to the child's Strange Situation class that theory expects (van IJzendoorn, 1995).
MATCH = {
    "Ds": "A",
    "F": "B",
    "E": "C",
    "U": "D",
    SECURE: SECURE,
    INSECURE: INSECURE,
    ORGANISED: ORGANISED,
    NOT_ORGANISED: NOT_ORGANISED,
}


def unreadable(system: str, way: str) -> str:
    """Return why a system's classes cannot be read in a way; nothing where they can.

    Raises
    ------
    ConfigError
        If the system or the way is not known.
    """
    _system(system)
    if way not in WAYS:
        raise ConfigError(problem("way", f"found {way!r}; allowed: {'; '.join(WAYS)}.{did_you_mean(way, WAYS)}"))
    return "" if way in CLASSES[system] else f"{NOT_READ[system]}: the {way} reading has no meaning for it"


def allowed_codes(system: str) -> list[str]:
    """Return the codes of a system without sub-classes, for messages and data dictionaries."""
    coding = _system(system)
    if coding.whole:
        return [*WORDS[system]]
    priority = [coding.priority, *coding.priority_aliases, CANNOT_CLASSIFY]
    return [*coding.organised, *priority, *(f"{coding.priority}/{o}" for o in coding.organised), SECURE, INSECURE]


def _system(name: str) -> CodingSystem:
    if name not in SYSTEMS:
        raise ConfigError(problem("coding system", f"found {name!r}; allowed: {', '.join(SYSTEMS)}.{did_you_mean(name, SYSTEMS)}"))
    return SYSTEMS[name]


@dataclass(frozen=True)
class _Parsed:
    """A code taken apart: its class (the priority class for CC, or secure/insecure) and the organised classes beside it."""

    main: str
    beside: tuple[str, ...]


def _parse(code: str, system: str) -> _Parsed | None:
    """Return the parts of a code, or None if it is not one of the system's."""
    coding = _system(system)
    text = re.sub(r"\s+", "", code).casefold()
    if text in (SECURE, INSECURE):
        return _Parsed(text, ())
    if system == "AAI":
        text = re.sub(r"^u/d(?=/|$)", "u", text)
    organised = {o.casefold(): o for o in coding.organised}
    priority = {p.casefold() for p in (coding.priority, *coding.priority_aliases, CANNOT_CLASSIFY)}
    found: list[str] = []
    for part in text.split("/"):
        match = re.fullmatch(r"([a-z]+)(?:([1-9])[a-z]?)?", part)
        if part in priority:
            found.append(coding.priority)
        elif match and match[1] in organised and int(match[2] or 1) <= coding.organised[organised[match[1]]]:
            found.append(organised[match[1]])
        else:
            return None
    main, beside = found[0], tuple(dict.fromkeys(f for f in found[1:] if f not in (found[0], coding.priority)))
    if main != coding.priority and (beside or coding.priority in found):
        return None  # two organised classes (A/C), or the priority class named second: which one holds is not told
    return _Parsed(main, beside)


def _column(frame: pd.DataFrame, name: str, system: str, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the main class and the one organised class beside it (empty string = none) of each row."""
    empty = np.full(len(frame), "", dtype=object)
    if name not in frame:
        return empty, empty.copy()
    codes, words = pd.factorize(frame[name].astype("str"))  # missing is -1
    parsed = [_Parsed("", ()) if not str(w).strip() else _parse(str(w), system) for w in words]
    wrong = np.array([p is None for p in parsed] + [False])[codes]
    _refuse(wrong, name, f"a code that the {system} does not have or that leaves the class open", system, where)
    main = np.array([p.main if p else "" for p in parsed] + [""], dtype=object)
    beside = np.array([p.beside[0] if p and len(p.beside) == 1 else "" for p in parsed] + [""], dtype=object)
    return main[codes], beside[codes]


def _refuse(wrong: np.ndarray, column: str, what: str, system: str, where: np.ndarray) -> None:
    if wrong.any():
        rows = (np.flatnonzero(wrong[where]) + 1).tolist()
        whole = SYSTEMS[system].whole
        finer = "" if whole else f", and sub-classes such as {next(iter(SYSTEMS[system].organised))}1"
        first = "" if whole else "; the priority class is written first"
        raise DataError(
            problem(
                f"classifications.{column}",
                f"{what} in {rows_text(rows)}; allowed: {', '.join(allowed_codes(system))}{finer}.",
                hint=f"map the study's codes to these in its YAML{first}.",
            )
        )


def classes(frame: pd.DataFrame, *, system: str, way: str) -> tuple[pd.Series, dict[str, int]]:
    """Read the classes of one coding system in one way, and count who has none, by reason.

    Parameters
    ----------
    frame : DataFrame
        Columns ``primary`` and, where there are any, ``secondary`` and ``forced`` (n rows; codes, empty = missing).
        A composite code in ``primary`` (U/F) gives the secondary class too.
    system : {"AAI", "SSP", "AQS", "styles"}
        Coding system.
    way : {"4-way", "3-way", "2-way, unresolved insecure", "2-way, forced", "2-way, disorganised"}
        How classes are read; see the module's vocabulary.

    Returns
    -------
    labels : (n,) Series
        Labels of ``CLASSES[system][way]``, missing where the way cannot be read; index of ``frame``.
    excluded : dict
        Reason to number of rows without a label; reasons that excluded nobody are kept.

    Raises
    ------
    ConfigError
        If the system or the way is not known.
    DataError
        If a code is not the system's, or the columns contradict each other; with row numbers, never the content.
    StatisticsError
        If the way has no meaning for the system (4-way of AQS); see :func:`unreadable`.

    Notes
    -----
    The forced class, where given, is the three-way class. Without it an organised primary class stands for itself, and
    otherwise the one secondary class; if there is none the row has no three-way class and is counted.

    Examples
    --------
    >>> labels, excluded = classes(pd.DataFrame({"primary": ["F2", "U/F", "U"]}), system="AAI", way="3-way")
    >>> labels.tolist(), sum(excluded.values())
    (['F', 'F', nan], 1)
    """
    if reason := unreadable(system, way):
        raise StatisticsError(reason)
    # The same codes come again and again: each combination is read once.
    columns = [c for c in ("primary", "secondary", "forced") if c in frame]
    where = frame.groupby(columns, dropna=False, sort=False).ngroup().to_numpy()
    first = np.unique(where, return_index=True)[1]
    read = _whole_classes if SYSTEMS[system].whole else _coded_classes
    labels, without = read(frame.iloc[first], system, way, where)
    found = pd.Series(labels[where], index=frame.index, name=way)
    return found.mask(found == "").astype("str"), {reason: int(rows[where].sum()) for reason, rows in without.items()}


def _coded_classes(frame: pd.DataFrame, system: str, way: str, where: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the label of each combination of codes (empty = none), and which have none for each reason.

    ``where`` is the combination of each of the rows that were given, by whose numbers a message names what is wrong.
    """
    coding = SYSTEMS[system]
    primary, beside = _column(frame, "primary", system, where)
    secondary, _ = _column(frame, "secondary", system, where)
    forced, _ = _column(frame, "forced", system, where)
    organised = list(coding.organised)
    is_organised = np.isin(primary, organised)
    plain = np.isin(primary, [SECURE, INSECURE])

    _refuse(~np.isin(forced, [*organised, ""]), "forced", "a class that is not an organised one", system, where)
    _refuse(
        ~np.isin(secondary, [*organised, coding.priority, ""]) | (is_organised & (secondary == coding.priority)),
        "secondary",
        "a class that takes priority, or a plain word, as the secondary one",
        system,
        where,
    )
    _refuse(
        is_organised & (forced != "") & (forced != primary), "forced", "another organised class than the primary one", system, where
    )
    _refuse(
        (primary == SECURE) & ~np.isin(forced, [coding.secure, ""]),
        "forced",
        "an insecure class where the primary is secure",
        system,
        where,
    )
    second = np.where(np.isin(secondary, organised), secondary, "")
    _refuse(
        (beside != "") & (second != "") & (beside != second),
        "secondary",
        "another class than the composite code of the primary one",
        system,
        where,
    )
    second = np.where(second != "", second, beside)

    four = np.where(plain, "", primary)
    three = np.where(forced != "", forced, np.where(is_organised, primary, np.where(primary == coding.priority, second, "")))
    labels = three if way in (THREE_WAY, TWO_WAY_FORCED) else four
    if way in (TWO_WAY_UNRESOLVED, TWO_WAY_FORCED):
        two = np.where(labels == coding.secure, SECURE, INSECURE)
        labels = np.where(labels == "", np.where(plain, primary, ""), two)

    if way == TWO_WAY_DISORGANISED:
        labels = np.where(four == "", "", np.where(four == coding.priority, NOT_ORGANISED, ORGANISED))

    missing = labels == ""
    without = {NO_PRIMARY: missing & (primary == "")}
    if way in (FOUR_WAY, THREE_WAY, TWO_WAY_DISORGANISED):
        without[NO_CLASS_BEHIND] = missing & plain
    if way in (THREE_WAY, TWO_WAY_FORCED):
        without[NO_ORGANISED] = missing & (primary == coding.priority)
    return labels, without


def _whole_classes(frame: pd.DataFrame, system: str, way: str, where: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Read the words of a system without sub-classes, which has no secondary and forced classes; as :func:`_coded_classes`."""
    for column in ("secondary", "forced"):
        if column in frame:
            _refuse(_words(frame[column]) != "", column, f"a class that {system} does not have", system, where)
    words = _words(frame["primary"])
    _refuse(~np.isin(words, [*WORDS[system], ""]), "primary", f"a code that {system} does not have", system, where)
    if way in (FOUR_WAY, THREE_WAY):
        labels = np.where(np.isin(words, CLASSES[system][way]), words, "")
    else:
        labels = np.where(words == SECURE, SECURE, np.where(np.isin(words, ["", BOUNDARY]), "", INSECURE))
    without = {NO_PRIMARY: words == ""}
    if system == STYLES:
        without[ON_BOUNDARY] = words == BOUNDARY
    if way in (FOUR_WAY, THREE_WAY):
        without[NO_CLASS_BEHIND] = words == INSECURE
    if way == THREE_WAY:
        without[NO_MATCH] = words == FEARFUL
    return labels, without


def _words(codes: pd.Series) -> np.ndarray:
    """Return codes without outer spaces and in lower case; missing ones and blanks are empty."""
    return codes.astype("str").str.strip().str.casefold().fillna("").to_numpy(dtype=object)


def check_codes(classifications: pd.DataFrame, *, system: str, way: str) -> None:
    """Read every code of a system in a table of classifications, so that a message names the rows of that table.

    Once classes are read pair by pair, :func:`classes` knows of pairs only.

    Parameters
    ----------
    classifications : DataFrame
        ``system``, ``primary`` and, where there are any, ``secondary`` and ``forced``.
    system, way
        As for :func:`classes`.

    Raises
    ------
    ConfigError, DataError, StatisticsError
        As :func:`classes`.
    """
    columns = [c for c in ("primary", "secondary", "forced") if c in classifications]
    own = (classifications["system"] == system).fillna(False)
    classes(classifications[columns].where(own), system=system, way=way)


def read_class(code: str, *, system: str, way: str) -> str | None:
    """Return the class of one code read in one way, or None where the way cannot be read; see :func:`classes`."""
    labels, _ = classes(pd.DataFrame({"primary": [code]}), system=system, way=way)
    return None if labels.isna().iloc[0] else str(labels.iloc[0])
