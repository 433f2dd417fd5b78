import inspect

import pytest

from shared.core import errors
from shared.core.errors import ConfigError, FatalError, ItemError, Postponed, TransientError, TruelineError


def test_every_error_is_in_one_group() -> None:
    """A caller decides what to do by five groups, and no error is in two."""
    made = [each for _, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__]
    groups = (ConfigError, TransientError, ItemError, Postponed, FatalError)
    for each in made:
        assert issubclass(each, TruelineError)
        assert each is TruelineError or sum(issubclass(each, group) for group in groups) == 1


def test_the_tree_at_the_top_of_the_file_is_true() -> None:
    """The drawing that people read names every class of the file."""
    made = [name for name, each in inspect.getmembers(errors, inspect.isclass) if each.__module__ == errors.__name__]
    assert all(name in (errors.__doc__ or "") for name in made)


def test_a_config_error_holds_every_problem() -> None:
    """All mistakes of a file are told at once, one a line."""
    with pytest.raises(ConfigError, match="one\ntwo") as error:
        raise ConfigError("one", "two")
    assert error.value.problems == ("one", "two")
