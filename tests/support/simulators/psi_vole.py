"""What each role of the fast intersection sees, made from its own input and coins, its output, and what it may learn.

As in `psi_ecdh`, a view is what arrives and what the role works out from it with its own secrets. The base transfers
are looked at by themselves (`Transfer`); in whole runs their keys are dealt, as an ideal transfer would deal them, so
that twenty thousand runs need no public-key operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from seeded import Seeded

from parley.crypto import curve, okvs
from parley.crypto.ot.base import BaseChooser, BaseSender
from parley.crypto.ot.extension import ExtensionSender, bits_of
from parley.crypto.prg import Keystream
from parley.crypto.vole import correlation, evaluation
from parley.protocols.kit.message import Message
from parley.protocols.psi import vole

Coins = Callable[[], Seeded]  # the role's own source, from its beginning
Agree = Callable[[int, int, bytes, bytes], vole.Agreed]
FEW = 8  # rows of a larger array that a view holds
NO_POINTS = np.zeros((128, 32), np.uint8)
NOTHING = np.zeros(32, np.uint8)


def dealt(context: bytes) -> np.ndarray:
    """(128, 2, 16) the pairs of a run's ideal base transfers."""
    return np.frombuffer(Keystream(bytes(32), b"dealt" + context).bytes(4096), np.uint8).reshape(128, 2, 16).copy()


class DealtSender:
    """In the place of `BaseSender`: gets both keys of each pair."""

    def __init__(self, count, context, rng) -> None:
        self.offer, self._context = bytes(32), context

    def keys(self, replies):
        return dealt(self._context)

    def close(self) -> None:
        pass


class DealtChooser:
    """In the place of `BaseChooser`: gets one key of each pair."""

    def __init__(self, choices, context, rng) -> None:
        self._choices, self._context = choices.copy(), context

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        pass

    def reply(self, offer):
        return NO_POINTS, np.ascontiguousarray(dealt(self._context)[np.arange(128), self._choices])


@dataclass(frozen=True)
class Learnt:
    """What the declaration says: of either role which of its ids (by place) are common, and how many the other has;
    the sender of a one-sided run is not told the former."""

    ids: tuple[str, ...]
    other: int
    common: tuple[int, ...]
    told: bool
    agree: Agree = field(repr=False)

    def keys(self, agreed: vole.Agreed, ids: Sequence[str] | None = None) -> okvs.Keys:
        return okvs.keys_of(curve.Ids.from_list([i.encode() for i in ids or self.ids]), agreed.salt)


def random_words(rng: Seeded, *shape: int) -> np.ndarray:
    return rng.words64(int(np.prod(shape))).reshape(shape)


def random_bytes(rng: Seeded, *shape: int) -> np.ndarray:
    return np.frombuffer(rng.bytes(int(np.prod(shape))), np.uint8).reshape(shape)


def of(messages: Sequence[Message], kind):
    return next(m for m in messages if isinstance(m, kind))


def rows_of(words: np.ndarray, rows: int = FEW) -> np.ndarray:
    """(rows, 8) the first words as bytes."""
    return np.ascontiguousarray(words.reshape(-1)[:rows], "<u8").view(np.uint8).reshape(-1, 8)


# ---------------------------------------------------------------- receiver


def _receiver(known: Learnt, coins: Coins, answer: vole.Answer):
    """The role's own state once it has sent its corrections."""
    own = coins()
    agreed = known.agree(len(known.ids), answer.count, own.bytes(32), answer.share.tobytes())
    state = correlation.VoleReceiver(agreed.plan, agreed.context, own)
    state.correct(NO_POINTS)
    return agreed, state


def receiver_is_sent(known: Learnt, coins: Coins, rng: Seeded) -> list[Message]:
    answer = vole.Answer(known.other, random_bytes(rng, 32))
    agreed, state = _receiver(known, coins, answer)
    trees, levels = (agreed.plan.trees, agreed.plan.levels) if agreed.plan.levels else (0, 0)
    opened = vole.Trees(random_bytes(rng, trees, levels, 2, 16), random_bytes(rng, trees, 16))
    state.finish(correlation.Sums(opened.sides, opened.totals))
    keys = known.keys(agreed)[list(known.common)]
    mine = evaluation.own_tags(agreed.form, keys, state.c, agreed.context, agreed.tag)
    tags = np.concatenate([mine, random_bytes(rng, known.other - len(mine), agreed.tag)])
    return [answer, vole.Replies(NO_POINTS), opened, vole.Tags(tags[rng.permutation(known.other)])]


def receiver_sees(
    messages: Sequence[Message], known: Learnt, coins: Coins, guesses: Sequence[str]
) -> dict[str, np.ndarray]:
    """What arrives; the trees with its own pads taken off; where its ids lie among the tags, and where `guesses` do
    when they are worked out as if they were its own."""
    answer, opened, tags = of(messages, vole.Answer), of(messages, vole.Trees), of(messages, vole.Tags).tags
    agreed, state = _receiver(known, coins, answer)
    out = {"share": answer.share.reshape(1, 32), "tags": tags}
    if agreed.plan.levels:
        known_side = (state._turns() ^ np.uint8(1)).astype(np.intp)[:, :, None, None]
        pads = state._pads.reshape(*known_side.shape[:2], 16)
        for name, side in (("known", known_side), ("hidden", 1 - known_side)):
            sums = np.take_along_axis(opened.sides, side, axis=2)[:, :, 0]
            out[name] = (sums ^ pads).reshape(-1, 16)[:FEW]
        out["totals"] = (opened.totals ^ state._small.view(np.uint8))[:FEW]
    state.finish(correlation.Sums(opened.sides, opened.totals))
    keys = known.keys(agreed, [*known.ids, *guesses])
    own = evaluation.own_tags(agreed.form, keys, state.c, agreed.context, agreed.tag)
    mine = len(known.ids)
    return {**out, "where": evaluation.matches(own[:mine], tags), "guessed": evaluation.matches(own[mine:], tags)}


# ---------------------------------------------------------------- sender


def sender_is_sent(known: Learnt, coins: Coins, rng: Seeded) -> list[Message]:
    share, offer = rng.bytes(32), NOTHING
    own = coins()
    mine = own.bytes(32)
    agreed = known.agree(known.other, len(known.ids), share, mine)
    plan = agreed.plan
    words = -(-plan.transfers // 64)
    out: list[Message] = [
        vole.Opening(known.other, vole._commitment(share)),
        vole.Start(np.frombuffer(share, np.uint8), offer),
        vole.Corrections(random_words(rng, 128, plan.trees), random_words(rng, 128, words)),
        vole.Masked(random_words(rng, agreed.form.slots)),
        vole.Closing("ok", len(known.common) if known.told else 0),
    ]
    if known.told:
        order = _order(agreed, own, len(known.ids))[1]
        places = np.argsort(order)[list(known.common)]
        out.append(vole.Common(places[rng.permutation(places.size)].astype(np.uint32)))
    return out


def _order(agreed: vole.Agreed, own: Seeded, ids: int) -> tuple[np.ndarray, np.ndarray]:
    """Delta, and the order of the tags, from the sender's source after its share."""
    delta = np.frombuffer(own.bytes(16), np.uint64)
    if agreed.plan.levels:
        own.bytes(16 * agreed.plan.trees)
    return delta, evaluation.secret_order(ids, own)


def sender_sees(
    messages: Sequence[Message], known: Learnt, coins: Coins, guesses: Sequence[str]
) -> dict[str, np.ndarray]:
    """What arrives; the corrections with the keystreams it has taken off; the store without what it would hold of
    `guesses`, which are the receiver's very ids; and the common records as tags and as rows of its own."""
    opening, start, given = (of(messages, k) for k in (vole.Opening, vole.Start, vole.Corrections))
    masked, closing = of(messages, vole.Masked).slots, of(messages, vole.Closing)
    own = coins()
    mine = own.bytes(32)
    agreed = known.agree(opening.count, len(known.ids), start.share.tobytes(), mine)
    delta, order = _order(agreed, own, len(known.ids))
    keys = np.ascontiguousarray(dealt(agreed.context)[np.arange(128), bits_of(delta)])
    bare = given.elements[:FEW, 0] ^ correlation._elements(keys, agreed.plan.trees)[:FEW, 0]
    asked = known.keys(agreed, guesses)
    store = okvs.encode(agreed.form, asked, np.ascontiguousarray(asked[:, 3]), np.zeros(agreed.form.slots, np.uint64))
    fits = np.array_equal(opening.commitment, vole._commitment(start.share.tobytes()))
    out = {
        "commitment": opening.commitment.reshape(1, 32),
        "share": start.share.reshape(1, 32),
        "numbers": np.array([fits, closing.outcome == "ok", closing.count]),
        "elements": rows_of(given.elements[:FEW, 0]),
        "elements bare": rows_of(bare),
        "masked": rows_of(masked, 2 * FEW),
        "unmasked": rows_of(masked ^ store, 2 * FEW),
    }
    if agreed.plan.levels:
        stream = ExtensionSender(delta, keys, agreed.context)._stream(keys, 0, given.choices.shape[1])
        out |= {
            "choices": rows_of(given.choices[:FEW, 0]),
            "choices bare": rows_of((given.choices ^ stream)[:FEW, 0]),
        }
    if known.told:
        places = of(messages, vole.Common).positions.astype(np.int64)
        out |= {"places": places, "rows": order[places].astype(np.int64)}
    return out


# ---------------------------------------------------------------- one base transfer


class Transfer:
    """One base transfer, its sides' sources, and what either sees of it. The judge is also told the choice."""

    def __init__(self, sender: Seeded, chooser: Seeded) -> None:
        context = sender.bytes(32)
        self.choice = int(chooser.bytes(1)[0] & 1)
        self._sender = BaseSender(1, context, sender)
        self.offer = self._sender.offer
        self._chooser = BaseChooser(np.array([self.choice], np.uint8), context, chooser)

    def real(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The views of the sender and of the chooser."""
        reply, key = self._chooser.reply(self.offer)
        pair = self._sender.keys(reply)[0]
        return self._sender_sees(reply, pair), self._chooser_sees(self.offer, key, pair[1 - self.choice])

    def simulated(self, rng: Seeded) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        points = random_points(2, rng)
        _, key = self._chooser.reply(points[0].tobytes())
        pair = self._sender.keys(points[1:])[0]
        return self._sender_sees(points[1:], pair), self._chooser_sees(points[0].tobytes(), key, random_bytes(rng, 16))

    def _sender_sees(self, reply: np.ndarray, pair: np.ndarray) -> dict[str, np.ndarray]:
        return {"reply": reply, "keys": pair, "choice": np.array([self.choice])}

    def _chooser_sees(self, offer: bytes, key: np.ndarray, other: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "offer": np.frombuffer(offer, np.uint8).reshape(1, 32),
            "chosen": key.reshape(1, 16),
            "other": other.reshape(1, 16),
            "choice": np.array([self.choice]),
        }


def random_points(n: int, rng: Seeded) -> np.ndarray:
    """(n, 32) uniform elements: hashes of fresh texts."""
    return curve.hash_to_group(curve.Ids.from_list([rng.bytes(16) for _ in range(n)]), b"simulator")
