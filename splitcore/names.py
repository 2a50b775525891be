"""Names that nobody can tell apart: they look the same once letters that look alike are read as one.

A small part of what Unicode calls confusables: whole words of Cyrillic, Greek, Lisu or Cherokee letters that Latin
has too, Latin letters that look like others, signs between words, and what a typeface may draw alike (l, I, i and 1).
"""

from __future__ import annotations

import unicodedata

_LATIN = str.maketrans(
    "аеорсухкмтвнгіјѕԁԛԝһӏьАЕОРСУХКМТВНІЈЅԌԜӀαγεικνορτυχωΑΒΕΖΗΙΚΜΝΟΡΤΥΧ"
    "ꓐꓑꓓꓔꓖꓗꓙꓚꓜꓝꓟꓠꓡꓢꓣꓦꓧꓪꓫꓬꓮꓰꓲꓳꓴ"
    "ᎠᎡᎢᎩᎪᎫᎬᎳᎷᎻᎽᏀᏂᏃᏔᏕᏙᏚᏞᏟᏢᏦᏴᎶ"
    "օոսցһ"
    "ıɩɡɑǀƖᴀʙᴄᴅᴇɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ",
    "aeopcyxkmtbhrijsdqwhlbAEOPCYXKMTBHIJSGWlayeikvoptuxwABEZHIKMNOPTYX"
    "BPDTGKJCZFMNLSRVHWXYAEIOU"
    "DRTYAJEWMHYGhZWSVSLCPKBG"
    "onugh"
    "iigalLABCDEGHIJKLMNOPRTUVWYZ",
)
_DRAWN_ALIKE = str.maketrans({"i": "l", "1": "l", "|": "l", "0": "o", "m": "rn", "w": "vv"})
_QUOTES = str.maketrans(dict.fromkeys("'’‘‛ʼʻʹ`´′ꞌ"))


def looks_of(name: str) -> str:
    """What a name looks like: words of letters and digits, in Latin where they look so; all of it if it has none."""
    latin = unicodedata.normalize("NFKD", name.translate(_QUOTES)).translate(_LATIN).casefold()
    drawn = unicodedata.normalize("NFC", latin.translate(_DRAWN_ALIKE))
    words = "".join(sign if unicodedata.category(sign)[0] in "LMN" else " " for sign in drawn).split()
    return " ".join(words) or drawn


def names_alike(one: str, other: str) -> bool:
    """Whether nobody can tell two names apart."""
    return one.casefold() == other.casefold() or looks_of(one) == looks_of(other)
