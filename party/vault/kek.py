"""The key that wraps every item's key: in a file of its own, or derived from a passphrase by scrypt.

Guarantee: a wrong key or passphrase is noticed before anything is read or written under it. Not guaranteed: secrecy
towards whoever can read the key file (or the passphrase file) as well as the items.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley.party.files import require_private, write_atomic
from parley.wire.errors import ParleyError

PASSPHRASE_FILE = "PARLEY_PASSPHRASE_FILE"
_CHECK = b"parley.vault.check/1"
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 16, 8, 1  # 64 MiB and about 0.2 s a guess
_MIN_PASSPHRASE = 12


class Header(BaseModel):
    """How the wrapping key is found (`salt` for scrypt), and a sealed constant that only the right key opens."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    version: int = Field(ge=1, le=1)
    source: str = Field(pattern=r"^(file|passphrase)$")
    salt: str = Field(default="", pattern=r"^[0-9a-f]{0,64}$")
    check: str = Field(pattern=r"^[0-9a-f]{24,256}$")


def make(folder: Path) -> bytes:
    """Choose and store a new vault's key: from the passphrase file if the environment names one, else at random."""
    named = os.environ.get(PASSPHRASE_FILE)
    salt = secrets.token_bytes(32) if named else b""
    key = _derive(_passphrase(), salt) if named else secrets.token_bytes(32)
    if not named:
        write_atomic(folder / "kek", key)
    nonce = secrets.token_bytes(12)
    check = nonce + AESGCM(key).encrypt(nonce, b"", _CHECK)
    header = Header(version=1, source="passphrase" if named else "file", salt=salt.hex(), check=check.hex())
    write_atomic(folder / "vault.json", header.model_dump_json().encode())
    return key


def load(folder: Path) -> bytes:
    """An existing vault's key; ParleyError "vault_locked" when it is missing or not the right one."""
    try:
        header = Header.model_validate(json.loads((folder / "vault.json").read_bytes()))
    except (OSError, ValueError, ValidationError):
        raise locked("The vault's header is missing or damaged.") from None
    key = _derive(_passphrase(), bytes.fromhex(header.salt)) if header.source == "passphrase" else _from_file(folder)
    check = bytes.fromhex(header.check)
    try:
        AESGCM(key).decrypt(check[:12], check[12:], _CHECK)
    except InvalidTag:
        raise locked("The vault's key or passphrase is not the right one.") from None
    return key


def locked(cause: str) -> ParleyError:
    return ParleyError(
        "vault_locked", cause, f"Restore the key file, or let {PASSPHRASE_FILE} name the right passphrase file."
    )


def _from_file(folder: Path) -> bytes:
    path = folder / "kek"
    if not path.is_file():
        raise locked("The vault's key file is missing.")
    require_private(path)
    key = path.read_bytes()
    if len(key) != 32:
        raise locked("The vault's key file is damaged.")
    return key


def _passphrase() -> bytes:
    named = os.environ.get(PASSPHRASE_FILE)
    if not named:
        raise locked("The vault opens with a passphrase, and no passphrase file is named.")
    path = Path(named)
    try:
        require_private(path)
        text = path.read_bytes().rstrip(b"\r\n")
    except OSError:
        raise locked("The passphrase file cannot be read.") from None
    if len(text) < _MIN_PASSPHRASE:
        raise locked(f"The passphrase is shorter than {_MIN_PASSPHRASE} characters.")
    return text


def _derive(passphrase: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(passphrase, salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=_SCRYPT_P, maxmem=128 << 20, dklen=32)
