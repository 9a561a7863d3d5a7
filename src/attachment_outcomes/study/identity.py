"""Re-coding of ids: a keyed hash, the same code for the same person everywhere in a study.

The key is the secret: without it nobody can recompute who a code belongs to, not even from a list of all ids. Public and
synthetic data use a published key instead, so that results repeat anywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import secrets
import stat
from pathlib import Path

from attachment_outcomes.errors import ConfigError, DataError, problem
from attachment_outcomes.study.engine import Engine

CODE_LENGTH = 16  # hex characters, 64 bits: among ten million people a collision has a chance of 3 in a million
KEY_BYTES = 32
SPACES = ("person", "site", "family", "coder")  # ids of one space share their codes
_BLOCK = 64  # bytes of a SHA-256 block, to which HMAC pads its key
_LEAST_KEY_BYTES = 16

logger = logging.getLogger(__name__)


def open_key(study: str) -> bytes:
    """Return the published key of a study whose data are public or synthetic."""
    return hashlib.sha256(f"attachment-outcomes/{study}".encode()).digest()


def secret_key(path: str | Path, *, results: str | Path | None = None) -> bytes:
    """Return the key in a file; create it with random bytes, readable by its owner only, if it does not exist.

    Parameters
    ----------
    path : path
        The key file.
    results : path, optional
        Folder that results are written to, which must not hold the key.

    Raises
    ------
    ConfigError
        If the key file lies within ``results``.
    DataError
        If the file is too short to be a key.
    """
    path = Path(path)
    if results is not None and path.resolve().is_relative_to(Path(results).resolve()):
        hint = "move it to a folder that is not shared, and set 'id_key_file' to its new place."
        raise ConfigError(problem(path.name, "the key of the ids lies in the folder of results.", hint=hint))
    if not path.exists():
        _create(path)
    key = path.read_bytes()
    if len(key) < _LEAST_KEY_BYTES:
        hint = "restore the key that earlier results were made with; without it their ids cannot be matched."
        raise DataError(problem(path.name, f"is too short to be a key ({len(key)} bytes).", hint=hint))
    if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        logger.warning("%s: the key of the ids can be read by other users. Hint: chmod 600.", path.name)
    return key


def _create(path: Path) -> None:
    """Create the key; of two jobs that come at once, the first one's key stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(fresh, path)
        except FileExistsError:
            return
        logger.info("%s: a new key for the ids was made. Keep it, and keep it secret.", path.name)
    finally:
        fresh.unlink()


def code_of(identifier: str, *, key: bytes, space: str = "person") -> str:
    """Return the code of one id: HMAC-SHA256 of ``space/id``, the first 16 hex characters.

    Parameters
    ----------
    identifier : str
        The id as the raw file has it.
    key : bytes
        The study's key.
    space : {"person", "site", "family", "coder"}
        People (clients, parents, therapists …) share one space, so that a person has one code in every role.
    """
    return hmac.new(key, f"{space}/{identifier}".encode(), hashlib.sha256).hexdigest()[:CODE_LENGTH]


class Codes:
    """The codes given so far, in a session's tables ``codes_<space>``."""

    def __init__(self, engine: Engine, key: bytes) -> None:
        """Create the session's tables; the key is padded as HMAC has it."""
        self._engine = engine
        padded = (hashlib.sha256(key).digest() if len(key) > _BLOCK else key).ljust(_BLOCK, b"\0")
        self._inner = "".join(f"\\x{byte ^ 0x36:02x}" for byte in padded)
        self._outer = "".join(f"\\x{byte ^ 0x5C:02x}" for byte in padded)
        for space in SPACES:
            engine.run(f"CREATE TABLE codes_{space} (id VARCHAR, code VARCHAR)")

    def add(self, query: str, space: str) -> None:
        """Code the distinct ids that a query of one column returns.

        Raises
        ------
        DataError
            If two ids get one code.
        """
        message = f"'{self._inner}'::BLOB || encode('{space}/' || id)"
        code = f"left(sha256('{self._outer}'::BLOB || unhex(sha256({message}))), {CODE_LENGTH})"
        fresh = f"SELECT DISTINCT id FROM ({query}) AS q(id) WHERE id IS NOT NULL"
        self._engine.run(
            f"INSERT INTO codes_{space} SELECT id, {code} FROM (SELECT id FROM ({fresh}) ANTI JOIN codes_{space} USING (id))"
        )
        n, distinct = self._engine.counts(f"SELECT count(*), count(DISTINCT code) FROM codes_{space}")
        if n != distinct:
            hint = "use another key (open data: another study name)."
            raise DataError(problem("ids", f"{n - distinct} ids share a code with another.", hint=hint))
