"""Which draws a run has a share in, and which of them it reports: exactly one run gives the estimates of a draw, over
all its items, whoever scored them. It is the one that scored the last of them; when that one was killed before it could
report, the next run that is alone does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from shared.core.state.claims import SampledItem
from shared.monitoring.plan import MonitorPlan, Ports
from shared.monitoring.tally import RunTally

ELSEWHERE = "other runs share the draw of this one; the one that scores its last item reports the estimates"


class SampleShares:
    """The first tries that one run made, by draw."""

    def __init__(self, plan: MonitorPlan, ports: Ports, worker: str) -> None:
        self._stream, self._reports, self._worker = plan.stream, ports.state.reports, worker
        self._mine: Counter[str] = Counter()
        self._ids: set[str] = set()
        self._mixed = False

    def add_draw(self, run_id: str) -> None:
        """The run has a draw of its own."""
        self._mine[run_id] += 0

    def add_scored(self, drawn: SampledItem) -> None:
        """The run has scored an item; tries after the first belong to no draw, theirs has been reported."""
        if drawn.attempts == 0:
            self._mine[drawn.draw] += 1
            self._ids.add(drawn.item.id)

    def claim_reports(self, tally: RunTally, thinned: Mapping[str, int]) -> tuple[list[str], str]:
        """The draws that this run may report, and what must be told of it; afterwards the tally's estimates are of all
        items of these draws. `thinned` are the items that the run left out of its draws by chance.
        """
        sizes = self._reports.find_finished_samples(self._stream, self._mine, self._worker)
        if not sizes:
            return [], ELSEWHERE if self._mine else ""
        alone = not self._mixed and sizes.keys() == self._mine.keys()
        if alone and all(self._mine[draw] + thinned.get(draw, 0) == size for draw, size in sizes.items()):
            return list(sizes), ""
        self._mixed = True  # from here on the tally holds what other runs have scored, too
        tally.forget()
        others = 0
        for row in self._reports.read_sample_results(self._stream, sizes):
            tally.estimate(row, row.decision, row.not_applicable)
            others += row.decision.item_id not in self._ids
        note = f"this run reports a draw of which {others:,} items were scored by other runs; they are counted in"
        return list(sizes), note if others else ""
