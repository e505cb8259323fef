"""Text in SVG pictures: what XML can hold, how wide it is at most, and shortened where there is no room.

::

    any text -> clean -> shortened(most) -> escaped;  width -> em

A picture does not know the font that it will be shown with. So widths are upper bounds: those of DejaVu Sans,
the widest of the common sans-serif fonts, and of whole squares for scripts that have them.
"""

import unicodedata
from html import escape

NARROW = frozenset("fijlrtI.,:;'|!()[]/\\- ")
WIDE = frozenset("mwMW@%&+<>=~^#\u00d7\u2026")
NARROW_EM, WIDE_EM, OTHER_EM, CAPITAL_EM = 0.45, 1.0, 0.64, 0.79  # of ASCII
SMALL_EM, SQUARE_EM, SYMBOL_EM, FOREIGN_EM = 1.05, 1.1, 1.5, 1.25  # other small letters, East Asian, the rest
BOLD = 1.12  # times as wide
DOTS = "…"
UNKNOWN = "\ufffd"  # in the place of what XML forbids, and of controls that would turn the text around it
FORBIDDEN = ("Cc", "Cs")  # controls, lone surrogates
TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
REPLACED = TURNING | {"\ufffe", "\uffff"}
WEIGHTLESS = ("Mn", "Me", "Cf")  # marks above and below others, and joiners


def clean(text: object) -> str:
    """Return text in one line, of characters that XML may hold (W3C, XML 1.0, section 2.2)."""
    line = " ".join(str(text).split())
    return "".join(UNKNOWN if c in REPLACED or unicodedata.category(c) in FORBIDDEN else c for c in line)


def escaped(text: object) -> str:
    """Return text as the content of an element or of an attribute."""
    return escape(clean(text))


def width(text: str, bold: bool = False) -> float:
    """Return an upper bound of the width of a text, in em."""
    return (BOLD if bold else 1.0) * sum(map(_width, text))


def _width(character: str) -> float:
    base = unicodedata.normalize("NFD", character)[0]  # of a letter with an accent, the letter
    if base in NARROW:
        return NARROW_EM
    if base in WIDE:
        return WIDE_EM
    if base.isascii():
        return CAPITAL_EM if base.isupper() else OTHER_EM
    kind = unicodedata.category(base)
    if kind in WEIGHTLESS:
        return 0.0
    if unicodedata.east_asian_width(base) in "WF" and kind != "So":
        return SQUARE_EM
    return {"So": SYMBOL_EM, "Ll": SMALL_EM}.get(kind, FOREIGN_EM)


def shortened(text: str, most: float, bold: bool = False) -> str:
    """Return a text of at most this width in em; of a longer one the middle is left out."""
    if width(text, bold) <= most:
        return text
    room = most - width(DOTS, bold)
    head = _fitting(text, 0.6 * room, bold)
    tail = _fitting(text[::-1], room - width(head, bold), bold)[::-1]
    while tail and unicodedata.category(tail[0]) in WEIGHTLESS:  # marks of a character that is left out
        tail = tail[1:]
    return head + DOTS + tail


def _fitting(text: str, most: float, bold: bool) -> str:
    """Return the beginning of a text that is at most this wide, with the marks of its last character."""
    used = 0.0
    for number, character in enumerate(text):
        used += width(character, bold)
        if used > most:
            return text[:number]
    return text
