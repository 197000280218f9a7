"""Whom this party believes: cards its operator pinned, and cards a pinned party vouched for by signature.

Guarantee: `believed` never returns a card on the coordinator's word alone, and never a second card under a pinned
name. Not guaranteed: that pinned parties vouch with care; whom they vouch for is believed here as well.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError
from sqlalchemy import delete, func, select
from sqlalchemy.dialects.sqlite import insert

from parley.party.store import Store
from parley.party.store_tables import peers as cards_table
from parley.party.store_tables import vouches as vouches_table
from parley.wire.errors import ParleyError
from parley.wire.identity import Card, VouchBody, read_vouch, vouch
from parley.wire.pb import parley_pb2 as pb

if TYPE_CHECKING:
    from parley.crypto.sign import SigningKey

log = logging.getLogger("parley.party.peers")
MAX_CARDS = 5_000
MAX_VOUCHES = 50_000


@dataclass(frozen=True)
class Peer:
    """One known card: `trust` is "pinned", "vouched" or "unknown"."""

    card: Card
    trust: str


class Peers:
    """Cards and vouches in the party's store; `own` is this party's fingerprint.

    An own vouch is for others: here the pin itself decides, so that `unpin` is not undone by a roster's echo.
    """

    def __init__(self, store: Store, own: str = "") -> None:
        self._store, self._own = store, own

    def pin(self, card: Card) -> None:
        """Believe a card from now on: its code was compared by people. ParleyError "pin_conflict".

        A name that is pinned already keeps its card until `unpin`.
        """
        with self._store.transaction() as c:
            held = self._pinned(card.body.kind, card.name)
            if held is not None and held.fingerprint != card.fingerprint:
                raise ParleyError(
                    "pin_conflict",
                    f"{card.name} is pinned with another identity.",
                    "Find out why it changed; if it rightly did, unpin the old identity first.",
                    party=card.name,
                )
            statement = insert(cards_table).values(_row(card, pinned=True))
            c.execute(statement.on_conflict_do_update(index_elements=["fingerprint"], set_={"pinned": True}))

    def unpin(self, name: str, *, person: bool = False) -> None:
        """Take back a pin and the own vouch. The card stays believed while a pinned party vouches for it."""
        held = self._pinned("person" if person else "party", name)
        if held is None:
            raise ParleyError("unknown_peer", f"Nobody named {name} is pinned.")
        with self._store.transaction() as c:
            c.execute(delete(cards_table).where(cards_table.c.fingerprint == held.fingerprint))
            v = vouches_table.c
            c.execute(delete(vouches_table).where(v.own.is_(True), v.fingerprint == held.fingerprint))

    def update(self, cards: Iterable[Card], vouches: Iterable[pb.Vouch]) -> None:
        """Take in a roster: it makes nobody believed by itself, and changes no pinned card."""
        with self._store.transaction() as c:
            room = MAX_CARDS - self._count(cards_table)
            for card in cards:
                held = self._pinned(card.body.kind, card.name)
                if held is not None:
                    if held.fingerprint != card.fingerprint:
                        log.warning("event=conflicting_card name=%s kind=%s action=ignored", card.name, card.body.kind)
                    continue
                if room <= 0:
                    log.warning("event=roster_full action=ignored")
                    break
                done = c.execute(insert(cards_table).values(_row(card, pinned=False)).on_conflict_do_nothing())
                room -= done.rowcount
            self._take_vouches(vouches)

    def believed(self, name: str) -> Card | None:
        """The party card of this name that is pinned, or vouched for by a pinned party; None when there is none.

        Two different cards vouched for under one name are a conflict: neither is believed.
        """
        pinned = self._pinned("party", name)
        if pinned is not None:
            return pinned
        found = [card for card in self._cards("party", name) if self._vouched(card)]
        if len(found) > 1:
            log.warning("event=conflicting_vouches name=%s action=ignored", name)
        return found[0] if len(found) == 1 else None

    def is_pinned(self, name: str, *, person: bool = False) -> bool:
        return self._pinned("person" if person else "party", name) is not None

    def person(self, fingerprint: str) -> Card | None:
        """The pinned person with this fingerprint; None for anybody else."""
        c = cards_table.c
        rows = self._select(c.fingerprint == fingerprint, c.kind == "person", c.pinned.is_(True))
        return rows[0] if rows else None

    def all(self) -> list[Peer]:
        """Every known card, by name."""
        out = []
        for card in self._select():
            if self._is(card):
                out.append(Peer(card, "pinned"))
                continue
            believed = self.believed(card.name) if card.body.kind == "party" else None
            same = believed is not None and believed.fingerprint == card.fingerprint
            out.append(Peer(card, "vouched" if same else "unknown"))
        return out

    def vouch_for(self, key: SigningKey, own: Card, card: Card) -> pb.Vouch:
        """Sign and keep a vouch for a pinned party; it is sent to the others at the next connection."""
        message = vouch(key, own, card)
        row = {
            "by": own.fingerprint,
            "fingerprint": card.fingerprint,
            "name": card.name,
            "vouch": message.SerializeToString(),
            "own": True,
        }
        with self._store.transaction() as c:
            statement = insert(vouches_table).values(row)
            c.execute(statement.on_conflict_do_update(index_elements=["by", "fingerprint"], set_=row))
        return message

    def own_vouches(self) -> list[pb.Vouch]:
        """What this party vouched for."""
        v = vouches_table.c
        with self._store.transaction() as c:
            raw = c.execute(select(v.vouch).where(v.own.is_(True)).order_by(v.name)).scalars().all()
        return [pb.Vouch.FromString(r) for r in raw]

    def _take_vouches(self, vouches: Iterable[pb.Vouch]) -> None:
        """Keep vouches whose voucher is pinned and signed them; others could be anybody's and are dropped.

        A voucher pinned later brings its vouches with the next roster.
        """
        room = MAX_VOUCHES - self._count(vouches_table)
        for message in vouches:
            voucher = self._pinned("party", message.by)
            if voucher is None or voucher.fingerprint == self._own or room <= 0:
                continue
            try:
                body = read_vouch(message, voucher)
            except ParleyError:
                log.warning("event=bad_vouch by=%s action=ignored", voucher.name)
                continue
            room -= self._keep_vouch(body, message)

    def _keep_vouch(self, body: VouchBody, message: pb.Vouch) -> int:
        row = {
            "by": body.by,
            "fingerprint": body.fingerprint,
            "name": body.name,
            "vouch": message.SerializeToString(),
            "own": False,
        }
        with self._store.transaction() as c:
            return c.execute(insert(vouches_table).values(row).on_conflict_do_nothing()).rowcount

    def _vouched(self, card: Card) -> bool:
        """Whether a party that is pinned now signed for exactly this card; signatures are checked again."""
        v = vouches_table.c
        query = select(v.vouch).where(v.name == card.name, v.fingerprint == card.fingerprint)
        with self._store.transaction() as c:
            raws = c.execute(query).scalars().all()
        for raw in raws:
            try:
                message = pb.Vouch.FromString(raw)
                voucher = self._pinned("party", message.by)
                if voucher is not None and voucher.fingerprint != self._own:
                    body = read_vouch(message, voucher)
                    if (body.name, body.fingerprint) == (card.name, card.fingerprint):
                        return True
            except (ParleyError, DecodeError):
                log.warning("event=bad_vouch name=%s action=ignored", card.name)
        return False

    def _pinned(self, kind: str, name: str) -> Card | None:
        c = cards_table.c
        rows = self._select(c.kind == kind, c.name == name, c.pinned.is_(True))
        return rows[0] if rows else None

    def _is(self, card: Card) -> bool:
        held = self._pinned(card.body.kind, card.name)
        return held is not None and held.fingerprint == card.fingerprint

    def _cards(self, kind: str, name: str) -> list[Card]:
        return self._select(cards_table.c.kind == kind, cards_table.c.name == name)

    def _select(self, *where: Any) -> list[Card]:
        query = select(cards_table.c.card).where(*where).order_by(cards_table.c.name, cards_table.c.fingerprint)
        with self._store.transaction() as c:
            return [Card.from_text(text) for text in c.execute(query).scalars()]

    def _count(self, table: Any) -> int:
        with self._store.transaction() as c:
            return int(c.execute(select(func.count()).select_from(table)).scalar_one())


def _row(card: Card, *, pinned: bool) -> dict[str, Any]:
    return {
        "fingerprint": card.fingerprint,
        "kind": card.body.kind,
        "name": card.name,
        "card": card.to_text(),
        "pinned": pinned,
    }
