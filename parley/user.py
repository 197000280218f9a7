"""A person's home: signing and sealing keys in a vault, the card, the coordinator's address, pinned parties.

Guarantee: keys are made here and never leave; a party's card is pinned only by the code its operator told.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from parley.crypto.errors import CryptoError
from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey, parse_short_code
from parley.party.enrol import fetch_authority
from parley.party.vault import Vault
from parley.rest import Rest
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.invite import Invite

CONFIG = "user.json"


def default_home() -> Path:
    """PARLEY_HOME, else ~/.parley/user."""
    return Path(os.environ.get("PARLEY_HOME") or Path.home() / ".parley" / "user")


class UserHome:
    """An enrolled person's folder; build one with `enrol` or `open`."""

    def __init__(self, path: Path, config: dict[str, Any], vault: Vault) -> None:
        self.path = path
        self._config = config
        self._vault = vault
        self.sign_key = SigningKey.from_bytes(vault.get("sign-key"))
        self.seal_key = StaticKey.from_bytes(vault.get("seal-key"))
        self.card = Card.from_text(config["card"])

    @classmethod
    def enrol(cls, path: Path, text: str) -> UserHome:
        """Make keys and a card, and enrol with an invite for a person."""
        if (path / CONFIG).exists():
            raise ParleyError("home_exists", f"{path} already holds a person's keys.", "Choose another --home.")
        invite = Invite.from_text(text)
        authority = fetch_authority(invite).decode("ascii")
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        vault = Vault(path / "vault")
        sign, seal = SigningKey.generate(), StaticKey.generate()
        card = Card.issue("person", invite.name, sign, seal.public)
        rest = Rest(invite.rest, authority)
        try:
            answer = rest.post("/v1/enrol", {"token": invite.token, "card": card.to_text()})
        finally:
            rest.close()
        vault.put("sign-key", sign.to_bytes())
        vault.put("seal-key", seal.to_bytes())
        vault.put("bearer", str(answer["bearer"]).encode())
        config = {"rest": invite.rest, "authority": authority, "card": card.to_text(), "pinned": {}}
        home = cls(path, config, vault)
        home._save()
        return home

    @classmethod
    def open(cls, path: Path | None = None) -> UserHome:
        """An existing home; ParleyError `not_enrolled`."""
        where = path or default_home()
        try:
            config = json.loads((where / CONFIG).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ParleyError(
                "not_enrolled", f"There is no person's home in {where}.", "Run `parley user init INVITE` first."
            ) from None
        except (OSError, ValueError):
            raise ParleyError("bad_home", f"{where / CONFIG} cannot be read.", "Restore it or enrol again.") from None
        return cls(where, config, Vault(where / "vault"))

    @property
    def name(self) -> str:
        return self.card.name

    @property
    def address(self) -> str:
        """The coordinator's REST address."""
        return str(self._config["rest"])

    def rest(self) -> Rest:
        return Rest(self.address, self._config["authority"], self._vault.get("bearer").decode())

    def pinned(self) -> dict[str, Card]:
        return {n: Card.from_text(t) for n, t in self._config["pinned"].items()}

    def roster(self) -> dict[str, Card]:
        """Every party's card as the coordinator hands it out (self-signed, not believed)."""
        rest = self.rest()
        try:
            cards = [Card.from_text(t) for t in rest.get("/v1/roster")["cards"]]
        finally:
            rest.close()
        return {c.name: c for c in cards if c.body.kind == "party"}

    def trust(self, name: str, code: str) -> Card:
        """Pin a party whose operator told this code; ParleyError `unknown_party`, `wrong_code`."""
        card = self.roster().get(name)
        if card is None:
            raise ParleyError("unknown_party", f"The coordinator has no party {name}.", "Has it joined yet?")
        if not _names(code, card):
            raise ParleyError(
                "wrong_code",
                f"The code does not belong to the {name} that the coordinator shows.",
                "Read the code again with its operator; if it still differs, somebody sits in between.",
                party=name,
            )
        self._config["pinned"][name] = card.to_text()
        self._save()
        return card

    def _save(self) -> None:
        target = self.path / CONFIG
        fresh = target.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self._config, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(target)


def _names(code: str, card: Card) -> bool:
    """Whether a code that somebody told stands for this card."""
    try:
        return bytes.fromhex(card.fingerprint).startswith(parse_short_code(code))
    except CryptoError as e:
        raise ParleyError("bad_code", "This is not a code.", e.hint or "") from None
