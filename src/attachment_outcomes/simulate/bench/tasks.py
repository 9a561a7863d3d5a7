"""What is timed as a whole: a task, and the time and memory that it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Task:
    """One task: what it does, and the seconds and megabytes that the whole process may take."""

    title: str
    run: Callable[[], int]
    seconds: float
    megabytes: float


def met(task: Task, seconds: float, megabytes: float) -> bool:
    """Return whether a process stayed within what the task may take."""
    return seconds <= task.seconds and megabytes <= task.megabytes
