from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.core.registry import Registry, RegistryEntry, hint, load, nearest_name


def metrics() -> Registry:
    registry = Registry("metric")
    registry.add_all({"exact_match": "json:dumps", "contains": "json:loads"})
    return registry


def test_names_resolve_lazily() -> None:
    """A target is imported when it is used, so a broken one hurts only those who use it."""
    registry = metrics()
    registry.add("broken", "no.such.module:thing", "a summary")
    assert registry.resolve("exact_match").__name__ == "dumps"
    assert registry.resolve("os.path:join").__name__ == "join"
    assert registry.resolve("os.path.join").__name__ == "join"
    assert registry.entries()[0] == RegistryEntry("broken", "no.such.module:thing", "a summary")
    assert [each.name for each in registry.entries()] == ["broken", "contains", "exact_match"]
    with pytest.raises(ConfigError, match=r"cannot import 'no.such.module' of 'no.such.module:thing'"):
        registry.resolve("broken")


def test_an_unknown_name_gets_the_nearest() -> None:
    """A typo is answered with what was probably meant, and with all that is known."""
    with pytest.raises(ConfigError) as error:
        metrics().resolve("exact_mach")
    text = "unknown metric 'exact_mach'. Known: 'contains', 'exact_match'. Did you mean 'exact_match'?"
    assert str(error.value) == text
    assert error.value.problems == (text,)


def test_nearness_is_by_spelling_without_case() -> None:
    """Nothing is suggested when nothing is near."""
    assert nearest_name("RANDOM", ["Random", "all"]) == "Random"
    assert nearest_name("zzz", ["random", "all"]) is None
    assert hint("zzz", []) == "Known: none."
    assert hint("zzz", ["a"]) == "Known: 'a'."
    assert hint("zzz", ["a", "b", "a"]) == "Known: 'a', 'b'."


def test_a_name_taken_twice_names_both() -> None:
    """Two applications that claim one name find out at once; the same claim again is harmless."""
    registry = metrics()
    registry.add("contains", "json:loads", "said again")
    with pytest.raises(ConfigError, match=r"metric 'contains' is registered twice: 'json:loads' and 'x:y'"):
        registry.add("contains", "x:y")


def test_a_frozen_registry_takes_no_more() -> None:
    """After start-up the names are what they are."""
    registry = metrics()
    registry.freeze()
    with pytest.raises(ConfigError, match="metric 'late' came after the registry was frozen"):
        registry.add("late", "x:y")


BAD_PATHS = [
    ("plain", "is not a dotted path"),
    (":attr", "is not a dotted path"),
    ("module:", "is not a dotted path"),
    (".relative:attr", "is not a dotted path"),
    ("json:dmups", r"'json' has no 'dmups'.*Did you mean 'dumps'\?"),
    ("math:pi.real.nothing", "'math' has no 'nothing'"),
    ("json:dumps..x", "'json' has no ''"),
]


@pytest.mark.parametrize(("path", "why"), BAD_PATHS)
def test_a_bad_path_says_which_half_is_wrong(path: str, why: str) -> None:
    """A dotted path in a config is answered with what is wrong with it, never with a traceback."""
    with pytest.raises(ConfigError, match=why):
        load(path)


def test_a_module_with_a_syntax_error_is_a_config_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application's file that cannot be compiled stops the run before any work, like one that is not there."""
    (tmp_path / "half_written_module.py").write_text("def f(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="cannot import 'half_written_module'"):
        load("half_written_module:f")


def test_a_path_may_reach_into_a_class() -> None:
    """`module:Class.method` is found step by step."""
    assert load("pathlib:Path.exists") is Path.exists


def test_a_prefix_gives_the_names_of_someone_else() -> None:
    """`prefix:name`, and a dotted path into the package, go to the prefix's function; plain names stay ours."""
    registry = metrics()
    registry.add_prefixes({"json": "builtins:str.upper"})
    assert registry.resolve("json:name") == "NAME"
    assert registry.resolve("json.decoder:scan") == "JSON.DECODER:SCAN"
    assert registry.resolve("json.decoder.scan") == "JSON.DECODER.SCAN"
    assert registry.resolve("contains").__name__ == "loads"
    assert registry.resolve("os.path:join").__name__ == "join"
    registry.freeze()
    with pytest.raises(ConfigError, match="came after the registry was frozen"):
        registry.add_prefixes({"late": "builtins:str.upper"})


def test_an_error_under_a_prefix_is_said_of_the_whole_name() -> None:
    """Whoever reads it knows which entry of the file is meant."""
    registry = metrics()
    registry.add_prefixes({"theirs": "shared.core.registry:load"})
    with pytest.raises(ConfigError, match=r"^metric 'theirs:nothing': 'nothing' is not a dotted path"):
        registry.resolve("theirs:nothing")


def test_an_unknown_name_among_many_gets_the_nearest_and_no_list() -> None:
    """An error with some fifty names would hide the errors beside it."""
    registry = Registry("metric")
    registry.add_all({f"metric_{n:02}": "json:dumps" for n in range(40)})
    with pytest.raises(ConfigError) as error:
        registry.resolve("metric_3x")
    assert "Did you mean 'metric_" in str(error.value) and "40 names are known; `trueline list`" in str(error.value)
    assert len(str(error.value)) < 120
