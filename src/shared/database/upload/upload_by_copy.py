"""Chunks of an upload into Postgres: by COPY into the table itself; where a row is there already, by COPY into a
temporary table and one INSERT from there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from shared.database.upload.table_layout import quote_name
from shared.database.upload.upload_result import EvaluationUploadError, UploadProgress, conflict_clause, suggest_remedy

_STAGE = "trueline_upload"
_COPY_PLACE = re.compile(r"^COPY .*?, line (\d+)(?:, column ([^:\n]+))?", re.MULTILINE)
_THERE_ALREADY = "23505"
_IN_THE_WAY = (_THERE_ALREADY, "23P01")  # of a unique key, of an exclusion
_NO_TABLE = ("0A000", "42809")  # a view, or row-level security: INSERT may know what to do


class Copy:
    """Stores chunks, one a call."""

    def __init__(self, work: UploadProgress) -> None:
        self._work = work
        self._raw: Any = work.connection.connection.driver_connection
        columns = ", ".join(map(quote_name, work.names))
        # Without ORDER BY: they come as they were copied, in the order of everybody who copies straight.
        self._insert = f"INSERT INTO {work.shape.sql} ({columns}) SELECT {columns} FROM {_STAGE}{conflict_clause(work)}"
        self._fresh = (
            f"CREATE TEMPORARY TABLE {_STAGE} ON COMMIT DROP AS SELECT {columns} FROM {work.shape.sql} LIMIT 0"
        )
        strict = work.upload.on_conflict == "error"
        self._into = f"COPY {{}} ({columns}) FROM STDIN"
        # Of keys that are not the table's own only INSERT knows whether anything holds them apart, and COPY would write
        # over the server's numbers.
        known = strict or not work.upload.keys or set(work.upload.keys) == set(work.shape.key)
        self._straight = known and work.shape.numbered.isdisjoint(work.names)
        self._passing = _NO_TABLE if strict else (*_NO_TABLE, *_IN_THE_WAY)

    def __call__(self, columns: list[list[Any]]) -> int:
        import psycopg  # late: files need no server

        order = _order_by_key(self._work, columns)
        rows = list(zip(*columns, strict=True))
        rows = [rows[number] for number in order]
        try:
            with self._raw.cursor() as cursor:
                return len(rows) if self._store_directly(cursor, rows) else self._store_by_insert(cursor, rows)
        except psycopg.Error as error:
            raise self._explain_error(error, order) from error

    def _store_directly(self, cursor: Any, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Whether all went into the table itself, which takes two thirds of the time. Else none did, and no later
        chunk is tried so.
        """
        import psycopg  # late: as above

        if not self._straight:
            return False
        cursor.execute(f"SAVEPOINT {_STAGE}")
        try:
            self._copy(cursor, self._work.shape.sql, rows)
        except psycopg.Error as error:
            if error.sqlstate not in self._passing:
                raise
            cursor.execute(f"ROLLBACK TO SAVEPOINT {_STAGE}")
            self._straight = False
        cursor.execute(f"RELEASE SAVEPOINT {_STAGE}")
        return self._straight

    def _store_by_insert(self, cursor: Any, rows: Sequence[tuple[Any, ...]]) -> int:
        """Store by way of the temporary table; how many rows that made or changed."""
        cursor.execute(f"DROP TABLE IF EXISTS pg_temp.{_STAGE}")
        cursor.execute(self._fresh)
        self._copy(cursor, _STAGE, rows)
        cursor.execute(self._insert)
        return int(cursor.rowcount)

    def _copy(self, cursor: Any, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        with cursor.copy(self._into.format(table)) as copy:
            for row in rows:
                copy.write_row(row)

    def _explain_error(self, error: Any, order: Sequence[int]) -> Exception:
        """The server's error with the row it is about; one of the connection as SQLAlchemy knows it."""
        said, diagnosis = str(error).splitlines()[0] if str(error) else type(error).__name__, error.diag
        if diagnosis.sqlstate is None or diagnosis.sqlstate[:2] not in ("22", "23", "54"):
            return sa.exc.DBAPIError(self._into.format(self._work.shape.sql), None, error)
        place, found = self._work.shape.said, _COPY_PLACE.search(diagnosis.context or "")
        if found and (found[2] or diagnosis.sqlstate[:2] != "54"):  # what is too large is met lines later
            column = f".{found[2]}" if found[2] else ""
            place = f"{place}{column}, row {self._work.done + order[int(found[1]) - 1]}"
        keyed = diagnosis.sqlstate in ("23503", _THERE_ALREADY)  # the details of others show the whole row
        detail = f" ({diagnosis.message_detail})" if keyed and diagnosis.message_detail else ""
        return EvaluationUploadError(
            f"{place}: {said}{detail}; nothing of this upload was stored{suggest_remedy(said)}"
        )


def _order_by_key(work: UploadProgress, columns: list[list[Any]]) -> list[int]:
    """The places of a chunk's rows by their keys, so that two who upload the same rows wait for one another and never
    cross. Of rows with one key only the one that is to stay: one statement may not replace what it has stored itself.
    """
    where = [work.names.index(name) for name in work.keys]
    keys = list(zip(*(columns[place] for place in where), strict=True))
    if not keys:
        return list(range(len(columns[0])))
    places = {"error": (), "do_nothing": range(len(keys) - 1, -1, -1), "upsert": range(len(keys))}
    kept = {(number if None in keys[number] else keys[number]): number for number in places[work.upload.on_conflict]}
    numbers = kept.values() if work.upload.on_conflict != "error" else range(len(keys))
    if all(work.kinds[place] == "id" for place in where):
        return sorted(numbers, key=keys.__getitem__)
    return sorted(numbers, key=lambda number: tuple(map(str, keys[number])))
