"""No file and no function that one cannot hold in the head."""

import ast

from tests.house.houseplan import SCRIPTS, SRC, python_files, short, tree

LONGEST_FILE = 300
LONGEST_FUNCTION = 50


def test_files_are_short() -> None:
    """A file of more than 300 lines has two subjects."""
    sources = [*python_files(SRC), *(path for path in sorted(SCRIPTS.rglob("*")) if path.is_file())]
    lengths = {path: len(path.read_bytes().splitlines()) for path in sources if "__pycache__" not in path.parts}
    long = [f"{short(path)}: {length} lines" for path, length in lengths.items() if length > LONGEST_FILE]
    assert not long, "\n".join(long)


def test_functions_are_short() -> None:
    """A function of more than 50 lines, its docstring included, is several."""
    long = [
        f"{short(path)}:{node.lineno} {node.name}: {length} lines"
        for path in python_files(SRC, SCRIPTS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > LONGEST_FUNCTION
    ]
    assert not long, "\n".join(long)
