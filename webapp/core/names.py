"""Names that would be taken for another's, or for the hub's own.

Two rules and no list of every letter in the world: a word is written in one alphabet, and names that look the same
(splitcore/names.py) are the same name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from django.conf import settings
from django.db import connection

from splitcore.errors import AppError
from splitcore.names import looks_of

# What pages, mails and the audit log call the hub, its parts and whoever has no name.
RESERVED = frozenset({
    "hub", "the hub", "system", "server", "worker", "the worker", "site", "administrator", "hub administrator", "admin",
    "root", "support", "security", "you", "somebody", "someone", "someone without an account", "nobody", "anybody",
    "everybody", "everyone", "anonymous", "unknown", "none",
})  # fmt: skip
# Their letters are like none of another alphabet's: words of them are mixed with Latin as a matter of course.
_UNLIKE = frozenset({
    "CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "ARABIC", "HEBREW", "SYRIAC", "THAANA",
    "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL", "TELUGU", "KANNADA", "MALAYALAM", "SINHALA",
    "THAI", "LAO", "TIBETAN", "MYANMAR", "KHMER", "ETHIOPIC", "GEORGIAN", "MONGOLIAN",
})  # fmt: skip
_WORD = re.compile(r"[^\W_]+")
_LOOKS_RESERVED = frozenset(looks_of(name) for name in RESERVED)
_TURN = int.from_bytes(b"orgnames")  # the database's own number for the lock
_LONG = 6  # letters of a hub's name that is met within a word too


def name_check(name: str) -> None:
    """Refuse a name with a word in two alphabets (CL-1613), and one that stands for the hub (CL-1614)."""
    for word in _WORD.findall(_without_marks(name)):
        used = {alphabet for letter in word if (alphabet := _alphabet(letter))}
        if len(used) > 1:
            names = " and ".join(sorted(alphabet.capitalize() for alphabet in used))
            raise AppError("CL-1613", f"The word {word} mixes {names} letters.")
    if looks_of(name) in _LOOKS_RESERVED or _names_the_hub(name):
        raise AppError("CL-1614", f"{name} is reserved: the hub uses it for itself or for people without a name.")


def names_in_turn() -> None:
    """Within a transaction: whoever else gives an organisation a name waits. SQLite has one writer at a time anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_TURN])


def alike_among(name: str, others: Iterable[str]) -> str | None:
    """The first of the other names that nobody can tell from this one; None where there is none."""
    looks, plain = looks_of(name), name.casefold()
    return next((other for other in others if other.casefold() == plain or looks_of(other) == looks), None)


def _names_the_hub(name: str) -> bool:
    """Whether the hub's name is among the words, or (a long one) anywhere in the letters, whatever parts them."""
    looks, hub = looks_of(name), looks_of(settings.SITE_NAME)
    letters = hub.replace(" ", "")
    return f" {hub} " in f" {looks} " or (len(letters) >= _LONG and letters in looks.replace(" ", ""))


def _without_marks(text: str) -> str:
    """The letters without accents, so that none of them parts a word in two."""
    return "".join(letter for letter in unicodedata.normalize("NFD", text) if not unicodedata.combining(letter))


def _alphabet(letter: str) -> str:
    """The alphabet of a letter, if its shapes may be another's; none for variants such as ﬁ or a micro sign."""
    if unicodedata.category(letter) not in ("Lu", "Ll", "Lt", "Lo") or unicodedata.normalize("NFKD", letter) != letter:
        return ""
    alphabet = unicodedata.name(letter, "").split(" ")[0]
    return "" if alphabet in _UNLIKE else alphabet
