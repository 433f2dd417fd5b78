"""Redaction of logs: a filter for handlers and loggers, and a way to put it in front of all of them for a while."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from shared.privacy.redaction import TextCleaner, redact_or_withhold

_PLAIN = logging.Formatter()


class RedactingFilter(logging.Filter):
    """Lets every record pass, with its message, and the traceback that comes with it, redacted."""

    def __init__(self, cleaner: TextCleaner) -> None:
        super().__init__()
        self._cleaner = cleaner

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record in place; one without anything to hide stays as it is. A message whose arguments do not fit
        it is logged as it was written.
        """
        redact = partial(redact_or_withhold, self._cleaner)
        try:
            message = record.getMessage()
        except (TypeError, ValueError, KeyError):
            message, record.args = str(record.msg), ()
        if (redacted := redact(message)) != message and isinstance(record.args, tuple):
            record.args = tuple(redact(each) if isinstance(each, str) else each for each in record.args)
        if not record.args or record.getMessage() != redacted:  # else formatters that read the arguments find them
            record.msg, record.args = redacted, ()
        trace = record.exc_text or (_PLAIN.formatException(record.exc_info) if record.exc_info else "")
        if (redacted := redact(trace)) != trace:
            record.exc_text, record.exc_info = redacted, None
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        return True


@contextmanager
def redacted_logs(cleaner: TextCleaner) -> Iterator[None]:
    """Redact every record made inside the block, whichever logger makes it and whatever handler writes it.

    Records are redacted when they are made, so that handlers added later, and the one that Python uses where there is
    none, see no raw text. What is passed as `extra` is not a part of the message and is left.
    """
    redacting = RedactingFilter(cleaner)
    before = logging.getLogRecordFactory()

    def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record: logging.LogRecord = before(*args, **kwargs)
        redacting.filter(record)
        return record

    logging.setLogRecordFactory(make_record)
    try:
        yield
    finally:
        logging.setLogRecordFactory(before)
