"""A result's signature: by its party, for one contract, step and attempt, over exactly these values."""

from __future__ import annotations

from typing import Any

import pytest

from parley.crypto.seal import StaticKey
from parley.crypto.sign import SigningKey
from parley.wire.canonical import canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.identity import Card
from parley.wire.result import open_result, sign_result

KEY = SigningKey.generate()
CARD = Card.issue("party", "bank", KEY, StaticKey.generate().public)
HASH = b"\x07" * 32
RESULT = {"metrics": {"auc": 0.75, "rows": 200}, "names": ["é", "b"]}


def refused(raw: bytes, *where: Any) -> None:
    with pytest.raises(ParleyError) as caught:
        open_result(raw, CARD, *(where or (HASH, "one", 1)))
    assert (caught.value.code, caught.value.party) == ("bad_result_signature", "bank")


def test_a_signed_result_opens_where_it_belongs_and_nowhere_else() -> None:
    raw = sign_result(KEY, HASH, "one", 1, RESULT)
    assert open_result(raw, CARD, HASH, "one", 1) == RESULT
    for where in ((b"\x08" * 32, "one", 1), (HASH, "two", 1), (HASH, "one", 2)):
        refused(raw, *where)


def test_what_another_key_made_or_anybody_changed_is_refused() -> None:
    refused(sign_result(SigningKey.generate(), HASH, "one", 1, RESULT))
    document = parse(sign_result(KEY, HASH, "one", 1, RESULT))
    for change in (
        {"result": {**RESULT, "metrics": {"auc": 0.99, "rows": 200}}},
        {"result": [1]},
        {"signature": "00" * 64},
        {"signature": "no hex"},
        {"signature": 7},
        {"more": 1},
    ):
        refused(canonical({**document, **change}))


@pytest.mark.parametrize("raw", [b"", b"{}", b"[]", b"\xff", b"7", canonical(RESULT)])
def test_what_is_no_signed_result_is_refused(raw: bytes) -> None:
    refused(raw)


@pytest.mark.parametrize(
    ("result", "code"),
    [({"x": float("nan")}, "bad_result"), ({"x": "a" * (5 << 20)}, "result_too_large")],
    ids=["not finite", "too large"],
)
def test_a_result_nobody_could_read_is_not_signed(result: dict[str, Any], code: str) -> None:
    with pytest.raises(ParleyError) as caught:
        sign_result(KEY, HASH, "one", 1, result)
    assert (caught.value.code, caught.value.step) == (code, "one")
