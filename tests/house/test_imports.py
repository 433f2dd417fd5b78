"""Importing does nothing, core needs nothing, and the first import of a user is light."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import trueline
from tests.house.houseplan import SRC, module_name, python_files, short, tree

PROBE = Path(__file__).with_name("import_probe.py")
HEAVY = {"pandas", "numpy", "scipy", "duckdb", "sqlalchemy", "alembic", "sacrebleu", "jinja2"}
HEAVY |= {"httpx", "tenacity"}


class Probed(NamedTuple):
    """What the probe tells: what each module did besides being imported, and every module that is loaded."""

    found: dict[str, str]
    loaded: list[str]


def probe(*names: str) -> Probed:
    """Import the modules in a fresh interpreter that refuses sockets and writing, and tell what they did."""
    command = [sys.executable, "-B", str(PROBE), str(SRC), *names]
    environment = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return Probed(**json.loads(done.stdout))


def packages_after(name: str) -> set[str]:
    """The top-level packages that are loaded once a module is imported."""
    found, loaded = probe(name)
    assert not found, found[name]
    return {module.split(".")[0] for module in loaded}


def importable() -> list[str]:
    """Every module of ours, but for the migrations: Alembic runs those, inside its own context."""
    return [module_name(path) for path in python_files(SRC) if "migrations" not in path.parts]


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and name of every module that a file imports, wherever in the file it does."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def test_importing_does_nothing() -> None:
    """Promise 8: no network, file, process, environment or logging change when a module is imported."""
    found = probe(*importable()).found
    assert not found, "\n".join(f"{name}: {what}" for name, what in found.items())


def test_the_probe_sees(tmp_path: Path) -> None:
    """The gate above is worth nothing if its probe is blind: each thing it forbids is done once and seen."""
    room = tmp_path / "guilty"
    room.mkdir()
    deeds = {
        "network": "import socket; socket.socket()",
        "environment": "import os; os.environ['GUILTY'] = '1'",
        "logs": "import logging; logging.basicConfig()",
        "writes": "open(__file__ + '.txt', 'w')",
        "reads": "from pathlib import Path; Path(__file__).read_text()",
        "runs": "import subprocess; subprocess.run(['true'])",
    }
    for name, deed in deeds.items():
        (room / f"{name}.py").write_text(deed)
    command = [sys.executable, "-B", str(PROBE), str(tmp_path), *(f"guilty.{name}" for name in deeds)]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    assert set(json.loads(done.stdout)["found"]) == {f"guilty.{name}" for name in deeds}


def test_core_imports_the_standard_library_only() -> None:
    """Records and ports must be readable, and usable, without installing anything."""
    allowed = sys.stdlib_module_names | {"shared"}
    strangers = [
        f"{short(path)}:{line} imports {name}"
        for path in python_files(SRC / "shared" / "core")
        for line, name in imported(path)
        if name.split(".")[0] not in allowed
    ]
    assert not strangers, "\n".join(strangers)


def test_type_checkers_see_the_names_that_run() -> None:
    """The imports for type checkers, the table for the interpreter and `__all__`, which makes them public for both,
    name the same things.
    """
    body = tree(SRC / "trueline" / "__init__.py").body
    imports = next(node.body for node in body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: f"{node.module}:{alias.name}"
        for node in imports
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == vars(trueline)["_TARGETS"]
    (public,) = [node for node in body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    assert sorted(ast.literal_eval(public.value)) == sorted(seen)


def test_the_monitor_imports_light() -> None:
    """`import shared.monitoring.monitor` answers at once: what is heavy is loaded when it is used."""
    assert not packages_after("shared.monitoring.monitor") & HEAVY


def test_the_command_line_starts_light() -> None:
    """`trueline --help` answers at once: the command line loads what is heavy after it has read its arguments."""
    assert not packages_after("shared.wiring.cli") & HEAVY


def test_prompts_are_served_light() -> None:
    """What answers requests never loads what monitors compute with."""
    assert not packages_after("shared.wiring.serve.prompt_service") & (HEAVY - {"sqlalchemy", "httpx", "tenacity"})


def test_the_webhook_is_served_light() -> None:
    """The receiver of webhooks never loads what monitors, optimisers and their numbers need."""
    loaded = packages_after("shared.wiring.serve.webhook_app")
    assert not loaded & (HEAVY - {"sqlalchemy", "httpx"} | {"gepa", "sklearn", "yaml", "openai"})


def test_the_webhooks_door_loads_no_server() -> None:
    """What is named to a server is a door: nothing stands behind it until it is used."""
    assert not packages_after("shared.langfuse.webhook") & (HEAVY | {"fastapi", "starlette", "pydantic"})


def test_rooms_are_never_facades() -> None:
    """An `__init__` under shared holds a docstring only, so no import can go through a room and close a cycle."""
    facades = [
        short(path)
        for path in python_files(SRC / "shared")
        if path.name == "__init__.py" and any(not _is_docstring(node) for node in tree(path).body)
    ]
    assert not facades, facades


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
