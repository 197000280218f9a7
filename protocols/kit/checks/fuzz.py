"""Runs changed messages into one role, most up to the message's acceptance, some through the whole role.

What must hold: a change is refused with a typed error that names the peer, or it left a well-formed message, and then
the role ends with a typed error, or with a result. Anything else leaves the campaign as the exception it is, and
`Coverage.now` says what did it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field

from parley.crypto.prg import Rng
from parley.protocols.kit.checks.dice import Dice
from parley.protocols.kit.checks.mutants import mutant
from parley.protocols.kit.checks.replay import Seat
from parley.protocols.kit.local import Setting
from parley.protocols.kit.protocol import StepOutputs
from parley.wire import codec
from parley.wire.errors import ParleyError


@dataclass
class Coverage:
    """How campaigns ended: `shallow` by (tag, change, end), `deep` those that went through a whole role."""

    shallow: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    deep: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    blamed_wrongly: list[tuple[str, str, ParleyError]] = field(default_factory=list)
    now: tuple[str, str, bytes] = ("", "", b"")

    def total(self) -> int:
        return self.shallow.total() + self.deep.total()

    def ends(self, counts: Counter[tuple[str, str, str]]) -> Counter[str]:
        """How often each end came, over all tags and changes."""
        out: Counter[str] = Counter()
        for (_, _, end), count in counts.items():
            out[end] += count
        return out

    def report(self) -> str:
        """A few lines for people; names and counts alone."""
        lines = [f"{self.total()} messages, {self.deep.total()} of them through a whole role"]
        for name, counts in (("refused at the door or accepted", self.shallow), ("in a whole role", self.deep)):
            lines += [f"  {name}:"] + [f"    {end}: {n}" for end, n in self.ends(counts).most_common()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Campaign:
    """One party's place, the source its role draws from, and how a whole role runs."""

    seat: Seat
    rng: Callable[[], Rng]
    setting: Setting
    pool: Executor | None = None

    async def run(self, count: int, deep: int, dice: Dice, coverage: Coverage) -> None:
        """`count` changed messages in all, every so many of them (`deep` in all) through the whole role."""
        whole = _comparable(await self._play(-1, b""))
        for k in range(count):
            index = dice.below(len(self.seat.recorded))
            original = self.seat.recorded[index]
            name, raw = mutant(original, dice)
            coverage.now = (original.address.tag, name, raw)
            if (k + 1) * deep // count > k * deep // count:
                end = await self._deep(index, raw, whole, coverage)
                coverage.deep[original.address.tag, name, end] += 1
            else:
                end = await self._shallow(index, raw, coverage)
                coverage.shallow[original.address.tag, name, end] += 1

    async def _shallow(self, index: int, raw: bytes, coverage: Coverage) -> str:
        original = self.seat.recorded[index]
        try:
            accepted = await self.seat.deliver(index, raw, self.setting)
        except ParleyError as e:
            if e.party != original.address.sender:
                coverage.blamed_wrongly.append((original.address.tag, coverage.now[1], e))
            return f"refused: {e.code}"
        return "accepted: unchanged" if accepted in (original.body, b"") else "accepted: well formed"

    async def _deep(self, index: int, raw: bytes, whole: bytes, coverage: Coverage) -> str:
        try:
            found = await self._play(index, raw)
        except ParleyError as e:
            peers = (self.seat.recorded[index].address.sender, "")
            if e.party not in peers:
                coverage.blamed_wrongly.append((coverage.now[0], coverage.now[1], e))
            return f"error: {e.code}"
        return "result: the same" if _comparable(found) == whole else "result: another"

    async def _play(self, index: int, raw: bytes) -> StepOutputs:
        return await self.seat.play(self.seat.incoming(index, raw), self.setting, self.rng(), self.pool)


def _comparable(outputs: StepOutputs) -> bytes:
    return codec.encode({"keep": outputs.keep, "result": outputs.result, "outcome": outputs.outcome})
