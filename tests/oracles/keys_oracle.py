"""What the declared rules make of one text, value by value and without Arrow; written against the rules alone."""

from __future__ import annotations

import datetime as dt
import string
import unicodedata

ACCENTS = "COMBINING "  # how Unicode names the marks that are put on letters of any script


def key_of(text: str | None, rule: str) -> str | None:
    """The id that a text is under a rule, or None for no id."""
    if text is None:
        return None
    made = RULES[rule.split(":")[0]](text, *rule.split(":")[1:])
    return made or None


def keys_of(texts: list[str | None], rule: str) -> set[str]:
    return {k for t in texts if (k := key_of(t, rule)) is not None}


def _casefold(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).strip()


def _name(text: str) -> str:
    out = []
    for letter in unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()):
        accent = unicodedata.name(letter, "").startswith(ACCENTS) and unicodedata.category(letter)[0] == "M"
        if not accent:
            out.append(letter)
    whole = unicodedata.normalize("NFKC", "".join(out))
    return "".join(c for c in whole if c.isalnum() or unicodedata.category(c)[0] in ("M", "N"))


def _email(text: str) -> str:
    parts = _casefold(text).split("@")
    fine = len(parts) == 2 and all(p and not any(c.isspace() for c in p) for p in parts)
    return "@".join(parts) if fine else ""


def _ascii_digits(text: str) -> str:
    return "".join(str(int(c)) if c.isdecimal() else c for c in unicodedata.normalize("NFKC", text)).strip()


def _digits(text: str) -> str:
    return "".join(c for c in _ascii_digits(text) if c in string.digits)


def _phone(text: str, code: str) -> str:
    number = _ascii_digits(text).lower().removeprefix("tel:")
    for at, letter in enumerate(number):
        if letter in string.ascii_lowercase or letter in "#;":
            number = number[:at]
            break
    number = number.strip()
    if number.startswith(("+", "00")):
        number = number.replace("(0)", "", 1)
    digits = "".join(c for c in number if c in string.digits)
    if number.startswith("+"):
        full = digits
    elif digits.startswith("00"):
        full = digits[2:]
    else:
        full = code.removeprefix("+") + digits.removeprefix("0") if digits else ""
    return f"+{full}" if 7 <= len(full) <= 15 and full[0] != "0" else ""


def _date(text: str) -> str:
    text = _ascii_digits(text)
    for size, form in ((10, "%Y-%m-%d"), (10, "%Y/%m/%d"), (10, "%Y.%m.%d"), (8, "%Y%m%d")):
        head, tail = text[:size], text[size:]
        if tail[:1].isdigit() or len(head) != size:
            continue
        try:
            return dt.datetime.strptime(f"{head} +0000", f"{form} %z").date().isoformat()
        except ValueError:
            continue
    return ""


RULES = {
    "none": lambda text: text,
    "nfc": lambda text: unicodedata.normalize("NFC", text),
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "nfkc-casefold": _casefold,
    "name": _name,
    "email": _email,
    "digits": _digits,
    "phone": _phone,
    "date": _date,
}
