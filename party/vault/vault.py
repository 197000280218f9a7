"""The vault: named byte strings encrypted at rest.

Guarantee: without the wrapping key an item's content stays secret, and a changed item, or one moved under another
name, is refused (AES-256-GCM, a fresh random key per item and write, the name bound as associated data).
Not guaranteed: that whoever can write to the folder did not delete an item or put an older version of it back; names
and sizes are visible; deleting removes the file, and what the storage medium keeps of it is the medium's affair.
"""

from __future__ import annotations

import re
import secrets
import threading
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, unquote

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from parley.party.files import private_folder, sync_folder, write_atomic
from parley.party.vault import kek
from parley.wire.errors import ParleyError

MAX_ITEM = 1 << 30
_MAGIC = b"PVI1"
_NAME = re.compile(r"[a-z0-9][A-Za-z0-9._/-]{0,199}")
_NONCE, _KEY, _TAG = 12, 32, 16
_WRAPPED = _NONCE + _KEY + _TAG


class Vault:
    """Items in `path`/items. Opening a folder without a vault makes one; see `kek` for where its key comes from."""

    def __init__(self, path: Path) -> None:
        private_folder(path)
        self._items = private_folder(path / "items")
        fresh = not (path / "vault.json").exists()
        if fresh and any(self._items.iterdir()):
            raise kek.locked("The vault's header is gone while its items are still there.")
        self._making = threading.Lock()
        self._kek = AESGCM(kek.make(path) if fresh else kek.load(path))

    def put(self, name: str, data: bytes) -> None:
        """Store or replace an item of at most 1 GiB, whole or not at all."""
        path = self._path(name)
        if len(data) > MAX_ITEM:
            raise ParleyError("too_large", "A vault item has at most 1 GiB.")
        key = secrets.token_bytes(_KEY)
        outer, inner = secrets.token_bytes(_NONCE), secrets.token_bytes(_NONCE)
        wrapped = outer + self._kek.encrypt(outer, key, _bound(b"key", name))
        sealed = inner + AESGCM(key).encrypt(inner, data, _bound(b"item", name))
        write_atomic(path, b"".join((_MAGIC, wrapped, sealed)))

    def get(self, name: str) -> bytes:
        """The item; ParleyError "unknown_item", or "vault_damaged" when it was changed or moved."""
        raw = self._read(name)
        if len(raw) < len(_MAGIC) + _WRAPPED + _NONCE + _TAG or raw[: len(_MAGIC)] != _MAGIC:
            raise _damaged(name)
        wrapped = raw[len(_MAGIC) : len(_MAGIC) + _WRAPPED]
        sealed = memoryview(raw)[len(_MAGIC) + _WRAPPED :]
        try:
            key = self._kek.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], _bound(b"key", name))
            return AESGCM(key).decrypt(bytes(sealed[:_NONCE]), sealed[_NONCE:], _bound(b"item", name))
        except InvalidTag:
            raise _damaged(name) from None

    def has(self, name: str) -> bool:
        return self._path(name).is_file()

    def get_or_make(self, name: str, size: int = 32) -> bytes:
        """The item, made of `size` random bytes if there is none yet."""
        with self._making:
            if not self.has(name):
                self.put(name, secrets.token_bytes(size))
        return self.get(name)

    def delete(self, name: str) -> None:
        """Remove an item; nothing happens when there is none."""
        self._path(name).unlink(missing_ok=True)
        sync_folder(self._items)

    def names(self, prefix: str = "") -> list[str]:
        """Item names that start with `prefix`, sorted."""
        found = (unquote(p.name) for p in self._items.iterdir() if not p.name.startswith("."))
        return sorted(n for n in found if n.startswith(prefix))

    def _read(self, name: str) -> bytes:
        try:
            return self._path(name).read_bytes()
        except FileNotFoundError:
            raise ParleyError("unknown_item", f"The vault holds no {name}.") from None

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise ParleyError(
                "bad_item_name", "A vault item's name has at most 200 letters, digits, '.', '_', '/', '-'."
            )
        return self._items / quote(name, safe="")

    def __repr__(self) -> str:
        return "Vault(secret)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a vault is not serialised")


def _bound(kind: bytes, name: str) -> bytes:
    return b"parley.vault/1\0" + kind + b"\0" + name.encode()


def _damaged(name: str) -> ParleyError:
    return ParleyError(
        "vault_damaged", f"The vault item {name} was changed outside the vault.", "Restore it from a backup."
    )
