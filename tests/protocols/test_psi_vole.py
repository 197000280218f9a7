"""The fast private intersection against psi/ecdh and the set oracle, misbehaviour, and what the transcript shows."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from parley.crypto import okvs
from parley.crypto.vole import evaluation, profile
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit import conformance as c
from parley.protocols.kit.local import Setting
from parley.protocols.kit.processes import run_processes
from parley.protocols.psi import vole
from parley.protocols.psi.ecdh import ECDH
from parley.protocols.psi.vole import VOLE
from parley.wire.errors import ParleyError

PARTIES = ("hospital", "lab")
CAST = {"receiver": "hospital", "sender": "lab"}


def inputs(*columns: object) -> dict[str, StepInputs]:
    out = {}
    for k, (party, values) in enumerate(zip(PARTIES, columns, strict=True)):
        ids = values if isinstance(values, pa.Array) else pa.array(values)
        rows = pa.array(np.arange(len(ids), dtype=np.int64)[::-1] * 3 + 1000 * k)
        out[party] = StepInputs(pa.table({"id": ids, "_row": rows}))
    return out


def run(data: dict[str, StepInputs], setting: Setting | None = None, **params: object):
    return run_local(VOLE, CAST, data, {"id": "id", **params}, setting=setting)


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
    "few and many": (["id-7", "id-8"], [f"id-{i}" for i in range(8, 4000)]),
    "trees": ([f"id-{i}" for i in range(4000)], [f"id-{i}" for i in range(0, 9000, 3)]),
    "empty": (["a", "b"], ["c"]),
}


@pytest.mark.parametrize("name", CORPORA)
def test_the_rows_are_the_oracles_aligned_and_those_of_ecdh(name, monkeypatch):
    monkeypatch.setattr(vole, "CHUNK", 1000)
    data = inputs(*CORPORA[name])
    out = run(data)
    columns = [{str(v) for v in i.table.column("id").to_pylist() if v not in (None, "")} for i in data.values()]
    expected = set.intersection(*columns)
    told = [ids_of(data, p, out[p].keep["rows"]) for p in PARTIES]
    assert sorted(told[0]) == sorted(expected)
    assert told[1] == told[0]
    assert out["hospital"].result == {"intersection": len(expected)}
    assert out["lab"].result == {}
    other = run_local(ECDH, {"receiver": "hospital", "sender": ["lab"]}, data, {"id": "id"})
    for p in PARTIES:
        assert np.array_equal(np.sort(out[p].keep["rows"]), np.sort(other[p].keep["rows"]))
        assert out[p].outcome == other[p].outcome


def test_the_fast_profile_finds_the_same():
    data = inputs(*CORPORA["trees"])
    assert run(data, profile="fast")["hospital"].keep["count"] == run(data)["hospital"].keep["count"] == 1334


def test_result_receiver_tells_the_sender_nothing_but_the_outcome():
    out = run(inputs(["a", "b"], ["b"]), result="receiver")
    assert out["lab"].keep == {}
    assert out["hospital"].keep["count"] == 1
    assert "psi.vole.common/1" not in {e.address.tag for e in out.transcript}
    small, large = (run(inputs(["a", "b", "c"], x), result="receiver") for x in (["a", "y"], ["a", "b"]))
    assert c.shape(small.transcript) == c.shape(large.transcript)


@pytest.mark.parametrize(("floor", "outcome"), [(2, "ok"), (3, "below_floor")])
@pytest.mark.parametrize("result", ["both", "receiver"])
def test_below_the_floor_nobody_gets_positions_and_nothing_more_is_sent(floor, outcome, result):
    out = run(inputs(["a", "b", "c"], ["b", "c", "d"]), floor=floor, result=result)
    assert {o.outcome for o in out.outputs.values()} == {outcome}
    assert ("rows" in out["hospital"].keep) == (outcome == "ok")
    assert ("rows" in out["lab"].keep) == (outcome == "ok" and result == "both")
    tags = {e.address.tag for e in out.transcript}
    assert ("psi.vole.opening/1" in tags) == (outcome == "ok")
    assert {t for t in tags if t.startswith("psi.floor.")} == {f"psi.floor.{k}/1" for k in FLOOR}


FLOOR = ("probe", "double", "theirs", "verdict")


def test_the_floors_round_has_the_bytes_of_its_page_and_does_not_change_the_rest():
    n, m, both = 30, 20, 10
    data = inputs([f"{i}" for i in range(n)], [f"{i}" for i in range(n - both, n - both + m)])
    seen, without = (c.bytes_by_tag(run(data, floor=f).transcript) for f in (1, None))
    sizes = {"probe": 32 * n, "double": 12 * n, "theirs": 32 * m, "verdict": 1}
    for (_, _, tag), size in seen.items():
        if tag.startswith("psi.floor."):
            exact = sizes[tag.removeprefix("psi.floor.").split("/")[0]]
            assert exact <= size <= exact + 200, tag
    assert {k: v for k, v in seen.items() if "floor" not in k[2]} == without


@pytest.mark.parametrize("closing", [vole.Closing("empty", 0), vole.Closing("ok", 1)])
def test_a_receiver_that_closes_below_the_floor_it_said_was_reached_is_refused(closing):
    data = inputs(["a", "b", "c"], ["b", "c"])
    index = found_at(run(data, floor=2).transcript, vole.Closing)
    with pytest.raises(ParleyError) as e:
        run(data, Setting(fault=spoiled(vole.Closing, index, lambda v: closing), patience=2), floor=2)
    assert (e.value.code, e.value.party) == ("protocol_violation", "hospital")


def test_same_sizes_and_common_count_give_transcripts_of_one_shape():
    one = run(inputs(["a", "b", "c"], ["b", "x"]))
    other = run(inputs(["quite", "another", "column"], ["column", "1"]))
    assert c.shape(one.transcript) == c.shape(other.transcript)


@pytest.mark.parametrize("n", [30, 3000])
def test_bytes_are_the_docstrings(n):
    m, both = 20, 10
    out = run(inputs([f"{i}" for i in range(n)], [f"{i}" for i in range(n - both, n - both + m)]))
    form = okvs.shape(n)
    plan = profile.plan(profile.CONSERVATIVE, form.slots)
    t, levels = plan.trees, plan.transfers
    exact = {
        "replies": 4096,
        "corrections": 1024 * t + 1024 * -(-levels // 64),
        "trees": 32 * levels + 16 * t if levels else 0,
        "masked": 8 * form.slots,
        "tags": evaluation.tag_bytes(n, m) * m,
        "common": 4 * both,
    }
    seen = c.bytes_by_tag(out.transcript)
    assert len(seen) == 10
    for (_, _, tag), size in seen.items():
        name = tag.split(".")[2].split("/")[0]
        assert exact.get(name, 0) <= size <= exact.get(name, 64) + 256, tag
    assert exact["corrections"] + 32 == plan.bytes_up()
    assert exact["replies"] + exact["trees"] == plan.bytes_down()


def test_the_plans_caps_hold_for_every_smaller_set():
    """The plan knows an upper bound of rows; fewer distinct ids may need more trees, and still fit."""
    for rows in (1, 1800, 1900, 5000, 1 << 20, 1 << 24):
        cast, params = Cast(CAST), vole.Params(id="id")
        flows = {f.tag: f.bytes for f in vole.cost(params, cast, vole.Sizes({"hospital": rows, "lab": rows}))}
        for n in {
            k for k in (0, 1, 255, 256, 257, 1500, 1899, 1900, 2000, 2500, 4999, rows - 1, rows) if 0 <= k <= rows
        }:
            form = okvs.shape(n)
            plan = profile.plan(profile.CONSERVATIVE, form.slots)
            words = -(-plan.transfers // 64)
            assert flows["psi.vole.corrections/1"] >= 1024 * (plan.trees + words)
            assert flows["psi.vole.trees/1"] >= plan.bytes_down() - 4096
            assert flows["psi.vole.masked/1"] >= 8 * form.slots
            assert flows["psi.vole.tags/1"] >= evaluation.tag_bytes(n, rows) * n


@pytest.mark.parametrize("change", [c.retagged, c.replayed, c.truncated])
def test_every_mutation_is_refused_by_name(change):
    data = inputs(["a", "b", "c"], ["b", "c"])
    whole = run(data).transcript
    for index, error in c.mutations(lambda setting: run(data, setting), len(whole), change):
        assert error is not None, index
        assert error.code in ("undeclared_message", "protocol_violation", "malformed")
        assert error.party == whole[index].address.sender or whole[index].last


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_every_loss_ends_with_an_error_and_never_with_a_result(every):
    data = inputs(["a", "b", "c"], ["b", "c"])
    n = len(run(data).transcript)
    ends = list(c.losses(lambda setting: run(data, setting), n, every))
    assert {e.code for _, _, e in ends if e} == {"peer_lost"}
    assert all(e is not None for _, when, e in ends if when == "before")


def spoiled(kind, index, change):
    """A fault that rewrites the message at `index`, which is of this kind."""

    def garbage(envelope):
        values = kind.decode(envelope.body, {})
        return dataclasses.replace(envelope, body=change(values).encode())

    return c.mutating(index, garbage)


def found_at(transcript, kind) -> int:
    return next(i for i, e in enumerate(transcript) if e.address.tag == kind.TAG)


WRONG = {
    "another share": (vole.Start, lambda v: vole.Start(v.share ^ np.uint8(1), v.offer), "protocol_violation"),
    "an offer off the group": (vole.Start, lambda v: vole.Start(v.share, np.full(32, 255, np.uint8)), "bad_point"),
    "the identity": (vole.Start, lambda v: vole.Start(v.share, np.zeros(32, np.uint8)), "bad_point"),
    "replies off the group": (vole.Replies, lambda v: vole.Replies(np.full_like(v.points, 255)), "bad_point"),
    "too few replies": (vole.Replies, lambda v: vole.Replies(v.points[1:]), "protocol_violation"),
    "too few elements": (vole.Corrections, lambda v: vole.Corrections(v.elements[:, 1:], v.choices), "bad_shape"),
    "trees that are not planned": (
        vole.Trees,
        lambda v: vole.Trees(np.zeros((3, 2, 2, 16), np.uint8), np.zeros((3, 16), np.uint8)),
        "bad_shape",
    ),
    "a longer store": (vole.Masked, lambda v: vole.Masked(np.append(v.slots, v.slots[:1])), "protocol_violation"),
    "longer tags": (vole.Tags, lambda v: vole.Tags(np.zeros((len(v.tags), 9), np.uint8)), "protocol_violation"),
    "ok with nothing in common": (vole.Closing, lambda v: vole.Closing("ok", 0), "protocol_violation"),
    "empty with a count": (vole.Closing, lambda v: vole.Closing("empty", v.count), "protocol_violation"),
    "places that do not exist": (vole.Common, lambda v: vole.Common(v.positions + np.uint32(9)), "protocol_violation"),
    "a place twice": (vole.Common, lambda v: vole.Common(np.zeros_like(v.positions)), "protocol_violation"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_messages_are_refused_and_name_the_peer(name):
    kind, change, code = WRONG[name]
    data = inputs(["a", "b", "c"], ["b", "c"])
    whole = run(data).transcript
    index = found_at(whole, kind)
    with pytest.raises(ParleyError) as e:
        run(data, Setting(fault=spoiled(kind, index, change)))
    assert (e.value.code, e.value.party) == (code, whole[index].address.sender)


def test_a_sender_that_may_not_be_told_a_count_refuses_one():
    data = inputs(["a", "b", "c"], ["b", "c"])
    index = found_at(run(data, result="receiver").transcript, vole.Closing)
    with pytest.raises(ParleyError) as e:
        run(data, Setting(fault=spoiled(vole.Closing, index, lambda v: vole.Closing("ok", 2))), result="receiver")
    assert (e.value.code, e.value.party) == ("protocol_violation", "hospital")


def test_roles_in_processes_of_their_own_find_the_same():
    data = inputs(*CORPORA["trees"])
    out = run_processes(VOLE, {"receiver": ("hospital",), "sender": ("lab",)}, data, {"id": "id"})
    assert out["hospital"].result == {"intersection": 1334}
    assert sorted(ids_of(data, "lab", out["lab"].keep["rows"])) == sorted(
        ids_of(data, "hospital", out["hospital"].keep["rows"])
    )


def test_changed_contents_end_in_a_wrong_answer_or_a_named_error_and_never_in_a_crash():
    """Well-formed messages with other bits in them: semi-honest, so that a wrong answer is allowed; losses are not."""
    rng = np.random.default_rng(31)
    data = inputs([str(i) for i in range(40)], [str(i) for i in range(20, 60)])
    kinds = {k.TAG: k for k in (vole.Replies, vole.Corrections, vole.Masked, vole.Tags, vole.Common)}
    whole = run(data).transcript
    ends, blamed = {"wrong": 0, "refused": 0}, set()
    for index in (i for i, e in enumerate(whole) if e.address.tag in kinds and not e.last):
        for _ in range(6):

            def flipped(message):
                values = {name: getattr(message, name).copy() for name in message.FIELDS}
                for array in values.values():
                    if array.size:
                        raw = array.reshape(-1).view(np.uint8)
                        raw[rng.integers(0, raw.size, 3)] ^= np.uint8(1 << rng.integers(8))
                return type(message)(**values)

            try:
                out = run(data, Setting(fault=spoiled(kinds[whole[index].address.tag], index, flipped), patience=2))
            except ParleyError as e:
                blamed.add(e.party)
                ends["refused"] += 1
            else:
                assert out["hospital"].keep["count"] <= 20
                ends["wrong"] += 1
    assert blamed <= set(PARTIES)
    assert ends["wrong"] > 0
    assert ends["refused"] > 0


def test_a_count_that_differs_from_the_tags_is_noticed():
    data = inputs(["a", "b", "c"], ["b", "c"])
    index = found_at(run(data).transcript, vole.Answer)
    with pytest.raises(ParleyError) as e:
        run(data, Setting(fault=spoiled(vole.Answer, index, lambda v: vole.Answer(v.count + 1, v.share))))
    assert e.value.code == "protocol_violation"


def test_counts_beyond_the_limit_are_malformed():
    for count in (-1, (1 << 24) + 1):
        with pytest.raises(ParleyError):
            vole.Opening(count, np.zeros(32, np.uint8)).encode()


def test_where_a_common_record_lies_at_the_sender_shows_only_without_the_shuffle(monkeypatch):
    data = inputs([str(i) for i in range(0, 60, 2)], [str(i) for i in range(60)])
    guessed = {}
    for how in ("shuffled", "as it was"):
        if how == "as it was":
            monkeypatch.setattr(vole.evaluation, "secret_order", lambda n, rng: np.arange(n, dtype=np.uint32))
        out = run(data)
        (chunk,) = (e for e in out.transcript if e.address.tag == vole.Common.TAG and not e.last)
        seen = vole.Common.decode(chunk.body, {}).positions
        truth = [int(x) for x in ids_of(data, "lab", out["lab"].keep["rows"])]
        guessed[how] = int(np.sum(seen == np.array(truth)))
    assert guessed["as it was"] == 30
    assert guessed["shuffled"] < 10  # one hit in 60 by chance; ten or more has p < 1e-9


def test_the_common_order_says_nothing_about_either_side():
    data = inputs(*[[str(i) for i in range(40)]] * 2)
    first, again = (tuple(run(data)["lab"].keep["rows"].tolist()) for _ in range(2))
    assert first != again
    assert sorted(first) == sorted(again)


def test_no_byte_of_one_run_returns_in_another():
    """Fresh shares, salt, delta, noise and order: two runs on the same data have no chunk of 16 bytes in common."""
    data = inputs([str(i) for i in range(300)], [str(i) for i in range(200, 500)])
    kinds = {k.TAG: k for k in (vole.Start, vole.Replies, vole.Corrections, vole.Masked, vole.Tags)}
    seen = []
    for _ in range(2):
        sent = [
            kinds[e.address.tag].decode(e.body, {})
            for e in run(data).transcript
            if e.address.tag in kinds and not e.last
        ]
        parts = [getattr(m, name).tobytes() for m in sent for name in m.FIELDS]
        seen.append({b[k : k + 16] for b in parts for k in range(0, len(b) - 15, 16)})
    assert len(seen[0]) > 1000
    assert not seen[0] & seen[1]


@pytest.mark.parametrize(
    ("ids", "code"), [(["", None], "no_ids"), (pa.array([], pa.string()), "no_ids"), ([1.5, 2.0], "bad_id_type")]
)
def test_a_column_that_holds_no_ids_is_refused(ids, code):
    with pytest.raises(ParleyError) as e:
        run(inputs(["a"], ids))
    assert (e.value.code, e.value.party) == (code, "lab")


def test_parameters_are_checked_before_anything_is_signed():
    cast = Cast(CAST)
    params = VOLE.validate({"id": {"hospital": "pid", "lab": "id"}}, cast)
    with pytest.raises(ParleyError, match="no column 'pid'"):
        VOLE.data_checks[0](params, cast, "hospital", {"pidd": "string"})
    for wrong in ({"id": {"hospital": "pid"}}, {"id": "id", "profile": "silver"}, {"id": "id", "floor": 0}):
        with pytest.raises(ParleyError) as e:
            VOLE.validate(wrong, cast)
        assert e.value.code == "bad_parameters"
    with pytest.raises(ParleyError) as e:
        VOLE.validate({"id": "id"}, Cast({"receiver": "hospital", "sender": ["lab", "pharmacy"]}))
    assert e.value.code == "bad_roles"
