"""The tree of errors."""

from __future__ import annotations

import pickle

from uberblock.pool.errors import CorruptError


def test_an_error_is_one_line_whatever_names_are_in_it() -> None:
    """A log space map named after random bytes broke its error's message into lines."""
    error = CorruptError("a name\nwith a \x1b[31m break", name="T\udccf\nQ")
    assert str(error) == "a name\\nwith a \\x1b[31m break (name T\\udccf\\nQ)"


def test_errors_travel_between_processes() -> None:
    error = CorruptError("damaged", "look away", object=7)
    assert str(pickle.loads(pickle.dumps(error))) == str(error) == "damaged (object 7); look away"
