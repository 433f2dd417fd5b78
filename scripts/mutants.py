"""A small mutation check: would the tests of a room notice if its code were wrong?

    make mutants                                   30 mutants of each room
    .venv/bin/python scripts/mutants.py scoring --count 100 --seed 7

One place of the code is changed at a time (a condition negated, a comparison swapped, a number raised by one, a call
dropped), and the room's tests that run this line are run against it. What no test notices survives.
Everything happens in a copy of the tree. A first run under coverage finds which tests run which lines.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("scoring", "monitoring", "database", "langfuse")
TESTS = {"database": ("tests/database", "tests/contracts")}
"""Where a room's tests are, if not in the mirrored folder alone: the contract suites run all stores of the database."""

HEAVY = ("pytest", "numpy", "pandas", "pydantic", "sqlalchemy", "duckdb", "httpx", "hypothesis")
"""Imported before the forks, so that no mutant pays for them."""

MOST_TESTS = 60  # run against one mutant; of more a random part
SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    **{ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt},
    **{ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is},
}


class Mutant(NamedTuple):
    """One change: the file, the line, and the bytes from `start` to `end` that become `new`."""

    file: Path
    line: int
    start: int
    end: int
    old: str
    new: str


def find_mutants(file: Path, source: bytes) -> Iterator[Mutant]:
    """Every change of the bodies of a file's functions that the check knows."""
    starts = [0]
    for each in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(each))
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (inner for function in nodes for statement in function.body for inner in walk(statement)):
        for target, new in change(node):
            start = starts[target.lineno - 1] + target.col_offset
            end = starts[(target.end_lineno or 1) - 1] + (target.end_col_offset or 0)
            yield Mutant(file, target.lineno, start, end, source[start:end].decode(), new)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all below it, but functions, which come by themselves, and f-strings, whose places are not known."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.JoinedStr):
        return
    yield node
    for child in ast.iter_child_nodes(node):
        yield from walk(child)


def change(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What becomes of one node: the part that is replaced, and its new text."""
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            yield node, f"({ast.unparse(ast.Compare(left, [SWAPPED[type(operator)]()], [right]))})"
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, f"not ({ast.unparse(test)})"
        case ast.BoolOp(op=operator, values=values):
            word = " or " if isinstance(operator, ast.And) else " and "
            yield node, f"({word.join(f'({ast.unparse(each)})' for each in values)})"
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as operator, right=right):
            sign = "-" if isinstance(operator, ast.Add) else "+"
            yield node, f"(({ast.unparse(left)}) {sign} ({ast.unparse(right)}))"
        case ast.Constant(value=bool() | int() as value):
            yield node, str(not value if isinstance(value, bool) else value + 1)
        case ast.Expr(value=ast.Call() | ast.Await()):
            yield node, "pass"
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield value, "None"


def copy_tree(copy: Path) -> None:
    """The files that git knows, also changed ones."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)


def map_lines(copy: Path, room: str) -> dict[str, dict[int, list[str]]]:
    """Which tests run which lines, by file: from one run of the room's tests under coverage.

    Raises:
        SystemExit: when these tests fail without any change.
    """
    from coverage import CoverageData

    settings = copy / "mutants.coveragerc"
    settings.write_text("[run]\ndynamic_context = test_function\ndata_file = mutants.coverage\nconcurrency = thread\n")
    command = [sys.executable, "-m", "coverage", "run", f"--rcfile={settings}", f"--include=src/shared/{room}/*"]
    command += ["-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS.get(room, (f"tests/{room}",))]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{room}: the tests fail as they are:\n{done.stdout[-2000:]}{done.stderr[-500:]}")
    data = CoverageData(str(copy / "mutants.coverage"))
    data.read()
    return {str(Path(file).resolve()): data.contexts_by_lineno(file) for file in data.measured_files()}


def node_id(context: str, copy: Path) -> str | None:
    """`tests.room.test_file.test_name` as pytest names it; None for what is not one test."""
    module, _, name = context.rpartition(".")
    path = module.replace(".", "/") + ".py"
    return f"{path}::{name}" if name.startswith("test_") and (copy / path).is_file() else None


def is_noticed(mutant: Mutant, tests: Sequence[str], copy: Path, limit: float) -> bool:
    """Whether one of the tests fails, or hangs, with the change; the file is as it was afterwards."""
    source = mutant.file.read_bytes()
    mutant.file.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
    child = os.fork()
    if child == 0:
        run_tests(tests, copy)
    end = time.monotonic() + limit
    try:
        while time.monotonic() < end:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return status != 0
            time.sleep(0.02)
        return True
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)
        mutant.file.write_bytes(source)


def run_tests(tests: Sequence[str], copy: Path) -> None:
    """Become a process that runs these tests in the copy, and end."""
    import pytest

    status = 1
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for stream in range(3):
            os.dup2(null, stream)
        os.chdir(copy)
        sys.path[:0] = [str(copy), str(copy / "src")]
        code = pytest.main(["-q", "-x", "-p", "no:cacheprovider", *tests])
        status = int(code not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED))
    finally:
        os._exit(status)  # whatever was raised: the copy is the parent's to remove


def check_room(room: str, copy: Path, count: int, rng: random.Random) -> tuple[int, int]:
    """How many mutants of the room survived, and how many there were; survivors are printed."""
    began = time.monotonic()
    lines = map_lines(copy, room)
    limit = 30 + 2 * (time.monotonic() - began)
    files = sorted(each for each in (copy / f"src/shared/{room}").rglob("*.py") if "versions" not in each.parts)
    every = [mutant for file in files for mutant in find_mutants(file, file.read_bytes())]
    chosen = rng.sample(every, min(count, len(every)))
    survived = 0
    for mutant in sorted(chosen):
        contexts = lines.get(str(mutant.file.resolve()), {}).get(mutant.line, [])
        tests = sorted({found for each in contexts if (found := node_id(each, copy)) is not None})
        tests = rng.sample(tests, min(MOST_TESTS, len(tests)))
        if tests and is_noticed(mutant, tests, copy, limit):
            continue
        survived += 1
        why = "" if tests else "   (no test of the room runs the line)"
        old, new = (" ".join(text.split())[:70] for text in (mutant.old, mutant.new))
        print(f"  {mutant.file.relative_to(copy)}:{mutant.line}: {old}  ->  {new}{why}", flush=True)
    return survived, len(chosen)


def main() -> None:
    """Check the rooms that are named, all four by default."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rooms", nargs="*", default=ROOMS, metavar="room", help=", ".join(ROOMS))
    parser.add_argument("--count", type=int, default=30, help="mutants of each room (30)")
    parser.add_argument("--seed", type=int, default=1, help="which mutants are chosen (1)")
    given = parser.parse_args()
    sys.dont_write_bytecode = True
    for name in HEAVY:
        with suppress(ImportError):
            import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder).resolve()
        copy_tree(copy)
        os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": f"{copy / 'src'}{os.pathsep}{copy}"}
        for room in given.rooms:
            survived, count = check_room(room, copy, given.count, random.Random(f"{given.seed} {room}"))
            print(f"{room}: {survived} of {count} mutants survived ({survived / max(1, count):.0%})", flush=True)


if __name__ == "__main__":
    main()
