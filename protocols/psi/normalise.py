"""Rules under which two spellings of an id are one: the job declares them, so that every party follows the same.

    none           as it is
    nfc, nfkc      a Unicode normal form
    nfkc-casefold  NFKC, case folded in full, outer blanks gone
    name           letters, marks and digits only: accents, case, blanks, points, hyphens and invisible signs are gone
    email          as nfkc-casefold; a text without exactly one @ between two parts is no id
    digits         the decimal digits of any script, as ASCII
    phone:+49      E.164 (+ and 7 to 15 digits); a number without + or 00 is a national one of the country named
    date           YYYY-MM-DD, from dates, times, and text that begins with year, month, day; another text is no id

A value without meaning under its rule becomes null, like a missing one. ASCII is handled by Arrow's kernels, other text
once for each distinct value.

Not done: letters that Unicode does not decompose stay what they are (ø is not o), one script is not turned into
another, marks outside the blocks of accents stay (they are vowels in many scripts), and a phone number that repeats its
country code without + is taken for a national one.
Source: Unicode Standard Annex 15 and section 3.13 (case folding); ITU-T E.164 and E.123 for numbers and trunk prefixes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

if TYPE_CHECKING:
    import pyarrow as pa

Rule = (
    Literal["none", "nfc", "nfkc", "nfkc-casefold", "name", "email", "digits", "date"]
    | Annotated[str, Field(pattern=r"^phone:\+[1-9][0-9]{0,2}$")]
)
ACCENTS = ((0x0300, 0x036F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
DATES = ("date", "timestamp")  # how the types begin that the rule `date` takes beside text and whole numbers
# What stands before a national number at home and not behind the country code; "0" where nothing is said.
TRUNK = {"1": "^1([0-9]{10})$", "7": "^8([0-9]{10})$", "36": "^06([0-9]+)$", **dict.fromkeys(("39", "225", "242"), "")}
TRUNK["378"] = ""


def normalised(texts: pa.ChunkedArray, rule: str) -> pa.ChunkedArray:
    """Text under a rule; null where it has no meaning under it."""
    import pyarrow.compute as pc

    if rule == "none":
        return texts
    if rule in ("nfc", "nfkc"):
        form: Literal["NFC", "NFKC"] = "NFC" if rule == "nfc" else "NFKC"
        # Arrow's own utf8_normalize takes apart and never puts together again, so it is left alone.
        return _each(texts, lambda ascii: ascii, lambda text: unicodedata.normalize(form, text))
    if rule in ("nfkc-casefold", "email"):
        folded = _each(texts, lambda ascii: pc.ascii_lower(pc.ascii_trim_whitespace(ascii)), _fold)
        return folded if rule != "email" else _only(folded, pc.match_substring_regex(folded, r"^[^@\s]+@[^@\s]+$"))
    if rule == "name":
        return _each(texts, lambda ascii: pc.replace_substring_regex(pc.ascii_lower(ascii), "[^a-z0-9]+", ""), _name)
    # The rest is about digits, which come to ASCII first.
    plain = _each(texts, lambda ascii: ascii, _digits)
    if rule == "digits":
        return pc.replace_substring_regex(plain, "[^0-9]+", "")
    return _dates(plain) if rule == "date" else _phones(plain, rule.removeprefix("phone:+"))


def _each(
    texts: pa.ChunkedArray, ascii_rule: Callable[[pa.ChunkedArray], pa.ChunkedArray], f: Callable[[str], str]
) -> pa.ChunkedArray:
    """ASCII texts under a rule of Arrow's kernels, every other distinct text through `f`, which Arrow lacks."""
    import pyarrow as pa
    import pyarrow.compute as pc

    other = pc.invert(pc.fill_null(pc.string_is_ascii(texts), True)).combine_chunks()
    quick = ascii_rule(texts)
    if not pc.any(other).as_py():
        return quick
    encoded = texts.combine_chunks().filter(other).dictionary_encode()
    changed = pa.array([f(t) for t in encoded.dictionary.to_pylist()], pa.string()).take(encoded.indices)
    return pa.chunked_array([pc.replace_with_mask(quick.combine_chunks(), other, changed)])


def _only(texts: pa.ChunkedArray, good: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(good, texts, pa.scalar(None, pa.string()))


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def _name(text: str) -> str:
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = "".join(c for c in apart if not any(a <= ord(c) <= b for a, b in ACCENTS))
    return "".join(c for c in unicodedata.normalize("NFKC", bare) if unicodedata.category(c)[0] in "LMN")


def _digits(text: str) -> str:
    return "".join(
        str(unicodedata.decimal(c)) if c.isdecimal() else c for c in unicodedata.normalize("NFKC", text).strip()
    )


def _dates(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """A day that the calendar has; what follows the day in a text, such as a time, is ignored."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pattern = r"^(?P<y>[0-9]{4})[-/.]?(?P<m>[0-9]{2})[-/.]?(?P<d>[0-9]{2})(?:[^0-9].*)?$"
    parts = pc.extract_regex(pc.ascii_trim_whitespace(texts), pattern)
    fields = [pc.struct_field(parts, name) for name in ("y", "m", "d")]
    iso = pc.binary_join_element_wise(*fields, "-")
    day = pc.strptime(iso, format="%Y-%m-%d", unit="s", error_is_null=True).cast(pa.date32())
    # A day that a month does not have may have been carried into the next.
    return _only(iso, pc.fill_null(pc.equal(day.cast(pa.string()), iso), False))


def _phones(texts: pa.ChunkedArray, country: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    def without(column: pa.ChunkedArray, pattern: str, by: str = "") -> pa.ChunkedArray:
        return pc.replace_substring_regex(column, pattern, by)

    lower = without(pc.ascii_lower(pc.ascii_trim_whitespace(texts)), r"^tel:")
    bare = without(lower, r"\s*(?:[a-z#;].*)$")  # an extension
    bare = without(bare, r"^(\s*(?:\+|00)[^(]*)\(0\)", r"\1")  # +49 (0) 30: for callers at home only
    number = without(bare, r"[^0-9+]+")
    number = without(number, "^00", "+")
    if country == "1":
        number = without(number, "^011", "+")
    abroad = pc.starts_with(number, "+")
    trunk = TRUNK.get(country, "^0()")
    national = without(number, trunk, r"\1") if trunk else number
    home = pc.binary_join_element_wise(pa.scalar(f"+{country}"), national, "")
    whole = pc.if_else(abroad, number, home)
    return _only(whole, pc.and_(pc.match_substring_regex(whole, r"^\+[1-9][0-9]{6,14}$"), pc.not_equal(number, "")))
