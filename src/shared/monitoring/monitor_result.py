"""What a run of a monitor gives back: its report, and its rows read from the store when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shared.core.human_labels import AnchorStore
from shared.core.results import ItemResult, RunReport
from shared.core.state.run_stores import ReportStore, StateReader
from shared.scoring.result_tables import EvaluationInfo, EvaluationResult

if TYPE_CHECKING:
    import pandas as pd

    from shared.monitoring.alerts.watch_series import Watch


@dataclass(frozen=True, slots=True)
class MonitorResult:
    """One finished run. `anchors` holds the passes over the anchor set, `reports` its row; both None for a dry run.
    `alerts` is how the monitor's alerts stand, None where nothing is watched.
    `close` gives the state's connections back, in a process that goes on; nothing can be read from then on.
    """

    report: RunReport
    reader: StateReader
    anchors: AnchorStore | None = None
    reports: ReportStore | None = None
    close: Callable[[], None] = lambda: None
    alerts: Watch | None = None

    @property
    def evaluation(self) -> EvaluationResult:
        """All rows of the run, in memory."""
        run, config = self.report, self.report.config
        info = EvaluationInfo(
            run.run_id, run.monitor, run.started_at, config.version, config.environment, publishing=config.publishing
        )
        rows = self.reader.results.read_results(run.stream, run_id=run.run_id)
        return EvaluationResult(info, [ItemResult(row.item, tuple(row.scores), tuple(row.failures)) for row in rows])

    def to_dataframe(self) -> pd.DataFrame:
        """One row per item and metric, see `EvaluationResult.to_dataframe`."""
        return self.evaluation.to_dataframe()

    def to_normalized_dataframes(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(items, metrics), see `EvaluationResult.to_normalized_dataframes`."""
        return self.evaluation.to_normalized_dataframes()
