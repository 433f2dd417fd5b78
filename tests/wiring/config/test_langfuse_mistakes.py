"""What can be wrong with a Langfuse that a monitor reads: one message, the right exit code, and no work lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.core.clock import utc_now
from shared.langfuse.api.dataset_api import NewItem
from shared.langfuse.api.langfuse_client import LangfuseClient
from tests.langfuse.clients import run_with_client
from tests.langfuse.fake_server.faults import BROKEN, FORBIDDEN, Fault
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY, Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock, Request
from tests.wiring.project import Project

CONNECTION = """\
  base_url: ${LANGFUSE_HOST}
  public_key: ${LANGFUSE_PUBLIC_KEY}
  secret_key: ${LANGFUSE_SECRET_KEY}
  tries: 1
metrics_config:
  Right fact: {class: athena.answer_states_fact}
"""
TRACES = "name: live\nsource:\n  type: langfuse\n  name: athena\n  hours_back: 1\n" + CONNECTION
DATASET = "name: golden\nsource:\n  type: langfuse_dataset\n  name: golden\n  dataset: golden/answers v1\n" + CONNECTION
LOGIN = Fault(200, b"<html><title>Sign in</title></html>", {"content-type": "text/html"})


@contextmanager
def monitored(folder: Path, config: str, plan: Plan | None = None) -> Iterator[tuple[Project, FakeLangfuse]]:
    """A project that reads a fake server."""
    with run_fake_langfuse(plan, clock=MovableClock(utc_now())) as server:
        project = Project(folder)
        project.write("m.yaml", config)
        keys = {"LANGFUSE_PUBLIC_KEY": PUBLIC_KEY, "LANGFUSE_SECRET_KEY": SECRET_KEY, "LANGFUSE_HOST": server.url}
        project.write(".env", "".join(f"{name}={value}\n" for name, value in keys.items()))
        yield project, server


def told(project: Project, **environment: str) -> tuple[int, str]:
    """The exit code and the one message."""
    done = project.run("m.yaml", **environment)
    lines = [line for line in done.stderr.splitlines() if line.startswith("trueline: ")]
    assert "Traceback" not in done.stderr and "sk-lf" not in done.stderr
    return done.returncode, " ".join(lines)


def fill(server: FakeLangfuse, name: str, count: int) -> None:
    """A dataset with so many items."""

    async def put(client: LangfuseClient) -> None:
        await client.datasets.create(name)
        for number in range(count):
            await client.datasets.put_item(name, NewItem(f"i{number}", f"q{number}"))

    run_with_client(server, put)


def of_reads(fault: Fault) -> Callable[[Request], Fault | None]:
    """The fault at every read of observations."""
    return lambda request: fault if request.path.endswith("/observations") else None


@pytest.mark.parametrize("version", ["2.95.0", "1.0.0"])
def test_a_server_that_is_too_old_is_a_mistake_of_the_configuration(tmp_path: Path, version: str) -> None:
    with monitored(tmp_path, TRACES, Plan(version=version, mode="legacy")) as (project, _):
        code, said = told(project)
    assert code == 2
    assert f"this is Langfuse {version}; 3.0 or newer is needed" in said and "update the server" in said


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        (BROKEN, 1, "answered 500: Internal Server Error; run again later: the next run leaves no gap"),
        (FORBIDDEN, 2, "answered 403: Access denied; these keys may not do that"),
        (LOGIN, 1, "check that base_url is Langfuse itself and no login page stands before it"),
    ],
)
def test_a_server_that_answers_wrongly_is_told_with_the_cure(
    tmp_path: Path, fault: Fault, code: int, says: str
) -> None:
    with monitored(tmp_path, TRACES) as (project, server):
        server.faults.chance = of_reads(fault)
        found, said = told(project)
        assert (found, says in said) == (code, True), said
        server.faults.chance = lambda _: None
        assert project.run("m.yaml", "--quiet").returncode == 0  # nothing stands in the way of the next run


def test_a_host_that_is_none_is_told(tmp_path: Path) -> None:
    with monitored(tmp_path, TRACES) as (project, server):
        code, said = told(project, LANGFUSE_HOST="langfuse.example.com")
        assert code == 2 and "m.yaml:6  source.base_url: expected an address such as https://" in said
        code, said = told(project, LANGFUSE_HOST=server.url.replace("http:", "https:"))
        assert code == 1 and "cannot be reached" in said and "check base_url" in said


def test_a_dataset_whose_name_has_a_slash_is_read(tmp_path: Path) -> None:
    with monitored(tmp_path, DATASET) as (project, server):
        fill(server, "golden/answers v1", 3)
        unanswered = "evaluation.max_not_applicable_share=null"  # items of a dataset have no answer to score
        assert project.report("--set", unanswered)["counts"]["read"] == 3


def test_a_dataset_that_is_not_there_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    with monitored(tmp_path, DATASET) as (project, server):
        fill(server, "golden/answers v2", 0)
        code, said = told(project)
    assert code == 2
    assert "there is no dataset 'golden/answers v1' in this project" in said
    assert "Did you mean 'golden/answers v2'?" in said
