"""All roles of a step as separate processes of one machine, joined through the same gates as daemons use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from parley.protocols.kit.exchange import Exchange
from parley.protocols.kit.gate import Gate, MemoryLedger
from parley.protocols.kit.host import ChildHost, ChildSpec
from parley.protocols.kit.local import LocalRun, Setting, gather_roles, in_own_loop, sizes_of
from parley.protocols.kit.protocol import Cast, Protocol, Sizes, StepInputs, StepOutputs
from parley.wire import codec
from parley.wire.envelope import Envelope


def run_processes(
    protocol: Protocol,
    cast: Mapping[str, Any],
    inputs: Mapping[str, StepInputs],
    params: Mapping[str, Any],
    *,
    sizes: Sizes | None = None,
    setting: Setting | None = None,
) -> LocalRun:
    """Like `run_local`, each role in an exec'd process of its own; the protocol must be in the registry."""
    return in_own_loop(
        _run(protocol, Cast(cast), dict(inputs), dict(params), sizes or sizes_of(inputs), setting or Setting())
    )


async def _run(
    protocol: Protocol,
    cast: Cast,
    inputs: dict[str, StepInputs],
    params: dict[str, Any],
    sizes: Sizes,
    setting: Setting,
) -> LocalRun:
    ledgers = {p: MemoryLedger() for p in cast.parties()}
    flows = protocol.cost(protocol.validate(params, cast), cast, sizes)
    where = {"job": setting.job, "step": setting.step}
    gates = {
        p: Gate(protocol, cast, me=p, attempt=setting.attempt, flows=flows, ledger=ledger, **where)
        for p, ledger in ledgers.items()
    }
    exchange = Exchange(gates, setting.fault)
    kept: dict[str, dict[int, dict[str, Any]]] = {p: {} for p in ledgers}
    work = {
        p: _party(protocol, cast, p, inputs.get(p, StepInputs()), params, setting, exchange, kept[p]) for p in gates
    }
    outputs = await gather_roles(work)
    return LocalRun(outputs, {p: ledger.rows for p, ledger in ledgers.items()}, exchange.transcript, kept)


async def _party(
    protocol: Protocol,
    cast: Cast,
    me: str,
    inputs: StepInputs,
    params: dict[str, Any],
    setting: Setting,
    exchange: Exchange,
    kept: dict[int, dict[str, Any]],
) -> StepOutputs:
    host = await ChildHost.spawn(_spec(protocol, cast, me, inputs, params, setting))

    async def leave(envelope: Envelope) -> None:
        await exchange.send(me, envelope)

    async def keep(boundary: int, state: bytes) -> None:
        kept[boundary] = codec.decode(state)

    async def arrive(peer: str) -> None:
        while True:
            await host.deliver(await exchange.recv(me, peer))

    def progress(done: int, total: int, phase: str) -> None:
        if setting.progress is not None:
            setting.progress(me, done, total, phase)

    arrivals = [asyncio.ensure_future(arrive(p)) for p in cast.parties() if p != me]
    running = asyncio.ensure_future(host.run(leave, progress, keep))
    try:
        await asyncio.wait({running, *arrivals}, return_when=asyncio.FIRST_COMPLETED)
        for arrival in arrivals:
            if arrival.done() and not running.done():
                host.kill("An incoming message was refused.")
                arrival.result()
        return await running
    finally:
        for task in (*arrivals, running):
            task.cancel()
        await host.close()


def _spec(
    protocol: Protocol, cast: Cast, me: str, inputs: StepInputs, params: dict[str, Any], setting: Setting
) -> ChildSpec:
    resumed = setting.resumed.get(me)
    return ChildSpec(
        protocol=protocol.name,
        job=setting.job,
        step=setting.step,
        attempt=setting.attempt,
        me=me,
        cast=dict(cast),
        params=params,
        seed=setting.seed,
        inputs=inputs,
        patience=setting.patience,
        resumed=resumed and (resumed[0], codec.encode(resumed[1])),
        threads=1,
    )
