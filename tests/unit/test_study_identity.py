"""Re-coding of ids: HMAC-SHA256, keys that stay secret, keys that are published."""

from __future__ import annotations

import hashlib
import hmac
import logging
import stat
from pathlib import Path

import pytest

from attachment_outcomes.errors import ConfigError, DataError
from attachment_outcomes.study.engine import engine
from attachment_outcomes.study.identity import Codes, code_of, open_key, secret_key


@pytest.mark.parametrize("key", [b"Jefe", b"x" * 64, b"y" * 100, bytes(range(32))])
def test_codes_in_sql_equal_those_of_the_standard_library(key: bytes) -> None:
    ids = ["1", "ä-2", "o'neill", "Zoë \\x00", "", "10", "a" * 300]
    with engine() as session:
        session.connection.execute("CREATE TABLE raw AS SELECT unnest(?) AS id", [ids])
        codes = Codes(session, key)
        codes.add("SELECT id FROM raw", "person")
        codes.add("SELECT id FROM raw", "site")
        found = {space: dict(session.rows(f"SELECT id, code FROM codes_{space}")) for space in ("person", "site")}
    for space, by_id in found.items():
        assert by_id == {i: hmac.new(key, f"{space}/{i}".encode(), hashlib.sha256).hexdigest()[:16] for i in ids}
        assert by_id["1"] == code_of("1", key=key, space=space)


def test_published_key_depends_on_the_study_only() -> None:
    assert open_key("a") == open_key("a") != open_key("b")
    assert code_of("1", key=open_key("a")) != code_of("1", key=open_key("b"))


def test_secret_key_is_made_once_and_only_for_its_owner(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "secrets" / "id_key"
    with caplog.at_level(logging.INFO):
        first = secret_key(path)
    assert len(first) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert secret_key(path) == first
    assert list(path.parent.iterdir()) == [path]
    assert "a new key for the ids was made" in caplog.text
    assert first.hex() not in caplog.text


def test_two_keys_differ(tmp_path: Path) -> None:
    assert secret_key(tmp_path / "a") != secret_key(tmp_path / "b")


def test_key_in_the_results_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lies in the folder of results"):
        secret_key(tmp_path / "results" / "x" / "key", results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_damaged_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"short")
    with pytest.raises(DataError, match=r"key: is too short to be a key \(5 bytes\)"):
        secret_key(tmp_path / "key")


def test_key_that_others_can_read_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "key").write_bytes(b"k" * 32)
    (tmp_path / "key").chmod(0o644)
    assert secret_key(tmp_path / "key") == b"k" * 32
    assert "chmod 600" in caplog.text
