"""A failure is a value, caught in three places: per metric, per run, and where only best effort was promised."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.house.houseplan import SRC, python_files, short, tree

RUNNER = "src/shared/scoring/runner.py"
BEST_EFFORT = "src/shared/core/best_effort.py"
JOB = {"src/shared/wiring/run/exit_codes.py"}
BLIND = {"Exception", "BaseException"}


def is_blind(node: ast.expr | None) -> bool:
    """Whether an `except` that names this catches any exception whatever; a bare one does."""
    if isinstance(node, ast.Tuple):
        return any(is_blind(part) for part in node.elts)
    return node is None or (isinstance(node, ast.Name) and node.id in BLIND)


def passes_it_on(handler: ast.ExceptHandler) -> bool:
    """Whether the handler ends in a bare `raise`: it tidies up and hides nothing."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def blind_catches(path: Path) -> Iterator[int]:
    """Lines of a file where any exception whatever is held back."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.ExceptHandler) and is_blind(node.type) and not passes_it_on(node):
            yield node.lineno
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
            if called == "suppress" and any(is_blind(argument) for argument in node.args):
                yield node.lineno


def test_blind_excepts_stand_in_three_places() -> None:
    """Promise 2: an exception nobody expected is recorded by the runner or ends the run, and is never swallowed."""
    found = {short(path): lines for path in python_files(SRC) if (lines := list(blind_catches(path)))}
    elsewhere = [f"{name}:{line}" for name in found.keys() - {RUNNER, BEST_EFFORT, *JOB} for line in found[name]]
    assert not elsewhere, f"blind except in {', '.join(sorted(elsewhere))}"
    assert len(found.keys() & JOB) <= 1, "two jobs: a run is caught once"


def test_the_gate_sees(tmp_path: Path) -> None:
    """The gate above finds every spelling of a blind except, and lets pass what tidies up and raises again."""
    source = tmp_path / "guilty.py"
    source.write_text(
        "try: pass\nexcept: pass\n"
        "try: pass\nexcept Exception: pass\n"
        "try: pass\nexcept (ValueError, BaseException) as e: print(e)\n"
        "with contextlib.suppress(Exception): pass\n"
        "try: pass\nexcept Exception:\n    print()\n    raise\n"
        "try: pass\nexcept ValueError: pass\n"
    )
    assert list(blind_catches(source)) == [2, 4, 6, 7]
