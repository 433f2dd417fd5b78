"""Every Python block of README and docs runs as it stands, against fake servers and a real Postgres."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from tests.contracts.adapters.served import postgres_at
from tests.house.doc_blocks import Block, python_blocks
from tests.house.houseplan import ROOT
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.llm.fake_openai import standing_in
from trueline import LangfuseClient, LangfuseSettings, NewPrompt

NOTEBOOK = """
import ast, asyncio, inspect, sys

code = compile(sys.stdin.read(), "<block>", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
made = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(made):
    asyncio.run(made)
"""
"""Runs a block as a cell of a notebook: `await` may stand at its top level."""


@pytest.fixture(scope="module")
def langfuse() -> Iterator[FakeLangfuse]:
    """A fake Langfuse with the prompts that the pages name."""
    history = [{"role": "system", "content": "Be {{tone}}."}, {"type": "placeholder", "name": "history"}]
    with run_fake_langfuse() as server:
        connection = LangfuseSettings(
            base_url=server.url,
            public_key=SecretStr(server.plan.public_key),
            secret_key=SecretStr(server.plan.secret_key),
        )
        client = LangfuseClient(connection)
        client.wait(client.prompts.create(NewPrompt("support/answer", "Answer: {{question}}", ("production",))))
        client.wait(client.prompts.create(NewPrompt("support/chat", history, ("staging",))))
        client.close()
        yield server


@pytest.fixture(scope="module")
def openai() -> Iterator[str]:
    """The address of a fake OpenAI-compatible server with the models that the pages name."""
    with standing_in() as server:
        server.models = ("small", "small-embeddings")
        yield server.url


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Postgres with the tables of the state and of push_to_db, and a table of the reader's own."""
    url = postgres_at(tmp_path_factory.mktemp("docs"))
    command = [sys.executable, "-m", "trueline", "tables", "create", "--url", url]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE my_table (id bigint PRIMARY KEY)")
    return url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the demo's configuration and data; what a block writes stays in it."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "configs").mkdir()
    config = (ROOT / "configs" / "demo.yaml").read_text().replace("data/athena", str(ROOT / "data" / "athena"))
    (tmp_path / "configs" / "demo.yaml").write_text(config)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "athena").symlink_to(ROOT / "data" / "athena")
    return tmp_path


@pytest.mark.parametrize("block", python_blocks(), ids=lambda block: block.where)
def test_the_python_of_the_docs_runs(
    block: Block, folder: Path, langfuse: FakeLangfuse, openai: str, database: str
) -> None:
    """Examples can be copied as they stand; only addresses and keys of servers are put in."""
    plan = langfuse.plan
    text = block.text.replace("http://127.0.0.1:8000/v1", openai).replace("https://langfuse.example.com", langfuse.url)
    text = text.replace("pk-lf-...", plan.public_key).replace("sk-lf-...", plan.secret_key)
    variables = {
        "DATABASE_URL": database,
        "LANGFUSE_HOST": langfuse.url,
        "LANGFUSE_PUBLIC_KEY": plan.public_key,
        "LANGFUSE_SECRET_KEY": plan.secret_key,
        "TRUELINE_STATE": str(folder / "state.db"),
    }
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK],
        input=text,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "from shared" not in text and "import shared" not in text, "examples use the public package"


def test_the_blocks_are_found() -> None:
    """The gate above is worth nothing if it finds no blocks."""
    assert len(python_blocks()) > 10
