"""Private intersection against the set oracle, on columns as people have them."""

from __future__ import annotations

import dataclasses
import unicodedata

import numpy as np
import pyarrow as pa
import pytest

from parley.crypto import curve
from parley.crypto.prg import Rng
from parley.protocols.kit import StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.psi import blinding, ecdh, floor
from parley.protocols.psi.blinding import tags_of
from parley.protocols.psi.ecdh import ECDH, Closing
from parley.protocols.psi.ids import matches
from parley.wire.errors import ParleyError

PARTIES = ("hospital", "lab", "pharmacy")


def inputs(*columns: object) -> dict[str, StepInputs]:
    out = {}
    for k, (party, values) in enumerate(zip(PARTIES, columns, strict=False)):
        ids = values if isinstance(values, pa.Array) else pa.array(values)
        rows = pa.array(np.arange(len(ids), dtype=np.int64)[::-1] * 3 + 1000 * k)
        out[party] = StepInputs(pa.table({"id": ids, "_row": rows}))
    return out


def run(data: dict[str, StepInputs], setting: Setting | None = None, **params: object):
    cast = {"receiver": PARTIES[0], "sender": list(data)[1:]}
    return run_local(ECDH, cast, data, {"id": "id", **params}, setting=setting)


def ids_of(data: dict[str, StepInputs], party: str, rows: np.ndarray) -> list[str]:
    table = data[party].table
    by_row = dict(zip(table.column("_row").to_pylist(), table.column("id").to_pylist(), strict=True))
    return [str(by_row[r]) for r in rows.tolist()]


CORPORA = {
    "some": (["a", "b", "c", "d"], ["d", "x", "b"]),
    "all": ([str(i) for i in range(50)], [str(i) for i in range(50)][::-1]),
    "one": (["a"], ["a"]),
    "duplicates": (["a", "b", "a", "b", "c"], ["b", "b", "a", "q"]),
    "nulls": (["a", None, "", "b"], [None, "b", "", "z"]),
    "numbers and text": (pa.array([7, 8, 9]), ["7", "009", "9", "10"]),
    "wide": ([f"id-{i}" for i in range(700)], [f"id-{i}" for i in range(0, 2000, 3)]),
    "three": (["a", "b", "c", "d"], ["b", "c", "d", "e"], ["c", "d", "x"]),
}


@pytest.mark.parametrize("name", CORPORA)
def test_the_rows_are_the_oracles_and_aligned_everywhere(name, monkeypatch):
    monkeypatch.setattr(blinding, "CHUNK", 256)
    data = inputs(*CORPORA[name])
    out = run(data)
    columns = [{str(v) for v in i.table.column("id").to_pylist() if v not in (None, "")} for i in data.values()]
    expected = set.intersection(*columns)
    told = [ids_of(data, p, out[p].keep["rows"]) for p in data]
    assert sorted(told[0]) == sorted(expected)
    assert all(t == told[0] for t in told)
    assert out["hospital"].result == {"intersection": len(expected)}
    assert all(out[p].result == {} and out[p].keep["count"] == len(expected) for p in list(data)[1:])


def test_first_of_equal_rows_stands_for_its_id():
    data = inputs(["a", "b", "a"], ["a"])
    assert run(data)["hospital"].keep["rows"].tolist() == [6]


def test_unicode_forms_meet_only_under_normalisation():
    composed, decomposed = "Zoë", unicodedata.normalize("NFD", "Zoë")
    assert composed != decomposed
    data = inputs([composed, "ＡＢＣ", "Straße", " x "], [decomposed, "abc", "STRASSE", "x"])
    counts = {how: len(run(data, normalise=how)["lab"].keep["rows"]) for how in ("none", "nfc", "nfkc-casefold")}
    assert counts == {"none": 0, "nfc": 1, "nfkc-casefold": 4}
    ascii_only = inputs(["Ab ", "c"], ["aB", "C"])
    assert run(ascii_only, normalise="nfkc-casefold")["lab"].keep["count"] == 2


def test_an_empty_intersection_is_an_outcome():
    out = run(inputs(["a", "b"], ["c"]))
    assert {o.outcome for o in out.outputs.values()} == {"empty"}
    assert out["hospital"].result == {"intersection": 0}


@pytest.mark.parametrize(("floor", "outcome"), [(2, "ok"), (3, "below_floor")])
def test_below_the_floor_nobody_gets_positions(floor, outcome):
    out = run(inputs(["a", "b", "c"], ["b", "c", "d"]), floor=floor)
    assert {o.outcome for o in out.outputs.values()} == {outcome}
    assert all(("rows" in o.keep) == (outcome == "ok") for o in out.outputs.values())
    tags = {e.address.tag for e in out.transcript}
    assert ("psi.ecdh.blinded/1" in tags) == (outcome == "ok")


def test_the_floor_also_binds_what_all_have_in_common():
    out = run(inputs(["a", "b", "c"], ["a", "b"], ["b", "c"]), floor=2)
    assert {o.outcome for o in out.outputs.values()} == {"below_floor"}
    assert not any(o.keep or o.result for o in out.outputs.values())


def test_result_receiver_tells_senders_nothing_but_the_outcome():
    out = run(inputs(["a", "b"], ["b"]), result="receiver")
    assert out["lab"].keep == {}
    assert out["hospital"].keep["count"] == 1
    assert "psi.ecdh.common/1" not in {e.address.tag for e in out.transcript}
    small, large = (run(inputs(["a", "b", "c"], x), result="receiver") for x in (["a", "y"], ["a", "b"]))
    assert c.shape(small.transcript) == c.shape(large.transcript)


@pytest.mark.parametrize(
    ("ids", "code"), [(["", None], "no_ids"), (pa.array([], pa.string()), "no_ids"), ([1.5, 2.0], "bad_id_type")]
)
def test_a_column_that_holds_no_ids_is_refused(ids, code):
    with pytest.raises(ParleyError) as e:
        run(inputs(["a"], ids))
    assert (e.value.code, e.value.party) == (code, "lab")


def test_same_sizes_and_common_count_give_transcripts_of_one_shape():
    one = run(inputs(["a", "b", "c"], ["b", "x"]))
    other = run(inputs(["quite", "another", "column"], ["column", "1"]))
    assert c.shape(one.transcript) == c.shape(other.transcript)


def test_the_common_order_says_nothing_about_either_side():
    """The order is fresh each time, whatever order the ids came in."""
    data = inputs(*[[str(i) for i in range(40)]] * 2)
    first, again = (tuple(run(data)["lab"].keep["rows"].tolist()) for _ in range(2))
    assert first != again
    assert sorted(first) == sorted(again)


@pytest.mark.parametrize("floor", [None, 1])
def test_bytes_are_the_docstrings(floor):
    n, m, both = 30, 20, 10
    out = run(inputs([f"{i}" for i in range(n)], [f"{i}" for i in range(n - both, n - both + m)]), floor=floor)
    body = c.bytes_by_tag(out.transcript)
    times = {"blinded": 32 * n, "double_blinded": 12 * n, "theirs": 32 * m, "common": 4 * both}
    if floor:
        times |= {"floor.probe": 32 * n, "floor.double": 12 * n, "floor.theirs": 32 * m}
    for (_, _, tag), size in body.items():
        name = tag.split("/")[0].removeprefix("psi.").removeprefix("ecdh.")
        assert times.get(name, 0) <= size <= times.get(name, 16) + 200, tag


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    data = inputs(["a", "b", "c"], ["b", "c"])
    whole = run(data, floor=1).transcript
    for index, error in c.mutations(lambda setting: run(data, setting, floor=1), len(whole), change):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")
        assert error.party == whole[index].address.sender or whole[index].last


def test_points_off_the_group_are_refused_and_name_the_peer():
    data = inputs(["a", "b", "c"], ["b", "c"])

    def garbage(envelope):
        import dataclasses

        message = ecdh.Blinded.decode(envelope.body, {}) if not envelope.last else None
        assert message is not None
        bad = ecdh.Blinded(np.full_like(message.points, 255))
        return dataclasses.replace(envelope, body=bad.encode())

    with pytest.raises(ParleyError) as e:
        run(data, Setting(fault=c.mutating(0, garbage)))
    assert (e.value.code, e.value.party) == ("bad_point", "hospital")


def test_every_loss_ends_with_an_error_and_never_with_a_result():
    data = inputs(["a", "b", "c"], ["b", "c"])
    n = len(run(data).transcript)
    ends = list(c.losses(lambda setting: run(data, setting), n))
    assert {e.code for _, _, e in ends if e} == {"peer_lost"}
    assert all(e is not None for _, when, e in ends if when == "before")


def test_columns_are_checked_before_anything_is_signed():
    cast_ = {"receiver": "hospital", "sender": ["lab"]}
    from parley.protocols.kit import Cast

    params = ECDH.validate({"id": {"hospital": "pid", "lab": "id"}}, Cast(cast_))
    with pytest.raises(ParleyError, match="no column 'pid'") as e:
        ECDH.data_checks[0](params, Cast(cast_), "hospital", {"pidd": "string"})
    assert "pidd" in e.value.hint
    with pytest.raises(ParleyError) as e:
        ECDH.data_checks[0](params, Cast(cast_), "lab", {"id": "double"})
    assert e.value.code == "bad_id_type"
    with pytest.raises(ParleyError) as e:
        ECDH.validate({"id": {"hospital": "pid"}}, Cast(cast_))
    assert e.value.code == "bad_parameters"


class Unshuffled(Rng):
    """Keys as ever, but every order left as it was."""

    def permutation(self, n):
        return np.arange(n, dtype=np.int64)


def test_where_a_common_record_lies_at_the_sender_shows_only_without_the_shuffle():
    """The receiver reads a record's place in the sender's own table off the stream, unless that is shuffled."""
    data = inputs([str(i) for i in range(0, 60, 2)], [str(i) for i in range(60)])
    places = {"shuffled": {}, "as it was": {"lab": Unshuffled()}}
    guessed = {}
    for how, rngs in places.items():
        out = run(data, Setting(rngs=rngs))
        (chunk,) = (e for e in out.transcript if e.address.tag == ecdh.Common.TAG and not e.last)
        seen = ecdh.Common.decode(chunk.body, {}).positions
        truth = [int(x) for x in ids_of(data, "lab", out["lab"].keep["rows"])]
        guessed[how] = int(np.sum(seen == np.array(truth)))
    assert guessed["as it was"] == 30
    assert guessed["shuffled"] < 10  # one hit in 60 by chance; ten or more has p < 1e-9


def test_positions_in_the_cardinality_round_show_only_without_the_shuffle():
    """Below the floor the receiver may count, not name: an unshuffled answer would name the common ids."""
    mine, theirs = [f"m{i}" for i in range(40)], [f"m{i}" for i in range(0, 40, 2)]
    data = inputs(mine, theirs)
    hits = {}
    for how, rngs in (("shuffled", {}), ("as it was", {"lab": Unshuffled()})):
        secret = Keys()
        out = run(data, Setting(rngs={**rngs, "hospital": secret}), floor=30)
        assert out["hospital"].outcome == "below_floor"
        double, other = (
            np.concatenate([f(k.decode(e.body, {})) for e in out.transcript if e.address.tag == k.TAG and not e.last])
            for k, f in ((floor.ProbeDouble, lambda m: m.tags), (floor.ProbeTheirs, lambda m: m.points))
        )
        found = matches(double, tags_of(curve.multiply(other, secret.scalar)))
        assert np.count_nonzero(found >= 0) == 20
        named = np.flatnonzero(found >= 0)
        hits[how] = int(np.sum(named % 2 == 0))
    assert hits["as it was"] == 20
    assert hits["shuffled"] < 20  # all twenty by chance: one in 1.4e11


class Keys(Unshuffled):
    """An honest-but-curious receiver: it remembers its own key."""

    def scalar_below(self, q):
        value = super().scalar_below(q)
        self.scalar = (value + 1).to_bytes(32, "little")
        return value


@pytest.mark.parametrize(
    ("result", "outcome", "count"),
    [
        ("both", "ok", 0),
        ("both", "empty", 2),
        ("both", "below_floor", 2),
        ("receiver", "ok", 2),
        ("receiver", "empty", 1),
    ],
)
def test_a_closing_whose_count_and_outcome_do_not_go_together_is_refused(result, outcome, count):
    def other(envelope, now):
        if now == "before" and envelope.address.tag == Closing.TAG:
            return dataclasses.replace(envelope, body=Closing(outcome, count).encode())
        return envelope

    with pytest.raises(ParleyError) as caught:
        run(inputs(["a", "b", "c"], ["b", "c", "d"]), Setting(fault=other, patience=2), result=result)
    assert caught.value.code == "protocol_violation"
