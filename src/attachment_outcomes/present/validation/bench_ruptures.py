"""The table of rupture criteria in docs/methods/speed.md, from validation/bench/ruptures.json: no number there is typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attachment_outcomes.present.validation.bench_tables import seconds
from attachment_outcomes.present.words import count

MARKER = "<!-- {} by `python3 run.py bench ruptures` -->"
BEGIN, END = MARKER.format("made"), MARKER.format("end of what is made")


def with_table(page: str, record: Mapping[str, Any]) -> str:
    """Return the page with what stands between its markers made anew.

    Raises
    ------
    ValueError
        If the page has no markers.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r}")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(record)}\n\n{END}{rest.partition(END)[2]}"


def table(record: Mapping[str, Any]) -> str:
    """Return the Markdown: seconds and memory by number of sessions, seconds by criterion, and the goals."""
    measured, largest = record["measured"], record["measured"][-1]
    sizes = [
        f"| {count(m['sessions'])} | {count(m['clients'])} | {seconds(m['seconds'])} | {seconds(m['process_seconds'])} | "
        f"{count(m['peak_mb'])} MB |"
        for m in measured
    ]
    criteria = [
        f"| `{name}` | {seconds(c['detection'])} | {seconds(c['episode_table'])} | {seconds(c['client_summary'])} | "
        f"{count(c['episodes'])} |"
        for name, c in sorted(largest["criteria"].items())
    ]
    goals = [
        f"| {name} | {goal['measured']:g} | {goal['at_most']:g} | {'met' if goal['met'] else 'not met'} |"
        for name, goal in sorted(record["goals"].items())
    ]
    return "\n".join(
        [
            _about(record),
            "",
            "| sessions | clients | ruptures by all criteria | whole process | peak memory |",
            "| --- | --- | --- | --- | --- |",
            *sizes,
            "",
            f"Of {count(largest['sessions'])} sessions:",
            "",
            "| criterion | detection | table of episodes | summary of clients | episodes |",
            "| --- | --- | --- | --- | --- |",
            *criteria,
            "",
            "| goal | measured | at most |  |",
            "| --- | --- | --- | --- |",
            *goals,
        ]
    )


def _about(record: Mapping[str, Any]) -> str:
    """Return what the numbers were measured on, and what else ran there."""
    machine, packages = record["machine"], record["packages"]
    load = record.get("load_before")
    others = "" if load is None else f" Processes at work when it began, on average over a minute: {load:g}."
    return (
        f"Machine: {machine['system']}, {machine['processor']}, {machine['processors']} processors, {machine['memory_gb']:g} GB, "
        f"Python {machine['python']}, numpy {packages['numpy']}, pandas {packages['pandas']}.{others}"
    )
