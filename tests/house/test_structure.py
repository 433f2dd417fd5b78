"""The tree tells the story: small folders, names that say what a thing is, signatures that say their types."""

import ast
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.house.houseplan import ROOT, SRC, python_files, short, tree

MOST_FILES = 20
MOST_PARAMETERS = 7
MOST_FIELDS = 15
FEW_BARE_NAMES = 20
FEW_ANY = 120

WIDE_RECORDS = {"DatasetItem"}
"""Records that are wide because what they describe is."""

PREPOSITIONS = {
    *("about", "above", "after", "among", "around", "as", "at", "before", "below", "between", "by", "for", "from"),
    *("in", "of", "on", "over", "to", "under", "until", "with", "within", "without"),
}
PARTICIPLES = {
    *("begun", "bound", "brought", "built", "chosen", "done", "drawn", "found", "given", "gone", "got", "held", "kept"),
    *("known", "learnt", "left", "lost", "made", "met", "paid", "said", "seen", "sent", "shown", "spent", "taken"),
    *("told", "thought", "worn", "written"),
}
NOT_PARTICIPLES = {"embed", "feed", "hundred", "need", "seed", "shed", "speed"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources() -> list[Path]:
    """Every file of ours but the migrations, which are history."""
    return [path for path in python_files(SRC) if "versions" not in path.parts]


def functions() -> Iterator[tuple[Path, Function]]:
    for path in sources():
        yield from ((path, node) for node in ast.walk(tree(path)) if isinstance(node, Function))


def annotations(function: Function) -> Iterator[ast.expr]:
    found = function.args
    for each in (*found.posonlyargs, *found.args, *found.kwonlyargs, found.vararg, found.kwarg):
        if each is not None and each.annotation is not None:
            yield each.annotation
    if function.returns is not None:
        yield function.returns


def is_bare(name: str) -> bool:
    """Whether a function is called by a participle or a preposition alone: a reader has to guess what of what."""
    word = name.strip("_")
    participle = word in PARTICIPLES or (word.endswith("ed") and "_" not in word and word not in NOT_PARTICIPLES)
    return word in PREPOSITIONS or participle


def test_no_folder_is_crowded() -> None:
    """More than some 20 files side by side are a list to search, not a room to know."""
    committed = [path for folder in (SRC, ROOT / "tests", ROOT / "benchmarks") for path in python_files(folder)]
    rooms = [path for path in committed if path.stem != "__init__" and not {"versions", ".envs"} & set(path.parts)]
    counted = Counter(path.parent for path in rooms)
    crowded = [f"{short(folder)}: {count} files" for folder, count in counted.items() if count > MOST_FILES]
    assert not crowded, "\n".join(crowded)


def test_a_class_has_its_name_for_itself() -> None:
    """One meaning a name: who greps for a class finds one."""
    places = defaultdict(list)
    for path in sources():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(short(path))
    twice = [f"{name}: {', '.join(found)}" for name, found in places.items() if len(found) > 1]
    assert not twice, "\n".join(twice)


def test_a_module_has_its_name_for_itself() -> None:
    """The same for modules, within a package; thin doors keep the names that users know."""
    places = defaultdict(list)
    for path in sources():
        thin_door = (ast.get_docstring(tree(path)) or "").startswith("Thin door")
        if path.stem != "__init__" and "implementations" not in path.parts and not thin_door:
            places[path.stem].append(short(path))
    twice = [f"{name}: {', '.join(found)}" for name, found in places.items() if len(found) > 1]
    assert not twice, "\n".join(twice)


def test_functions_are_called_by_what_they_do() -> None:
    """`shown` or `of` has to be guessed; few such names are plain enough where they stand."""
    bare = [f"{short(path)}:{node.lineno} {node.name}" for path, node in functions() if is_bare(node.name)]
    assert len(bare) < FEW_BARE_NAMES, "\n".join(bare)


def test_signatures_say_their_types() -> None:
    """`Any` in a signature switches the type checker off for whoever calls it."""
    loose = Counter(
        short(path)
        for path, node in functions()
        for each in annotations(node)
        if isinstance(each, ast.Name) and each.id == "Any"
    )
    assert loose.total() < FEW_ANY, "\n".join(f"{name}: {count}" for name, count in loose.most_common())


def test_signatures_are_narrow() -> None:
    """More than seven parameters are a record that has no name yet."""
    wide = []
    for path, node in functions():
        count = len([*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs])
        if count - (bool(node.args.args) and node.args.args[0].arg in ("self", "cls")) > MOST_PARAMETERS:
            wide.append(f"{short(path)}:{node.lineno} {node.name}: {count}")
    assert not wide, "\n".join(wide)


def test_records_are_narrow() -> None:
    """A dataclass or model of more than fifteen fields is several."""
    wide = []
    for path in sources():
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and node.name not in WIDE_RECORDS:
                fields = [
                    each for each in node.body if isinstance(each, ast.AnnAssign) and "ClassVar" not in ast.dump(each)
                ]
                if len(fields) > MOST_FIELDS:
                    wide.append(f"{short(path)}:{node.lineno} {node.name}: {len(fields)} fields")
    assert not wide, "\n".join(wide)
