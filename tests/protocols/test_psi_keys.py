"""Keys as people have them: several columns, repeated keys, spellings; both intersections against a set oracle."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from shared import need

from parley.protocols import registry
from parley.protocols.kit import Cast, StepInputs, run_local
from parley.protocols.kit.local import Setting
from parley.protocols.psi import blinding, ecdh, vole
from parley.protocols.psi.ids import IdColumn, id_column
from parley.wire.errors import ParleyError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "oracles"))
from keys_oracle import key_of, keys_of

CAST = {"receiver": "bank", "sender": ["lab"]}
KINDS = {"psi/ecdh": ecdh, "psi/vole": vole}
both = pytest.mark.parametrize("name", KINDS)


def side(first_row: int = 0, **columns: object) -> StepInputs:
    table = pa.table(columns)
    return StepInputs(table.append_column("_row", pa.array(np.arange(table.num_rows, dtype=np.int64) + first_row)))


def run(name: str, bank: StepInputs, lab: StepInputs, setting: Setting | None = None, **params: object):
    return run_local(registry.load(name), CAST, {"bank": bank, "lab": lab}, {"id": "id", **params}, setting=setting)


def pairs(out) -> list[tuple[int, int]]:
    return sorted(zip(out["bank"].keep["rows"].tolist(), out["lab"].keep["rows"].tolist(), strict=True))


# ---------------------------------------------------------------- spellings

CORPUS: list[str | None] = [
    *(None, "", " ", "a", "A", " a ", "007", "7", "０７", "x\0y", "xy", "x\u200dy", "x\u202ey", "\ufeffxy"),
    *(
        "Zoë",
        unicodedata.normalize("NFD", "Zoë"),
        "ZOE",
        "Straße",
        "STRASSE",
        "ﬁn",
        "fin",
        "Ǆ",
        "ǆ",
        "İ",
        "i̇",
        "Σς",
        "σσ",
    ),
    *(
        "O'Neil",
        "o’neil",
        "ONEIL",
        "Anne-Marie",
        "anne marie",
        "van der Berg",
        "김철수",
        "हिन्दी",
        "हनद",
        "مريم",
        "שלום",
    ),
    *(
        "👩\u200d👩\u200d👧",
        "👩👩👧",
        "a" * 4096,
        "A@B.de",
        " a@b.de",
        "a@b@c",
        "@",
        "n/a",
        "a b@c",
        "１２３",
        "١٢٣",
        "1-2-3",
    ),
    *(
        "+49 (0) 30 1234567",
        "030 1234567",
        "0049301234567",
        "tel:+49-30-1234567",
        "(030) 123 45 67 ext. 9",
        "+1 212 555 0100",
    ),
    *(
        "2024-02-29",
        "2024-02-30",
        "20240229",
        "2024/02/29 10:00",
        "29.02.2024",
        "1900-02-29",
        "2024-2-9",
        "２０２４-02-29",
    ),
]
EVERY_RULE = ["none", "nfc", "nfkc", "nfkc-casefold", "name", "email", "digits", "phone:+49", "date"]


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_every_rule_makes_of_every_text_what_the_oracle_makes(rule):
    """Each text alone, so that the fast way for ASCII and the other are both taken, and all in one column."""
    whole = id_column(side(id=pa.array(CORPUS)).table, "id", rule)
    assert whole.ids.to_pylist() == list(dict.fromkeys(k for t in CORPUS if (k := key_of(t, rule)) is not None))
    for text in CORPUS:
        expected = key_of(text, rule)
        if expected is None:
            with pytest.raises(ParleyError, match="no_ids"):
                id_column(side(id=pa.array([text], pa.string())).table, "id", rule)
        else:
            assert id_column(side(id=pa.array([text])).table, "id", rule).ids.to_pylist() == [expected]


@both
@pytest.mark.parametrize("rule", EVERY_RULE)
def test_the_intersection_of_differently_spelt_columns_is_the_oracles(name, rule):
    mine, theirs = [*CORPUS[::2], "a", "030/1234567"], CORPUS[1::2]
    out = run(name, side(id=pa.array(mine)), side(id=pa.array(theirs)), normalise=rule)
    expected = keys_of(mine, rule) & keys_of(theirs, rule)
    assert {key_of(mine[r], rule) for r in out["bank"].keep["rows"].tolist()} == expected
    assert [key_of(mine[a], rule) for a, _ in pairs(out)] == [key_of(theirs[b], rule) for _, b in pairs(out)]


@pytest.mark.parametrize(
    ("country", "texts"),
    [
        ("+1", ["(212) 555-0100", "1 212 555 0100", "+12125550100", "011 1 212 555 0100"]),
        ("+7", ["8 (912) 345-67-89", "912 3456789", "+7 912 345 67 89"]),
        ("+36", ["06 30 123 4567", "+36301234567"]),
        ("+39", ["06 1234 5678", "+390612345678"]),
        ("+86", ["139 1234 5678", "+8613912345678", "00 86 139 1234 5678"]),
    ],
)
def test_a_number_is_one_however_its_country_writes_it(country, texts):
    assert len(id_column(side(id=pa.array(texts)).table, "id", f"phone:{country}")) == 1


def test_whole_numbers_and_days_are_ids_where_their_rule_says_so():
    assert id_column(side(id=pa.array([301234567])).table, "id", "phone:+49").ids.to_pylist() == ["+49301234567"]
    day = dt.date(2024, 2, 29)
    for column in (pa.array([day]), pa.array([dt.datetime(2024, 2, 29, 5, tzinfo=dt.UTC)]), pa.array([20240229])):
        assert id_column(side(id=column).table, "id", "date").ids.to_pylist() == ["2024-02-29"]
    with pytest.raises(ParleyError, match="bad_id_type"):
        id_column(side(id=pa.array([day])).table, "id", "nfc")


@pytest.mark.parametrize(
    ("ids", "code"),
    [
        (pa.array(["x" * 4097]), "id_too_long"),
        (pa.array(["x" * 1_000_000]), "id_too_long"),
        (pa.array([b"\xff\xfe"]).view(pa.string()), "bad_id_text"),
        (pa.array(["\ud800".encode("utf-8", "surrogatepass")]).view(pa.string()), "bad_id_text"),
        (pa.array([True, False]), "bad_id_type"),
    ],
)
@both
def test_what_cannot_be_an_id_is_refused_before_anything_leaves(name, ids, code):
    with pytest.raises(ParleyError) as e:
        run(name, side(id=pa.array(["a"])), side(id=ids))
    assert (e.value.code, e.value.party) == (code, "lab")
    assert "x" * 20 not in e.value.cause


# ---------------------------------------------------------------- several columns


@both
def test_a_key_of_several_columns_meets_only_where_all_agree(name):
    bank = side(
        first=["Ann", "Ann", "ab", "Zoë", None, "Eve"],
        last=["Lee", "Li", "c", "van der Berg", "x", ""],
        birth=pa.array([dt.date(1990, 1, k) for k in range(1, 7)]),
    )
    lab = side(
        100,
        vor=["ZOE", "ann", "a", "ANN", "x"],
        nach=["Vanderberg", "lee", "bc", "LI", "x"],
        geb=["1990-01-04", "19900101", "1990-01-03", "1990-01-09", "1990-01-05"],
    )
    keys = {"bank": ["first", "last", "birth"], "lab": ["vor", "nach", "geb"]}
    out = run(name, bank, lab, id=keys, normalise=["name", "name", "date"])
    assert pairs(out) == [(0, 101), (3, 100)]


def test_joined_parts_are_one_to_one():
    """Any two different pairs of parts, also such as look like lengths, are different keys."""
    parts = ["a", "ab", "b", "1:", "1:a", "a1:", "2:ab", ":", "1", "11:a", "ä"]
    left, right = [a for a in parts for _ in parts], [b for _ in parts for b in parts]
    column = id_column(side(x=left, y=right).table, ["x", "y"], "none")
    assert len(column) == len(parts) ** 2
    assert len(set(column.ids.to_pylist())) == len(parts) ** 2


REFUSED = {
    "another number of columns": {"id": {"bank": ["a", "b"], "lab": "a"}},
    "no column": {"id": []},
    "another number of rules": {"id": ["a", "b"], "normalise": ["name"]},
    "an unknown rule": {"id": "a", "normalise": "soundex"},
    "a phone without its country": {"id": "a", "normalise": "phone"},
    "all at a sender": {"id": "a", "duplicates": {"lab": "all"}},
    "a stranger's duplicates": {"id": "a", "duplicates": {"other": "first"}},
}


@both
@pytest.mark.parametrize("what", REFUSED)
def test_what_a_job_cannot_mean_is_refused(name, what):
    with pytest.raises(ParleyError) as e:
        registry.load(name).validate(REFUSED[what], Cast(CAST))
    assert e.value.code == "bad_parameters"


# ---------------------------------------------------------------- repeated keys

MINE, THEIRS = ["a", "b", "a", "c", "a", "d", "b", None], ["b", "x", "a", "d"]


@both
def test_every_row_of_a_repeated_key_is_aligned_where_the_job_says_all(name, monkeypatch):
    monkeypatch.setattr(vole, "CHUNK", 2)
    monkeypatch.setattr(blinding, "CHUNK", 2)
    bank, lab = side(id=pa.array(MINE)), side(100, id=pa.array(THEIRS))
    expected = sorted((i, 100 + THEIRS.index(x)) for i, x in enumerate(MINE) if x in THEIRS)
    out = run(name, bank, lab, duplicates="all")
    assert pairs(out) == expected
    assert out["bank"].result == {"intersection": len(expected)}
    assert pairs(run(name, bank, lab)) == [(0, 102), (1, 100), (5, 103)]
    one_sided = run(name, bank, lab, duplicates="all", result="receiver")
    assert sorted(one_sided["bank"].keep["rows"].tolist()) == [i for i, _ in expected]
    assert one_sided["lab"].keep == {}


@both
@pytest.mark.parametrize("duplicates", ["refuse", "all", {"lab": "refuse"}])
def test_a_sender_with_repeated_keys_is_named_where_the_job_refuses_them(name, duplicates):
    with pytest.raises(ParleyError) as e:
        run(name, side(id=["a"]), side(id=["a", "b", "a"]), duplicates=duplicates)
    assert (e.value.code, e.value.party) == ("repeated_ids", "lab")
    assert run(name, side(id=["a"]), side(id=["a", "b", "a"]), duplicates={"bank": "all", "lab": "first"})


@both
def test_repeated_ids_of_a_real_table_are_joined_as_a_left_table_is(name):
    guest = pa.csv.read_csv(need("data/breast_hetero_guest_repeated_id.csv"))
    host = pa.csv.read_csv(need("data/breast_hetero_host.csv"))
    out = run(name, side(id=guest["id"]), side(1000, id=host["id"]), duplicates="all")
    place = {x: 1000 + k for k, x in enumerate(host["id"].to_pylist())}
    assert pairs(out) == [(k, place[x]) for k, x in enumerate(guest["id"].to_pylist()) if x in place]
    assert len(pairs(out)) > len(set(out["lab"].keep["rows"].tolist()))


@both
def test_three_rows_of_one_key_show_at_the_sender_only_where_the_job_says_all(name):
    """What `receiver.repeats` declares: with `first` the transcript is that of keys that are distinct."""
    sizes = {}
    for how in ("first", "all"):
        out = [run(name, side(id=x), side(id=["a", "b"]), duplicates=how) for x in (["a", "a", "b"], ["a", "b"])]
        sizes[how] = [sum(len(e.body) for e in o.transcript if e.address.tag.endswith("common/1")) for o in out]
    assert sizes["first"][0] == sizes["first"][1]
    assert sizes["all"][0] > sizes["all"][1]


@both
def test_positions_that_repeat_are_refused_unless_the_job_says_all(name):
    common = KINDS[name].Common

    def twice(envelope, now):
        if now == "before" and envelope.address.tag == common.TAG and not envelope.last:
            places = common.decode(envelope.body, {}).positions
            return dataclasses.replace(envelope, body=common(np.zeros_like(places)).encode())
        return envelope

    data = side(id=["a", "b", "c"]), side(id=["b", "c", "d"])
    assert run(name, *data, Setting(fault=twice, patience=2), duplicates="all")["bank"].keep["count"] == 2
    with pytest.raises(ParleyError) as e:
        run(name, *data, Setting(fault=twice, patience=2))
    assert (e.value.code, e.value.party) == ("protocol_violation", "bank")


def test_spreading_lists_every_place_of_every_chosen_id():
    column = IdColumn(pa.array(["p", "q", "r"]), np.array([5, 9, 2, 7, 4, 1]), np.array([0, 3, 4, 6]))
    which, places = column.spread(np.array([2, 0]))
    assert which.tolist() == [0, 0, 1, 1, 1]
    assert column.rows[places].tolist() == [4, 1, 5, 9, 2]
    assert column.spread(np.empty(0, np.int64))[1].tolist() == []
