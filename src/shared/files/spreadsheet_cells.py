"""Texts in a CSV that a person may open in a spreadsheet, which runs cells such as `=HYPERLINK(...)` as formulas."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"[\t\r\n]|\s*[=+@\uff1d\uff0b\uff0d\uff20-]")  # the last four but the hyphen are full-width
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
_CONTROL = re.compile(r"[\0-\x08\x0b-\x1f\x7f-\x9f]")


def readable_cell(text: str) -> str:
    """The text with an apostrophe before what a spreadsheet would run, and with control characters written out, such as
    `\\x1b`. Numbers stay numbers.
    """
    is_formula = _FORMULA.match(text) is not None and _NUMBER.fullmatch(text) is None
    written = _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))
    return f"'{written}" if is_formula else written
