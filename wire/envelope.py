"""The envelope around every message between parties: an address that is used once, and a body.

The envelope travels sealed end to end; a relay sees only the frame around it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from parley.wire.codec import MAX_BODY, refused
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

VERSION = 1
MAX_ADDRESS = 64 << 10  # bytes of an envelope around its body
MAX_ENVELOPE = MAX_BODY + MAX_ADDRESS
MAX_PATH = 8

Path = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message belongs. `seq` counts per (attempt, sender, receiver) from 0 without gaps."""

    job: str
    attempt: int
    step: str
    path: Path
    tag: str
    sender: str
    receiver: str
    seq: int


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message: `stream` marks a chunk of a stream, `last` the chunk that closes it."""

    address: Address
    body: bytes = field(repr=False)
    stream: bool = False
    last: bool = False

    def encode(self) -> bytes:
        a = self.address
        return pb.Envelope(
            version=VERSION,
            address=pb.Address(
                job=a.job,
                attempt=a.attempt,
                step=a.step,
                path=[pb.LoopIndex(name=n, value=v) for n, v in a.path],
                tag=a.tag,
                sender=a.sender,
                receiver=a.receiver,
                seq=a.seq,
            ),
            stream=self.stream,
            last=self.last,
            body=self.body,
        ).SerializeToString()

    @classmethod
    def decode(cls, raw: bytes) -> Envelope:
        """Parse within limits; ParleyError "malformed" or "version_mismatch"."""
        if len(raw) > MAX_ENVELOPE:
            raise refused("An envelope is larger than allowed.")
        try:
            e = pb.Envelope.FromString(raw)
        except DecodeError:
            raise refused("An envelope does not parse.") from None
        if len(raw) - len(e.body) > MAX_ADDRESS:  # the gate counts bodies: little may travel beside them
            raise refused("An envelope holds too much beside its body.")
        if e.version != VERSION:
            raise ParleyError(
                "version_mismatch",
                f"A peer speaks envelope version {e.version}, this software version {VERSION}.",
                "Install the same version of parley at both parties.",
            )
        if len(e.address.path) > MAX_PATH:
            raise refused("An address is nested too deeply.")
        a = e.address
        path = tuple((p.name, int(p.value)) for p in a.path)
        address = Address(a.job, int(a.attempt), a.step, path, a.tag, a.sender, a.receiver, int(a.seq))
        return cls(address, e.body, bool(e.stream), bool(e.last))
