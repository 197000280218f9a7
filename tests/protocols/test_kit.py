"""The kit: sessions, streams, the gate, and what it refuses."""

from __future__ import annotations

import asyncio
import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from echo import ECHO, Chunk, Numbers

from parley.protocols.kit import Cast, Flow, Session, StepInputs, StepOutputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.gate import Gate, MemoryLedger
from parley.protocols.kit.local import Setting
from parley.wire import codec
from parley.wire.envelope import Address, Envelope
from parley.wire.errors import ParleyError

CAST = {"asker": "a", "helper": ["b", "c"]}


def run(setting: Setting | None = None, rounds: int = 2):
    return run_local(ECHO, CAST, {}, {"rounds": rounds}, setting=setting)


def test_outputs_and_ledger_agree_with_the_transcript():
    r = run()
    assert r["a"].keep["total"] == 2 * 2 * sum(k * k for k in range(100))
    assert r["a"].keep["rows"] == 2000
    left = sum(row.bytes for rows in r.egress.values() for row in rows)
    assert left == sum(len(e.body) for e in r.transcript)


def test_coins_are_shared_and_change_with_the_seed():
    first, again, other = run(), run(), run(Setting(seed=b"\x01" * 32))
    assert first["a"].keep["coin"] == first["b"].keep["coin"] == again["c"].keep["coin"]
    assert first["a"].keep["coin"] != other["a"].keep["coin"]


def test_a_resumed_attempt_ends_with_the_same_result():
    whole = run(rounds=4)
    resumed = {p: (2, state[2]) for p, state in whole.checkpoints.items()}
    assert run(Setting(attempt=2, resumed=resumed), rounds=4)["a"].keep["total"] == whole["a"].keep["total"]


def test_every_loss_ends_with_the_peer_lost():
    n = len(run().transcript)
    ends = list(c.losses(run, n, every=5))
    assert ends
    assert {e.code for _, _, e in ends if e} == {"peer_lost"}
    assert all(e is not None for _, when, e in ends if when == "before")


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    n = len(run().transcript)
    for index, error in c.mutations(run, n, change, every=3):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xff\xff",
        b"",
        codec.encode({"chunks": 10}),
        codec.encode({"chunks": 10, "rows": 999}),
        codec.encode({"chunks": 10, "rows": 1000, "more": 1}),
        codec.encode({"chunks": 10.0, "rows": 1000}),
        codec.encode({"chunks": 10, "rows": np.array([1000, 1000])}),
        codec.encode({"chunks": 10, "rows": pa.table({"x": [1000]})}),
    ],
)
def test_a_wrong_closing_of_a_stream_is_its_senders_violation(body):
    def fault(envelope: Envelope, when: str) -> Envelope:
        last = when == "before" and envelope.last and envelope.address.sender == "c"
        return dataclasses.replace(envelope, body=body) if last else envelope

    with pytest.raises(ParleyError) as e:
        run(Setting(fault=fault))
    assert (e.value.code, e.value.party, e.value.step) == ("protocol_violation", "c", "step")
    assert e.value.cause.startswith("c closed a stream")


def test_wrong_values_are_refused():
    with pytest.raises(ParleyError) as e:
        Numbers(np.array([10**7], dtype=np.int64)).encode()
    assert e.value.code == "bad_message"
    with pytest.raises(ParleyError):
        Numbers(np.array([1.0])).encode()  # type: ignore[arg-type]  # the point of the test
    raw = Numbers(np.arange(3, dtype=np.int64)).encode()
    with pytest.raises(ParleyError) as e:
        Numbers.decode(raw, {"n": 4})
    assert e.value.code == "malformed"
    with pytest.raises(ParleyError):
        Chunk.decode(raw + b"\x00", {})


def test_repr_shows_no_value():
    assert repr(Numbers(np.array([123456], dtype=np.int64))) == "Numbers(values=int64(1,))"


def gate(flows: list[Flow] | None = None, me: str = "a") -> Gate:
    return Gate(ECHO, Cast(CAST), me=me, job="j", step="s", attempt=1, flows=flows, ledger=MemoryLedger())


def numbers(number: int, round_: int, **changes: object) -> Envelope:
    address = Address("j", 1, "s", (("round", round_),), "test.echo.numbers/1", "a", "b", number)
    return Envelope(dataclasses.replace(address, **changes), Numbers(np.arange(5, dtype=np.int64)).encode())


@pytest.mark.parametrize(
    "changes",
    [{"job": "k"}, {"attempt": 2}, {"step": "t"}, {"path": ()}, {"path": (("level", 0),)}, {"tag": "test.echo.reply/1"},
     {"receiver": "z"}, {"sender": "b"}, {"seq": 1}],
)  # fmt: skip
def test_the_gate_refuses_what_is_not_declared(changes):
    with pytest.raises(ParleyError) as e:
        gate().outgoing(numbers(0, 0, **changes))
    assert e.value.code == "undeclared_message"


def test_the_gate_refuses_order_and_repeats():
    g = gate()
    g.outgoing(numbers(0, 1))
    for bad in (numbers(1, 1), numbers(1, 0), numbers(0, 2)):
        with pytest.raises(ParleyError):
            g.outgoing(bad)
    g.outgoing(numbers(1, 2))


def test_the_gate_holds_the_planned_bytes():
    g = gate([Flow("test.echo.numbers/1", "a", "b", 1, 40)])
    allowed = 0
    with pytest.raises(ParleyError) as e:
        allowed = sum(1 for k in range(100) if g.outgoing(numbers(k, k)) is not None)
    assert e.value.code == "egress_cap"
    assert allowed == 0


def test_a_silent_peer_is_named():
    async def mute(s: Session, inputs: StepInputs) -> StepOutputs:
        await asyncio.sleep(30)
        return StepOutputs()

    original = ECHO.jobs["helper"]
    ECHO.jobs["helper"] = mute
    try:
        with pytest.raises(ParleyError) as e:
            run(Setting(patience=0.2))
    finally:
        ECHO.jobs["helper"] = original
    assert e.value.code == "peer_silent"
    assert "b" in e.value.cause


def test_shapes_do_not_depend_on_values():
    assert c.shape(run().transcript) == c.shape(run(Setting(seed=b"\x07" * 32)).transcript)
