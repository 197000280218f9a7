"""The left join against the oracle, with and without what an earlier one left; the function's vectors; misbehaviour."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from id_tables import brought, column, from_file, places
from seeded import Seeded
from shared import need

from parley.crypto import curve, okvs
from parley.protocols import registry
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.kit.processes import run_processes
from parley.protocols.psi import columns, lookup, payload
from parley.protocols.psi.lookup import LOOKUP
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import psi_oracle

CAST = {"receiver": "shop", "sender": "bank"}
VALUES = {
    "n": pa.array([1, None, -3, 4]),
    "t": pa.array(["süß", "", None, "q" * 64]),
    "f": pa.array([1.5, None, -0.0, 2.0]),
    "ok": pa.array([True, False, None, True]),
    "day": pa.array([dt.date(2020, 2, 29), None, dt.date(1960, 1, 1), dt.date(2021, 1, 1)]),
    "at": pa.array([1_582_938_123_000_000, None, -1, 0], pa.timestamp("us")),
    "small": pa.array([250, 1, None, 3], pa.uint8()),
}


def bank(ids: object = ("a", "b", "c", "d"), **values: pa.Array) -> StepInputs:
    return brought(pa.table({"id": pa.array(ids), **(values or VALUES)}), 1000)


def run(shop: StepInputs, other: StepInputs, setting: Setting | None = None, **params: object):
    given = {"id": "id", "columns": [n for n in other.table.column_names if n not in ("id", "_row")], **params}
    return run_local(LOOKUP, CAST, {"shop": shop, "bank": other}, given, setting=setting)


def again(inputs: StepInputs, cache: dict[str, object]) -> StepInputs:
    return dataclasses.replace(inputs, cache=cache)


def looked_up(out) -> list[dict[str, object]]:
    return out["shop"].keep["looked_up"].to_pylist()


def test_every_kind_of_value_arrives_as_it_is_and_nothing_else_does():
    out = run(column(["b", "x", "a", "c", None, "a", ""]), bank())
    found = out["shop"].keep["looked_up"]
    assert found["_row"].to_pylist() == [0, 7, 14, 21, 28, 35, 42]
    assert found["matched"].to_pylist() == [True, False, True, True, False, True, False]
    at = [1, None, 0, 2, None, 0, None]
    for name, values in VALUES.items():
        assert found[name].to_pylist() == [None if k is None else values[k].as_py() for k in at], name
        assert found[name].type == values.type
    assert out["shop"].result == {"rows": 7, "matched": 4}
    assert (out["bank"].result, out["bank"].keep) == ({}, {})


def test_real_tables_with_repeated_ids_are_joined_as_the_oracle_does():
    files = ("breast_hetero_guest_repeated_id", "breast_hetero_host")
    data = {"shop": from_file(files[0]), "bank": from_file(files[1], 10**6)}
    given = {"id": "id", "columns": ["x0", "x7"], "prefix": "host_"}
    out = run_local(LOOKUP, CAST, data, given)
    found = out["shop"].keep["looked_up"]
    host = psi_oracle.by_id(need(f"data/{files[1]}.csv"))
    ids = data["shop"].table["id"].to_pylist()
    assert places(found["_row"].to_numpy()) == list(range(len(ids)))
    assert found["matched"].to_pylist() == [str(i) in host for i in ids]
    for name in ("x0", "x7"):
        expected = [float(host[str(i)][1][name]) if str(i) in host else None for i in ids]
        assert found[f"host_{name}"].to_pylist() == expected
    assert out["shop"].result["matched"] == sum(str(i) in host for i in ids) > 2000


def test_spellings_of_one_id_are_answered_alike():
    shop = column(["Ab", "ab ", "AB", "x", "ab", "ＡＢ", None])
    out = run(shop, bank(["aB"], n=pa.array([5])), normalise="nfkc-casefold")
    assert [r["n"] for r in looked_up(out)] == [5, 5, 5, None, 5, 5, None]
    asked = [e for e in out.transcript if e.address.tag == lookup.Query.TAG and not e.last]
    assert sum(len(lookup.Query.decode(e.body, {}).points) for e in asked) == 2
    numbers = run(column(pa.array([7, None, 8])), bank(["7", "08"], n=pa.array([1, 2])))
    assert [r["n"] for r in looked_up(numbers)] == [1, None, None]
    named = run(column(pa.array(["b", "a", "b"]).dictionary_encode()), bank(["a", "b"], n=pa.array([1, 2])))
    assert [r["n"] for r in looked_up(named)] == [2, 1, 2]


def test_nothing_in_common_is_a_join_without_matches():
    out = run(column(["x", "y"]), bank())
    assert out["shop"].result == {"rows": 2, "matched": 0}
    assert all(r[n] is None for r in looked_up(out) for n in VALUES)


# ---------------------------------------------------------------- what is kept for the next time


def table_bytes(out) -> int:
    return sum(len(e.body) for e in out.transcript if e.address.tag == lookup.Rows.TAG and not e.last)


def test_a_second_lookup_costs_its_own_ids_only_and_answers_alike():
    shop, other = column(["b", "x", "a"]), bank([f"id{k}" for k in range(400)] + ["a", "b"], n=pa.array(range(402)))
    first = run(shop, other)
    second = run(again(column(["a", "id7"]), first["shop"].cache), again(other, first["bank"].cache))
    assert [r["n"] for r in looked_up(second)] == [400, 7]
    assert table_bytes(first) > 402 * 16
    assert table_bytes(second) == 0
    assert second["shop"].cache == second["bank"].cache == {}


def test_with_a_cache_the_senders_rows_are_not_even_read(monkeypatch):
    first = run(column(["b"]), bank())
    monkeypatch.setattr(lookup, "column_of", None)
    second = run(again(column(["b"]), first["shop"].cache), again(bank(), first["bank"].cache))
    assert looked_up(second)[0]["n"] is None
    assert looked_up(second)[0]["t"] == ""


@pytest.mark.parametrize("lost", ["shop", "bank", "both", "mixed"])
def test_a_cache_that_one_side_lost_is_made_again_under_another_key(lost):
    shop, other = column(["b", "x"]), bank()
    first, foreign = run(shop, other), run(shop, other)
    mine = {} if lost in ("shop", "both") else (foreign if lost == "mixed" else first)["shop"].cache
    theirs = {} if lost in ("bank", "both") else first["bank"].cache
    second = run(again(shop, mine), again(other, theirs))
    assert looked_up(second) == looked_up(first)
    assert table_bytes(second) > 0
    assert second["bank"].cache["key"] != first["bank"].cache["key"]
    assert second["bank"].cache["table"].tolist() == second["shop"].cache["table"].tolist()


def test_online_keys_are_fresh_and_cached_ones_are_not():
    shop, other = column(["b", "x"]), bank()
    first = run(shop, other)
    queries = []
    for _ in range(2):
        out = run(again(shop, first["shop"].cache), again(other, first["bank"].cache))
        queries.append(next(e.body for e in out.transcript if e.address.tag == lookup.Query.TAG))
    assert queries[0] != queries[1]


def test_it_runs_in_processes_and_what_it_leaves_fits_the_codec():
    data = {"shop": column(["b", "x"]), "bank": bank()}
    given = {"id": "id", "columns": list(VALUES)}
    first = run_processes(LOOKUP, Cast(CAST), data, given)
    data = {p: again(d, first[p].cache) for p, d in data.items()}
    second = run_processes(LOOKUP, Cast(CAST), data, given)
    assert looked_up(second) == looked_up(first)
    assert table_bytes(second) == 0 < table_bytes(first)


# ---------------------------------------------------------------- the function


def test_blinding_and_evaluation_are_those_of_the_rfc():
    suites = json.loads(need("vectors/oprf/allVectors.json").read_text())
    (suite,) = (s for s in suites if s["identifier"] == "ristretto255-SHA512" and s["mode"] == 0)
    assert bytes.fromhex(suite["groupDST"]) == lookup.DST
    key, count = bytes.fromhex(suite["skSm"]), 0
    for vector in suite["vectors"]:
        rows = zip(
            *(vector[n].split(",") for n in ("Input", "BlindedElement", "EvaluationElement", "Output")), strict=True
        )
        blind = bytes.fromhex(vector["Blind"].split(",")[0])
        for given, blinded, evaluated, output in (tuple(map(bytes.fromhex, r)) for r in rows):
            asked = curve.hash_and_multiply(curve.Ids.from_list([given]), blind, lookup.DST)
            if asked.tobytes() != blinded:
                continue  # the second of a batch has a blind of its own
            answer = curve.multiply(asked, key)
            assert answer.tobytes() == evaluated
            back = pow(int.from_bytes(blind, "little"), -1, curve.ORDER).to_bytes(32, "little")
            point = curve.multiply(answer, back).tobytes()
            whole = len(given).to_bytes(2, "big") + given + (32).to_bytes(2, "big") + point + b"Finalize"
            assert hashlib.sha512(whole).digest() == output
            count += 1
    assert count >= 2


def test_tags_and_pads_are_hashes_of_the_point_under_labels_of_their_own():
    points = curve.hash_to_group(curve.Ids.from_list([b"a", b"b"]), b"x")
    blocks = [lookup.tags_of(points), *(lookup.pads_of(points, 96)[:, k : k + 16] for k in (0, 32, 64))]
    assert len({row.tobytes() for b in blocks for row in b}) == 8
    salt = lookup.digest("psi.lookup.tag/1", lookup.canonical([0]))[: okvs.SALT]
    assert lookup.tags_of(points)[0].tobytes() == hashlib.sha256(salt + points[0].tobytes()).digest()[:16]
    assert lookup.pads_of(points, 40).shape == (2, 40)


def test_ids_of_a_small_space_cannot_be_tried_out_against_the_table_but_can_with_the_key():
    """All ten thousand four-digit ids against the tags of a thousand, as the receiver and the relay hold them."""
    space = curve.Ids.from_list([b"%04d" % k for k in range(10_000)])
    members = [f"{k:04d}" for k in np.random.default_rng(3).permutation(10_000)[:1000]]
    out = run(column(["none"]), bank(members, n=pa.array(range(1000))))
    tags = out["shop"].cache["tags"]
    shown = {"unkeyed": curve.hash_to_group(space, lookup.DST)}
    for name in (lookup.Query, lookup.Answer):
        shown[name.TAG] = np.concatenate(
            [name.decode(e.body, {}).points for e in out.transcript if e.address.tag == name.TAG and not e.last]
        )
    guesses = [lookup.tags_of(points) for points in shown.values()]
    guesses += [lookup.tags_of(curve.hash_and_multiply(space, (7).to_bytes(32, "little"), lookup.DST))]
    assert all(np.count_nonzero(lookup.places_of(g, tags) >= 0) == 0 for g in guesses)
    keyed = lookup.tags_of(curve.hash_and_multiply(space, out["bank"].cache["key"], lookup.DST))
    assert np.count_nonzero(lookup.places_of(keyed, tags) >= 0) == 1000


# ---------------------------------------------------------------- parts


def test_which_id_each_row_has_is_found_for_every_spelling():
    table = brought(pa.table({"id": ["b", "B", None, "a", "b ", "A", "", "b"]})).table
    expected = {"nfkc-casefold": [0, 0, -1, 1, 0, 1, -1, 0], "none": [0, 1, -1, 2, 3, 4, -1, 0]}
    for rule, which in expected.items():
        params = LOOKUP.validate({"id": "id", "columns": ["v"], "normalise": rule}, Cast(CAST))
        found, of = columns.with_all_rows(table, params, "shop", Cast(CAST))
        assert of.tolist() == which
        assert places(found.rows) == [which.index(k) for k in range(max(which) + 1)]
    refusing = params.model_copy(update={"duplicates": "refuse"})
    with pytest.raises(ParleyError) as e:
        columns.with_all_rows(table, refusing, "shop", Cast(CAST))
    assert e.value.code == "repeated_ids"


def test_keys_of_several_columns_are_looked_up_counted_and_met():
    shop = brought(pa.table({"last": ["Ab", "A", "x", "Ab"], "first": ["c", "bc", "y", "c"]}))
    other = brought(pa.table({"l": ["ab", "x"], "f": ["c", "z"], "v": [5, 6]}), 1000)
    key = {"id": {"shop": ["last", "first"], "bank": ["l", "f"]}, "normalise": "nfkc-casefold"}
    data = {"shop": shop, "bank": other}
    assert [r["v"] for r in looked_up(run_local(LOOKUP, CAST, data, {**key, "columns": ["v"]}))] == [5, None, None, 5]
    counted = run_local(registry.load("psi/cardinality"), CAST, data, key)
    assert counted["shop"].result == {"cardinality": 1}
    met = run_local(registry.load("psi/multi"), {"member": ["shop", "bank"]}, data, key)
    assert (places(met["shop"].keep["rows"]), places(met["bank"].keep["rows"], 1000)) == ([0], [0])


def test_columns_of_no_type_that_travels_and_too_long_texts_are_refused():
    for values, code in (
        (pa.array([[1]]), "bad_payload_type"),
        (pa.array(["x" * 65]), "text_too_long"),
        (pa.array([0], pa.timestamp("us", "UTC")), "bad_payload_type"),
    ):
        with pytest.raises(ParleyError) as e:
            run(column(["a"]), bank(["a"], v=values))
        assert (e.value.code, e.value.party) == (code, "bank")


def test_sliced_and_chunked_columns_are_packed_as_they_read():
    whole = pa.chunked_array([["no", "aé"], [], [None, "ccc"]]).slice(1)
    kinds, rows = payload.packed(pa.table({"t": whole}), ["t"], 5)
    back = payload.unpacked(rows, np.ones(3, bool), ["t"], kinds, 5)
    assert back["t"].to_pylist() == ["aé", None, "ccc"]
    assert rows.shape == (3, payload.width_of("string", 5))


@pytest.mark.parametrize("raw", [[2, 1, 0, 97, 0], [1, 3, 0, 97, 98], [1, 255, 255, 97, 98], [1, 1, 0, 255, 0]])
def test_bytes_that_no_column_packs_to_are_refused(raw):
    with pytest.raises(ValueError, match=r"a (row|text) that"):
        payload.unpacked(np.array([raw], np.uint8), np.ones(1, bool), ["t"], ["string"], 2)
    assert payload.unpacked(np.array([raw], np.uint8), np.zeros(1, bool), ["t"], ["string"], 2)["t"].to_pylist() == [
        None
    ]


# ---------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    shop, other = column(["b", "x"]), bank()
    whole = run(shop, other).transcript
    for index, error in c.mutations(lambda setting: run(shop, other, setting), len(whole), change):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")
        assert error.party == whole[index].address.sender or whole[index].last


def test_every_loss_ends_with_an_error_and_never_with_a_result():
    shop, other = column(["b", "x"]), bank()
    ends = list(c.losses(lambda setting: run(shop, other, setting), len(run(shop, other).transcript)))
    assert {e.code for _, _, e in ends if e} == {"peer_lost"}
    assert all(e is not None for _, when, e in ends if when == "before")


def instead(kind, make):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == kind.TAG and not envelope.last:
            return dataclasses.replace(envelope, body=make(kind.decode(envelope.body, {})).encode())
        return envelope

    return Setting(fault=fault, patience=2)


WRONG = {
    "no element asked": ("shop", lookup.Query, lambda m: lookup.Query(np.full_like(m.points, 255)), "bad_point"),
    "no element answered": ("bank", lookup.Answer, lambda m: lookup.Answer(np.full_like(m.points, 255)), "bad_point"),
    "an answer fewer": ("bank", lookup.Answer, lambda m: lookup.Answer(m.points[:-1]), "protocol_violation"),
    "more rows than sent": (
        "bank", lookup.Offer, lambda m: lookup.Offer(m.table, m.count + 1, m.kinds), "protocol_violation",
    ),
    "a column fewer": (
        "bank", lookup.Offer, lambda m: lookup.Offer(m.table, m.count, m.kinds[1:]), "protocol_violation",
    ),
    "a type of another width": (
        "bank", lookup.Offer, lambda m: lookup.Offer(m.table, m.count, ["int8", *m.kinds[1:]]), "protocol_violation",
    ),
    "values that are none": (
        "bank", lookup.Rows, lambda m: lookup.Rows(m.tags, m.values ^ np.uint8(64)), "protocol_violation",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_who_misbehaves_is_named(what):
    party, kind, make, code = WRONG[what]
    with pytest.raises(ParleyError) as e:
        run(column(["b", "a"]), bank(), instead(kind, make))
    assert (e.value.party, e.value.code) == (party, code)


def test_a_sender_that_offers_the_held_table_and_sends_another_is_refused():
    shop, other = column(["b"]), bank()
    first = run(shop, other)
    held = first["shop"].cache["table"]
    setting = instead(lookup.Offer, lambda m: lookup.Offer(held, m.count, m.kinds))
    with pytest.raises(ParleyError) as e:
        run(again(shop, first["shop"].cache), other, setting)
    assert (e.value.party, e.value.code) == ("bank", "protocol_violation")


def test_parameters_and_columns_are_checked_before_anything_is_signed():
    cast = Cast(CAST)
    for wrong in ({"columns": []}, {"columns": ["a", "a"]}, {"columns": ["_row"]}, {"columns": ["a"], "max_text": 0}):
        with pytest.raises(ParleyError) as e:
            LOOKUP.validate({"id": "id", **wrong}, cast)
        assert e.value.code == "bad_parameters"
    params = LOOKUP.validate({"id": "id", "columns": ["n"]}, cast)
    with pytest.raises(ParleyError, match="no column 'n'"):
        LOOKUP.data_checks[-1](params, cast, "bank", {"id": "string"})
    LOOKUP.data_checks[-1](params, cast, "shop", {"id": "string"})
    with pytest.raises(ParleyError) as e:
        LOOKUP.data_checks[-1](params, cast, "shop", {"id": "string", "n": "int64"})
    assert (e.value.code, e.value.party) == ("column_exists", "shop")


def test_bytes_are_the_docstrings():
    shop, other = column([str(i) for i in range(30)]), bank([str(i) for i in range(20)], n=pa.array(range(20)))
    body = {k[2].split(".")[2].split("/")[0]: v for k, v in c.bytes_by_tag(run(shop, other).transcript).items()}
    wanted = {"opening": 16, "offer": 30, "table": 25 * 20, "query": 960, "answer": 960}
    for tag, size in body.items():
        assert wanted[tag] <= size <= wanted[tag] + 250, tag


def test_the_same_seeds_are_the_same_run():
    rngs = lambda: {p: Seeded("lookup", p) for p in ("shop", "bank")}  # noqa: E731 - twice the same two sources
    first, second = (run(column(["b"]), bank(), Setting(rngs=rngs())) for _ in range(2))
    assert [e.encode() for e in first.transcript] == [e.encode() for e in second.transcript]
