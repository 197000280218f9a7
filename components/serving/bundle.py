"""A model bundle: a folder with one party's part of a model, its card, and a manifest that tells whether it is whole.

    manifest.json    version, the SHA-256 of every other file, and `content`, one hash over all of them
    card.json, card.md   see `card`
    part.json        the part as training kept it, without anything of a row
    part.onnx, part.pmml   the same for other software, where asked for
    signature.json   the party's card and its signature of the manifest; made by the party, see `parley.party.models`

Guarantee: `read` refuses a bundle of which a file is missing, changed or added. Not guaranteed: who made it; that is
the signature's part. The part is its owner's secret, like the data it came from: the files have mode 0600.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parley.components.errors import DataError
from parley.components.serving.card import ModelCard
from parley.components.serving.export_onnx import to_onnx
from parley.components.serving.export_pmml import to_pmml
from parley.components.serving.parts import Part, part_again

MANIFEST, SIGNATURE = "manifest.json", "signature.json"
MAX_FILE = 1 << 30
_VERSION = 1


@dataclass(frozen=True)
class Bundle:
    """A bundle's files by name, without manifest and signature."""

    files: dict[str, bytes]

    @classmethod
    def make(cls, card: ModelCard, model: Mapping[str, Any], *, onnx: bool = False, pmml: bool = False) -> Bundle:
        """From a card and `parts.kept_model`; DataError `no_onnx`, `cannot_export`, `bad_model`."""
        part = part_again(model)
        files = {
            "card.json": _json(card.to_dict()),
            "card.md": card.markdown().encode(),
            "part.json": _json(dict(model)),
        }
        if onnx:
            files["part.onnx"] = to_onnx(part, card.name).SerializeToString(deterministic=True)
        if pmml:
            files["part.pmml"] = to_pmml(part, card.name).encode()
        return cls(files)

    @property
    def manifest(self) -> bytes:
        """Canonical bytes: what a signature signs."""
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}
        return _json({"version": _VERSION, "files": hashes, "content": self.content})

    @property
    def content(self) -> str:
        """SHA-256, hex, over all names and files: the version of the model."""
        whole = hashlib.sha256(b"parley.bundle/1\0")
        for name in sorted(self.files):
            for piece in (name.encode(), self.files[name]):
                whole.update(len(piece).to_bytes(8, "big") + piece)
        return whole.hexdigest()

    @property
    def card(self) -> ModelCard:
        """DataError `bad_model_card`."""
        return ModelCard.from_dict(_record(self.files.get("card.json", b""), "bad_model_card"))

    @property
    def part(self) -> Part:
        """DataError `bad_model`, `no_model`."""
        return part_again(_record(self.files.get("part.json", b""), "bad_model"))

    def write(self, folder: Path, signature: bytes | None = None) -> None:
        """Into a folder that is new or empty; DataError `folder_not_empty`. The manifest is written last."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError("folder_not_empty", "the folder for the bundle is not empty", "name a new one")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        more = {SIGNATURE: signature} if signature is not None else {}
        for name, data in {**self.files, **more, MANIFEST: self.manifest}.items():
            handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(data)

    @classmethod
    def read(cls, folder: Path) -> Bundle:
        """DataError `no_bundle`, or `bundle_damaged` naming the file that is missing, changed or added."""
        if not (folder / MANIFEST).is_file():
            raise DataError("no_bundle", "there is no model bundle in this folder")
        record = _record(_bytes(folder / MANIFEST), "bundle_damaged")
        hashes = record.get("files")
        if record.get("version") != _VERSION or not isinstance(hashes, dict):
            raise DataError("bundle_damaged", "the manifest is of another version or damaged")
        there = {p.name for p in folder.iterdir()} - {MANIFEST, SIGNATURE}
        for name in sorted(there ^ set(hashes)):
            raise DataError("bundle_damaged", f"{name!r} is {'not in the manifest' if name in there else 'missing'}")
        found = cls({name: _bytes(folder / name) for name in hashes})
        for name, data in found.files.items():
            if hashlib.sha256(data).hexdigest() != hashes[name]:
                raise DataError("bundle_damaged", f"{name!r} was changed")
        if _bytes(folder / MANIFEST) != found.manifest:
            raise DataError("bundle_damaged", "the manifest was changed")
        return found


def _bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE:
        raise DataError("bundle_damaged", f"{path.name!r} is no plain file, or too large")
    return path.read_bytes()


def _json(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _record(raw: bytes, code: str) -> dict[str, Any]:
    try:
        record = json.loads(raw)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise DataError(code, "a file of the bundle cannot be read")
    return record
