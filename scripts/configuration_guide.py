"""Write docs/configuration.md from the schemas; with --check, fail if it is out of step."""

import sys

from attachment_outcomes.config import SCHEMAS, project_root, schema
from attachment_outcomes.files import write_text
from attachment_outcomes.present.pages.configuration_guide import configuration_guide


def main(arguments: list[str]) -> int:
    """Write or check the guide; return the exit code."""
    target = project_root() / "docs" / "configuration.md"
    text = configuration_guide({name: schema(name) for name in SCHEMAS})
    if "--check" not in arguments:
        write_text(text, target)
        return 0
    if target.is_file() and target.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/configuration.md is out of step with workflow/schemas. Hint: python3 run.py docs\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
