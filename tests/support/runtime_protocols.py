"""A protocol whose timing a test chooses: who is slow, who waits for ever, how often is spoken."""

from __future__ import annotations

import asyncio
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

NAME = "test/pace"


@message("test.pace.word/1")
class Word(Message):
    values: Annotated[NDArray[np.int64], array("n", dtype="int64")]


class Params(BaseModel):
    """`words` go from the speaker to the listener, `gap` seconds apart; the listener then thinks for `think` s."""

    words: int = 1
    size: int = 10
    gap: float = 0.0
    think: float = 0.0
    wait: bool = False  # the listener waits for one word more than there are
    told: int = 0  # letters in the listener's result
    kept: int = 0  # numbers that either keeps at boundary 1 and at the end


def cost(params: Params, cast: Cast, sizes: Sizes) -> list[Flow]:
    """8 bytes a number."""
    (speaker,), (listener,) = cast["speaker"], cast["listener"]
    return [Flow("test.pace.word/1", speaker, listener, params.words, params.words * params.size * 8)]


PACE = Protocol(
    NAME,
    version=1,
    security=SEMI_HONEST,
    summary="Words at a chosen pace, for tests.",
    roles={"speaker": "one", "listener": "one"},
    steps=[Step("speaker", "listener", Word, "words", loop=("word",))],
    learns={"speaker": [], "listener": ["words"], "coordinator": ["sizes"]},
    params=Params,
    cost=cost,
)


@PACE.job("speaker")
async def speaker(s: Session, inputs: StepInputs) -> StepOutputs:
    for k in range(s.params.words):
        await s.at(word=k).send(s.peer("listener"), Word(np.full(s.params.size, k, dtype=np.int64)))
        await asyncio.sleep(s.params.gap)
    if s.params.kept:
        await s.checkpoint(1, {"numbers": np.arange(s.params.kept)})
    if s.params.wait:
        await asyncio.sleep(600)
    return StepOutputs({"spoken": s.params.words})


@PACE.job("listener")
async def listener(s: Session, inputs: StepInputs) -> StepOutputs:
    total = 0
    for k in range(s.params.words + s.params.wait):
        word = await s.at(word=k).recv(s.peer("speaker"), Word)
        total += int(word.values.sum())
    kept = {"numbers": np.arange(s.params.kept)}
    if s.params.kept:
        await s.checkpoint(1, kept)
    resumed = int(s.resumed[1]["numbers"].sum()) if s.resumed else 0
    await asyncio.sleep(s.params.think)
    return StepOutputs({"total": total, "resumed": resumed, **kept}, {"total": total, "told": "x" * s.params.told})
