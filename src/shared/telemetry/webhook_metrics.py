"""The webhook receiver's metrics for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class WebhookMeters:
    """Counters of one process; of all workers together where PROMETHEUS_MULTIPROC_DIR names a folder, as the vendor's
    library has it. How many deliveries there are is the database's to say, and so the same in every worker.
    """

    def __init__(self) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "trueline_webhook_requests", "Requests by what became of them.", ["outcome"], registry=own
        )
        self._seconds = Histogram(
            "trueline_webhook_seconds", "From the request's headers to its answer.", buckets=_SECONDS, registry=own
        )
        self._notifications = Counter(
            "trueline_webhook_told", "Attempts to notify a channel.", ["channel", "heard"], registry=own
        )
        self._last = Gauge(
            "trueline_webhook_last_accepted_timestamp_seconds",
            "When a delivery was last accepted.",
            registry=own,
            multiprocess_mode="mostrecent",
        )

    def record_request(self, outcome: str, seconds: float, now: float) -> None:
        """Count a request; the time that it took, and the present in Unix seconds."""
        self._requests.labels(outcome).inc()
        self._seconds.observe(seconds)
        if outcome == "accepted":
            self._last.set(now)

    def record_notification(self, channel: str, heard: bool) -> None:
        """Count an attempt to notify a channel."""
        self._notifications.labels(channel, str(heard).lower()).inc()

    def render(self, deliveries: Mapping[str, int] | None) -> bytes:
        """All of it in Prometheus' text format; `deliveries` by state, None where the database cannot say."""
        registry = self._registry
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            from prometheus_client.multiprocess import MultiProcessCollector  # late: it wants the folder

            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        stored = CollectorRegistry()
        stored.register(_DeliveriesByState(deliveries))
        return generate_latest(registry) + generate_latest(stored)


class _DeliveriesByState(Collector):
    def __init__(self, deliveries: Mapping[str, int] | None) -> None:
        self._deliveries = deliveries

    def collect(self) -> Iterable[Metric]:
        """The database's part of a page."""
        up = GaugeMetricFamily("trueline_webhook_database_up", "1 when the database answers.")
        up.add_metric([], float(self._deliveries is not None))
        yield up
        rows = GaugeMetricFamily("trueline_webhook_deliveries", "Deliveries that are stored.", labels=["state"])
        for state, count in sorted((self._deliveries or {}).items()):
            rows.add_metric([state], count)
        yield rows
