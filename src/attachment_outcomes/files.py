"""Reading and writing result files: atomic, sorted by the caller, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attachment_outcomes.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FLOAT_FORMAT = "%.12g"  # enough to hold a kappa to 1e-10, short enough to hide the last bits that differ by machine


def atomic(path: str | Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` on a temporary neighbour of ``path`` and move it into place only when it is whole."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}-", suffix=target.suffix)
    os.close(handle)
    try:
        write(Path(name))
        Path(name).chmod(0o644)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(text: str, path: str | Path) -> None:
    """Write UTF-8 text with LF line ends on every system."""
    atomic(path, lambda p: p.write_text(text, encoding="utf-8", newline="\n"))


def write_json(content: Any, path: str | Path) -> None:
    """Write sorted, indented JSON."""
    write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", path)


def read_json(path: str | Path) -> Any:
    """Read a JSON file."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def write_table(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table as CSV or Parquet, by the ending of ``path``; the caller sorts the rows."""
    if Path(path).suffix == ".csv":
        atomic(path, lambda p: frame.to_csv(p, index=False, float_format=FLOAT_FORMAT, lineterminator="\n"))
    elif Path(path).suffix == ".parquet":
        atomic(path, lambda p: frame.to_parquet(p, index=False, compression="zstd"))
    else:
        raise DataError(f"{Path(path).name}: tables are written as .csv or .parquet")


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table written by :func:`write_table`."""
    import pandas as pd  # here, so that reading the plan of a run, which needs checksums only, stays fast

    return pd.read_csv(path) if Path(path).suffix == ".csv" else pd.read_parquet(path)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 checksum of a file."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
