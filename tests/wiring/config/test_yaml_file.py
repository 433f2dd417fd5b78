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
