"""What both roles of a lookup see, made from a side's own ids and coins, its output, and what it may learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from seeded import Seeded
from simulators.psi_ecdh import random_points

from parley.crypto import curve
from parley.protocols.kit.message import Message
from parley.protocols.psi import lookup


def receiver_is_sent(n: int, m: int, found: dict[int, bytes], width: int, own: Seeded, rng: Seeded) -> list[Message]:
    """`found`: place among the n own ids -> packed values; m rows in all, one column of eight bytes."""
    r = own.scalar_below(curve.ORDER - 1) + 1
    points = random_points(n, rng)
    at = np.array(sorted(found))
    values = np.frombuffer(b"".join(found[k] for k in sorted(found)), np.uint8).reshape(len(at), width)
    tags = [lookup.tags_of(points[at]), np.frombuffer(rng.bytes(lookup.TAG * (m - len(at))), np.uint8)]
    masked = [values ^ lookup.pads_of(points[at], width), np.frombuffer(rng.bytes(width * (m - len(at))), np.uint8)]
    order = rng.permutation(m)
    rows = lookup.Rows(
        np.concatenate([tags[0], tags[1].reshape(-1, lookup.TAG)])[order],
        np.concatenate([masked[0], masked[1].reshape(-1, width)])[order],
    )
    name = np.frombuffer(rng.bytes(lookup.TAG), np.uint8)
    answers = curve.multiply(points, r.to_bytes(32, "little"))
    return [lookup.Offer(name, m, ["int64"]), rows, lookup.Answer(answers)]


def receiver_sees(sent: Sequence[Message], own: Seeded) -> dict[str, np.ndarray]:
    """What arrives; the function's values of its own ids, where they are in the table, and what the pads open."""
    (offer,) = (m for m in sent if isinstance(m, lookup.Offer))
    tags, values = (
        np.concatenate([getattr(m, f) for m in sent if isinstance(m, lookup.Rows)]) for f in ("tags", "values")
    )
    answers = np.concatenate([m.points for m in sent if isinstance(m, lookup.Answer)])
    points = curve.multiply(answers, pow(own.scalars[0] + 1, -1, curve.ORDER).to_bytes(32, "little"))
    where = lookup.places_of(lookup.tags_of(points), tags)
    pads = lookup.pads_of(points, values.shape[1])
    # Its pads on its own rows, and on those that it does not have, where they open nothing.
    opened = np.where((where >= 0)[:, None], values[where] ^ pads, 0)
    return {
        "name": offer.table.reshape(1, -1),
        "tags": tags,
        "values": values,
        "answers": answers,
        "points": points,
        "where": where,
        "opened": opened,
    }


def sender_sees(sent: Sequence[Message], own: Seeded) -> dict[str, np.ndarray]:
    """The blinded ids, and these with its own key taken off."""
    asked = np.concatenate([m.points for m in sent if isinstance(m, lookup.Query)])
    (opening,) = (m for m in sent if isinstance(m, lookup.Opening))
    back = pow(own.scalars[0] + 1, -1, curve.ORDER).to_bytes(32, "little")
    return {"asked": asked, "without its key": curve.multiply(asked, back), "opening": opening.table.astype(np.int64)}
