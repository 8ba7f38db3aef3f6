"""Names made comparable: case folding and Unicode normalization as ZAPs use them.

OpenZFS works with the tables of Unicode 5.0: letters that came later neither change case nor decompose there, so
they must not here, or the hash of a name would differ. Upper case is the simple, one-to-one mapping, and is taken
before the text is decomposed. Bytes that are not UTF-8 stay as they are.

Source: OpenZFS, zap_micro.c (``zap_normalize``), u8_textprep.c, u8_textprep.h.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

TOUPPER = 0x02
CANON_DECOMP = 0x10
COMPAT_DECOMP = 0x20
CANON_COMP = 0x40
FORM_MASK = CANON_DECOMP | COMPAT_DECOMP | CANON_COMP

_FORMS = {
    CANON_DECOMP: "NFD",
    CANON_DECOMP | CANON_COMP: "NFC",
    COMPAT_DECOMP: "NFKD",
    COMPAT_DECOMP | CANON_COMP: "NFKC",
}

#: Ranges with cased, decomposable or combining characters that Unicode 5.0 did not have.
_LATER = (
    (0x0370, 0x0373),
    (0x0376, 0x0377),
    (0x037F, 0x037F),
    (0x03CF, 0x03CF),
    (0x0514, 0x052F),
    (0x08A0, 0x08FF),
    (0x0D00, 0x0D00),
    (0x135D, 0x135E),
    (0x13F5, 0x13FD),
    (0x1AB0, 0x1AFF),
    (0x1C80, 0x1CBF),
    (0x1CD0, 0x1CFF),
    (0x1DCB, 0x1DFD),
    (0x1E9C, 0x1E9F),
    (0x1EFA, 0x1EFF),
    (0x20F0, 0x20F0),
    (0x2150, 0x2152),
    (0x2185, 0x2189),
    (0x2C2F, 0x2C2F),
    (0x2C5F, 0x2C5F),
    (0x2C6D, 0x2C73),
    (0x2C78, 0x2C7F),
    (0x2CEB, 0x2CF3),
    (0x2D27, 0x2D2D),
    (0x2DE0, 0x2DFF),
    (0x31BB, 0x31BF),
    (0x3244, 0x324F),
    (0x32FF, 0x32FF),
    (0xA640, 0xA69F),
    (0xA6F0, 0xA6F1),
    (0xA722, 0xA7FF),
    (0xA8E0, 0xA8FF),
    (0xAA60, 0xABBF),
    (0xFA2E, 0xFA2F),
    (0xFA6B, 0xFA6D),
    (0xFE24, 0xFE2F),
    (0x10376, 0x1037A),
    (0x104B0, 0x107BF),
    (0x10A0C, 0x10A0E),
    (0x10AC0, 0x11FFF),
    (0x16A40, 0x1CFFF),
    (0x1DF00, 0x1EFFF),
    (0x1F100, 0x1FAFF),
    (0x1FBF0, 0x1FBF9),
)


@lru_cache(maxsize=4096)
def _is_later(char: str) -> bool:
    code = ord(char)
    return any(low <= code <= high for low, high in _LATER)


@lru_cache(maxsize=4096)
def _upper(char: str) -> str:
    """The simple upper case of one character; itself when there is none, or only a longer one."""
    for candidate in (char.upper(), char.title()):
        if len(candidate) == 1:
            return char if _is_later(char) or _is_later(candidate) else candidate
    return char


def normalize(name: bytes, flags: int) -> bytes:
    """A name in the form in which names are hashed and compared.

    Args:
        name: UTF-8, or any bytes.
        flags: normalization flags; 0 gives the name back.
    """
    if not flags & (TOUPPER | FORM_MASK):
        return name
    if name.isascii():
        # Nothing below 128 decomposes or composes with another.
        return name.upper() if flags & TOUPPER else name
    text = name.decode("utf-8", "surrogateescape")
    if flags & TOUPPER:
        text = "".join(map(_upper, text))
    form = _FORMS.get(flags & FORM_MASK)
    if form is not None:
        text = _normal_form(form, text)
    return text.encode("utf-8", "surrogateescape")


def _normal_form(form: str, text: str) -> str:
    """Normalize the runs between characters that Unicode 5.0 did not know."""
    if not any(map(_is_later, text)):
        return unicodedata.normalize(form, text)  # type: ignore[arg-type]
    parts, run = [], ""
    for char in text:
        if _is_later(char):
            parts += [unicodedata.normalize(form, run), char]  # type: ignore[arg-type]
            run = ""
        else:
            run += char
    return "".join(parts) + unicodedata.normalize(form, run)  # type: ignore[arg-type]
