#!/usr/bin/env python3
"""Run the code of a notebook from the first cell to the last in this one process, and keep what it prints and shows.

    python scripts/run_notebook.py docs/notebooks/athena_traces.ipynb            writes the outputs into the file
    python scripts/run_notebook.py docs/notebooks/athena_traces.ipynb --check    1 when they are not those in the file

Needs no Jupyter. Cells may `await`; the value of a cell's last expression is its outcome, as text and, where the value
can say so, as HTML.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import difflib
import inspect
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Cell = dict[str, Any]


def main(argv: Sequence[str] | None = None) -> int:
    """0 when all cells ran (and, with --check, gave what the file holds), else 1."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("notebook", type=Path)
    parser.add_argument("--check", action="store_true", help="compare with the outputs in the file, write nothing")
    asked = parser.parse_args(argv)
    notebook = json.loads(asked.notebook.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    found = list(outputs(cells))
    if asked.check:
        return _compared(cells, found)
    for number, (cell, made) in enumerate(zip(cells, found, strict=True), 1):
        cell |= {"outputs": made, "execution_count": number}
    asked.notebook.write_text(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return 0


def outputs(cells: Sequence[Cell]) -> Iterator[list[Cell]]:
    """What each cell gives, in the notebook's own format."""
    names: dict[str, Any] = {"__name__": "__main__"}
    with asyncio.Runner() as runner:
        for number, cell in enumerate(cells, 1):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                value = _run("".join(cell["source"]), f"cell {number}", names, runner)
            yield [*_printed(printed.getvalue()), *_shown(value, number)]


def _run(source: str, name: str, names: dict[str, Any], runner: asyncio.Runner) -> Any:
    """Run one cell; the value of its last expression, None where it ends in something else."""
    tree = ast.parse(source, name)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        tree.body.pop()
    _evaluated(compile(tree, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names, runner)
    if not isinstance(last, ast.Expr):
        return None
    body = ast.Expression(last.value)
    return _evaluated(compile(body, name, "eval", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names, runner)


def _evaluated(code: Any, names: dict[str, Any], runner: asyncio.Runner) -> Any:
    value = eval(code, names)
    return runner.run(value) if code.co_flags & inspect.CO_COROUTINE else value


def _printed(text: str) -> list[Cell]:
    return [{"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}] if text else []


def _shown(value: Any, number: int) -> list[Cell]:
    if value is None:
        return []
    data = {"text/plain": repr(value).splitlines(keepends=True)}
    html = getattr(value, "_repr_html_", None)
    if html is not None:
        data["text/html"] = html().splitlines(keepends=True)
    return [{"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}]


def _compared(cells: Sequence[Cell], found: Sequence[list[Cell]]) -> int:
    """Say where what was found differs in its texts from what the file holds."""
    wrong = 0
    for number, (cell, made) in enumerate(zip(cells, found, strict=True), 1):
        kept, now = _text(cell["outputs"]), _text(made)
        if kept != now:
            wrong = 1
            print(f"cell {number} gives something else than the notebook holds:", file=sys.stderr)
            print("\n".join(difflib.unified_diff(kept, now, "held", "given", lineterm="")), file=sys.stderr)
    return wrong


def _text(outputs: Sequence[Cell]) -> list[str]:
    parts = [each.get("text") or each["data"]["text/plain"] for each in outputs]
    return [line.rstrip("\n") for part in parts for line in part]


if __name__ == "__main__":
    raise SystemExit(main())
