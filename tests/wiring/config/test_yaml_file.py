"""The configuration's file: lines, variables with their types, overrides, and errors that say where."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.wiring.config.yaml_file import Document, read_document


def read(
    tmp_path: Path, text: str, variables: dict[str, str] | None = None, overrides: tuple[str, ...] = ()
) -> Document:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    return read_document(path, "x.yaml", variables or {}, overrides)


def problems(
    tmp_path: Path, text: str, variables: dict[str, str] | None = None, overrides: tuple[str, ...] = ()
) -> str:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, variables, overrides)
    return str(caught.value)


def test_every_value_knows_its_line(tmp_path: Path) -> None:
    """An error can point at the line of any value, also inside lists."""
    document = read(tmp_path, "a:\n  b: 1\n  c:\n    - x\n    - y: 2\n")
    assert document.place(("a", "b")) == "x.yaml:2  a.b"
    assert document.place(("a", "c", 1, "y")) == "x.yaml:5  a.c[1].y"
    assert document.place(("a", "missing")) == "x.yaml:1  a.missing"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("v: ${N}", 20),
        ("v: ${F}", 0.5),
        ("v: ${B}", True),
        ("v: '${N}'", "20"),
        ("v: n-${N}", "n-20"),
        ("v: ${MISSING:-7}", 7),
        ("v: ${MISSING:-}", None),
        ("v: '${MISSING:-7}'", "7"),
        ("v: ${EMPTY:-3}", 3),
        ("v: $${N}", "${N}"),
        ("v: ${TRICKY}", "a: [b"),
        ("v: 1e-3", 0.001),
    ],
)
def test_variables_keep_their_types(tmp_path: Path, text: str, value: object) -> None:
    """`n: ${N}` is a number, a quoted one is text, and a variable's text never becomes structure."""
    variables = {"N": "20", "F": "0.5", "B": "true", "EMPTY": "", "TRICKY": "a: [b"}
    assert read(tmp_path, text, variables).data["v"] == value


def test_an_unset_variable_without_default_is_named(tmp_path: Path) -> None:
    """A missing secret stops the run with its name and the line, not with a literal ${...} as its value."""
    found = problems(tmp_path, "a: 1\nkey: ${LANGFUSE_KEY}\n")
    assert "x.yaml:2  key" in found and "LANGFUSE_KEY is not set" in found


def test_a_doubled_key_is_an_error(tmp_path: Path) -> None:
    """YAML would let the last one win in silence; we say where both stand."""
    assert "x.yaml:3  n: stands here twice (first in line 1)" in problems(tmp_path, "n: 1\nm: 2\nn: 3\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "not valid YAML"),
        ("a: 1\n b: 2", "x.yaml:2"),
        ("", "found nothing"),
        ("- a", "found a list"),
        ("just text", "found a str"),
        ("a: &x [*x]", "alias inside itself"),
        ("a: !!python/object:os.system x", "cannot be read"),
        ("d: 2026-13-45", "cannot be read"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_said(tmp_path: Path, text: str, says: str) -> None:
    """Broken YAML ends in one message, never in a traceback."""
    assert says in problems(tmp_path, text)


def test_a_file_that_is_not_text_is_said(tmp_path: Path) -> None:
    """A wrong file given by mistake (a database, a picture) is named."""
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_document(path, "x.yaml", {})


def test_overrides_are_read_as_yaml_and_make_their_parents(tmp_path: Path) -> None:
    """`--set a.b=value` gives typed values and may add what the file leaves out."""
    data = read(tmp_path, "a:\n  b: 1\n", {"N": "4"}, ("a.b=2", "c.d.e=[1, x]", "f=${N}", "g=")).data
    assert data == {"a": {"b": 2}, "c": {"d": {"e": [1, "x"]}}, "f": 4, "g": None}


@pytest.mark.parametrize("override", ["a", "=1", "a..b=1", "a.b.c=1", "a.b=[1", "a.b=${NO}"])
def test_a_malformed_override_is_named(tmp_path: Path, override: str) -> None:
    """A typo on the command line is told with the override itself."""
    assert f"--set {override.split('=')[0]}"[:9] in problems(tmp_path, "a:\n  b: 1\n", None, (override,))


def test_merge_keys_are_understood(tmp_path: Path) -> None:
    """Anchors and `<<` work as YAML users expect: what stands in the mapping itself wins."""
    text = "base: &b {x: 1, y: 2}\nmine:\n  <<: *b\n  y: 3\n"
    assert read(tmp_path, text).data["mine"] == {"x": 1, "y": 3}


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), st.text(max_size=30), max_size=5))
def test_variables_never_break_the_file(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> None:
    """Whatever a variable holds, the other values stay what they are."""
    text = "a: 1\n" + "".join(f"{name}: '${{{name}:-d}}'\n" for name in variables if name != "a")
    data = read(tmp_path_factory.mktemp("v"), text, variables).data
    assert data["a"] == 1
    assert all(data[name] == (value or "d") for name, value in variables.items() if name != "a")


LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10))
MERGED_LAUGHS = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "x.yaml:6  a5"),
        (LAUGHS, "more than 50,000 values; do aliases repeat aliases?"),
        (MERGED_LAUGHS, "more than 50,000 values; do aliases repeat aliases?"),
        ("b: 1\na: &a {<<: *a}\n", "x.yaml:2  a: this mapping is merged (<<) into itself"),
        ("a: &a\n  b: &b {<<: *a}\n  <<: *b\n", "merged (<<) into itself"),
        ("a: &a {? *a : 1}\n", "x.yaml:1  a: found a list or mapping as a key, expected text"),
        ("a: {<<: [[1], [2]]}\n", "expected a mapping after <<, found a list"),
        ("b: 1\na: " + "[" * 5_000 + "]" * 5_000, "x.yaml:2: not valid YAML: nested deeper than 80 levels"),
        ("b: 1\na: " + "{a: " * 5_000, "x.yaml:2: not valid YAML: nested deeper than 80 levels"),
        ("b: 1\n" + "\n".join(f"{' ' * n}a:" for n in range(900)), "nested deeper than 80 levels"),
        ("b: 1\na: " + "x" * 100_001, "x.yaml:2  a: found 100,001 characters, expected at most 100,000"),
        ("b: 1\na: " + "9" * 100_001, "x.yaml:2  a: found 100,001 characters"),
        ("a: 1\n" + "# x\n" * 300_000, "at most 1,000,000 bytes"),
        ("b: 1\na: \0", "x.yaml:2: not valid YAML: the character U+0000 is not allowed"),
        ('b: 1\na: "\\U00110000"', "x.yaml:2: not valid YAML"),
        ("b: 1\na: !!timestamp x", "x.yaml:2  a: found 'x', which cannot be read"),
        ("b: 1\na: !!bool x", "x.yaml:2  a: found 'x', which cannot be read"),
    ],
)
def test_hostile_yaml_is_refused_in_words(tmp_path: Path, text: str, says: str) -> None:
    """Bombs of aliases, merges, nesting and size end in one message with their line, without time or memory."""
    assert says in problems(tmp_path, text)
