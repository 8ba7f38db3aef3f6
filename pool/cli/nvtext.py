"""An nvlist in zdb's words, and as plain values for JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

STEP = 4


def nvlist_lines(nvl: Mapping[str, Any], indent: int) -> Iterator[str]:
    """One line a pair; nested lists are indented by four blanks more, array elements are numbered."""
    pad = " " * indent
    for name, value in nvl.items():
        if isinstance(value, Mapping):
            yield f"{pad}{name}:"
            yield from nvlist_lines(value, indent + STEP)
        elif isinstance(value, (list, tuple)) and value and isinstance(value[0], Mapping):
            for index, element in enumerate(value):
                yield f"{pad}{name}[{index}]:"
                yield from nvlist_lines(element, indent + STEP)
        elif isinstance(value, (list, tuple)):
            for index, element in enumerate(value):
                yield f"{pad}{name}[{index}]: {_scalar(element)}"
        elif value is True:
            yield f"{pad}{name}"
        else:
            yield f"{pad}{name}: {_scalar(value)}"


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return f"'{value}'"
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return str(value)


def plain(value: Any) -> Any:
    """The same as JSON can hold: bytes as hex, odd bytes in strings kept as surrogates."""
    if isinstance(value, Mapping):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    return value
