"""A clinic network with a known truth: the export's tables, and beside them what is true of each client."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from attachment_outcomes.simulate.answers import (
    CORE10,
    ECR_R_ANXIETY,
    ECR_R_AVOIDANCE,
    WAI_SR,
    answer_items,
    item_names,
    noise_for,
)
from attachment_outcomes.simulate.clients import THERAPIST_ATTACHMENT, Truth, make_clients, make_therapists
from attachment_outcomes.simulate.couples import make_couples
from attachment_outcomes.simulate.course import (
    Stay,
    WaveDraws,
    make_dropout,
    make_waves,
    observed_core,
    seen_waves,
    true_symptoms,
    wave_answers,
)
from attachment_outcomes.simulate.dirt import impossible_answers, leave_out, repeat_rows
from attachment_outcomes.simulate.draws import Flags, Floats, Whole, part_generator
from attachment_outcomes.simulate.families import make_families, make_sample_traits, make_samples, risk_shift
from attachment_outcomes.simulate.observers import make_codings, make_reports
from attachment_outcomes.simulate.sessions import (
    Calendar,
    Ruptures,
    alliance_answers,
    dip,
    make_alliance,
    make_calendar,
    make_ruptures,
    other_ratings,
)
from attachment_outcomes.simulate.trial import make_trial
from attachment_outcomes.simulate.truth import check_truth

IMPOSSIBLE_ANSWER = 9  # on items from 0 to 4: a slip of the key next to 0
CORE_ITEMS = item_names("core", 1, CORE10)
ECR_ITEMS = [*item_names("ecr", 1, ECR_R_ANXIETY), *item_names("ecr", 19, ECR_R_AVOIDANCE)]
WAI_ITEMS = item_names("wai", 1, WAI_SR)


def simulate_cohort(truth: Truth, rng: np.random.Generator | None = None) -> dict[str, pd.DataFrame]:
    """Return a synthetic clinic network as its export would show it, and the truth of each client.

    Parameters
    ----------
    truth : mapping
        Parameters, as in ``data/example/truth.yaml`` (each is explained there).
    rng : numpy Generator, optional
        Source of the cohort's seed; without it the truth's own ``seed`` is used, so that the cohort repeats.

    Returns
    -------
    dict of DataFrame
        ``clients, waves, sessions, reports, observer, therapists, families, classifications, trial, couples, partners, samples,
        sample_traits`` as exported, and ``true_clients``: a row a client with true start and change, rupture group and how the
        treatment ended.

    Raises
    ------
    ConfigError
        If the truth lacks a key, has an unknown one, or a number out of its range.

    Notes
    -----
    Every part has its own generator, so that a change to one part moves no other. Clients leave depending on what
    had been observed; a rupture that would have come after a client left never happened, and leaves no trace.
    """
    check_truth(truth)
    base = int(truth["seed"]) if rng is None else int(rng.integers(2**63))

    def generator(part: str) -> np.random.Generator:
        return part_generator(base, part)

    therapists = make_therapists(truth, generator("therapists"))
    clients = make_clients(truth, therapists, generator("clients"))
    calendar = make_calendar(truth, clients, generator("calendar"))
    potential = make_ruptures(truth, clients, generator("ruptures"))
    waves = make_waves(truth, len(clients), generator("waves"))
    alliance = make_alliance(truth, clients, calendar, generator("alliance"))

    stay = make_dropout(
        truth,
        planned=clients["planned_sessions"].to_numpy(),
        calendar=calendar,
        waves=waves,
        core=observed_core(wave_answers(truth, clients, waves, potential, calendar)["core"]),
        alliance=alliance_answers(truth, alliance, potential).mean(axis=2),
        rng=generator("dropout"),
    )
    ruptures = potential.happened_by(stay.last)
    answers = wave_answers(truth, clients, waves, ruptures, calendar)
    ratings = other_ratings(
        truth,
        alliance=alliance.undisturbed - dip(ruptures, calendar.held.shape[1]),
        symptoms=true_symptoms(truth, clients, ruptures, calendar, calendar.week),
        ruptures=ruptures,
        rng=generator("ratings"),
    )
    seen = seen_waves(waves, stay, calendar)
    traits = make_sample_traits(truth, generator("sample traits"))
    names, came = clients["client_id"].to_numpy(), took_place(calendar, stay) & calendar.came
    tables = {
        "clients": client_table(clients, therapists, stay),
        "waves": wave_table(clients, waves, answers, seen),
        "sessions": session_table(clients, calendar, stay, alliance_answers(truth, alliance, ruptures), ratings),
        "reports": make_reports(truth, names, came, ruptures, generator("reports")),
        "observer": make_codings(truth, names, came, ratings, generator("observers")),
        "therapists": therapist_table(truth, therapists, generator("therapist answers")),
        **make_families(truth, generator("families")),
        "trial": make_trial(truth, generator(f"trial {truth['trial']['draw']}")),
        **make_couples(truth, generator("couples")),
        "samples": make_samples(truth, generator("samples"), shift=risk_shift(truth, traits)),
        "sample_traits": traits,
    }
    tables = add_dirt(truth, tables, base)
    return {**tables, "true_clients": true_table(clients, therapists, ruptures, stay)}


def add_dirt(truth: Truth, tables: dict[str, pd.DataFrame], base: int) -> dict[str, pd.DataFrame]:
    """Return the tables with what goes wrong in a real export; each fault has its own generator."""
    dirt = truth["dirt"]
    shares: dict[str, Any] = {"answers": dirt["missing_answer_share"], "blank": dirt["blank_questionnaire_share"]}
    out = dict(tables)
    for table, name, columns in (
        ("waves", "core", CORE_ITEMS),
        ("waves", "ecr", ECR_ITEMS),
        ("sessions", "wai", WAI_ITEMS),
        ("partners", "ecr", ECR_ITEMS),
    ):
        out[table] = leave_out(out[table], columns, part_generator(base, f"dirt {table} {name}"), **shares)
    out["waves"] = impossible_answers(
        out["waves"],
        CORE_ITEMS,
        part_generator(base, "dirt impossible"),
        cells=dirt["out_of_range_answers"],
        value=IMPOSSIBLE_ANSWER,
    )
    out["sessions"] = repeat_rows(out["sessions"], part_generator(base, "dirt repeated"), rows=dirt["duplicated_rows"])
    return out


def site_name(site: Whole | pd.Series) -> list[str]:
    """Return site ids."""
    return [f"S{int(s) + 1}" for s in site]


def client_table(clients: pd.DataFrame, therapists: pd.DataFrame, stay: Stay) -> pd.DataFrame:
    """Return the clients' export: a row a client with the treatment."""
    ended = np.where(stay.dropped_out, "dropped out", np.where(stay.referred, "referred on", "completed"))
    return pd.DataFrame(
        {
            "client_id": clients["client_id"],
            "file_number": clients["file_number"],
            "site": site_name(clients["site"]),
            "therapist_id": therapists["therapist_id"].to_numpy()[clients["therapist"]],
            "age_band": clients["age_band"],
            "gender": clients["gender"],
            "referral": clients["referral"],
            "modality": clients["modality"],
            "planned_sessions": clients["planned_sessions"],
            "end_reason": ended,
        }
    )


def wave_table(clients: pd.DataFrame, waves: WaveDraws, answers: dict[str, Whole], seen: Flags) -> pd.DataFrame:
    """Return the questionnaires' export: a row a client and wave that was filled in."""
    client, wave = np.nonzero(seen)
    frame = pd.DataFrame(
        {"client_id": clients["client_id"].to_numpy()[client], "wave": wave, "weeks": waves.weeks[client, wave]},
    )
    items = np.concatenate([answers["core"], answers["anxiety"], answers["avoidance"]], axis=2)[client, wave]
    return pd.concat([frame, pd.DataFrame(items, columns=[*CORE_ITEMS, *ECR_ITEMS])], axis=1)


def took_place(calendar: Calendar, stay: Stay) -> Flags:
    """Return which sessions were offered to clients who had not left."""
    number = np.arange(1, calendar.held.shape[1] + 1)
    return calendar.held & (number[None, :] <= stay.last[:, None])


def session_table(
    clients: pd.DataFrame, calendar: Calendar, stay: Stay, answers: Whole, ratings: dict[str, Floats]
) -> pd.DataFrame:
    """Return the sessions' export: a row a session offered; ratings are empty where the client did not come."""
    client, session = np.nonzero(took_place(calendar, stay))
    came = calendar.came[client, session]
    frame = pd.DataFrame(
        {
            "client_id": clients["client_id"].to_numpy()[client],
            "session": session + 1,
            "week": calendar.week[client, session],
            "weeks_since_last": pd.Series(calendar.gap[client, session], dtype="Int64").mask(session == 0),
            "attended": np.where(came, "yes", "no"),
        }
    )
    away = np.repeat(~came[:, None], len(WAI_ITEMS), axis=1)
    items = pd.DataFrame(answers[client, session], columns=WAI_ITEMS).astype("Int64").mask(away)
    frame = pd.concat([frame, items], axis=1)
    for name, values in ratings.items():
        column = pd.Series(values[client, session]).mask(~came)
        frame[name] = column if name == "alliance_therapist" else column.astype("Int64")
    return frame


def therapist_table(truth: Truth, therapists: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Return the therapists' export: a row a therapist with the own ECR-R and the secure-base rating."""
    frame = pd.DataFrame(
        {
            "therapist_id": therapists["therapist_id"],
            "site": site_name(therapists["site"]),
            "secure_base": therapists["secure_base"],
        }
    )
    for scale, form, first in (("anxiety", ECR_R_ANXIETY, 1), ("avoidance", ECR_R_AVOIDANCE, 19)):
        mean, sd = THERAPIST_ATTACHMENT[scale]
        noise = noise_for(truth["attachment"][scale]["reliability"], mean=mean, sd=sd, form=form)
        answers = answer_items(therapists[scale].to_numpy(), rng.random((len(frame), form.items)), form=form, noise=noise)
        frame = pd.concat([frame, pd.DataFrame(answers, columns=item_names("ecr", first, form))], axis=1)
    return frame


def true_table(clients: pd.DataFrame, therapists: pd.DataFrame, ruptures: Ruptures, stay: Stay) -> pd.DataFrame:
    """Return what is true of each client and never exported."""
    group = np.where(ruptures.unrepaired, "unrepaired", np.where(ruptures.any, "repaired", "none"))
    return pd.DataFrame(
        {
            "client_id": clients["client_id"],
            "therapist_id": therapists["therapist_id"].to_numpy()[clients["therapist"]],
            **{c: clients[c] for c in ("anxiety", "avoidance", "symptoms", "fearful", "fits")},
            **{f"{c}_change": clients[f"{c}_change"] for c in ("anxiety", "avoidance", "symptoms")},
            "group": group,
            "last_session": stay.last,
            "dropped_out": stay.dropped_out,
        }
    )
