"""One party's folder: identity, vault, databases, warehouse, policy and configuration.

Guarantee: the folder has mode 0700 and every secret lies in the vault. Not guaranteed: protection from the user the
daemon runs as, or from root.
"""

from __future__ import annotations

import json
import os
import re
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.party.errors import converted, did_you_mean
from parley.party.files import private_folder, require_private, write_atomic
from parley.party.vault import Vault
from parley.wire.canonical import canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.identity import NAME, Card
from parley.wire.tls import KeyPair

if TYPE_CHECKING:
    from parley.party.data import Datasets
    from parley.party.ledger import Budgets, Ledger
    from parley.party.peers import Peers
    from parley.party.policy import Policy
    from parley.party.store import Store

SIGN_KEY, SEAL_KEY = "identity/sign", "identity/seal"
MEMBERSHIP = "coordinator/membership"
SETTLED_S = 2.0
ADDRESS = r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$"


class PartyConfig(BaseModel):
    """`config.json`. `listen` and `routes` (peer -> address) are for direct routes; addresses are host:port.

    `step_memory_mb` ends a step that goes over it. `memory_mb`, where it is not 0, is what a step should do with: a
    dataset for which that is too little is read from its files column by column, by protocols that can.
    `spare_process` keeps one step process ready, about 100 MB, so that a step need not wait for it to start.
    """

    model_config = ConfigDict(extra="forbid", validate_assignment=True)
    name: str = Field(pattern=NAME)
    coordinator_rest: str = Field(default="", pattern=r"^(https://.+)?$")
    coordinator_grpc: str = ""
    listen: str | None = Field(default=None, pattern=ADDRESS)
    routes: dict[str, str] = Field(default_factory=dict)
    accepts_from: list[str] = Field(default_factory=list)
    capacity: int = Field(default=2, ge=1, le=64)
    step_memory_mb: int = Field(default=4096, ge=256)
    memory_mb: int = Field(default=0, ge=0)
    step_threads: int = Field(default=2, ge=1, le=256)
    spare_process: bool = True
    patience_s: float = Field(default=600.0, gt=0, le=86400)


def default_home(kind: str) -> Path:
    """PARLEY_HOME, or ~/.parley/<kind> ("party", "coordinator", "user")."""
    named = os.environ.get("PARLEY_HOME")
    return Path(named).expanduser() if named else Path.home() / ".parley" / kind


class PartyHome:
    """An opened home; make one with `create` or `open`."""

    def __init__(self, path: Path, config: PartyConfig, vault: Vault) -> None:
        self.path, self.config, self.vault = path, config, vault
        self.name = config.name
        self._policy: tuple[tuple[int, ...], Policy] | None = None

    @classmethod
    def create(cls, path: Path | str, name: str) -> PartyHome:
        """Make keys, card, databases, an empty warehouse and a commented policy.

        ParleyError "home_exists", "bad_name". The configuration is written last: without it there is no home.
        """
        from parley.party.policy.default import DEFAULT

        root = Path(path).absolute()
        if not re.fullmatch(NAME, name):
            raise ParleyError("bad_name", "A party's name starts with a small letter; then letters, digits, - and _.")
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            raise ParleyError(
                "home_exists",
                "The folder for the new home is not empty.",
                "Choose another, or empty it if an earlier init was interrupted.",
            )
        private_folder(root).chmod(0o700)
        vault = Vault(root / "vault")
        vault.put(SIGN_KEY, SigningKey.generate().to_bytes())
        vault.put(SEAL_KEY, StaticKey.generate().to_bytes())
        write_atomic(root / "policy.yaml", DEFAULT.encode())
        home = cls(root, PartyConfig(name=name), vault)
        home.peers.pin(home.card)
        home.ledger.anchor()
        _ = home.datasets
        home.save_config()
        return home

    @classmethod
    def open(cls, path: Path | str) -> PartyHome:
        """ParleyError "no_home", "unsafe_permissions", "bad_config", "vault_locked"."""
        root = Path(path).absolute()
        if not (root / "config.json").is_file():
            raise ParleyError("no_home", "There is no party home in this folder.", "Make one: parley party init NAME")
        require_private(root)
        return cls(root, _config(root / "config.json"), Vault(root / "vault"))

    @cached_property
    def sign_key(self) -> SigningKey:
        with converted():
            return SigningKey.from_bytes(self.vault.get(SIGN_KEY))

    @cached_property
    def seal_key(self) -> StaticKey:
        with converted():
            return StaticKey.from_bytes(self.vault.get(SEAL_KEY))

    @cached_property
    def card(self) -> Card:
        return Card.issue("party", self.name, self.sign_key, self.seal_key.public)

    @cached_property
    def store(self) -> Store:
        from parley.party.store import Store

        return Store(self.path / "party.db", self.vault)

    @cached_property
    def peers(self) -> Peers:
        from parley.party.peers import Peers

        return Peers(self.store, self.card.fingerprint)

    @cached_property
    def ledger(self) -> Ledger:
        from parley.party.ledger import Ledger

        return Ledger(self.path / "ledger.db", self.vault)

    @cached_property
    def budgets(self) -> Budgets:
        from parley.party.ledger import Budgets

        return Budgets(self.path / "budgets.db")

    @cached_property
    def datasets(self) -> Datasets:
        from parley.party.data import Datasets

        return Datasets(self)

    def policy(self) -> Policy:
        """The policy as its file says now; ParleyError "bad_policy". Cheap enough to ask before each egress."""
        from parley.party.policy import Policy

        path = self.path / "policy.yaml"
        try:
            seen = path.stat()
        except OSError:
            self._policy = None
            return Policy.load(path, self.name, self.peers)  # says what is wrong
        key = (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        if self._policy is not None and self._policy[0] == key:
            return self._policy[1]
        policy = Policy.load(path, self.name, self.peers)
        # Two edits within one tick of the file system's clock look alike, so a file that is just being edited is not
        # remembered: a tightened policy must never be missed.
        settled = time.time() - max(seen.st_mtime, seen.st_ctime) > SETTLED_S
        self._policy = (key, policy) if settled else None
        return policy

    @property
    def joined(self) -> bool:
        return self.vault.has(MEMBERSHIP)

    def tls(self) -> KeyPair:
        """Key and certificate for mutual TLS; ParleyError "not_joined"."""
        held = self._membership()
        return KeyPair(held["key"].encode(), held["certificate"].encode())

    @property
    def authority(self) -> bytes:
        """The coordinator's certificate authority, PEM; ParleyError "not_joined"."""
        return self._membership()["authority"].encode()

    @property
    def bearer(self) -> str:
        """The token for the coordinator's REST interface; ParleyError "not_joined"."""
        return self._membership()["bearer"]

    def save_config(self) -> None:
        write_atomic(self.path / "config.json", self.config.model_dump_json(indent=2).encode() + b"\n")

    def close(self) -> None:
        """Let go of databases and warehouse, as far as they were opened."""
        for part in ("ledger", "budgets", "store", "datasets"):
            held = self.__dict__.pop(part, None)
            if held is not None:
                held.close()
        self.__dict__.pop("peers", None)
        self._policy = None

    def set_membership(self, pair: KeyPair, authority: bytes, bearer: str) -> None:
        """Keep what enrolment brought, in one piece: a crash leaves the old membership or the new one."""
        parts = {"key": pair.key, "certificate": pair.certificate, "authority": authority}
        self.vault.put(MEMBERSHIP, canonical({**{k: v.decode() for k, v in parts.items()}, "bearer": bearer}))

    def _membership(self) -> dict[str, str]:
        if not self.joined:
            raise ParleyError(
                "not_joined",
                "This party has not joined a coordinator yet.",
                "Ask its operator for an invite, then: parley party join INVITE",
                party=self.name,
            )
        return dict(parse(self.vault.get(MEMBERSHIP)))

    def __repr__(self) -> str:
        return f"PartyHome({self.name})"


def _config(path: Path) -> PartyConfig:
    try:
        return PartyConfig.model_validate(json.loads(path.read_bytes()))
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False)[0]
        key = ".".join(map(str, first["loc"]))[:80]
        extra = first["type"] == "extra_forbidden"
        hint = did_you_mean(key, PartyConfig.model_fields, "key") if extra else ""
        raise ParleyError("bad_config", f"config.json is refused: {key}: {first['msg'][:200]}.", hint) from None
    except (OSError, ValueError):
        raise ParleyError("bad_config", "config.json cannot be read.", "It is JSON; restore it.") from None
