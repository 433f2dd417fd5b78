"""Annotations as labels, and datasets as items."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from shared.core.errors import ConfigError, SourceError
from shared.core.extraction import Fetched
from shared.core.human_labels import HumanLabel
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.langfuse.api.dataset_api import NewItem
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.source.annotation_labels import LangfuseLabels, LangfuseLabelsParams
from shared.langfuse.source.dataset_source import LangfuseDatasetParams, LangfuseDatasetSource
from tests.langfuse.clients import run_with_client
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY, Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import START, Request, format_time
from tests.langfuse.source.sourcing import runtime_of


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse() as found:
        yield found


def keys(server: FakeLangfuse) -> dict[str, Any]:
    return {"base_url": server.url, "public_key": SecretStr(PUBLIC_KEY), "secret_key": SecretStr(SECRET_KEY)}


def annotate(server: FakeLangfuse, number: int, name: str, value: float | str, **given: Any) -> None:
    """A score as a person gives it in Langfuse's own pages."""
    kind = given.pop("kind", "NUMERIC")
    subject = given.pop("subject", {"traceId": f"t{number}"})
    body = {"id": f"s{number}-{name}", "name": name, "value": value, "dataType": kind, "source": "ANNOTATION"}
    body |= {"timestamp": format_time(START - timedelta(hours=number)), "authorUserId": "ann", **subject, **given}
    reply = server.scores.post(Request("POST", "/api/public/scores", {}, {}, json.dumps(body).encode(), START))
    assert reply.status == 200


def labels(server: FakeLangfuse, since: Any = None, **given: Any) -> list[HumanLabel]:
    source = LangfuseLabels(LangfuseLabelsParams(**{**keys(server), **given}), Path(), runtime_of(server))
    return sorted(source.labels(since))


@pytest.mark.parametrize("version", ["4.60.0", "4.16.0", "3.90.0"])
def test_annotations_are_labels_whatever_their_type(version: str) -> None:
    with run_fake_langfuse(Plan(version=version, mode="events_only" if version > "4" else "legacy")) as server:
        annotate(server, 1, "right", 1, kind="BOOLEAN")
        annotate(server, 2, "right", 0, kind="BOOLEAN", subject={"traceId": "t2", "observationId": "o2"})
        annotate(server, 3, "right", 0.25)
        annotate(server, 4, "mood", "so-so", kind="CATEGORICAL")
        annotate(server, 5, "right", 1, subject={"sessionId": "talk"})
        annotate(server, 6, "right", 1, source="API")  # a metric's, no person's
        annotate(server, 7, "right", 1, subject={"datasetRunId": "run"})
        annotate(server, 8, "remark", "well said", kind="TEXT")
        found = labels(server, categories={"mood": {"so-so": 0.5}})
        values = [(each.item_id, each.claim, each.value) for each in found]
        assert values == [
            ("t1", "right", 1.0),
            ("t2", "right", 0.0),
            ("t3", "right", 0.25),
            ("t4", "mood", 0.5),
            ("talk", "right", 1.0),
        ]


def test_a_name_is_mapped_to_the_metric_that_claims_the_same(server: FakeLangfuse) -> None:
    annotate(server, 1, "right", 1)
    annotate(server, 2, "tone", 7)  # on a scale of its own: not asked for
    assert labels(server, claims={"right": "Right decision"}) == [
        HumanLabel("t1", "Right decision", 1.0, START - timedelta(hours=1), "ann")
    ]


def test_labels_since_a_time_are_those_given_then_or_later(server: FakeLangfuse) -> None:
    for number in range(1, 5):
        annotate(server, number, "right", 1)
    assert len(labels(server, since=START - timedelta(hours=2))) == 2


def test_one_label_that_cannot_be_understood_fails_the_source_and_is_named(server: FakeLangfuse) -> None:
    annotate(server, 1, "right", 1)
    annotate(server, 2, "right", 5)
    annotate(server, 3, "mood", "fine", kind="CATEGORICAL")
    with pytest.raises(SourceError) as caught:
        labels(server, categories={"mood": {"good": 1.0}})
    assert "score s2-right 'right': found 5; expected yes or no, or a number from 0 to 1" in str(caught.value)
    assert "category 'fine' has no value; known: 'good'; add it to categories.mood" in str(caught.value)


def test_labels_with_a_wrong_key_are_refused_with_the_cure(server: FakeLangfuse) -> None:
    with pytest.raises(ConfigError, match="check public_key, secret_key and base_url"):
        labels(server, secret_key=SecretStr("sk-lf-wrong"))


def fill(server: FakeLangfuse, *items: NewItem, name: str = "golden/answers") -> None:
    async def put(client: LangfuseClient) -> None:
        await client.datasets.create(name)
        for item in items:
            await client.datasets.put_item(name, item)

    run_with_client(server, put)


def read(server: FakeLangfuse, extract: Any = DatasetItem.from_dict, **given: Any) -> list[Fetched]:
    params = LangfuseDatasetParams(**{**keys(server), "dataset": "golden/answers", **given})
    context = SourceContext(Path(), "langfuse_dataset:t", extract)
    return list(LangfuseDatasetSource(params, context, runtime_of(server)).fetch(START))


def test_a_datasets_items_are_cases_to_evaluate(server: FakeLangfuse) -> None:
    facts = {"query": "how far?", "retrieved_content": ["a map"], "unit": "km"}
    fill(
        server,
        NewItem("a", "what?", "that", {"source": "desk"}, source_trace_id="t1"),
        NewItem("b", facts, {"answer": 3}),
    )
    found = {item.id: item for item in read(server) if isinstance(item, DatasetItem)}
    assert found["a"].query == "what?" and found["a"].expected_output == "that" and found["a"].trace_id == "t1"
    assert found["a"].metadata == {"source": "desk"} and found["a"].source_timestamp == START
    assert found["b"].query == "how far?" and found["b"].retrieved_content == ("a map",)
    assert found["b"].additional_input == {"unit": "km"} and found["b"].expected_output == '{"answer": 3}'


def test_an_extractor_of_ones_own_is_given_the_row(server: FakeLangfuse) -> None:
    fill(server, NewItem("a", {"q": 1}, "x"))
    (item,) = read(server, lambda row: DatasetItem(row["id"], str(row["input"]["q"])), records="rows")
    assert item == DatasetItem("a", "1")


def test_archived_items_and_a_limit_are_told(server: FakeLangfuse) -> None:
    fill(server, *(NewItem(f"i{n:03}", f"q{n}") for n in range(130)))
    server.datasets.items["i005"]["status"] = "ARCHIVED"
    assert sum(isinstance(each, DatasetItem) for each in read(server)) == 129
    assert str(read(server)[-1]).count("1 items of dataset 'golden/answers' are archived and skipped") == 1
    found = read(server, limit=5)
    assert len(found) == 6 and "limit 5 was hit" in str(found[-1])


def test_an_item_that_cannot_be_used_is_told_and_the_others_follow(server: FakeLangfuse) -> None:
    fill(server, NewItem("a", {"latency": "slow"}), NewItem("b", "q"))
    found = read(server)
    assert sorted(type(each).__name__ for each in found) == ["BrokenRecord", "DatasetItem"]
    assert any("dataset item a" in str(each) for each in found)


def test_a_dataset_that_does_not_exist_is_named(server: FakeLangfuse) -> None:
    fill(server)
    with pytest.raises(ConfigError, match=r"no dataset 'golden/nothing' in this project\. Known: 'golden/answers'"):
        read(server, dataset="golden/nothing")
