"""What comes in: raw exports become canonical tables, identifying columns stop the run, every exclusion is counted."""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(
    __name__,
    {
        "check_present": "location",
        "code_of": "identity",
        "ingest": "intake",
        "open_key": "identity",
        "read_study": "intake",
        "secret_key": "identity",
    },
)
