"""Rows at the cut on their way out and in: noise where it is agreed, chunks, and checks of what arrives."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from parley.components.training.nn_mlp import Network
from parley.protocols.inputs import told
from parley.protocols.kit import Session
from parley.protocols.nn.messages import CHUNK, LARGEST, Final, Scored, Watched, wrong
from parley.protocols.nn.noise import noised
from parley.wire.errors import ParleyError

Floats = NDArray[np.float32]
M = TypeVar("M", Final, Scored, Watched)


def leaving(values: Floats, s: Session, *, cut: str, clip: float, noise: float) -> Floats:
    """What is sent for these rows (n, w); ParleyError "diverged" when the network has left all bounds."""
    if not np.isfinite(values).all() or float(np.abs(values).max(initial=0)) > LARGEST:
        raise ParleyError("diverged", "The network's values have grown beyond all bounds.", "Lower learning_rate.")
    if cut == "plain":
        return np.ascontiguousarray(values)
    with told():
        return noised(values, clip, noise, s.rng)


async def send_rows(s: Session, peer: str, kind: type[M], net: Network, x: Floats, **cut: float | str) -> None:
    """A stream of the network's values of all rows of `x`; `cut` is as in `leaving`."""
    out = s.stream(peer, kind)
    for k in range(0, len(x), CHUNK):
        values = await s.compute(_values, s, net, x[k : k + CHUNK], cut)
        await out.put(kind(values))
    await out.close()


def _values(s: Session, net: Network, x: Floats, cut: dict[str, float | str]) -> Floats:
    how, clip, noise = str(cut["cut"]), float(cut["clip"]), float(cut["noise"])
    return leaving(net.values(x), s, cut=how, clip=clip, noise=noise)


async def rows_from(s: Session, peer: str, kind: type[M], rows: int, width: int) -> Floats:
    """(rows, width) of a stream; ParleyError "protocol_violation" for more or fewer."""
    parts, count = [np.empty((0, width), dtype=np.float32)], 0
    async for chunk in s.stream(peer, kind, width=width):
        parts.append(chunk.values)
        count += len(chunk.values)
        if count > rows:
            raise wrong(peer, "sent values of more rows than were agreed")
    if count < rows:
        raise wrong(peer, "sent values of fewer rows than were agreed")
    return np.concatenate(parts)
