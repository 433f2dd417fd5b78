import logging

import pytest

from shared.core.best_effort import attempt, best_effort


def test_a_failure_is_told_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    """Telemetry that breaks is a warning, never a broken run."""
    with caplog.at_level(logging.WARNING), best_effort("the picture"):
        raise RuntimeError("no ink")
    assert [each.getMessage() for each in caplog.records] == [
        "the picture failed and was left out: RuntimeError: no ink"
    ]


def test_what_works_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A warning means something."""
    with best_effort("the picture"):
        pass
    assert not caplog.records


def test_ctrl_c_is_not_swallowed() -> None:
    """Best effort is about failures, not about the user who wants to stop."""
    with pytest.raises(KeyboardInterrupt), best_effort("the picture"):
        raise KeyboardInterrupt


def test_an_attempt_gives_the_answer_or_the_exception() -> None:
    """One broken record is a value that the caller counts; Ctrl-C is none."""
    assert attempt(int, "5") == 5
    failed = attempt(int, "five")
    assert isinstance(failed, ValueError)
    with pytest.raises(KeyboardInterrupt):
        attempt(_stop, "")


def _stop(text: str) -> str:
    raise KeyboardInterrupt(text)
