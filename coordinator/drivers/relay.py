"""Joins the two ends of a pipe and forwards sealed frames, a few at a time.

Guarantee: frames of one pipe go to its other end only, in order, with at most `DEPTH` waiting in each direction; only
the two parties of a current attempt may open its ends. Not guaranteed: delivery; an end that breaks ends the pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from parley.coordinator.drivers.control import certificate_of
from parley.coordinator.drivers.hub import Hub, log
from parley.coordinator.store import people, schedule
from parley.wire import tls
from parley.wire.errors import ParleyError
from parley.wire.pb import parley_pb2 as pb

DEPTH = 8
Key = tuple[str, str, int, str, str]


@dataclass
class Pipe:
    """`queues[p]`: frames on their way to p; None marks the end of that direction."""

    queues: dict[str, asyncio.Queue[pb.Frame | None]]
    present: set[str] = field(default_factory=set)
    joined: asyncio.Event = field(default_factory=asyncio.Event)
    broken: asyncio.Event = field(default_factory=asyncio.Event)


class Relay:
    """Serves Pipe."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._pipes: dict[Key, Pipe] = {}
        hub.on_attempt_over = self._attempt_over

    async def pipe(self, requests: AsyncIterator[pb.Frame], context: Any) -> None:
        try:
            key, me, peer = await self._admit(context)
        except ParleyError as problem:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, problem.code)
            return
        pipe = self._pipes.setdefault(key, Pipe({me: asyncio.Queue(DEPTH), peer: asyncio.Queue(DEPTH)}))
        if me in pipe.present:
            await context.abort(grpc.StatusCode.ALREADY_EXISTS, "pipe_open_already")
            return
        pipe.present.add(me)
        try:
            # Again: whoever ended the attempt after the first look could not see this pipe yet.
            if not await self._current(key, me, peer):
                await context.abort(grpc.StatusCode.PERMISSION_DENIED, "stale_attempt")
                return
            await self._carry(pipe, me, peer, requests, context)
        finally:
            pipe.present.discard(me)
            if not pipe.present:
                self._pipes.pop(key, None)

    async def _admit(self, context: Any) -> tuple[Key, str, str]:
        pem = certificate_of(context)
        me = tls.party_of(pem)
        await self._hub.store(people.check_certificate, self._hub.db, me, tls.serial(pem))
        given = {k: v for k, v in context.invocation_metadata() or () if isinstance(v, str)}
        try:
            job, step, peer = given["parley-job"], given["parley-step"], given["parley-peer"]
            attempt = int(given["parley-attempt"])
        except (KeyError, ValueError):
            raise ParleyError("bad_pipe", "A pipe was opened without its address.", party=me) from None
        one, other = sorted((me, peer))
        key = (job, step, attempt, one, other)
        if not await self._current(key, me, peer):
            raise ParleyError("stale_attempt", "The attempt is over, or these two have no part in it.", party=me)
        return key, me, peer

    async def _current(self, key: Key, me: str, peer: str) -> bool:
        return await self._hub.store(schedule.may_pipe, self._hub.db, *key[:3], me, peer)

    async def _carry(self, pipe: Pipe, me: str, peer: str, requests: AsyncIterator[pb.Frame], context: Any) -> None:
        if len(pipe.present) == 2:
            pipe.joined.set()
        if not await _first_of(pipe.joined, pipe.broken, timeout=self._hub.timing.join):
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "peer_absent")
            return
        inward = asyncio.ensure_future(self._take(requests, pipe.queues[peer]))
        outward = asyncio.ensure_future(self._give(pipe.queues[me], context))
        broken = asyncio.ensure_future(pipe.broken.wait())
        tasks = {inward, outward, broken}
        try:
            while not (inward.done() and outward.done()) and not broken.done():
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if any(t is not broken and t.exception() is not None for t in done):
                    pipe.broken.set()
                tasks -= done
        finally:
            clean = inward.done() and not inward.cancelled() and inward.exception() is None and outward.done()
            if not clean:
                pipe.broken.set()
            for task in (inward, outward, broken):
                task.cancel()
            await asyncio.wait({inward, outward, broken}, timeout=5)
        if not clean:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "peer_gone")

    async def _take(self, requests: AsyncIterator[pb.Frame], queue: asyncio.Queue[pb.Frame | None]) -> None:
        """From this end to the other; the other's slowness slows this end down."""
        async for frame in requests:
            await queue.put(frame)
            if frame.end:
                return
        raise ConnectionResetError("the stream ended without its end frame")

    async def _give(self, queue: asyncio.Queue[pb.Frame | None], context: Any) -> None:
        while True:
            frame = await queue.get()
            if frame is None:
                return
            await context.write(frame)
            if frame.end:
                return

    def _attempt_over(self, attempt: tuple[str, str, int]) -> None:
        for key, pipe in list(self._pipes.items()):
            if key[:3] == attempt:
                log.info("pipe_closed job=%s step=%s attempt=%d", *attempt)
                pipe.broken.set()


async def _first_of(good: asyncio.Event, bad: asyncio.Event, *, timeout: float) -> bool:
    tasks = [asyncio.ensure_future(good.wait()), asyncio.ensure_future(bad.wait())]
    with contextlib.suppress(TimeoutError):
        await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    return good.is_set() and not bad.is_set()
