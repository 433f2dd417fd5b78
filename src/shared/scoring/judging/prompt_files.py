"""Prompts are files with a version: `prompts/<name>.v<N>.j2`, with a block `system` and a block `user`.

A released text is never changed: it gets a new version, so that scores made with the two can be told apart
(`tests/scoring/judging/prompt_digests.json` holds every file's digest). Templates run in Jinja2's immutable sandbox
without a loader; judged texts are values in them and never templates themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from shared.core.best_effort import attempt
from shared.core.errors import ConfigError
from shared.core.registry import hint

if TYPE_CHECKING:
    import jinja2

_FOLDER = files("shared.scoring.judging") / "prompts"
_REACHING = ("Include", "Import", "FromImport", "Extends")


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """A template. `version` is that of a shipped file, 0 for a file of the user's."""

    name: str
    version: int
    text: str

    @property
    def identity(self) -> dict[str, str]:
        """What of it belongs into a metric's digest."""
        return {"prompt": f"{self.name}@{self.version}", "prompt_sha256": self.sha256}

    @property
    def sha256(self) -> str:
        """Digest of the text, 64 hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def variables(self) -> tuple[str, ...]:
        """The names that the template reads, sorted.

        Raises:
            ConfigError: when it is no template.
        """
        from jinja2 import meta

        return tuple(sorted(meta.find_undeclared_variables(_parse_template(self))))

    def blocks(self, values: Mapping[str, Any]) -> dict[str, str]:
        """The rendered text of each block, without white space around it; a template without blocks is a `user`.

        Raises:
            ConfigError: when it cannot be rendered with these values.
        """
        done = attempt(lambda given: _render_blocks(self.text, given), values)
        if isinstance(done, Exception):
            raise ConfigError(f"prompt {self.name!r} cannot be rendered: {type(done).__name__}: {done}") from done
        return done


def load_prompt(name: str, version: int) -> JudgePrompt:
    """A shipped prompt.

    Raises:
        ConfigError: when there is none of that name and version.
    """
    file = _FOLDER / f"{name}.v{version}.j2"
    if not file.is_file():
        known = sorted(each.name.removesuffix(".j2") for each in _FOLDER.iterdir() if each.name.endswith(".j2"))
        raise ConfigError(f"unknown prompt '{name}.v{version}'. {hint(f'{name}.v{version}', known)}")
    return JudgePrompt(name, version, file.read_text(encoding="utf-8"))


def load_user_prompt(path: str, shown_as: str, known: Mapping[str, Any]) -> JudgePrompt:
    """A template of the user's, tried with sample values of all that it may read.

    Raises:
        ConfigError: naming the file and what is wrong: unreadable, no template, an unknown variable, another file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            prompt = JudgePrompt(shown_as, 0, file.read())
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"template {shown_as!r} cannot be read: {why}") from error
    if not prompt.text.strip():
        raise ConfigError(f"template {shown_as!r} is empty; expected what the judge is asked")
    unknown = [name for name in prompt.variables if name not in known]
    if unknown:
        raise ConfigError(
            *(f"template {shown_as!r} has an unknown variable {name!r}. {hint(name, known)}" for name in unknown)
        )
    prompt.blocks(known)
    return prompt


@cache
def _make_environment() -> jinja2.Environment:
    import jinja2  # late: importing the house must stay light
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True
    )


@cache
def _compile_template(text: str) -> jinja2.Template:
    return _make_environment().from_string(text)


def _parse_template(prompt: JudgePrompt) -> jinja2.nodes.Template:
    from jinja2 import TemplateSyntaxError, nodes

    try:
        tree = _make_environment().parse(prompt.text)
    except TemplateSyntaxError as error:
        raise ConfigError(f"prompt {prompt.name!r}, line {error.lineno}: {error.message}") from error
    kinds = tuple(getattr(nodes, name) for name in _REACHING)
    reaching = next(tree.find_all(kinds), None)
    if reaching is not None:
        raise ConfigError(f"prompt {prompt.name!r}, line {reaching.lineno}: a prompt cannot read another file")
    return tree


def _render_blocks(text: str, values: Mapping[str, Any]) -> dict[str, str]:
    template = _compile_template(text)
    if not template.blocks:
        return {"user": template.render(**values).strip()}
    context = template.new_context(dict(values))
    return {name: "".join(block(context)).strip() for name, block in template.blocks.items()}
