"""The ring against the set oracle, on tables as people have them; misbehaviour; what the shuffles are for."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from id_tables import column, from_file, places
from seeded import Unshuffled
from shared import need

from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.psi import blinding, multi
from parley.protocols.psi.ids import matches
from parley.protocols.psi.multi import MULTI, Closing, Common, Hint, Ring, Trace
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import psi_oracle

NAMES = ("ada", "bo", "cy", "di", "ed")


def inputs(*columns: object) -> dict[str, StepInputs]:
    return {name: column(values, 10_000 * k) for k, (name, values) in enumerate(zip(NAMES, columns, strict=False))}


def run(data: dict[str, StepInputs], setting: Setting | None = None, **params: object):
    return run_local(MULTI, {"member": list(data)}, data, {"id": "id", **params}, setting=setting)


def ids_of(data: dict[str, StepInputs], party: str, rows: np.ndarray) -> list[str]:
    table = data[party].table
    by_row = dict(zip(table.column("_row").to_pylist(), table.column("id").to_pylist(), strict=True))
    return [str(by_row[r]) for r in rows.tolist()]


CORPORA = {
    "two": (["a", "b", "c", "d"], ["d", "x", "b"]),
    "three": (["a", "b", "c", "d"], ["b", "c", "d", "e"], ["c", "d", "x"]),
    "four": (["a", "b", "c"], ["c", "b", "z"], ["q", "c", "b"], ["b", "c", "1", "2", "3"]),
    "five": tuple([str(i) for i in range(k, 40)] for k in range(5)),
    "one": (["a"], ["a"], ["a"]),
    "duplicates": (["a", "b", "a", "b", "c"], ["b", "b", "a", "q"], ["a", "a", "b"]),
    "nulls": (["a", None, "", "b"], [None, "b", "", "z"], ["b", None]),
    "numbers and text": (pa.array([7, 8, 9]), ["7", "009", "9", "10"], pa.array([9, 7])),
    "wide": tuple([f"id-{i}" for i in range(0, 2000, k)] for k in (1, 2, 3)),
}


@pytest.mark.parametrize("name", CORPORA)
def test_the_rows_are_the_oracles_and_aligned_everywhere(name, monkeypatch):
    monkeypatch.setattr(blinding, "CHUNK", 256)
    data = inputs(*CORPORA[name])
    out = run(data)
    expected = set.intersection(
        *({str(v) for v in i.table["id"].to_pylist() if v not in (None, "")} for i in data.values())
    )
    told = [ids_of(data, p, out[p].keep["rows"]) for p in data]
    assert sorted(told[0]) == sorted(expected)
    assert all(t == told[0] for t in told)
    assert out["ada"].result == {"intersection": len(expected)}
    assert all(out[p].result == {} and out[p].keep["count"] == len(expected) for p in list(data)[1:])


def test_real_tables_with_repeated_ids_against_the_oracle():
    files = ("breast_hetero_guest_repeated_id", "breast_hetero_host", "breast_homo_guest")
    data = {name: from_file(file, 10**6 * k) for k, (name, file) in enumerate(zip(NAMES, files, strict=False))}
    tables = [psi_oracle.by_id(need(f"data/{file}.csv")) for file in files]
    expected = psi_oracle.common(tables)
    assert 100 < len(expected) < 300
    out = run(data)
    for k, (name, table) in enumerate(zip(data, tables, strict=True)):
        at = places(out[name].keep["rows"], 10**6 * k)
        assert sorted(at) == sorted(table[i][0] for i in expected)
    assert len({tuple(ids_of(data, p, out[p].keep["rows"])) for p in data}) == 1


def test_an_empty_intersection_is_an_outcome_though_each_two_have_ids_in_common():
    out = run(inputs(["a", "b"], ["b", "c"], ["c", "a"]))
    assert {o.outcome for o in out.outputs.values()} == {"empty"}
    assert out["ada"].result == {"intersection": 0}
    assert {o.keep["count"] for o in out.outputs.values()} == {0}


@pytest.mark.parametrize(("floor", "outcome"), [(2, "ok"), (3, "below_floor")])
def test_below_the_floor_nobody_gets_positions(floor, outcome):
    out = run(inputs(["a", "b", "c"], ["b", "c", "d"], ["c", "b", "a"]), floor=floor)
    assert {o.outcome for o in out.outputs.values()} == {outcome}
    assert all(("rows" in o.keep) == (outcome == "ok") for o in out.outputs.values())
    tags = {e.address.tag for e in out.transcript}
    assert (Trace.TAG in tags) == (Common.TAG in tags) == (outcome == "ok")
    assert outcome == "ok" or not any(o.result for o in out.outputs.values())


def test_bytes_are_the_docstrings():
    n = (30, 20, 25)
    data = inputs(*[[f"{i}" for i in range(k)] for k in n])
    body = c.bytes_by_tag(run(data).transcript)
    for i, me in enumerate(data):
        after, before = list(data)[(i + 1) % 3], list(data)[i - 1]
        wanted = {
            (me, after, Ring.TAG): 32 * (n[i] + n[i - 1]),
            (me, before, Trace.TAG): 2 * 4 * 20,
        }
        if i:
            wanted |= {
                ("ada", me, Common.TAG): 32 * 20,
                (me, "ada", Hint.TAG): 8 * multi.okvs.shape(n[(i + 1) % 3]).slots,
            }
        for key, size in wanted.items():
            assert size <= body[key] <= size + 250, key


def test_roles_and_columns_are_checked_before_anything_is_signed():
    for names in (["ada"], [f"p{k}" for k in range(17)], ["ada", "ada"]):
        with pytest.raises(ParleyError) as e:
            MULTI.validate({"id": "id"}, Cast({"member": names}))
        assert e.value.code == "bad_roles"
    MULTI.validate({"id": "id"}, Cast({"member": [f"p{k}" for k in range(16)]}))
    cast = Cast({"member": ["ada", "bo"]})
    with pytest.raises(ParleyError) as e:
        MULTI.validate({"id": {"ada": "pid"}}, cast)
    assert e.value.code == "bad_parameters"
    params = MULTI.validate({"id": {"ada": "pid", "bo": "id"}}, cast)
    with pytest.raises(ParleyError, match="no column 'pid'"):
        MULTI.data_checks[0](params, cast, "ada", {"pidd": "string"})


# ---------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    data = inputs(["a", "b", "c"], ["b", "c"], ["c", "b", "x"])
    whole = run(data, floor=1).transcript
    for index, error in c.mutations(lambda setting: run(data, setting, floor=1), len(whole), change, every=3):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")


def test_every_loss_ends_with_an_error_and_never_with_a_result():
    data = inputs(["a", "b", "c"], ["b", "c"], ["c"])
    ends = list(c.losses(lambda setting: run(data, setting), len(run(data).transcript), every=4))
    assert {e.code for _, _, e in ends if e} == {"peer_lost"}
    assert all(e is not None for _, when, e in ends if when == "before")


def instead(tag: str, sender: str, make):
    """Every single message or chunk of a kind from one party is another one."""

    def fault(envelope, now):
        a = envelope.address
        if now == "before" and a.tag == tag and a.sender == sender and not envelope.last:
            return dataclasses.replace(envelope, body=make(envelope.body).encode())
        return envelope

    return Setting(fault=fault, patience=2)


def doubled(body: bytes) -> Ring:
    shown = Ring.decode(body, {}).points.copy()
    shown[1] = shown[0]
    return Ring(shown)


def unsorted(body: bytes) -> Trace:
    where = Trace.decode(body, {}).positions.copy()
    where[:] = where[0]
    return Trace(where)


WRONG = {
    "no element": (Ring, "bo", lambda b: Ring(np.full_like(Ring.decode(b, {}).points, 255)), "bad_point"),
    "the same id twice": (Ring, "ada", doubled, "duplicate_key"),
    "a token twice": (Common, "ada", lambda b: Common(Common.decode(b, {}).tokens[[0, 0]]), "protocol_violation"),
    "another count": (Closing, "ada", lambda b: Closing("ok", 3), "protocol_violation"),
    "under the floor": (Closing, "ada", lambda b: Closing("ok", 1), "protocol_violation"),
    "empty in spite of the floor": (Closing, "ada", lambda b: Closing("empty", 0), "protocol_violation"),
    "a store of another size": (Hint, "cy", lambda b: Hint(Hint.decode(b, {}).slots[:-1]), "protocol_violation"),
    "places that repeat": (Trace, "bo", unsorted, "protocol_violation"),
    "places that do not exist": (
        Trace, "cy", lambda b: Trace(Trace.decode(b, {}).positions + np.uint32(99)), "protocol_violation",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_who_misbehaves_is_named(what):
    kind, sender, make, code = WRONG[what]
    data = inputs(["a", "b", "c"], ["b", "c", "y"], ["c", "b", "x"])
    with pytest.raises(ParleyError) as e:
        run(data, instead(kind.TAG, sender, make), floor=2)
    assert (e.value.party, e.value.code) == (sender, "protocol_violation" if kind is Hint else code)


def test_a_token_that_is_not_there_is_refused_and_blames_nobody_alone():
    """Whoever changed the set on its way may be as much at fault as the leader; the error names both."""
    data = inputs(["a", "b", "c"], ["b", "c", "y"], ["c", "b", "x"])
    with pytest.raises(ParleyError, match="ada named a common token") as e:
        run(data, instead(Common.TAG, "ada", lambda b: Common(Common.decode(b, {}).tokens ^ 4)))
    assert e.value.code == "protocol_violation"
    assert e.value.party in ("bo", "cy")  # who found it


def test_a_floor_that_the_job_does_not_have_is_refused():
    with pytest.raises(ParleyError) as e:
        run(inputs(["a"], ["a"]), instead(Closing.TAG, "ada", lambda b: Closing("below_floor", 0)))
    assert (e.value.party, e.value.code) == ("ada", "protocol_violation")


# ---------------------------------------------------------------- what nobody learns


def test_what_only_some_have_leaves_no_trace_in_the_leaders_sums_but_does_without_the_masks(monkeypatch):
    """An id that two of three have gives the leader a random number; without pair keys it would be counted."""
    data = inputs([str(i) for i in range(30)], [str(i) for i in range(30)], [str(i) for i in range(10)])
    seen: list[np.ndarray] = []
    honest = multi.sums
    monkeypatch.setattr(multi, "sums", lambda *a: seen.append(honest(*a)) or seen[-1])
    assert run(data)["ada"].keep["count"] == 10
    assert np.count_nonzero(seen[-1] == 0) == 10
    # The leader decodes each store by itself: 20 tokens are in one and not in the other, and look like any other.
    stores: list[np.ndarray] = []
    decode = multi.okvs.decode
    monkeypatch.setattr(multi.okvs, "decode", lambda *a: stores.append(decode(*a)) or stores[-1])
    run(data)
    assert all(np.count_nonzero(s == 0) == 0 and np.unique(s).size == 30 for s in stores)
    monkeypatch.setattr(multi, "share", lambda tokens, pairs: np.zeros(len(tokens), np.uint64))
    stores.clear()
    run(data)
    assert sorted(np.count_nonzero(s == 0) for s in stores) == [10, 30]


def test_where_a_common_record_lies_at_another_member_shows_only_without_the_shuffle():
    """The one who takes places back could read them off the owner's table, if the owner had not shuffled."""
    data = inputs(*[[str(i) for i in range(60)], [str(i) for i in range(0, 60, 2)], [str(i) for i in range(60)]])
    hits = {}
    for how, kind in (("shuffled", {}), ("as it was", {"ada": Unshuffled("x")})):
        out = run(data, Setting(rngs=kind))
        last = [e for e in out.transcript if (e.address.tag, e.address.receiver) == (Trace.TAG, "ada") and not e.last]
        shown = Trace.decode(max(last, key=lambda e: e.address.seq).body, {}).positions
        truth = [int(x) for x in ids_of(data, "ada", out["ada"].keep["rows"])]
        hits[how] = int(np.sum(shown == np.array(truth)))
    assert hits["as it was"] == 30
    assert hits["shuffled"] < 10  # half a hit by chance; ten or more has p < 1e-9


def test_members_who_pool_count_what_their_sets_share_and_do_not_see_which(monkeypatch):
    """What the page says of two who pool: a number. The honest member's shuffle is what hides the places."""
    data = inputs([str(i) for i in range(40)], ["7"], [str(i) for i in range(0, 40, 2)])
    named = {}
    for how, kind in (("shuffled", {}), ("as it was", {p: Unshuffled(p) for p in NAMES[:3]})):
        held: dict[str, np.ndarray] = {}
        turn = multi._turn

        async def kept(s, ids, turn=turn, held=held):
            turned = await turn(s, ids)
            held[s.me] = turned.held
            return turned

        monkeypatch.setattr(multi, "_turn", kept)
        run(data, Setting(rngs=kind))
        monkeypatch.setattr(multi, "_turn", turn)
        # bo holds cy's set and cy holds ada's: who pools these two knows how many ids ada and cy share.
        found = matches(held["cy"], held["bo"])
        assert (len(held["cy"]), len(held["bo"])) == (40, 20)
        assert np.count_nonzero(found >= 0) == 20
        named[how] = int(np.sum(np.flatnonzero(found >= 0) % 2 == 0))
    assert named["as it was"] == 20
    assert named["shuffled"] < 20  # all twenty by chance: one in 1.4e11
