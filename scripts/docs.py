"""Write the reference pages of docs/ from schemas and contracts; with --check, fail if they are out of step."""

import sys

from attachment_outcomes.config import SCHEMAS, project_root, schema
from attachment_outcomes.files import write_text
from attachment_outcomes.present.pages.reference import configuration_guide, data_dictionary


def main(arguments: list[str]) -> int:
    """Write or check the pages; return the exit code."""
    pages = {
        "configuration.md": configuration_guide({name: schema(name) for name in SCHEMAS}),
        "data-dictionary.md": data_dictionary(),
    }
    stale = []
    for name, text in pages.items():
        target = project_root() / "docs" / name
        if "--check" not in arguments:
            write_text(text, target)
        elif not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
    if stale:
        sys.stderr.write(f"{', '.join(stale)}: out of step with the schemas and contracts. Hint: python3 run.py docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
