"""Write the pages of docs/ that come of schemas, contracts and results; with --check, fail if they are out of step."""

import sys

from attachment_outcomes.config import SCHEMAS, project_root, schema
from attachment_outcomes.files import read_table, write_text
from attachment_outcomes.present.pages.reference import configuration_guide, data_dictionary
from attachment_outcomes.present.validation.detection import with_table


def main(arguments: list[str]) -> int:
    """Write or check the pages; return the exit code."""
    detection = project_root() / "docs" / "methods" / "rupture-detection.md"
    results = read_table(project_root() / "validation" / "recovery" / "rupture_detection.csv")
    pages = {
        "configuration.md": configuration_guide({name: schema(name) for name in SCHEMAS}),
        "data-dictionary.md": data_dictionary(),
        "methods/rupture-detection.md": with_table(detection.read_text(encoding="utf-8"), results),
    }
    stale = []
    for name, text in pages.items():
        target = project_root() / "docs" / name
        if "--check" not in arguments:
            write_text(text, target)
        elif not target.is_file() or target.read_text(encoding="utf-8") != text:
            stale.append(f"docs/{name}")
    if stale:
        sys.stderr.write(f"{', '.join(stale)}: out of step with the schemas, contracts or results. Hint: python3 run.py docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
