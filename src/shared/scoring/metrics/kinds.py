"""Types of parameters that are checked before a run, when the YAML is read; a plain call checks nothing of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self

from annotated_types import Ge, Le


@dataclass(frozen=True, slots=True)
class Checked:
    """A check that pydantic makes after its own; pydantic is imported only then."""

    check: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.check, handler(source))


class ProjectFile(str):
    """A path of a file of the project. `identity` is the path as it was written, whatever it was resolved to: it is
    what goes into digests, together with the file's content.
    """

    identity: str

    def __new__(cls, path: str, identity: str | None = None) -> Self:
        made = super().__new__(cls, path)
        made.identity = path if identity is None else identity
        return made

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.str_schema(min_length=1))


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"found {pattern!r}, which is no regular expression: {error}") from error
    return pattern


def _bounds(found: list[int]) -> list[int]:
    if len(found) != 2 or not 0 <= found[0] <= found[1]:
        raise ValueError(f"found {found!r}; expected [lowest, highest] with 0 <= lowest <= highest")
    return found


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError(f"found {text!r}; expected a text that is not blank")
    return text


AtLeastOne = Annotated[int, Ge(1)]
Temperature = Annotated[float, Ge(0), Le(2)]
NotNegative = Annotated[int, Ge(0)]
Regex = Annotated[str, Checked(_regex)]
Bounds = Annotated[list[int], Checked(_bounds)]
NotBlank = Annotated[str, Checked(_not_blank)]
