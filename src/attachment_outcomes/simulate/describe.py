"""What the files of a simulated study hold, in words: the README beside them, with every number taken from the truth."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from attachment_outcomes.simulate.clients import Truth, therapist_sd
from attachment_outcomes.simulate.families import AAI_CODES, CLASS_NAMES, NOT_CODEABLE, SSP_CODES
from attachment_outcomes.simulate.trial import THERAPY, USUAL_CARE, child_secure_share

# Every column of every file; {n} stands for an item's number. A test holds this to the files.
COLUMNS: dict[str, tuple[str, dict[str, str]]] = {
    "clients": (
        "a client and the treatment",
        {
            "client_id": "client",
            "file_number": "number of the paper file; the study's YAML declares that it is dropped",
            "site": "site of the network",
            "therapist_id": "therapist",
            "age_band": "age in bands",
            "gender": "gender",
            "referral": "who referred the client: self, physician, hospital",
            "modality": "attachment-based or cognitive-behavioural",
            "planned_sessions": "planned length",
            "end_reason": "completed, dropped out, referred on",
        },
    ),
    "waves": (
        "a client and measurement occasion that was filled in",
        {
            "client_id": "client",
            "wave": "occasion, 0 = baseline",
            "weeks": "weeks since baseline; some are late",
            "core_{n}": "CORE-10 items 1 to 10, 0 to 4, as answered (2 and 3 are reverse-keyed)",
            "ecr_{n}": "ECR-R items, published (un-randomised) order, 1 to 7, as answered: 1 to 18 anxiety, 19 to 36 avoidance",
        },
    ),
    "sessions": (
        "a client and session offered",
        {
            "client_id": "client",
            "session": "session number",
            "week": "weeks since baseline",
            "weeks_since_last": "weeks since the session before; 2 and more is a break",
            "attended": "yes or no; without the client all ratings are empty",
            "wai_{n}": "WAI-SR items 1 to 12, 1 to 5, answered by the client",
            "symptoms": "the client's rating of the week, 0 to 10, higher = worse",
            "security": "felt security with the therapist, 1 to 7",
            "depth": "depth of exploration, 1 to 7",
            "alliance_therapist": "the therapist's rating of the alliance, 1 to 5",
            "withdrawal": "observer: withdrawal rupture, 1 none to 5 severe (part of the clients)",
            "confrontation": "observer: confrontation rupture, 1 none to 5 severe (part of the clients)",
            "resolution": "observer: extent of resolution, 1 to 5 (part of the clients)",
        },
    ),
    "reports": (
        "a client and session that took place: what both said after it",
        {
            "client_id": "client",
            "session": "session number",
            "client_tension": "client: was there any tension or problem in the relationship (yes, no)",
            "client_intensity": "client: how strong it was, 1 to 5",
            "client_resolution": "client: how far it was resolved by the end of the session, 1 to 5",
            "therapist_tension": "therapist: the same (yes, no)",
            "therapist_intensity": "therapist: how strong, 1 to 5",
            "therapist_resolution": "therapist: how far resolved, 1 to 5",
        },
    ),
    "observer": (
        "a coder, session and segment of five minutes; without a segment it holds the ratings of the whole session",
        {
            "client_id": "client",
            "session": "session number",
            "coder": "who coded",
            "segment": "segment of the session",
            "W{n}": "times that withdrawal marker 1 to 7 was seen in the segment",
            "C{n}": "times that confrontation marker 1 to 7 was seen",
            "R{n}": "times that the therapist used resolution strategy 1 to 10",
            "W{n}_significance": "how much the marker weighed on the alliance, 1 to 5; empty if it was not seen",
            "C{n}_significance": "the same of a confrontation marker",
            "withdrawal": "withdrawal in the whole session, 1 to 5",
            "confrontation": "confrontation in the whole session, 1 to 5",
            "resolution": "extent of resolution, 1 to 5",
            "contribution": "how far the therapist contributed to ruptures, 1 to 5",
        },
    ),
    "therapists": (
        "a therapist",
        {
            "therapist_id": "therapist",
            "site": "site",
            "secure_base": "secure-base rating by an observer, 1 to 7; no analysis reads it",
            "ecr_{n}": "the therapist's own ECR-R, as in waves.csv",
        },
    ),
    "families": (
        "a parent and child, or a grandparent and parent",
        {
            "family_id": "family",
            "generation": "1 = grandparent to parent, 2 = parent to child",
            "relation": "mother-child, father-child or grandmother-parent",
            "parent_id": "the older person",
            "child_id": "the younger person",
            "sensitivity": "observed sensitivity of the parent with this child, 1 to 7",
        },
    ),
    "classifications": (
        "a coded person",
        {
            "person_id": "person",
            "role": "parent (also a grandparent) or child",
            "system": "AAI (Adult Attachment Interview) or SSP (Strange Situation Procedure)",
            "primary": "class: Ds1 to Ds3, F1 to F5, E1, E2, U, CC; A1, A2, B1 to B4, C1, C2, D, CC",
            "secondary": "organised class beside U, D or CC",
            "forced": "organised class that a coder had to choose",
            "coherence": "coherence of the transcript, 1 to 9 (AAI)",
            "reflective_functioning": "reflective functioning, -1 to 9 (AAI)",
        },
    ),
    "trial": (
        "a parent in the trial, with the child",
        {
            "parent_id": "parent",
            "child_id": "child",
            "arm": f"{THERAPY} or {USUAL_CARE}, allotted at random",
            "before_primary": "class of the interview (AAI) before treatment, as in classifications.csv",
            "before_secondary": "organised class beside U or CC",
            "before_forced": "organised class that a coder had to choose",
            "before_functioning": "reflective functioning in that interview, -1 to 9",
            "after_primary": "the same after treatment; empty without a second interview",
            "after_secondary": "organised class beside U or CC",
            "after_forced": "organised class that a coder had to choose",
            "after_functioning": "reflective functioning in that interview",
            "child_primary": "the child's class after treatment (SSP); empty if the child was not seen",
            "child_secondary": "organised class beside D or CC",
            "child_forced": "organised class that a coder had to choose",
        },
    ),
    "couples": (
        "a couple",
        {"couple_id": "couple", "partner_a": "first partner", "partner_b": "second partner"},
    ),
    "partners": (
        "a partner and occasion",
        {
            "couple_id": "couple",
            "partner_id": "partner",
            "occasion": "start or end of couple therapy",
            "week": "weeks since the start",
            "das_total": "Dyadic Adjustment Scale, total, 0 to 151",
            "ecr_{n}": "the partner's own ECR-R, as in waves.csv",
        },
    ),
    "samples": (
        "a cell of a class table of an earlier (simulated) sample",
        {
            "sample_id": "sample",
            "label": "its name",
            "table": "AAI-SSP 2-way or AAI-SSP 4-way",
            "parent_class": "the parent's class",
            "child_class": "the child's class",
            "count": "parent-child pairs",
            "n": "parent-child pairs in the whole sample",
        },
    ),
    "sample_traits": (
        "an earlier (simulated) sample",
        {
            "sample_id": "sample",
            "year": "year of its publication",
            "risk": "low or high, of the families",
            "relation": "mother or father",
            "child_age": "mean age of the children, months",
            "coding": "original or revised coding system of the Strange Situation (made up)",
        },
    ),
}


def _per_cent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _classes(truth: Truth, part: str = "families") -> str:
    shares = truth[part]["classes"]
    return ", ".join(
        f"{name} ({aai}/{ssp}) {shares[name]:.2f}" for name, aai, ssp in zip(CLASS_NAMES, AAI_CODES, SSP_CODES, strict=True)
    )


def _trial(truth: Truth) -> list[tuple[str, str]]:
    """Return what is true of the trial."""
    trial = truth["trial"]
    child, functioning, becomes = trial["child_secure"], trial["reflective_functioning"], trial["becomes_secure"]
    treated, other, secure = (
        child_secure_share(truth, therapy=therapy, secure_before=before)
        for therapy, before in ((True, False), (False, False), (True, True))
    )
    return [
        (
            "Trial of therapy for parents",
            f"{trial['parents']} parents, half of them in {THERAPY}; classes before: {_classes(truth, 'trial')}; "
            f"{_per_cent(trial['missed_interview_share'])} have no second interview, "
            f"{_per_cent(trial['missed_child_share'])} of children are not seen",
        ),
        (
            "Children secure where the parent was insecure",
            f"{_per_cent(treated)} with therapy, {_per_cent(other)} with usual care: a difference of {100 * (treated - other):.3g} "
            f"points, which is {_per_cent((treated - other) / (1 - other))} of the transmissions with usual care; where the parent "
            f"was secure {_per_cent(secure)} in both arms",
        ),
        (
            "How therapy does it",
            f"{100 * child['therapy']:.3g} points of its own, {100 * child['became_secure']:.3g} where the parent became secure "
            f"({_per_cent(becomes['therapy'])} with therapy, {_per_cent(becomes['usual_care'])} with usual care), and "
            f"{100 * child['per_point']:.3g} for each point of gain in reflective functioning, whether or not the class changed",
        ),
        (
            "Gain in reflective functioning",
            f"insecure parents {functioning['gain']['therapy']:+g} with therapy and {functioning['gain']['usual_care']:+g} with "
            f"usual care, secure parents {functioning['gain']['secure']:+g}; SD {functioning['gain_sd']:g}; error of one rating SD "
            f"{functioning['error_sd']:g}",
        ),
    ]


def _truths(truth: Truth) -> list[tuple[str, str]]:
    """Return what is true in the simulated world, a line a fact."""
    attachment, symptoms, differs = truth["attachment"], truth["symptoms"], truth["heterogeneity"]
    alliance, ruptures, dropout = truth["alliance"], truth["ruptures"], truth["dropout"]
    reports, observers = truth["reports"], truth["observers"]
    families, couples, samples, dirt = truth["families"], truth["couples"], truth["samples"], truth["dirt"]
    das = couples["satisfaction"]
    lines = []
    for name in ("anxiety", "avoidance"):
        a = attachment[name]
        lines.append(
            (
                f"Attachment {name} (ECR-R, 1 to 7)",
                f"start {a['mean']:g} (SD {a['sd']:g}), change by week 52 {a['change']:+g} (SD {a['change_sd']:g}), "
                f"reliability {a['reliability']:g}",
            )
        )
    lines += [
        (
            "Symptoms (CORE-10 total, 0 to 40)",
            f"start {symptoms['mean']:g} (SD {symptoms['sd']:g}), change by week 52 {symptoms['change']:+g} "
            f"(SD {symptoms['change_sd']:g}) without an unrepaired rupture, reliability {symptoms['reliability']:g}",
        ),
        (
            "Why clients differ in symptom change",
            f"therapists hold {_per_cent(differs['therapist_share'])} of the variance of observed change "
            f"(SD {therapist_sd(truth):.2f} points); a fearful start costs {differs['fearful_points']:g} points; "
            f"a fitting modality adds {differs['fit_points']:g} points",
        ),
        ("Sites", f"differ in symptoms at the start with SD {differs['site_sd']:g} points"),
        (
            "Therapist as a secure base",
            f"{differs['secure_base_points']:+g} points of anxiety and of avoidance by week 52 for each SD",
        ),
        (
            "Alliance (WAI-SR mean, 1 to 5)",
            f"{alliance['mean']:g} (SD {alliance['sd']:g} between clients, {alliance['within_sd']:g} between sessions), "
            f"{alliance['growth_per_session']:+g} a session, reliability {alliance['reliability']:g}; in the session after a break "
            f"{-alliance['break_dip']:g}, and {-alliance['break_dip_per_anxiety_sd']:g} more for each SD of attachment anxiety",
        ),
        (
            "Ruptures",
            f"in {_per_cent(ruptures['share'])} of clients if nobody dropped out, {ruptures['depth']:g} points deep "
            f"(SD {ruptures['depth_sd']:g}); {_per_cent(ruptures['repaired_share'])} of these clients' ruptures are repaired",
        ),
        (
            "Symptoms at week 52 beside clients without a rupture",
            f"repaired {ruptures['repaired_points']:+g} points, unrepaired {ruptures['unrepaired_points']:+g} points",
        ),
        (
            "Tension reported after a session",
            f"by the client in {_per_cent(reports['client_sensitivity'])} of sessions with an open rupture and "
            f"{_per_cent(reports['client_false_alarm'])} of the others, by the therapist in "
            f"{_per_cent(reports['therapist_sensitivity'])} and {_per_cent(reports['therapist_false_alarm'])}; "
            f"{_per_cent(reports['missing_share'])} of reports are missing",
        ),
        (
            "Observers",
            f"code {observers['sessions']} sessions of {observers['clients']} clients, {_per_cent(observers['coded_twice_share'])} "
            f"of them twice; a coder sees {_per_cent(observers['sees'])} of the markers and rates with an error of SD "
            f"{observers['rating_sd']:g} on the scale from 1 to 5; true ratings are those of sessions.csv",
        ),
        (
            "Depth of exploration",
            f"{truth['exploration']['security_slope']:+g} points for each point of felt security, within clients",
        ),
        (
            "Dropping out",
            f"{_per_cent(dropout['hazard'])} a session at average values; log odds {dropout['symptoms_log_odds']:+g} for each SD "
            f"of the last CORE-10 and {dropout['alliance_log_odds']:+g} for each SD of the last alliance seen",
        ),
        (
            "Transmission from parent to child",
            f"Cohen's kappa {families['kappa']:g}, four classes; the same from grandparent to parent",
        ),
        ("Classes, in both generations", _classes(truth)),
        (
            "Sensitivity",
            f"{families['sensitivity']['secure_parent']:+g} points where the parent is secure, "
            f"{families['sensitivity']['secure_child']:+g} where the child is",
        ),
        (
            "Reflective functioning",
            f"{families['reflective_functioning']['secure_parent']:+g} points where the parent is secure, "
            f"{families['reflective_functioning']['secure_child']:+g} where the (first) child is; grandparents' and parents' "
            f"correlates {families['reflective_functioning']['between_generations']:g} beyond their classes",
        ),
        *_trial(truth),
        (
            "Couples (DAS total)",
            f"start {das['mean']:g} (SD {das['sd']:g}), change {das['change']:+g} (SD {das['change_sd']:g}), "
            f"partners correlate {couples['correlation']:g} in both; own anxiety {couples['anxiety']['change']:+g}, "
            f"own avoidance {couples['avoidance']['change']:+g}",
        ),
        (
            "Earlier samples",
            f"kappa {samples['kappa']:g} with SD {samples['tau']:g} between {samples['samples']} samples of "
            f"{samples['smallest']} to {samples['largest']} pairs; {-samples['high_risk_kappa']:g} lower in samples at high risk "
            f"({_per_cent(samples['high_risk_share'])} of them), the SD being that within risk",
        ),
        (
            "Faults of the export",
            f"{_per_cent(dirt['missing_answer_share'])} of answers and {_per_cent(dirt['blank_questionnaire_share'])} of "
            f"questionnaires left out; in sessions.csv {dirt['duplicated_rows']} row twice; in waves.csv "
            f"{dirt['out_of_range_answers']} answer that the CORE-10 does not have; {NOT_CODEABLE} children not codeable",
        ),
    ]
    return lines


def describe_cohort(truth: Truth, tables: Mapping[str, pd.DataFrame]) -> str:
    """Return the README of a simulated study as Markdown.

    Parameters
    ----------
    truth : mapping
        The parameters the tables were made from; every number of the text comes from them.
    tables : mapping of DataFrame
        The exported tables, for the number of rows.
    """
    lines = [
        "# The example study",
        "",
        "**These data are synthetic.** No person in them exists. `python3 run.py example-data` makes every file here, this one",
        "included, from `truth.yaml`; the same truth gives the same bytes. The study's settings are",
        "`config/studies/example.yaml`.",
        "",
        "Nothing here is a finding or a norm. The numbers below are what was put in; the workflow should find them again,",
        "within sampling error.",
        "",
        "## The truth",
        "",
        "| what | truth |",
        "|---|---|",
        *(f"| {what} | {says} |" for what, says in _truths(truth)),
        "",
        "Sensitivity and reflective functioning are drawn given the security of parent and child. That yields data in which",
        "part of the transmission runs through them, but it is a statement about association, not a causal model.",
        "",
        "In samples.csv both generations' classes have the common names: avoidant is Ds and A, secure F and B, ambivalent E",
        "and C, disorganised U and D.",
        "",
        "## The files",
        "",
        "Comma-separated, UTF-8, line feeds; an empty cell is missing.",
    ]
    for name, (row, columns) in COLUMNS.items():
        lines += [
            "",
            f"### {name}.csv",
            "",
            f"One row {row}; {len(tables[name])} rows.",
            "",
            "| column | holds |",
            "|---|---|",
            *(f"| `{column}` | {meaning} |" for column, meaning in columns.items()),
        ]
    return "\n".join(lines) + "\n"
