"""Redaction of logs: a filter for handlers and loggers, and a way to put it in front of all of them for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from shared.privacy.redaction import Redactor

_PLAIN = logging.Formatter()


class RedactingFilter(logging.Filter):
    """Lets every record pass, with its message, and the traceback that comes with it, redacted."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place. A message whose arguments do not fit it is said as it was written."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message = str(record.msg)
        record.msg, record.args = self._redactor.redact(message), ()
        if record.exc_info and record.exc_text is None:
            record.exc_text = _PLAIN.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text, record.exc_info = self._redactor.redact(record.exc_text), None
        if record.stack_info:
            record.stack_info = self._redactor.redact(record.stack_info)
        return True


@contextmanager
def redacted_logs(redactor: Redactor) -> Iterator[None]:
    """Redact every record made inside the block, whichever logger makes it and whatever handler writes it.

    Records are redacted when they are made, so that handlers added later, and the one that Python uses where there is
    none, see no raw text. What is passed as `extra` is not a part of the message and is left.
    """
    redacting = RedactingFilter(redactor)
    before = logging.getLogRecordFactory()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = before(*args, **kwargs)
        redacting.filter(record)
        return record

    logging.setLogRecordFactory(made)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)
