"""Redaction of logs, for a filter by itself and for every logger at once."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from shared.privacy.redact_logs import RedactingFilter, redacted_logs
from shared.privacy.redaction import Redactor

MAIL = "canary@example.com"


@pytest.fixture
def logger() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    made = logging.Logger("apart")
    made.addHandler(logging.StreamHandler(stream))
    yield made, stream
    made.handlers.clear()


def test_messages_arguments_and_tracebacks_are_redacted(logger: tuple[logging.Logger, io.StringIO]) -> None:
    """The message as it is formatted, the error that comes with it, and the stack."""
    log, stream = logger
    log.addFilter(RedactingFilter(Redactor()))
    log.warning("for %s: %d%%", MAIL, 5)
    try:
        raise ValueError(f"no account of {MAIL}")
    except ValueError:
        log.exception("failed", stack_info=True)
    log.warning("odd %s", 1, 2)
    said = stream.getvalue()
    assert MAIL not in said
    assert "for [EMAIL]: 5%" in said and "ValueError: no account of [EMAIL]" in said and "odd %s" in said


def test_every_logger_is_redacted_inside_the_block_and_none_after_it(
    logger: tuple[logging.Logger, io.StringIO],
) -> None:
    """Handlers that were there before see redacted records; when the block ends all is as it was."""
    log, stream = logger
    factory = logging.getLogRecordFactory()
    with redacted_logs(Redactor()):
        log.error("inside %s", MAIL)
    log.error("after %s", MAIL)
    assert stream.getvalue().splitlines() == ["inside [EMAIL]", f"after {MAIL}"]
    assert logging.getLogRecordFactory() is factory
