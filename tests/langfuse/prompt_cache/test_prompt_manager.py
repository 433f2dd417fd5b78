"""The prompt manager: against the fake server, by its environment, its listeners and its poll."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.core.errors import ConfigError, Unavailable
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.prompt import (
    LangfusePromptManager,
    NewPrompt,
    PromptChanged,
    PromptSettings,
    PromptVariablesError,
    Strictness,
)
from shared.langfuse.prompt_cache.prompt_cache import CacheTimes
from shared.langfuse.prompt_cache.reconcile import Reconciled
from tests.langfuse.clients import client_of
from tests.langfuse.fake_server.faults import CUT_AFTER
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.prompt_cache.prompt_server import Bench
from tests.serving.servers import until

NAME = "folder/ünï answer"


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse() as made:
        yield made


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    for manager in made.managers:
        manager.close()


@pytest.fixture
def manager(server: FakeLangfuse) -> Iterator[LangfusePromptManager]:
    made = LangfusePromptManager(client_of(server, tries=1))
    yield made
    made.close()


def test_made_promoted_compiled(manager: LangfusePromptManager) -> None:
    first = manager.create_or_update_prompt(NewPrompt(NAME, "v1 {{x}}", ("production",), config={"model": "m"}))
    assert manager.get_compiled_prompt(NAME, {"x": 1}) == "v1 1"
    assert manager.get_prompt_config(NAME) == {"model": "m"}
    second = manager.create_or_update_prompt(NewPrompt(NAME, "v2 {{x}}", ("staging",)))
    assert (first.version, second.version) == (1, 2)
    assert manager.get_compiled_prompt(NAME, {"x": 1}) == "v1 1"
    assert manager.get_compiled_prompt(NAME, {"x": 1}, label="staging") == "v2 1"
    assert manager.promote_version(NAME, 2).labels == ("production", "staging", "latest")
    assert manager.get_compiled_prompt(NAME, {"x": 1}) == "v2 1"
    assert manager.get_prompt(NAME, version=1).labels == ()
    with pytest.raises(NotFound):
        manager.promote_version(NAME, 9)


def test_the_same_content_makes_no_second_version(manager: LangfusePromptManager, server: FakeLangfuse) -> None:
    """It gets the labels that it lacks; another config is another version."""
    chat = [{"role": "system", "content": "Be {{tone}}"}]
    for labels in ((), ("eu",), ("eu",), ("production",)):
        made = manager.create_or_update_prompt(NewPrompt("chat", chat, labels, config={"m": 1}))
        assert made.version == 1 and set(labels) <= set(made.labels)
    assert manager.get_compiled_prompt("chat", {"tone": "kind"}) == [{"role": "system", "content": "Be kind"}]
    assert manager.create_or_update_prompt(NewPrompt("chat", chat, config={"m": 2})).version == 2
    assert len(server.prompts.versions["chat"]) == 2


def test_one_label_given_as_a_text_does_not_become_many(manager: LangfusePromptManager, server: FakeLangfuse) -> None:
    made = manager.create_or_update_prompt(NewPrompt(NAME, "v1"))
    wrongs: list[Callable[[], object]] = [
        lambda: manager.promote_version(NAME, made.version, "staging"),
        lambda: manager.create_or_update_prompt(NewPrompt(NAME, "v2", "staging")),
        lambda: manager.create_or_update_prompt(NewPrompt(NAME, "v1", "staging")),
    ]
    for wrong in wrongs:
        with pytest.raises(ConfigError, match=r"expected a list, such as \['staging'\]"):
            wrong()
    assert [row["labels"] for row in server.prompts.versions[NAME]] == [["latest"]]


def test_what_the_server_keeps_otherwise_than_it_was_sent_makes_no_second_version(
    manager: LangfusePromptManager,
) -> None:
    """Messages with a `type`, as Langfuse's SDK writes them, and a config that JSON holds in another way."""
    messages = [{"type": "message", "role": "user", "content": "{{x}}"}, {"type": "placeholder", "name": "history"}]
    new = NewPrompt("chat", messages, config={"stop": ("a", "b")})
    assert manager.create_or_update_prompt(new).version == 1
    assert manager.create_or_update_prompt(new).version == 1


def test_a_version_whose_answer_was_lost_is_found_by_calling_again(
    manager: LangfusePromptManager, server: FakeLangfuse
) -> None:
    server.faults.add("POST /api/public/v2/prompts", CUT_AFTER)
    with pytest.raises(Unavailable, match="may have taken effect"):
        manager.create_or_update_prompt(NewPrompt("p", "x", ("production",)))
    assert manager.get_prompt("p").content == "x"
    assert manager.create_or_update_prompt(NewPrompt("p", "x", ("production",))).version == 1


def test_a_prompt_that_does_not_exist(manager: LangfusePromptManager) -> None:
    with pytest.raises(NotFound, match="'nope'"):
        manager.get_prompt("nope")
    assert manager.get_compiled_prompt("nope", {"x": 1}, fallback="f {{x}}") == "f 1"
    chat = [{"role": "user", "content": "{{x}}"}]
    assert manager.get_compiled_prompt("nope", {"x": 1}, fallback=chat) == [{"role": "user", "content": "1"}]


def test_a_version_that_needs_more_than_the_application_gives_is_replaced_by_the_fallback(bench: Bench) -> None:
    manager = bench.manager()
    bench.server.put("p", "{{x}} {{new}}", "production")
    assert manager.get_compiled_prompt("p", {"x": 1}, fallback="f {{x}}") == "f 1"
    with pytest.raises(PromptVariablesError, match="new"):
        manager.get_compiled_prompt("p", {"x": 1})
    with pytest.raises(PromptVariablesError, match="new"):
        manager.get_compiled_prompt("p", {"x": 1}, Strictness(fallback_on_error=False), fallback="f")
    with pytest.raises(PromptVariablesError, match="'y'"):
        manager.get_compiled_prompt("p", {"x": 1}, fallback="f {{y}}")


def test_listeners_hear_each_change_once_here_and_elsewhere(bench: Bench) -> None:
    here, there = bench.manager(), bench.manager()
    heard: list[PromptChanged] = []
    heard_there: list[PromptChanged] = []

    def fails(_: PromptChanged) -> None:
        raise RuntimeError("a listener's own mistake")

    here.on_prompt_change(fails)
    end = here.on_prompt_change(heard.append)
    there.on_prompt_change(heard_there.append)
    here.get_prompt("p"), there.get_prompt("p")
    assert not heard
    here.invalidate("p", "webhook")
    here.get_prompt("p"), there.get_prompt("p"), there.get_prompt("p")
    assert heard == [PromptChanged("p", 1, "webhook")]
    assert heard_there == [PromptChanged("p", 1, "invalidated by another process")]
    end()
    here.invalidate("p")
    assert len(heard) == 1


def test_a_listener_may_read_the_prompt_that_has_changed(bench: Bench) -> None:
    manager = bench.manager()
    read: list[object] = []
    manager.on_prompt_change(lambda change: read.append(manager.get_prompt(change.name).content))
    manager.get_prompt("p")
    bench.server.put("p", "v2", "production")
    bench.clock.now += 1e6  # found by a refresh, on the manager's own loop
    assert manager.get_prompt("p").content == "v2"
    until(lambda: read == ["v2"])
    manager.invalidate("p")
    assert read == ["v2", "v2"]


def test_listeners_that_read_prompts_do_not_hold_up_many_fetches_at_once(bench: Bench) -> None:
    """Each is told by a fetch that finds the change, and waits for another fetch: there are more than threads."""
    names = [f"n{number}" for number in range(40)]
    for name in names:
        bench.server.put(name, "v1", "production")
    manager = bench.manager(check=1e9, times=CacheTimes(stale=0.0))
    read: list[object] = []
    manager.on_prompt_change(lambda change: read.append(manager.get_prompt(change.name).content))
    for name in names:
        manager.get_prompt(name)
        bench.generations.bump(name)
        bench.server.put(name, "v2", "production")
    bench.clock.now += 100
    with ThreadPoolExecutor(40) as threads:
        found = [threads.submit(manager.get_prompt, name) for name in names]
    assert {each.result().content for each in found} == {"v2"}
    until(lambda: read == ["v2"] * 40)


def test_a_poll_finds_what_no_webhook_told(bench: Bench) -> None:
    here, there = (bench.manager(times=CacheTimes(ttl=1e9)) for _ in range(2))
    assert here.reconcile() == Reconciled(0)
    here.get_prompt("p"), there.get_prompt("p")
    assert here.reconcile() == Reconciled(1)
    assert there.reconcile() == Reconciled(1)
    here.get_prompt("p"), there.get_prompt("p")
    bench.server.put("p", "v2", "production")
    assert there.get_prompt("p").content == "v1"
    assert here.reconcile() == Reconciled(1, ("p",), ("p",))
    assert here.get_prompt("p").content == there.get_prompt("p").content == "v2"
    bench.server.put("p", "v3", "production")
    there.invalidate("p", "webhook")
    assert here.reconcile() == Reconciled(1, ("p",))
    here.get_prompt("p")
    del bench.server.versions["p"]
    here.reconcile()
    with pytest.raises(NotFound):
        there.get_prompt("p")


def test_a_process_reports_at_first_only_what_changed_while_none_ran(bench: Bench) -> None:
    """The first poll of the first process finds no change; that of a later one finds what the stored state shows."""
    bench.server.put("q", "v1", "production")
    first = bench.manager()
    first.get_prompt("p"), first.get_prompt("q")
    assert first.reconcile() == Reconciled(2)
    bench.server.put("p", "v2", "production")
    later = bench.manager()
    later.get_prompt("p"), later.get_prompt("q")
    assert later.reconcile() == Reconciled(2, ("p",), ("p",))
    assert later.reconcile() == Reconciled(2)


def test_a_deletion_by_the_api_which_sends_no_webhook_is_found(
    manager: LangfusePromptManager, server: FakeLangfuse
) -> None:
    manager.create_or_update_prompt(NewPrompt("p", "x", ("production",)))
    manager.get_prompt("p")
    manager.reconcile()
    del server.prompts.versions["p"]
    assert manager.reconcile().changed == ("p",)
    with pytest.raises(NotFound):
        manager.get_prompt("p")


def test_a_poll_every_0_seconds_is_none(bench: Bench) -> None:
    """And not as many as the server can bear."""
    manager = bench.manager(times=CacheTimes(ttl=1e9), poll=0.0)
    manager.get_prompt("p")
    manager.start_polling()
    threading.Event().wait(0.2)
    assert bench.server.lists == 0


def test_the_poll_runs_in_the_background_and_outlives_a_failure(bench: Bench) -> None:
    manager = bench.manager(times=CacheTimes(ttl=1e9), poll=0.001)
    told = threading.Event()
    manager.get_prompt("p")
    manager.reconcile()
    manager.on_prompt_change(lambda _: told.set())
    listed, failures = bench.server.list_all, [Unavailable("down")]

    def failing(name: str | None = None, label: str | None = None) -> object:
        if failures:
            raise failures.pop()
        return listed(name, label)

    bench.server.list_all = failing  # type: ignore[method-assign, assignment]  # a server that is down once
    bench.server.put("p", "v2", "production")
    manager.start_polling()
    manager.start_polling()
    assert told.wait(20)
    assert not failures
    assert manager.get_prompt("p").content == "v2"
    manager.close()
    assert bench.client.closed


def variables(server: FakeLangfuse, folder: Path) -> dict[str, str]:
    keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY}
    return {**keys, "LANGFUSE_HOST": server.url, "TRUELINE_STATE": str(folder / "state.db")}


def test_the_environment_makes_managers_that_share_a_database(server: FakeLangfuse, tmp_path: Path) -> None:
    given = variables(server, tmp_path) | {"LANGFUSE_DEFAULT_LABEL": "eu", "LANGFUSE_PROMPT_CHECK_SECONDS": "0"}
    one, two = (LangfusePromptManager.from_env(given) for _ in range(2))
    one.create_or_update_prompt(NewPrompt("p", "v1", ("eu",)))
    assert two.get_prompt("p").content == "v1"
    one.create_or_update_prompt(NewPrompt("p", "v2", ("eu",)))
    assert two.get_prompt("p").content == "v2"
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"LANGFUSE_HOST": ""}, "LANGFUSE_BASE_URL is not set"),
        ({"LANGFUSE_SECRET_KEY": "sk-lf\n-1"}, r"^LANGFUSE_SECRET_KEY: character 6 of 8 is a control [^\n]*shown\)$"),
        ({"LANGFUSE_SECRET_KEY": ""}, "LANGFUSE_SECRET_KEY is not set"),
        ({"LANGFUSE_HOST": "nowhere"}, "LANGFUSE_BASE_URL: .*found 'nowhere'"),
        ({"LANGFUSE_DEFAULT_CACHE_TTL_SECONDS": "soon"}, "LANGFUSE_DEFAULT_CACHE_TTL_SECONDS: found 'soon'"),
        ({"LANGFUSE_PROMPT_CHECK_SECONDS": "-1"}, "LANGFUSE_PROMPT_CHECK_SECONDS: found '-1'"),
        ({"LANGFUSE_REQUEST_TIMEOUT_SECONDS": "0"}, "LANGFUSE_REQUEST_TIMEOUT_SECONDS: .*found '0'"),
    ],
)
def test_a_wrong_environment_is_said(server: FakeLangfuse, tmp_path: Path, changed: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        LangfusePromptManager.from_env(variables(server, tmp_path) | changed)
    assert SECRET_KEY not in str(caught.value)


def test_wrong_keys_are_said_and_not_printed(server: FakeLangfuse, tmp_path: Path) -> None:
    manager = LangfusePromptManager.from_env(variables(server, tmp_path) | {"LANGFUSE_SECRET_KEY": "sk-lf-wrong"})
    with pytest.raises(ConfigError) as caught:
        manager.get_prompt("p")
    assert "sk-lf-wrong" not in str(caught.value)
    manager.close()


def test_settings_have_the_defaults_that_users_know() -> None:
    settings = PromptSettings()
    assert (settings.label, settings.times.ttl) == ("production", 60.0)
