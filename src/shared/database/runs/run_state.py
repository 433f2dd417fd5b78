"""The stores of runs on one database, composed by role."""

from __future__ import annotations

from pathlib import Path

from shared.core.clock import Clock, utc_now
from shared.core.state.run_stores import RunState, StateReader
from shared.database.engine.database import Database
from shared.database.runs.result_reader import SqlResultReader
from shared.database.runs.run_reader import SqlRunReader
from shared.database.runs.sql_aggregates import SqlAggregates
from shared.database.runs.sql_claims import SqlClaimStore
from shared.database.runs.sql_estimates import SqlEstimates
from shared.database.runs.sql_item_history import SqlItemHistoryReader
from shared.database.runs.sql_outbox import SqlOutbox
from shared.database.runs.sql_reports import SqlReports
from shared.database.runs.sql_results import SqlResults
from shared.database.runs.sql_samples import SqlSamples
from shared.database.runs.sql_skipped_items import SqlSkippedItems


def build_run_state(
    database: Database, clock: Clock = utc_now, scored_file: Path | None = None, group_by: tuple[str, ...] = ()
) -> RunState:
    """What runs store in this database; `clock` dates it. Several processes may use one database. What is processed may
    be in a `scored_file` beside it. `group_by`: the fields of items by which scores are aggregated.
    """
    return RunState(
        samples=SqlSamples(database, clock),
        skipped=SqlSkippedItems(database, clock),
        claims=SqlClaimStore(database, clock, scored_file),
        results=SqlResults(database, clock, group_by),
        reports=SqlReports(database),
        outbox=SqlOutbox(database),
        aggregates=SqlAggregates(database, clock, group_by),
        estimates=SqlEstimates(database, clock),
    )


def build_state_reader(database: Database, group_by: tuple[str, ...] = ()) -> StateReader:
    """What can be read of runs in this database; `group_by` as for `build_run_state`."""
    return StateReader(SqlRunReader(database), SqlResultReader(database, group_by), SqlItemHistoryReader(database))
