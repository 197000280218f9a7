"""The vault refuses wrong keys, changed items and moved items, and leaves whole files only."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley.party.vault import Vault
from parley.party.vault.kek import PASSPHRASE_FILE
from parley.wire.errors import ParleyError


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PASSPHRASE_FILE, raising=False)


def _code(call: object, *args: object) -> str:
    assert callable(call)
    with pytest.raises(ParleyError) as caught:
        call(*args)
    return caught.value.code


def _file(folder: Path, name: str) -> Path:
    return folder / "items" / name.replace("/", "%2F")


def test_items_survive_reopening_and_are_not_stored_in_clear(tmp_path: Path) -> None:
    Vault(tmp_path / "v").put("a/one", b"a secret that is easy to find")
    again = Vault(tmp_path / "v")
    assert again.get("a/one") == b"a secret that is easy to find"
    again.put("a/two", b"")
    again.put("b", b"x")
    assert again.names("a/") == ["a/one", "a/two"]
    again.delete("a/one")
    again.delete("a/one")
    assert again.names() == ["a/two", "b"]
    assert _code(again.get, "a/one") == "unknown_item"
    for path in (tmp_path / "v").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0
        assert path.is_dir() or b"easy to find" not in path.read_bytes()


def test_every_flipped_byte_is_noticed(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "v")
    vault.put("k", b"1234")
    path = _file(tmp_path / "v", "k")
    whole = path.read_bytes()
    for i in range(len(whole)):
        path.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        assert _code(vault.get, "k") == "vault_damaged"
    for n in (0, 10, len(whole) - 1):
        path.write_bytes(whole[:n])
        assert _code(vault.get, "k") == "vault_damaged"
    path.write_bytes(whole)
    assert vault.get("k") == b"1234"


def test_an_item_moved_under_another_name_is_refused(tmp_path: Path) -> None:
    vault = Vault(tmp_path / "v")
    vault.put("weak", b"w")
    vault.put("strong", b"s")
    shutil.copy(_file(tmp_path / "v", "weak"), _file(tmp_path / "v", "strong"))
    assert _code(vault.get, "strong") == "vault_damaged"
    # Without the name as associated data the same move goes unnoticed.
    plain, nonce = AESGCM(secrets.token_bytes(32)), bytes(12)
    shelf = {"weak": plain.encrypt(nonce, b"w", b""), "strong": b""}
    shelf["strong"] = shelf["weak"]
    assert plain.decrypt(nonce, shelf["strong"], b"") == b"w"


def test_a_wrong_key_file_locks_the_vault(tmp_path: Path) -> None:
    Vault(tmp_path / "v").put("k", b"1")
    (tmp_path / "v" / "kek").write_bytes(secrets.token_bytes(32))
    assert _code(Vault, tmp_path / "v") == "vault_locked"
    (tmp_path / "v" / "kek").unlink()
    assert _code(Vault, tmp_path / "v") == "vault_locked"
    (tmp_path / "v" / "vault.json").unlink()
    assert _code(Vault, tmp_path / "v") == "vault_locked"  # no new key over old items


def test_a_key_file_open_to_others_is_refused(tmp_path: Path) -> None:
    Vault(tmp_path / "v")
    (tmp_path / "v" / "kek").chmod(0o644)
    assert _code(Vault, tmp_path / "v") == "unsafe_permissions"


def test_a_passphrase_opens_what_it_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = tmp_path / "word"
    word.write_text("correct horse battery\n")
    word.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(word))
    Vault(tmp_path / "v").put("k", b"1")
    assert not (tmp_path / "v" / "kek").exists()
    assert Vault(tmp_path / "v").get("k") == b"1"
    word.write_text("incorrect horse battery")
    assert _code(Vault, tmp_path / "v") == "vault_locked"
    word.write_text("short")
    assert _code(Vault, tmp_path / "v") == "vault_locked"
    monkeypatch.delenv(PASSPHRASE_FILE)
    assert _code(Vault, tmp_path / "v") == "vault_locked"


def test_a_crash_before_the_rename_leaves_the_old_item(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = Vault(tmp_path / "v")
    vault.put("k", b"old")

    def fail(*_: object) -> None:
        raise OSError

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        vault.put("k", b"new")
    monkeypatch.undo()
    monkeypatch.delenv(PASSPHRASE_FILE, raising=False)
    assert Vault(tmp_path / "v").get("k") == b"old"
    assert vault.names() == ["k"]


@pytest.mark.parametrize("name", ["", "../x", "/x", "a b", "a\0", "a" * 201])
def test_odd_names_are_refused(tmp_path: Path, name: str) -> None:
    assert _code(Vault(tmp_path / "v").put, name, b"") == "bad_item_name"
