"""Rebuild the example study: ``python3 run.py example-data`` writes it, ``--check`` only compares.

Makes data/example/*.csv and README.md from data/example/truth.yaml, byte for byte, and keeps the checksums in
config/studies/example.yaml. Numbers are made from uniform draws and written as whole numbers or with one decimal, so
that the bytes repeat on other systems; should a future numpy change its generator, ``--check`` says which file differs.
"""

from __future__ import annotations

import argparse
import re
import sys
from hashlib import sha256
from pathlib import Path

from attachment_outcomes.config import project_root, read_yaml
from attachment_outcomes.errors import AttachmentOutcomesError, DataError
from attachment_outcomes.files import write_text
from attachment_outcomes.simulate.cohort import simulate_cohort
from attachment_outcomes.simulate.describe import COLUMNS, describe_cohort

SHA256 = r'(- file: {name}\n\s+sha256: ")[0-9a-f]{{64}}'


def contents(root: Path) -> dict[Path, str]:
    """Return what every file of the example must hold."""
    folder = root / "data" / "example"
    truth = read_yaml(folder / "truth.yaml")
    tables = simulate_cohort(truth)
    files = {folder / f"{name}.csv": tables[name].to_csv(index=False, lineterminator="\n", float_format="%.1f") for name in COLUMNS}
    study = root / "config" / "studies" / "example.yaml"
    settings = study.read_text(encoding="utf-8")
    for path, text in files.items():
        settings, found = re.subn(SHA256.format(name=re.escape(path.name)), rf"\g<1>{sha256(text.encode()).hexdigest()}", settings)
        if found != 1:
            raise DataError(f"config/studies/example.yaml: names {path.name} with a sha256 {found} times. Hint: name it once.")
    return {**files, folder / "README.md": describe_cohort(truth, tables), study: settings}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Rebuild the example study from its truth.")
    parser.add_argument("--check", action="store_true", help="compare only; fail with the files that differ")
    check = parser.parse_args(arguments).check
    root = project_root()
    files = contents(root)
    if check:
        differ = [p for p, text in files.items() if not p.is_file() or p.read_bytes() != text.encode("utf-8")]
        if differ:
            names = ", ".join(p.relative_to(root).as_posix() for p in differ)
            raise DataError(f"{names}: not what data/example/truth.yaml gives. Hint: python3 run.py example-data makes it again.")
    else:
        for path, text in files.items():
            write_text(text, path)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AttachmentOutcomesError as error:
        sys.exit(f"ERROR {error}")
