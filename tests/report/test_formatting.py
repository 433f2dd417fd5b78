from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.report.page.svg import make_axis, tag
from shared.report.text.formatting import (
    clean,
    format_duration,
    format_interval,
    format_number,
    format_percent,
    format_probability,
    line,
    truncate,
)


@given(st.text(st.characters()))
def test_clean_text_can_be_written_and_cannot_mislead(text: str) -> None:
    """Any text becomes one that UTF-8 holds, without control characters; cleaning twice changes nothing more."""
    shown = clean(text)
    shown.encode("utf-8")
    assert not any((ord(each) < 32 and each not in "\n\t") or 0x7F <= ord(each) < 0xA0 for each in shown)
    assert clean(shown) == shown


@given(st.text(st.characters(), max_size=300), st.integers(1, 50))
def test_a_line_is_a_line(text: str, limit: int) -> None:
    """One line, never longer than asked for."""
    shown = line(text, limit)
    assert len(shown) <= limit and "\n" not in shown


def test_what_was_cut_is_said() -> None:
    """The beginning stays and the rest is counted."""
    assert (truncate("abcdef", 4).text, truncate("abcdef", 4).more) == ("abcd", 2)
    assert truncate("abc", 4).more == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0, "0"), (-0.0, "0"), (0.5, "0.5"), (0.12345, "0.123"), (1234567.0, "1,234,567"), (-40.53, "-40.5"),
     (12.0, "12"), (1e12, "1e+12"), (1.234e-07, "1.23e-07"), (None, "–"), (0.9999, "1"), (99.96, "100")],
)  # fmt: skip
def test_numbers_have_sensible_digits(value: float | None, words: str) -> None:
    """Three significant digits at most, thousands separated, no minus zero."""
    assert format_number(value) == words


@pytest.mark.parametrize(
    ("given_", "words"),
    [((0.87341, 0.8512, 0.8951), ("0.873", "[0.851, 0.895]")), ((2.7123, 1.96, 3.46), ("2.71", "[1.96, 3.46]")),
     ((-40.5, -53.3, -27.7), ("-40", "[-53, -28]")), ((1.0, 1.0, 1.0), ("1", "[1, 1]")),
     ((0.8, None, None), ("0.8", "")), ((None, None, None), ("–", "")), ((1523.4, 1200.0, 1800.0),
      ("1,523", "[1,200, 1,800]"))],
)  # fmt: skip
def test_intervals_have_the_digits_their_width_deserves(
    given_: tuple[float | None, float | None, float | None], words: tuple[str, str]
) -> None:
    """Two digits of the half-width, the value with as many decimals."""
    assert format_interval(*given_) == words


def test_small_things_are_not_rounded_away() -> None:
    """A probability is never shown as 0, nor as 1 unless it is; a share that is not zero is not 0.0 %."""
    assert (format_probability(0.00001234), format_probability(0.999999), format_probability(1.0)) == (
        "1.234e-05",
        "0.9999",
        "1",
    )
    assert (format_percent(0.0), format_percent(0.0001), format_percent(1.0)) == (
        "0.0\u00a0%",
        "< 0.1\u00a0%",
        "100.0\u00a0%",
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.012, "12 ms"), (3.21, "3.2 s"), (192, "3 min 12 s"), (7300, "2 h 1 min"), (None, "–"), (59.96, "60.0 s")],
)
def test_durations(seconds: float | None, words: str) -> None:
    """Spans of time in the two units that matter."""
    assert format_duration(seconds) == words


@given(st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_an_axis_holds_its_range(low: float, span: float) -> None:
    """Ticks are round, in order, few, and the range lies between the ends."""
    found = make_axis(low, low + span)
    assert found.low <= low + 1e-6 * span and found.high >= low + (1 - 1e-6) * span
    assert 2 <= len(found.ticks) <= 12
    assert all(-1e-9 <= found.position(value) <= 1 + 1e-9 for value, _ in found.ticks)


def test_a_tag_refuses_what_cannot_be_drawn() -> None:
    """Not a number in a chart is a mistake of ours, said at once."""
    with pytest.raises(ValueError, match="finite"):
        tag("rect", x=float("nan"))
    assert tag("text", "<b>", x=1.0) == '<text x="1">&lt;b&gt;</text>'
