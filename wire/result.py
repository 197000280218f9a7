"""A party's signature on a result, made before the result is sealed to its reader.

Guarantee: an opened result was signed by the party whose card is given, for this contract, step and attempt, and is
unchanged. Not guaranteed: that the party computed it honestly, nor that the relay shows every result there is.
"""

from __future__ import annotations

import hashlib
from typing import Any

from parley.crypto.errors import CryptoError
from parley.crypto.sign import SigningKey
from parley.wire.canonical import MAX_DOCUMENT, canonical, parse
from parley.wire.errors import ParleyError
from parley.wire.identity import Card

RESULT = "result/1"
MAX_RESULT = MAX_DOCUMENT  # sealed, it still fits a control message of 8 MiB


def sign_result(key: SigningKey, contract_hash: bytes, step: str, attempt: int, result: dict[str, Any]) -> bytes:
    """The canonical document to seal: the result and its party's signature.

    ParleyError "result_too_large" over 4 MiB, "bad_result" for what is nested too deeply or not a finite number.
    """
    try:
        signature = key.sign(_signed(contract_hash, step, attempt, result), RESULT)
        plaintext = canonical({"result": result, "signature": signature.hex()})
        read_result(plaintext)
    except ValueError:
        raise _bad().located(step=step) from None
    except ParleyError as problem:
        raise problem.located(step=step) from None
    return plaintext


def read_result(raw: bytes) -> Any:
    """A result's document; ParleyError "result_too_large", "bad_result"."""
    if len(raw) > MAX_RESULT:
        raise ParleyError(
            "result_too_large", f"A step's result is larger than {MAX_RESULT >> 20} MiB.", "Ask for less of it."
        )
    try:
        return parse(raw)
    except ValueError:
        raise _bad() from None


def _bad() -> ParleyError:
    return ParleyError("bad_result", "A step's result is nested too deeply or not finite.", "This is a defect.")


def open_result(plaintext: bytes, card: Card, contract_hash: bytes, step: str, attempt: int) -> dict[str, Any]:
    """The result inside an opened box; ParleyError "bad_result_signature" unless `card` signed it for just this."""
    try:
        document = parse(plaintext)
        result, signature = dict(document["result"]), bytes.fromhex(document["signature"])
        if set(document) != {"result", "signature"}:
            raise ValueError("a result has other fields than it should")
        card.verify_key.verify(signature, _signed(contract_hash, step, attempt, result), RESULT)
    except (CryptoError, ValueError, KeyError, TypeError):
        raise ParleyError(
            "bad_result_signature",
            f"A result is not signed by {card.name} for this step of this contract.",
            f"The coordinator or {card.name} changed it; ask {card.name} for the result.",
            party=card.name,
            step=step,
        ) from None
    return result


def _signed(contract_hash: bytes, step: str, attempt: int, result: dict[str, Any]) -> bytes:
    body = hashlib.sha256(canonical(result)).hexdigest()
    return canonical([contract_hash.hex(), step, attempt, body])
