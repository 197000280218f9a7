"""Counts and sums over common ids against the oracle; what is told to whom; misbehaviour."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from id_tables import brought, column, from_file
from seeded import Seeded, Unshuffled
from shared import need
from vertical import use_plain

from parley.crypto import curve
from parley.crypto.ahe.base import Layout
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.psi import blinding, cardinality
from parley.protocols.psi import sum as psi_sum
from parley.protocols.psi.cardinality import CARDINALITY
from parley.protocols.psi.ids import matches
from parley.protocols.psi.sum import SUM, layout_of
from parley.protocols.psi.values import added, bits_of, fixed_point
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
import psi_oracle

CAST = {"receiver": "shop", "sender": "bank"}


def pair(shop: object, bank: object, values: object = None) -> dict[str, StepInputs]:
    data = {"shop": column(shop), "bank": column(bank, 1000)}
    if values is not None:
        plain = pa.table({"id": pa.array(bank), "v": values if isinstance(values, pa.Array) else pa.array(values)})
        data["bank"] = brought(plain, 1000)
    return data


def count(data: dict[str, StepInputs], setting: Setting | None = None, **params: object):
    return run_local(CARDINALITY, CAST, data, {"id": "id", **params}, setting=setting)


def add(data: dict[str, StepInputs], setting: Setting | None = None, **params: object):
    return run_local(SUM, CAST, data, {"id": "id", "value": "v", **params}, setting=setting)


# ---------------------------------------------------------------- counts


@pytest.mark.parametrize(
    ("shop", "bank", "expected"),
    [
        (["a", "b", "c"], ["c", "x", "a"], 2),
        (["a", "b"], ["c"], 0),
        (["a", "a", "b", None, ""], ["a", "b", "b", None], 2),
        (pa.array([7, 8]), ["7", "08"], 1),
        ([str(i) for i in range(700)], [str(i) for i in range(0, 2000, 3)], 234),
    ],
)
def test_the_count_is_the_oracles_and_the_senders_outputs_say_nothing(shop, bank, expected, monkeypatch):
    monkeypatch.setattr(blinding, "CHUNK", 256)
    out = count(pair(shop, bank))
    assert out["shop"].result == out["shop"].keep == {"cardinality": expected}
    assert (out["bank"].result, out["bank"].keep) == ({}, {})
    assert {o.outcome for o in out.outputs.values()} == {"ok"}


def test_real_tables_with_repeated_ids_are_counted_as_the_oracle_does():
    files = ("breast_hetero_guest_repeated_id", "breast_homo_guest")
    data = {"shop": from_file(files[0]), "bank": from_file(files[1], 10**6)}
    expected = len(psi_oracle.common([psi_oracle.by_id(need(f"data/{f}.csv")) for f in files]))
    assert 100 < expected < 300
    assert count(data)["shop"].result == {"cardinality": expected}


@pytest.mark.parametrize(("floor", "outcome"), [(2, "ok"), (3, "below_floor")])
def test_a_smaller_count_than_the_floor_is_not_told(floor, outcome):
    out = count(pair(["a", "b", "c"], ["b", "c", "d"]), floor=floor)
    assert {o.outcome for o in out.outputs.values()} == {outcome}
    assert out["shop"].result == ({"cardinality": 2} if outcome == "ok" else {})


def test_which_ids_are_common_shows_only_without_the_senders_shuffle():
    data = pair([f"m{i}" for i in range(40)], [f"m{i}" for i in range(0, 40, 2)])
    hits = {}
    for how, rng in (("shuffled", Seeded("b")), ("as it was", Unshuffled("b"))):
        mine = Unshuffled("s")
        out = count(data, Setting(rngs={"shop": mine, "bank": rng}))
        double, theirs = (
            blinding.joined(
                [k.decode(e.body, {}).points for e in out.transcript if e.address.tag == k.TAG and not e.last]
            )
            for k in (cardinality.Double, cardinality.Theirs)
        )
        found = matches(double, curve.multiply(theirs, (mine.scalars[0] + 1).to_bytes(32, "little")))
        named = np.flatnonzero(found >= 0)
        assert named.size == 20
        hits[how] = int(np.sum(named % 2 == 0))
    assert hits["as it was"] == 20
    assert hits["shuffled"] < 20  # all twenty by chance: one in 1.4e11


# ---------------------------------------------------------------- sums


@pytest.mark.parametrize("result", ["receiver", "sender"])
@pytest.mark.parametrize("bits", [2048, 3072])
def test_a_sum_under_real_encryption(result, bits):
    data = pair(["a", "b", "c", "z"], ["c", "x", "a", "b"], [1.005, 9e8, -2.25, None])
    out = add(data, result=result, key_bits=bits, decimals=3)
    told, other = ("shop", "bank") if result == "receiver" else ("bank", "shop")
    assert out[told].result == {"count": 3, "units": -1245, "decimals": 3, "sum": -1.245}
    assert out[other].result == {}
    assert out[other].keep == ({} if result == "receiver" else {"count": 3})


@pytest.mark.parametrize("result", ["receiver", "sender"])
def test_nothing_in_common_adds_up_to_nothing(result):
    out = add(pair(["a"], ["b", "c"], [5, 7]), result=result)
    told = "shop" if result == "receiver" else "bank"
    assert out[told].result == {"count": 0, "units": 0, "decimals": 2, "sum": 0.0}


def test_real_tables_with_repeated_ids_add_up_as_the_oracles_decimals():
    files = ("breast_hetero_guest_repeated_id", "breast_hetero_host")
    data = {"shop": from_file(files[0]), "bank": from_file(files[1], 10**6)}
    tables = [psi_oracle.by_id(need(f"data/{f}.csv")) for f in files]
    for name in ("x0", "x7"):
        expected = psi_oracle.total(*tables, name, 6)
        out = run_local(SUM, CAST, data, {"id": "id", "value": name, "decimals": 6, "max_value": 1000})
        assert out["shop"].result["units"] == int(expected.scaleb(6))
        assert out["shop"].result["count"] == len(psi_oracle.common(tables)) > 500


def test_rows_with_one_id_add_up_where_the_job_says_so(monkeypatch):
    use_plain(monkeypatch)
    data = pair(["a", "b", "q"], ["a", "b", "a", None, "c", "a"], [1.25, 2.0, -4.0, 100.0, 50.0, None])
    assert add(data)["shop"].result["units"] == 325
    assert add(data, repeated="add")["shop"].result == {"count": 2, "units": -75, "decimals": 2, "sum": -0.75}


def test_real_rows_with_one_id_add_up_as_the_oracles_decimals(monkeypatch):
    use_plain(monkeypatch)
    name = "breast_hetero_guest_repeated_id"
    data = {"shop": from_file("breast_hetero_host"), "bank": from_file(name, 10**6)}
    host = psi_oracle.by_id(need("data/breast_hetero_host.csv"))
    expected = psi_oracle.total_of_all(host, need(f"data/{name}.csv"), "x3", 6)
    given = {"id": "id", "value": "x3", "decimals": 6, "max_value": 1000, "repeated": "add"}
    assert run_local(SUM, CAST, data, given)["shop"].result["units"] == int(expected.scaleb(6))


def test_sums_of_one_id_are_exact_and_kept_in_range():
    units = np.array([2**59, 2**59, -(2**59), 7, -(2**59)], np.int64)
    assert added(units, np.array([0, 1, 1, 1, 0]), 2, 2**60 - 1, "v").tolist() == [0, 7]
    rng = np.random.default_rng(1)
    many, which = rng.integers(-(2**45), 2**45, 5000), rng.integers(0, 50, 5000)
    exact = [sum(int(x) for x in many[which == g]) for g in range(50)]
    assert added(many, which, 50, 2**60 - 1, "v").tolist() == exact
    for wrong in (np.full(2, 2**59, np.int64), np.full(64, 2**59, np.int64), np.full(64, -(2**59), np.int64)):
        with pytest.raises(ParleyError) as e:
            added(wrong, np.zeros(len(wrong), np.int64), 1, 2**60 - 1, "v")
        assert e.value.code == "value_out_of_range"


def test_below_the_floor_nothing_is_added(monkeypatch):
    use_plain(monkeypatch)
    for result in ("receiver", "sender"):
        out = add(pair(["a", "b"], ["b", "c"], [5, 7]), result=result, floor=2)
        assert {o.outcome for o in out.outputs.values()} == {"below_floor"}
        assert not any(o.keep or o.result for o in out.outputs.values())
        assert not {psi_sum.Masked.TAG, psi_sum.Total.TAG} & {e.address.tag for e in out.transcript}


def test_the_opened_sum_is_masked_and_the_largest_sums_survive_the_mask(monkeypatch):
    class Largest(Seeded):
        def scalar_below(self, q: int) -> int:
            return q - 1 if q < curve.ORDER - 1 else super().scalar_below(q)

    class Least(Largest):
        def scalar_below(self, q: int) -> int:
            return 0 if q < curve.ORDER - 1 else super().scalar_below(q)

    for sign in (1, -1):
        data = pair(["a", "b"], ["a", "b"], [sign * 2**58, sign * 2**58])
        for rng in (Largest("m"), Least("m")):
            out = add(data, Setting(rngs={"shop": rng}), decimals=0, max_value=2.0**58)
            assert out["shop"].result["units"] == sign * 2**59
            (opened,) = (e for e in out.transcript if e.address.tag == psi_sum.Opened.TAG)
            digits = psi_sum.Opened.decode(opened.body, {}).digits
            assert abs(int(digits[1])) in (2**60, 2**60 - 1, 2**60 + 1)


def test_two_openings_of_one_sum_have_nothing_in_common(monkeypatch):
    use_plain(monkeypatch)
    data = pair(["a", "b"], ["a", "b"], [1, 2])
    seen = set()
    for _ in range(8):
        (e,) = (e for e in add(data).transcript if e.address.tag == psi_sum.Masked.TAG)
        seen.add(e.body)
    assert len(seen) == 8


def test_values_are_rounded_half_to_even_and_kept_in_range():
    assert fixed_point(pa.chunked_array([[0.125, 0.375, -0.125, None]]), "v", 10, 2).tolist() == [12, 38, -12, 0]
    assert fixed_point(pa.chunked_array([[3, None, -4]]), "v", 10, 2).tolist() == [300, 0, -400]
    for values in ([11.0], [float("nan")], [float("inf")], [-11], [2**62]):
        with pytest.raises(ParleyError) as e:
            fixed_point(pa.chunked_array([values]), "v", 10, 2)
        assert e.value.code == "value_out_of_range"
    with pytest.raises(ParleyError) as e:
        fixed_point(pa.chunked_array([["1"]]), "v", 10, 2)
    assert e.value.code == "bad_value_type"
    with pytest.raises(ParleyError) as e:
        bits_of(1e12, 9)
    assert e.value.code == "bad_parameters"


@pytest.mark.parametrize(("most", "decimals"), [(1, 0), (1e9, 2), (0.5, 1), (1e18, 0), (255, 3)])
def test_every_layout_holds_the_declared_range_and_the_mask(most, decimals):
    params = SUM.validate({"id": "id", "value": "v", "max_value": most, "decimals": decimals}, Cast(CAST))
    layout = layout_of(params)
    assert isinstance(layout, Layout)
    assert layout.slot == psi_sum.MASK.slot
    assert layout.bound >= most * 10**decimals
    assert layout.bound * layout.max_rows < 2**61


def test_more_ids_than_a_sum_may_have_are_refused_before_anything_leaves():
    data = pair(["a"], ["a", "b", "c"], [1, 2, 3])
    with pytest.raises(ParleyError) as e:
        add(data, decimals=0, max_value=2.0**59)
    assert (e.value.code, e.value.party) == ("too_many_values", "bank")


# ---------------------------------------------------------------- misbehaviour


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change, monkeypatch):
    use_plain(monkeypatch)
    data = pair(["a", "b", "c"], ["b", "c"], [1, 2])
    for work in (lambda s=None: count(data, s, floor=1), lambda s=None: add(data, s, floor=1)):
        whole = work().transcript
        for index, error in c.mutations(work, len(whole), change):
            assert error is not None, index
            assert error.code in ("undeclared_message", "protocol_violation", "malformed")
            assert error.party == whole[index].address.sender or whole[index].last


def instead(kind, make):
    def fault(envelope, now):
        if now == "before" and envelope.address.tag == kind.TAG and not envelope.last:
            return dataclasses.replace(envelope, body=make(kind.decode(envelope.body, {})).encode())
        return envelope

    return Setting(fault=fault, patience=2)


def repeated(m):
    shown = m.points.copy()
    shown[1] = shown[0]
    return dataclasses.replace(m, points=shown)


WRONG = {
    "no element": ("shop", psi_sum.Blinded, lambda m: psi_sum.Blinded(np.full_like(m.points, 255)), {}, "bad_point"),
    "one id fewer": ("bank", psi_sum.Double, lambda m: psi_sum.Double(m.points[:-1]), {}, "protocol_violation"),
    "one id twice": ("bank", psi_sum.Double, repeated, {}, "protocol_violation"),
    "another scheme": ("bank", psi_sum.Key, lambda m: psi_sum.Key(b"paillier\x00" + bytes(256)), {}, "bad_key"),
    "half a key": ("bank", psi_sum.Key, lambda m: psi_sum.Key(m.public[:-1]), {}, "bad_key"),
    "a sum out of range": (
        "bank", psi_sum.Opened, lambda m: psi_sum.Opened(m.digits + np.array([0, 1])), {}, "protocol_violation",
    ),
    "a count that cannot be": (
        "shop", psi_sum.Total, lambda m: psi_sum.Total(m.sum, 4), {"result": "sender"}, "protocol_violation",
    ),
    "no ciphertext": (
        "shop", psi_sum.Total, lambda m: psi_sum.Total(np.full_like(m.sum, 255), m.count), {"result": "sender"},
        "bad_ciphertext",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_who_misbehaves_is_named(what):
    party, kind, make, params, code = WRONG[what]
    with pytest.raises(ParleyError) as e:
        add(pair(["a", "b", "c"], ["b", "c", "a"], [1, 2, 3]), instead(kind, make), **params)
    assert (e.value.party, e.value.code) == (party, code)


def test_columns_are_checked_before_anything_is_signed():
    cast = Cast(CAST)
    params = SUM.validate({"id": "id", "value": "v"}, cast)
    schemas = {"shop": {"id": "string"}, "bank": {"id": "string"}}
    for check in SUM.data_checks:
        check(params, cast, "shop", schemas["shop"])
    with pytest.raises(ParleyError, match="no column 'v'"):
        SUM.data_checks[-1](params, cast, "bank", schemas["bank"])
    with pytest.raises(ParleyError) as e:
        SUM.validate({"id": "id", "value": "v", "max_value": 1e15, "decimals": 9}, cast)
    assert e.value.code == "bad_parameters"


def test_bytes_are_the_docstrings():
    data = pair([str(i) for i in range(30)], [str(i) for i in range(20)], list(range(20)))
    body = {k[2]: v for k, v in c.bytes_by_tag(add(data, floor=1).transcript).items()}
    wanted = {"blinded": 960, "double": 960, "key": 265, "pairs": 544 * 20, "closing": 1, "masked": 512, "opened": 16}
    for tag, size in body.items():
        assert wanted[tag.split(".")[2].split("/")[0]] <= size <= wanted[tag.split(".")[2].split("/")[0]] + 250, tag
