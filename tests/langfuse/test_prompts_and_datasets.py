"""Prompts, datasets and experiments through the client."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.core.errors import ConfigError, Unavailable
from shared.langfuse.api.dataset_api import NewItem
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.langfuse_errors import NotFound, Refused
from shared.langfuse.api.prompt_api import NewPrompt
from tests.langfuse.clients import collect, run_with_client, score
from tests.langfuse.fake_server.faults import BROKEN, CUT_AFTER, UNAVAILABLE
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.wire import START

NAMES = ["plain", "folder/with slash", "ünï % cödé?#&+"]


@pytest.mark.parametrize("name", NAMES)
def test_versions_and_labels_of_any_name(name: str) -> None:
    async def work(client: LangfuseClient) -> None:
        prompts = client.prompts
        first = await prompts.create(NewPrompt(name, "v1 {{x}}", labels=("production",), tags=("t",), config={"m": 1}))
        second = await prompts.create(NewPrompt(name, "v2 {{x}}", commit_message="better"))
        assert (first.version, second.version, second.labels, second.tags) == (1, 2, ("latest",), ("t",))
        assert (await prompts.get(name)).content == "v1 {{x}}"
        assert (await prompts.get(name, label="latest")).commit_message == "better"
        moved = await prompts.add_labels(name, 2, ["production", "eu"])
        assert moved.labels == ("production", "eu", "latest")
        assert (await prompts.get(name)).version == 2
        assert (await prompts.get(name, version=1)).labels == ()
        with pytest.raises(NotFound):
            await prompts.get(name, label="us")
        with pytest.raises(NotFound):
            await prompts.add_labels(name, 9, ["eu"])
        with pytest.raises(Refused, match="latest"):
            await prompts.add_labels(name, 1, ["latest"])
        with pytest.raises(ConfigError, match="one of them"):
            await prompts.get(name, version=1, label="eu")

    with run_fake_langfuse() as server:
        run_with_client(server, work)


def test_chat_prompts_keep_their_messages_and_their_type() -> None:
    messages = [{"role": "system", "content": "Be {{tone}}"}, {"type": "placeholder", "name": "history"}]

    async def work(client: LangfuseClient) -> None:
        made = await client.prompts.create(NewPrompt("chat", messages))
        assert made.type == "chat" and list(made.content) == messages
        with pytest.raises(Refused, match="different prompt type"):
            await client.prompts.create(NewPrompt("chat", "text"))

    with run_fake_langfuse() as server:
        run_with_client(server, work)


def test_a_list_shows_every_prompt_over_all_pages_and_exact_names_only() -> None:
    async def work(client: LangfuseClient) -> None:
        for number in range(120):
            await client.prompts.create(NewPrompt(f"p{number:03}", "x", labels=("eu",) if number % 2 else ()))
        assert len(await collect(client.prompts.list_all())) == 120
        assert len(await collect(client.prompts.list_all(label="eu"))) == 60
        found = await collect(client.prompts.list_all(name="p01"))
        assert not found
        assert [each.versions for each in await collect(client.prompts.list_all(name="p011"))] == [(1,)]

    with run_fake_langfuse() as server:
        run_with_client(server, work)


def test_a_version_is_never_made_twice() -> None:
    with run_fake_langfuse() as server:
        server.faults.add("POST /api/public/v2/prompts", CUT_AFTER)
        with pytest.raises(Unavailable, match="may have taken effect"):
            run_with_client(server, lambda client: client.prompts.create(NewPrompt("p", "x")))
        assert len(server.prompts.versions["p"]) == 1


def test_a_protected_label_stays() -> None:
    with run_fake_langfuse(Plan(protected_labels=frozenset({"production"}))) as server:
        with pytest.raises(ConfigError, match="protected label 'production'"):
            run_with_client(server, lambda client: client.prompts.create(NewPrompt("p", "x", labels=("production",))))
        assert "p" not in server.prompts.versions


@pytest.mark.parametrize("name", NAMES)
def test_datasets_of_any_name_with_items_that_replace_themselves(name: str) -> None:
    async def work(client: LangfuseClient) -> None:
        datasets = client.datasets
        await datasets.create(name, "first")
        assert (await datasets.create(name, "second"))["description"] == "second"
        for number in range(130):
            await datasets.put_item(name, NewItem(f"{name}-{number}", {"q": number}, expected_output="a"))
        await datasets.put_item(name, NewItem(f"{name}-7", {"q": "new"}, source_trace_id="t7"))
        items = {row["id"]: row for row in await collect(datasets.items(name))}
        assert len(items) == 130 and items[f"{name}-7"]["input"] == {"q": "new"}
        assert [row["name"] for row in await collect(datasets.list_all())] == [name]
        link = await datasets.link("run", f"{name}-7", "t7")
        assert link["datasetRunName"] == "run"

    with run_fake_langfuse() as server:
        server.faults.add("POST /api/public/dataset-items", BROKEN, UNAVAILABLE)
        run_with_client(server, work)


def test_what_is_not_there_is_not_found() -> None:
    async def work(client: LangfuseClient) -> None:
        with pytest.raises(NotFound, match="Dataset not found"):
            await client.datasets.get("folder/none")
        with pytest.raises(NotFound):
            await collect(client.datasets.items("none"))
        with pytest.raises(NotFound):
            await client.datasets.put_item("none", NewItem("i", 1))
        with pytest.raises(NotFound):
            await client.datasets.link("run", "none", "t")

    with run_fake_langfuse() as server:
        run_with_client(server, work)


def test_experiments_are_read_from_spans() -> None:
    about = {"id": "e1", "name": "exp", "metadata": '{"m": 1}', "dataset.id": "d1"}
    rows = [
        {
            **{"id": f"o{n}", "traceId": f"t{n}", "startTime": "2026-11-20T11:00:00Z", "output": "y"},
            "_experiment": {**about, "item.id": f"i{n}", "item.expected_output": "x"},
        }
        for n in range(110)
    ]

    async def work(client: LangfuseClient) -> None:
        await client.post_scores([score(3, 0.5), score(200, 0.9, trace_id=None, experiment_id="e1")])
        since = START - timedelta(days=1)
        found = await collect(client.datasets.experiments(since))
        assert [(row["id"], row["itemCount"], row["metadata"]) for row in found] == [("e1", 110, {"m": 1})]
        assert [each["value"] for each in found[0]["scores"]] == [0.9]
        items = await collect(client.datasets.experiment_items(since, "e1"))
        assert len(items) == 110 and {row["expectedOutput"] for row in items} == {"x"}
        assert [each["value"] for row in items for each in row["scores"]] == [0.5]
        assert not await collect(client.datasets.experiment_items(since, "e2"))

    with run_fake_langfuse() as server:
        server.observations.add(*rows)
        run_with_client(server, work)
