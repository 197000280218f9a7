"""All roles of a step in one process, over the same gates, codec and envelopes as between daemons."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel

from parley.crypto.prg import Rng
from parley.protocols.kit.exchange import Exchange, Fault, Port
from parley.protocols.kit.gate import EgressRow, Gate, MemoryLedger
from parley.protocols.kit.protocol import Cast, Protocol, Sizes, StepInputs, StepOutputs
from parley.protocols.kit.session import Context, Session
from parley.wire.envelope import Envelope
from parley.wire.errors import ParleyError

T = TypeVar("T")
Progress = Callable[[str, int, int, str], None]


@dataclass
class LocalRun:
    """What an in-process run leaves: each party's outputs, its egress, and every envelope that moved."""

    outputs: dict[str, StepOutputs]
    egress: dict[str, list[EgressRow]]
    transcript: list[Envelope] = field(repr=False, default_factory=list)
    checkpoints: dict[str, dict[int, dict[str, Any]]] = field(repr=False, default_factory=dict)

    def __getitem__(self, party: str) -> StepOutputs:
        return self.outputs[party]


@dataclass
class Setting:
    """How an in-process run behaves; the defaults are what tests and notebooks want."""

    step: str = "step"
    job: str = "local"
    attempt: int = 1
    seed: bytes = bytes(32)
    patience: float = 60.0
    fault: Fault | None = None
    resumed: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    progress: Progress | None = None
    rngs: dict[str, Rng] = field(default_factory=dict)
    pool: Executor | None = None


def sizes_of(inputs: Mapping[str, StepInputs]) -> Sizes:
    """Rows and columns of the tables at hand, as a contract would state them."""
    shapes = {p: i.table.shape for p, i in inputs.items() if i.table is not None}
    shapes |= {p: (i.stored.rows, len(i.stored.schema)) for p, i in inputs.items() if i.stored is not None}
    return Sizes({p: rows for p, (rows, _) in shapes.items()}, {p: columns for p, (_, columns) in shapes.items()})


def run_local(
    protocol: Protocol,
    cast: Mapping[str, Any],
    inputs: Mapping[str, StepInputs],
    params: Mapping[str, Any] | BaseModel | None = None,
    *,
    sizes: Sizes | None = None,
    setting: Setting | None = None,
) -> LocalRun:
    """Run every role of one step here and now; raises the root cause when any role fails.

    Works from a script and from a notebook (where a loop already runs, it uses a thread of its own).
    """
    return in_own_loop(run_here(protocol, cast, inputs, params, sizes=sizes, setting=setting))


async def run_here(
    protocol: Protocol,
    cast: Mapping[str, Any],
    inputs: Mapping[str, StepInputs],
    params: Mapping[str, Any] | BaseModel | None = None,
    *,
    sizes: Sizes | None = None,
    setting: Setting | None = None,
) -> LocalRun:
    """`run_local` within a loop that runs already; a setting that brings its own pool keeps it."""
    whole, how = Cast(cast), setting or Setting()
    typed = params if isinstance(params, BaseModel) else protocol.validate(params or {}, whole)
    run = (protocol, whole, dict(inputs), typed, sizes or sizes_of(inputs), how)
    if how.pool is not None:
        return await _run(*run, how.pool)
    with ThreadPoolExecutor(2, "parley-compute") as pool:
        return await _run(*run, pool)


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from synchronous code, whether or not a loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    box: list[T] = []
    failure: list[BaseException] = []

    def target() -> None:
        try:
            box.append(asyncio.run(work))
        except (ParleyError, OSError, ValueError, TypeError, KeyError, RuntimeError) as e:
            failure.append(e)

    thread = threading.Thread(target=target, name="parley-local")
    thread.start()
    while thread.is_alive():
        thread.join(timeout=1.0)
    if failure:
        raise failure[0]
    return box[0]


async def _run(
    protocol: Protocol,
    cast: Cast,
    inputs: dict[str, StepInputs],
    params: BaseModel,
    sizes: Sizes,
    setting: Setting,
    pool: Executor,
) -> LocalRun:
    parties = cast.parties()
    ledgers = {p: MemoryLedger() for p in parties}
    flows = protocol.cost(params, cast, sizes)
    gates = {
        p: Gate(
            protocol,
            cast,
            me=p,
            job=setting.job,
            step=setting.step,
            attempt=setting.attempt,
            flows=flows,
            ledger=ledgers[p],
        )
        for p in parties
    }
    exchange = Exchange(gates, setting.fault)
    kept: dict[str, dict[int, dict[str, Any]]] = {p: {} for p in parties}
    contexts = {p: _context(p, cast, params, setting, exchange, pool, kept[p]) for p in parties}
    work = {p: protocol.jobs[cast.role_of(p)](Session(contexts[p]), inputs.get(p, StepInputs())) for p in parties}
    outputs = await gather_roles(work)
    return LocalRun(outputs, {p: ledgers[p].rows for p in parties}, exchange.transcript, kept)


def _context(
    me: str,
    cast: Cast,
    params: BaseModel,
    setting: Setting,
    exchange: Exchange,
    pool: Executor,
    kept: dict[int, dict[str, Any]],
) -> Context:
    async def keep(boundary: int, state: dict[str, Any]) -> None:
        kept[boundary] = state

    def progress(done: int, total: int, phase: str) -> None:
        if setting.progress is not None:
            setting.progress(me, done, total, phase)

    return Context(
        job=setting.job,
        step=setting.step,
        attempt=setting.attempt,
        me=me,
        cast=cast,
        params=params,
        seed=setting.seed,
        carrier=Port(exchange, me),
        pool=pool,
        rng=setting.rngs.get(me) or Rng(),
        patience=setting.patience,
        resumed=setting.resumed.get(me),
        on_checkpoint=keep,
        on_progress=progress,
    )


async def gather_roles(work: Mapping[str, Awaitable[T]]) -> dict[str, T]:
    """Await every party's role; the first failure cancels the rest and is raised, located at its party."""
    tasks = {p: asyncio.ensure_future(w) for p, w in work.items()}
    names = {task: p for p, task in tasks.items()}
    done, pending = await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_EXCEPTION)
    for task in pending:
        task.cancel()
    if pending:
        await asyncio.wait(pending, timeout=10)
    # Every failure is asked for before the first one is raised: one nobody asked for is printed at the end.
    failures = {task: task.exception() for task in tasks.values() if task.done() and not task.cancelled()}
    for task, failure in failures.items():
        if task not in done:
            continue  # it failed because it was cancelled
        if isinstance(failure, ParleyError):
            raise failure.located(party=names[task]) from failure
        if failure is not None:
            raise failure
    return {p: task.result() for p, task in tasks.items()}
