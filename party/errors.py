"""Errors of the rooms below, said in the words of a party."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from parley.components.errors import DataError
from parley.crypto.errors import CryptoError
from parley.wire import errors
from parley.wire.errors import ParleyError

_WORDS = {"unknown_table": "unknown_dataset", "table_exists": "dataset_exists", "bad_table_name": "bad_dataset_name"}


def from_crypto(error: CryptoError) -> ParleyError:
    """A refused key, signature or ciphertext as ParleyError, its code kept."""
    return ParleyError(error.code, _sentence(error.message), _sentence(error.hint or ""))


def from_data(error: DataError) -> ParleyError:
    """A refused table or column as ParleyError; a table is called a dataset from here on."""
    code = _WORDS.get(error.code, error.code)
    return ParleyError(code, _sentence(error.cause), _sentence(error.hint), retryable=error.code == "busy")


@contextmanager
def converted() -> Iterator[None]:
    """Turn CryptoError and DataError of the body into ParleyError."""
    try:
        yield
    except CryptoError as e:
        raise from_crypto(e) from None
    except DataError as e:
        raise from_data(e) from None


def did_you_mean(name: str, known: Iterable[str], kind: str) -> str:
    """A hint for a misspelt name: the closest known one, or the first ten."""
    choices = list(known)
    return errors.did_you_mean(name, choices) if choices else f"There is no {kind} yet."


def _sentence(text: str) -> str:
    if not text:
        return ""
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")
