"""Scores as OpenTelemetry events, against a collector that reads what came over the wire."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from pydantic import ValidationError

from shared.core.errors import FatalError, TruelineError, Unavailable
from shared.core.ports import Batch
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricRef, MetricScore, RunConfig, RunReport, Stream
from shared.telemetry.otlp_params import OpenTelemetryParams, with_environment
from shared.telemetry.otlp_sink import PER_REQUEST, OpenTelemetrySink
from shared.wiring.cli import main
from tests.telemetry.collector import Collector, Reply, attributes, collecting

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
REF = MetricRef("Right", "exact_match", "1", "abc")
TRACE, SPAN = "ab" * 16, "cd" * 8


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def batch(item: DatasetItem, *rows: MetricScore | MetricFailure) -> Batch:
    stream = Stream("file:athena", "athena")
    scores = tuple(row for row in rows if isinstance(row, MetricScore))
    failures = tuple(row for row in rows if isinstance(row, MetricFailure))
    run = RunReport("run-1", "athena", stream, RunConfig("digest"), "running", AT)
    return Batch("b1", stream, (ItemResult(item, scores, failures),), run)


def publish(url: str, what: Batch, environment: str = "", **given: Any) -> None:
    params = OpenTelemetryParams(**({"endpoint": url} | given))
    asyncio.run(OpenTelemetrySink(params, environment, clock=lambda: AT).publish(what))


def test_a_score_is_an_event_of_the_span_that_was_judged(collector: Collector) -> None:
    item = DatasetItem(id="i1", trace_id=TRACE, observation_id=SPAN, session_id="s1", metadata={"response_id": "r-9"})
    score = MetricScore(REF, 0.5, False, 0.7, "said 'no'", model="judge-1")
    publish(collector.url, batch(item, score), environment="production", service_name="monitor")
    (record,) = collector.records
    assert record.event_name == "gen_ai.evaluation.result"
    assert (record.trace_id.hex(), record.span_id.hex(), record.flags) == (TRACE, SPAN, 1)
    assert record.time_unix_nano == int(AT.timestamp()) * 10**9
    assert attributes(record) == {
        "gen_ai.evaluation.name": "Right",
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.score.label": "fail",
        "gen_ai.evaluation.explanation": "said 'no'",
        "gen_ai.response.id": "r-9",
        "session.id": "s1",
        "trueline.item_id": "i1",
        "trueline.monitor": "athena",
        "trueline.run_id": "run-1",
        "trueline.metric.class": "exact_match",
        "trueline.metric.version": "1",
        "trueline.metric.digest": "abc",
        "trueline.threshold": 0.7,
        "trueline.judge.model": "judge-1",
    }
    assert collector.resources == [{"service.name": "monitor", "deployment.environment.name": "production"}]
    assert collector.requests[0][0] == "/v1/logs"


def test_a_failure_is_an_event_with_an_error_and_no_score(collector: Collector) -> None:
    publish(collector.url, batch(DatasetItem(id="i1"), MetricFailure(REF, "i1", "TimeoutError", "took 30 s")))
    found = attributes(collector.records[0])
    assert (found["error.type"], found["trueline.failure.message"]) == ("TimeoutError", "took 30 s")
    assert not [name for name in found if ".score." in name]
    assert collector.records[0].severity_number == 17


IDS = [
    (TRACE.upper(), None, TRACE, ""),
    (TRACE, "117611d60959a-01", TRACE, ""),
    (TRACE, "0" * 16, TRACE, ""),
    ("0" * 32, SPAN, "", ""),
    ("trace-1", SPAN, "", ""),
    (None, SPAN, "", ""),
]


@pytest.mark.parametrize(("trace", "span", "sent_trace", "sent_span"), IDS)
def test_only_ids_that_opentelemetry_knows_make_a_parent(
    collector: Collector, trace: str | None, span: str | None, sent_trace: str, sent_span: str
) -> None:
    item = DatasetItem(id="i1", trace_id=trace, observation_id=span)
    publish(collector.url, batch(item, MetricScore(REF, 1, None, None)))
    record = collector.records[0]
    assert (record.trace_id.hex(), record.span_id.hex()) == (sent_trace, sent_span)
    assert record.flags == bool(sent_trace)
    found = attributes(record)
    assert found.get("trueline.trace_id") == (trace if trace and not sent_trace else None)
    assert "gen_ai.evaluation.score.label" not in found  # without a threshold nothing passes or fails


def test_large_batches_go_in_several_requests_and_odd_texts_arrive(collector: Collector) -> None:
    item = DatasetItem(id="i1", trace_id=TRACE)
    scores = [MetricScore(REF, n, None, None, "half a pair \ud83d") for n in range(PER_REQUEST + 5)]
    publish(collector.url, batch(item, *scores), compression="gzip")
    values = [attributes(record)["gen_ai.evaluation.score.value"] for record in collector.records]
    assert values == [float(n) for n in range(PER_REQUEST + 5)]
    assert attributes(collector.records[0])["gen_ai.evaluation.explanation"] == "half a pair ?"
    assert [headers["content-encoding"] for _, headers in collector.requests] == ["gzip", "gzip"]


ONE = batch(DatasetItem(id="i1"), MetricScore(REF, 1, True, 0.5))


def test_a_busy_collector_is_asked_again_within_the_time(collector: Collector) -> None:
    collector.replies = [(503, {}, b""), (429, {"retry-after": "0"}, b"")]
    publish(collector.url, ONE)
    assert (len(collector.requests), len(collector.records)) == (3, 1)


@pytest.mark.parametrize("reply", [(429, {"retry-after": "60"}, b""), (503, {}, b""), None])
def test_the_time_for_a_batch_is_bounded(collector: Collector, reply: Reply | None) -> None:
    """Whether it asks for a minute, is never ready, or never answers."""
    collector.replies = [reply] * 50
    with pytest.raises(Unavailable, match=r"not all taken within 0\.4 s"):
        publish(collector.url, ONE, timeout=0.4)


@pytest.mark.parametrize("status", [301, 400, 401, 404])
def test_a_refusal_is_no_success_and_shows_no_key(collector: Collector, status: int) -> None:
    collector.replies = [(status, {}, b"no")]
    with pytest.raises(FatalError, match=f"refused with {status}; check publishing.opentelemetry") as told:
        publish(collector.url, ONE, headers={"x-api-key": "sk-hidden"})
    assert "sk-hidden" not in str(told.value)
    assert collector.requests[0][1]["x-api-key"] == "sk-hidden"


def test_a_collector_that_is_not_there_is_said() -> None:
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/v1/logs: ConnectError"):
        publish("http://127.0.0.1:9", ONE)


def test_a_certificate_that_is_not_there_is_said(collector: Collector) -> None:
    with pytest.raises(TruelineError, match=r"certificate nowhere\.pem"):
        publish(collector.url, ONE, certificate="nowhere.pem")


def test_what_a_collector_left_out_is_logged(collector: Collector, caplog: pytest.LogCaptureFixture) -> None:
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 3
    answer.partial_success.error_message = "too old"
    collector.replies = [(200, {}, answer.SerializeToString()), (200, {}, b"\xff thanks")]
    publish(collector.url, ONE)
    publish(collector.url, ONE)
    assert [each.message for each in caplog.records if each.name.startswith("shared")] == [
        "opentelemetry: the collector rejected 3 events: too old"
    ]


def test_the_environment_fills_what_the_file_leaves_open() -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://base:4318/",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-key=a%3Db, x-team=blue,broken",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_SERVICE_NAME": "ours",
    }
    found = OpenTelemetryParams(**with_environment({"headers": {"x-team": "red"}}, variables))
    assert found.url == "http://base:4318/v1/logs"
    assert {name: value.get_secret_value() for name, value in found.headers.items()} == {
        "x-key": "a=b",
        "x-team": "red",
    }
    assert (found.compression, found.service_name) == ("gzip", "ours")
    variables["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] = "http://logs:4318/otlp/events"  # as it is, by OpenTelemetry's rule
    assert OpenTelemetryParams(**with_environment({}, variables)).url == "http://logs:4318/otlp/events"
    assert OpenTelemetryParams(**with_environment({"endpoint": "http://file"}, variables)).url == "http://file/v1/logs"
    assert "endpoint" not in with_environment({}, {})


@pytest.mark.parametrize(
    "given", [{"endpoint": "collector:4318"}, {"endpoint": "http://u:p@h"}, {"headers": {"x-key": "sk-hid\nden"}}]
)
def test_mistakes_are_told_without_the_key(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as told:
        OpenTelemetryParams(**({"endpoint": "http://h"} | given))
    assert "sk-hid" not in str(told.value)


CONFIG = """\
name: events
source: {type: file, path: items.jsonl, window: all}
metrics_config: {Exact: {class: exact_match}}
publishing: {opentelemetry: {ENDPOINT}}
report: {path: null}
"""


def monitor(folder: Path, block: str) -> Path:
    rows = [{"id": f"i{n}", "actual_output": "a", "expected_output": "a", "trace_id": TRACE} for n in range(1200)]
    (folder / ".env").touch()
    (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "m.yaml"
    path.write_text(CONFIG.replace("{ENDPOINT}", block))
    return path


def test_a_run_sends_every_score_once(collector: Collector, tmp_path: Path) -> None:
    path = monitor(tmp_path, f"{{endpoint: {collector.url}, service_name: s}}")
    assert main(["run", str(path), "--quiet"]) == 0
    assert len({attributes(record)["trueline.item_id"] for record in collector.records}) == 1200
    assert len(collector.records) == 1200
    assert main(["run", str(path), "--quiet"]) == 0
    assert len(collector.records) == 1200


def test_a_run_never_fails_for_its_events(
    collector: Collector, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """That they did not arrive is said; every score is stored."""
    collector.replies = [(401, {}, b"")] * 10
    path = monitor(tmp_path, "{}")
    (tmp_path / ".env").write_text(f"OTEL_EXPORTER_OTLP_ENDPOINT={collector.url}\n")
    assert main(["run", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["counts"]["scored"], told["counts"]["marked"]) == (1200, 1200)
    assert len(collector.requests) == 1
    assert any("opentelemetry" in note and "refused with 401" in note for note in told["notes"])


def test_a_header_that_cannot_be_sent_is_told_without_its_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    block = '{endpoint: "http://127.0.0.1:9", headers: {x-key: "sk-hid\\nden"}}'
    assert main(["run", str(monitor(tmp_path, block))]) == 2
    told = capsys.readouterr().err
    assert (
        "headers: header 'x-key': character 7 of 10 is a control or non-ASCII character" in told
        and "sk-hid" not in told
    )


def test_the_line_break_at_the_end_of_a_header_is_not_sent(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of secrets end in one."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-team=blue%0D%0A")
    path = monitor(tmp_path, f'{{endpoint: "{collector.url}", headers: {{x-key: "sk-hidden\\r\\n"}}}}')
    assert main(["run", str(path), "--quiet"]) == 0
    headers = collector.requests[0][1]
    assert (headers["x-key"], headers["x-team"]) == ("sk-hidden", "blue")


def test_without_an_endpoint_the_configuration_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(monitor(tmp_path, "{service_name: s}"))]) == 2
    assert "m.yaml:4  publishing.opentelemetry: 'endpoint' is missing" in capsys.readouterr().err


def test_without_the_extra_the_cure_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    assert main(["run", str(monitor(tmp_path, '{endpoint: "http://127.0.0.1:9"}'))]) == 2
    cure = "needs the extra otel: pip install 'opentelemetry-proto<2,>=1.40'"
    assert f"publishing.opentelemetry: {cure}" in capsys.readouterr().err


def test_safe_mode_keeps_personal_data_out_of_events(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFE_MODE", "1")
    path = monitor(tmp_path, f"{{endpoint: {collector.url}}}")
    row = {"id": "i1", "actual_output": "write to jane.doe@example.com", "session_id": "jane.doe@example.com"}
    (tmp_path / "items.jsonl").write_text(json.dumps(row) + "\n")
    path.write_text(path.read_text().replace("class: exact_match", "class: pii_presence"))
    assert main(["run", str(path), "--quiet"]) == 0
    assert len(collector.records) == 1
    assert "jane" not in str(collector.records)


def test_the_batchs_own_run_is_told(collector: Collector) -> None:
    publish(collector.url, replace(ONE, run=replace(ONE.run, run_id="run-2")))
    assert attributes(collector.records[0])["trueline.run_id"] == "run-2"
