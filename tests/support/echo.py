"""A small protocol for tests of the kit: a square, a stream, a loop."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from parley.protocols.kit import (
    SEMI_HONEST,
    Cast,
    Flow,
    Message,
    Protocol,
    Session,
    Sizes,
    Step,
    StepInputs,
    StepOutputs,
    array,
    message,
)


@message("test.echo.numbers/1")
class Numbers(Message):
    values: Annotated[NDArray[np.int64], array("n", dtype="int64")]

    def check(self) -> None:
        if self.values.size and int(self.values.max()) > 1_000_000:
            raise ValueError("numbers are above the limit")


@message("test.echo.chunk/1")
class Chunk(Message):
    values: Annotated[NDArray[np.int64], array("n", dtype="int64")]


@message("test.echo.reply/1")
class Reply(Message):
    values: Annotated[NDArray[np.int64], array("n", dtype="int64")]


class Params(BaseModel):
    rounds: int = 2


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """8 bytes a number, each way."""
    (asker,) = cast["asker"]
    flows = []
    for helper in cast["helper"]:
        flows += [
            Flow("test.echo.numbers/1", asker, helper, params.rounds, params.rounds * 800),
            Flow("test.echo.reply/1", helper, asker, params.rounds, params.rounds * 800),
            Flow("test.echo.chunk/1", helper, asker, 11, 8 * 1000),
        ]
    return flows


ECHO = Protocol(
    "test/echo",
    version=1,
    security=SEMI_HONEST,
    summary="Squares numbers, for tests.",
    roles={"asker": "one", "helper": "many"},
    steps=[
        Step("asker", "helper", Numbers, "numbers", loop=("round",)),
        Step("helper", "asker", Reply, "squares", loop=("round",)),
        Step("helper", "asker", Chunk, "chunks", stream=True),
    ],
    learns={"asker": ["squares", "chunks"], "helper": ["numbers"], "coordinator": ["sizes"]},
    params=Params,
    cost=cost,
)


@ECHO.job("asker")
async def asker(s: Session, inputs: StepInputs) -> StepOutputs:
    start, state = s.resumed or (0, {"total": 0})
    total = state["total"]
    for r in range(start, s.params.rounds):
        at = s.at(round=r)
        for helper in s.peers("helper"):
            await at.send(helper, Numbers(np.arange(100, dtype=np.int64)))
        for helper in s.peers("helper"):
            reply = await at.recv(helper, Reply, n=100)
            total += int(reply.values.sum())
        await s.checkpoint(r + 1, {"total": total})
        s.progress(r + 1, s.params.rounds, "round")
    rows = 0
    for helper in s.peers("helper"):
        async for chunk in s.stream(helper, Chunk):
            rows += chunk.rows()
    coin = int(s.coins.integers(1, 1000)[0])
    return StepOutputs({"total": total, "rows": rows, "coin": coin}, {"total": total})


@ECHO.job("helper")
async def helper(s: Session, inputs: StepInputs) -> StepOutputs:
    asker = s.peer("asker")
    for r in range(s.resumed[0] if s.resumed else 0, s.params.rounds):
        at = s.at(round=r)
        numbers = await at.recv(asker, Numbers)
        await at.send(asker, Reply(await s.compute(np.square, numbers.values)))
        await s.checkpoint(r + 1, {})
    out = s.stream(asker, Chunk)
    for k in range(10):
        await out.put(Chunk(np.full(100, k, dtype=np.int64)))
    await out.close()
    return StepOutputs({"coin": int(s.coins.integers(1, 1000)[0])})
