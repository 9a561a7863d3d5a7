"""What identifying content looks like: column names and the shapes of cells, for the gate.

The expressions are in RE2's syntax (no look-around) and are run by DuckDB. ``any`` means that one cell is enough to stop
the run; ``share`` that at least that part of the filled cells must have the shape, because single cells of scores,
codes and labels can look like it by chance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_YEAR = r"(18|19|20)[0-9]{2}"
_MONTH = r"(0?[1-9]|1[0-2])"
_DAY = r"(0?[1-9]|[12][0-9]|3[01])"
_MONTHS = r"(jan|feb|mar|mär|maer|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez)[a-zé]*"
_UPPER, _LOWER = "A-ZÀ-ÖØ-ÞĀ-ſ", "a-zß-öø-ÿĀ-ſ'’"  # Latin letters; whole Unicode classes make the expressions slow
_CAPITALISED = rf"[{_UPPER}][{_LOWER}]+(-?[{_UPPER}][{_LOWER}]+)*"  # Anna, Jean-Luc, O'Brien, McCoy

# A cell that is a plain number; a leading zero or plus makes it a code or a telephone number.
PLAIN_NUMBER = r"[-]?(0|[1-9][0-9]*)?([.,][0-9]+)?([eE][-+]?[0-9]+)?"


@dataclass(frozen=True)
class Shape:
    """One identifying shape: its kind as told to the user, the expression, and the share of cells that must have it."""

    kind: str
    expression: str
    share: float = 0.0  # 0 means one cell is enough


# Common given names of a few languages. No list is whole; it is there for columns of single names, which look like labels.
_GIVEN = (
    "Ada|Adam|Alex|Alexander|Alice|Amelia|Amy|Andrea|Andreas|Andrew|Ann|Anna|Anne|Antonio|Ben|Benjamin|Bernd|Birgit|Carla|Carlos|"
    "Carmen|Charles|Charlotte|Chloe|Chris|Christian|Christina|Christine|Clara|Claudia|Daniel|David|Diana|Elena|Elisabeth|"
    "Elizabeth|Ella|Emily|Emma|Eric|Erik|Eva|Felix|Florian|Francesca|Frank|Franz|Georg|George|Giulia|Hannah|Hans|Heike|Helen|"
    "Helga|Henry|Isabel|Jack|Jacob|James|Jan|Jane|Janet|Jean|Jennifer|Jessica|Joan|Johanna|Johannes|John|Jonas|Jose|Josef|Joseph|"
    "Juan|Julia|Julie|Karin|Karl|Kate|Katharina|Katherine|Kevin|Klaus|Laura|Lea|Lena|Leo|Leon|Linda|Lisa|Louis|Louise|Lucas|Lucia|"
    "Luis|Lukas|Manuel|Marco|Margaret|Maria|Marie|Mark|Markus|Martin|Martina|Mary|Max|Maximilian|Mia|Michael|Miguel|Monika|Nicole|"
    "Nina|Noah|Nora|Oliver|Olivia|Oscar|Otto|Pablo|Patrick|Paul|Paula|Pedro|Peter|Petra|Philip|Pierre|Renate|Richard|Robert|Rosa|"
    "Ruth|Sabine|Sam|Samuel|Sandra|Sara|Sarah|Sebastian|Silvia|Simon|Sofia|Sophia|Sophie|Stefan|Stephan|Stephen|Steven|Susan|"
    "Susanne|Theo|Thomas|Tim|Tom|Ursula|Uwe|Victoria|Walter|Werner|William|Wolfgang"
)

SHAPES = (
    Shape("e-mail addresses", r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"),
    Shape("dates", rf"(^|[^0-9]){_YEAR}[-/.]{_MONTH}[-/.]{_DAY}([^0-9]|$)"),
    Shape("dates", rf"(^|[^0-9.]){_DAY}[-/.]{_DAY}[-/.]{_YEAR}([^0-9]|$)"),
    Shape("dates", rf"(?i)(^|[^a-z0-9]){_DAY}(st|nd|rd|th)?[-., /]*(of )?{_MONTHS}[-., /]*{_YEAR}([^0-9]|$)"),
    Shape("dates", rf"(?i)(^|[^a-z]){_MONTHS}[. ]+{_DAY}(st|nd|rd|th)?[, ]+{_YEAR}([^0-9]|$)"),
    Shape("dates", rf"^{_DAY}[-/.]{_DAY}[-/.][0-9]{{2}}( .*)?$", 0.5),
    Shape("dates", rf"^{_YEAR}[-/](0[1-9]|1[0-2])$|^(0[1-9]|1[0-2])[-/.]{_YEAR}$", 0.5),
    Shape("telephone numbers", r"(^|[^0-9A-Za-z])\+[1-9][0-9]{0,2}[ ()./-]*([0-9][ ()./-]*){7,12}([^0-9]|$)"),
    Shape("telephone numbers", r"(^|[^0-9.])\(?[2-9][0-9]{2}\)?[-. ][0-9]{3}[-. ][0-9]{4}([^0-9]|$)"),
    Shape("telephone numbers", r"^(00|\(?0)[1-9][0-9]{1,4}\)?[ /().-]+[0-9][0-9 ()/.-]{4,}$"),
    Shape("telephone numbers", r"^0{1,2}[1-9][0-9]{7,12}$", 0.5),
    Shape("internet addresses", r"(^|[^0-9.])[0-9]{1,3}(\.[0-9]{1,3}){3}([^0-9.]|$)"),
    Shape("postcodes", r"^[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}$", 0.5),
    Shape("person names", r"^((Dr|Prof|Mr|Mrs|Ms|Mme|Frau|Herr)\.? )", 0.1),
    Shape("person names", r"(^|[ ,&])et al\.?([ ,(]|$)", 0.1),
    Shape("person names", rf"^({_GIVEN})$", 0.3),
)

COMPACT_DATE = rf"^{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])$"
COMPACT_SHARE = 0.9

# Two or three capitalised words, or 'Family, Given'; counted over distinct cells.
FULL_NAME = "|".join(
    (
        rf"^{_CAPITALISED}( {_CAPITALISED}| [{_UPPER}]\.){{0,2}} {_CAPITALISED}$",
        rf"^{_CAPITALISED}, ?{_CAPITALISED}.*$",
        rf"^([{_UPPER}]\. ?){{1,2}}{_CAPITALISED}$",
    )
)
SINGLE_NAME = rf"^{_CAPITALISED}$"
NAME_SHARE = 0.5
FULL_NAMES_FEWEST = 3
SINGLE_NAMES_FEWEST = 20

# Words of category labels, which are capitalised like names ('Supportive Therapy', 'High School').
_CATEGORY = (
    "therap|treatment|psycho|counsel|group|gruppe|control|wait|list|care|usual|school|schul|college|universit|degree|education|"
    "clinic|klinik|hospital|centre|center|service|self|help|support|north|south|east|west|united|states|kingdom|republic|new |"
    "mother|father|parent|child|partner|married|single|widow|divorced|employ|student|retired|yes|no |not |other|unknown|none|"
    "anxiet|depress|disorder|secure|dismiss|preoccup|fearful|avoid|ambivalent|disorgani|unresolved|stage|phase|visit|intake|follow"
)
CATEGORY_WORDS = rf"(?i)(^|[^{_UPPER}{_LOWER}])({_CATEGORY})"

LONG_WORDS, LONG_LETTERS = 8, 80  # a cell this long is text somebody wrote, or a very long label
MEDIUM_WORDS = 4
MEDIUM_FEWEST = 10  # so many cells of four words that occur once each are no category labels

# Column names, by their words. A name alone stops the run only where the column has content of the sort.
_NAME_WORDS = """
    name names vorname nachname surname firstname lastname forename familyname givenname fullname initials initialen maiden
    author authors
"""
_DATE_WORDS = (
    "date datum dob birthdate birthday geburtsdatum geburtstag geburtsjahr geboren born yob birthyear jahrgang timestamp datetime"
)
_PHONE_WORDS = "phone telephone telefon tel mobile mobil handy fax cellphone"
_MAIL_WORDS = "email mail"
_PLACE_WORDS = """
    address adresse anschrift street strasse straße postcode plz zip zipcode postal postleitzahl wohnort city town village
    latitude longitude
"""
_NUMBER_WORDS = "ssn nhsnumber mrn passport iban versichertennummer krankenkasse insurance"
_TEXT_WORDS = "comment comments note notes remark remarks bemerkung bemerkungen kommentar kommentare freitext freetext verbatim"
_PAIRS = {
    "birth date": "dates",
    "date birth": "dates",
    "birth year": "dates",
    "year birth": "dates",
    "nhs number": "personal numbers",
}
_NOT_PERSONS = {
    "event",
    "scale",
    "measure",
    "instrument",
    "form",
    "variable",
    "column",
    "drug",
    "test",
    "item",
    "arm",
    "file",
    "group",
    "study",
    "sheet",
}

ANY_CELL, WORD_CELL, TEXT_CELL = "any", "word", "text"
_BY_WORD = {
    **dict.fromkeys(_NAME_WORDS.split(), ("person names", WORD_CELL)),
    **dict.fromkeys(_DATE_WORDS.split(), ("dates", ANY_CELL)),
    **dict.fromkeys(_PHONE_WORDS.split(), ("telephone numbers", ANY_CELL)),
    **dict.fromkeys(_MAIL_WORDS.split(), ("e-mail addresses", WORD_CELL)),
    **dict.fromkeys(_PLACE_WORDS.split(), ("places", ANY_CELL)),
    **dict.fromkeys(_NUMBER_WORDS.split(), ("personal numbers", ANY_CELL)),
    **dict.fromkeys(_TEXT_WORDS.split(), ("free text", TEXT_CELL)),
}


def words_of(name: str) -> list[str]:
    """Return the lower-case words of a column name, split at signs and at capitals (``firstName`` is two words)."""
    spaced = re.sub(r"(?<=[a-zà-ÿ])(?=[A-ZÀ-Þ])", " ", name)
    return [w.lower() for w in re.split(r"[\W_]+", spaced) if w]


def suspected_by_name(name: str) -> tuple[str, str] | None:
    """Return the kind that a column name points to, and which cells confirm it: any, those with letters, or text."""
    words = words_of(name)
    for first, second in zip(words, [w for w in words[1:] if w != "of"], strict=False):
        if f"{first} {second}" in _PAIRS:
            return _PAIRS[f"{first} {second}"], ANY_CELL
    for position, word in enumerate(words):
        if word in ("name", "names") and position and words[position - 1] in _NOT_PERSONS:
            continue
        if word in _BY_WORD:
            return _BY_WORD[word]
    return None
