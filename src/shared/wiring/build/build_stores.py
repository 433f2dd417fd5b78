"""The choices of `scored_store`: where the state of a monitor is kept."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, cast

from pydantic import Field, PrivateAttr, SecretStr, field_validator

from shared.core.counts import Information
from shared.core.registry import Registry
from shared.core.results import Stream
from shared.core.state.run_stores import ScoredItemsStore
from shared.monitoring.memory_store import NoScoredItems
from shared.monitoring.rescore_policy import RescoreTrigger
from shared.wiring.build.construct_part import check_part, construct_part, resolve_part, split_keys
from shared.wiring.build.state_location import CsvStateLocation, OwnStateLocation, StateLocation
from shared.wiring.config.checker import Checker, StrictModel
from shared.wiring.config.env_settings import RunEnvironment

STATE = "data/state/trueline.db"


class ScoredStoreConfig(StrictModel):
    """What every choice of `scored_store` has in common."""

    # What the choice means for a monitor: whether it remembers, and whether items not sampled are remembered too.
    remembers: ClassVar[bool] = True
    keeps_undrawn: ClassVar[bool] = True

    policy: RescoreTrigger = Field(default="never", description="when an item is scored again; `id` is `never`")
    must_exist: bool | None = Field(
        default=None,
        description="true: a run without the state of earlier runs fails; default: on a schedule in CI",
    )

    @field_validator("policy", mode="before")
    @classmethod
    def _policy(cls, value: object) -> object:
        return "never" if value == "id" else value

    def location(self, root: Path) -> StateLocation:
        """Where the state is; relative paths start from the project's root."""
        raise NotImplementedError


class SqliteStore(ScoredStoreConfig):
    """One SQLite file holds runs, items, decisions and scores."""

    file_path: str = Field(default=STATE, description="the database's file; a relative path starts from the project")

    def location(self, root: Path) -> StateLocation:
        """The state database's file."""
        return StateLocation(str(root / self.file_path))


class PostgresStore(ScoredStoreConfig):
    """A Postgres database holds runs, items, decisions and scores; several machines may share it."""

    url: SecretStr = Field(description="postgresql://user:password@host/name; better as ${DATABASE_URL}")

    def location(self, root: Path) -> StateLocation:
        """The server's URL."""
        return StateLocation(self.url.get_secret_value())


class CsvStore(ScoredStoreConfig):
    """Processed items in an append-only CSV, for cron jobs that keep only a cached file; the rest in SQLite."""

    keeps_undrawn: ClassVar[bool] = False

    file_path: str = Field(default="data/scored_items.csv", description="the CSV file")
    state_path: str = Field(default=STATE, description="the database's file; may be lost between runs")

    def location(self, root: Path) -> StateLocation:
        """The CSV and the state database's file."""
        return CsvStateLocation(str(root / self.state_path), shared=False, csv=root / self.file_path)


class NoStore(ScoredStoreConfig):
    """No deduplication: each run scores its whole window again. Runs and scores are still stored."""

    remembers: ClassVar[bool] = False

    state_path: str = Field(default=STATE, description="the database's file")

    @field_validator("must_exist")
    @classmethod
    def _needs_no_earlier_state(cls, value: bool | None) -> bool | None:
        if value:
            raise ValueError("type none keeps no state of earlier runs, so there is none that must exist")
        return value

    def location(self, root: Path) -> StateLocation:
        """The state database's file."""
        return StateLocation(str(root / self.state_path), remembers=False, shared=False)


class OwnStore(ScoredStoreConfig):
    """Processed items in a store of the user's own, named by its dotted path; the rest in SQLite."""

    keeps_undrawn: ClassVar[bool] = False

    state_path: str = Field(default=STATE, description="the database's file; may be lost between runs")
    _own: ScoredItemsStore = PrivateAttr(default_factory=NoScoredItems)

    def with_store(self, own: ScoredItemsStore) -> OwnStore:
        """The same settings for a store."""
        self._own = own
        return self

    def location(self, root: Path) -> StateLocation:
        """The store and the state database's file."""
        return OwnStateLocation(str(root / self.state_path), shared=False, own=self._own)


def locate_state(
    store: ScoredStoreConfig, stream: Stream, root: Path, earlier_root: Path
) -> tuple[StateLocation, tuple[str, ...]]:
    """Where the state of a monitor is, with a note where that is not below the project's root: a history that an
    earlier version began in another folder goes on there, so that nothing is scored again.

    Raises:
        StoreError: when the state there cannot be read.
    """
    here, earlier = store.location(root), store.location(earlier_root)
    if earlier == here or not earlier.has_history(stream) or here.has_history(stream):
        return here, ()
    note = Information(
        f"the state of this monitor is used where an earlier version began it, {earlier.address}; the project's root is"
        f" {root}. To move it, stop all runs and move its files to the same place below the root"
    )
    return earlier, (note,)


def build_store(
    block: Mapping[str, object], registry: Registry, checker: Checker, root: Path
) -> ScoredStoreConfig | None:
    """The store that the block asks for, or None after noting what is wrong with it."""
    where = ("scored_store",)
    target = resolve_part(checker, registry, block, where)
    given = {key: value for key, value in block.items() if key != "type"}
    if target is None:
        return None
    if isinstance(target, type) and issubclass(target, ScoredStoreConfig):
        return checker.model(target, given, where)
    shared, own_keys = split_keys(given, OwnStore)
    part, common = check_part(checker, target, own_keys, where), checker.model(OwnStore, shared, where)
    own = None if part is None else construct_part(checker, part, where, root)
    if common is None or own is None:
        return None
    missing = [name for name in ("unseen", "mark", "clear", "stats") if not callable(getattr(own, name, None))]
    if missing:
        text = f"{block['type']!r} makes no ScoredItemsStore: it has no method {', '.join(missing)}"
        checker.problem((*where, "type"), text)
        return None
    return common.with_store(cast(ScoredItemsStore, own))


def describe_requirement(must_exist: bool | None, environment: RunEnvironment) -> str:
    """What demands that there is state of earlier runs; empty when nothing does. The file overrides the environment."""
    if must_exist is not None:
        return "scored_store.must_exist is true" if must_exist else ""
    setting = environment.settings.trueline_state_must_exist
    if setting is not None:
        return "TRUELINE_STATE_MUST_EXIST is set" if setting else ""
    number = environment.variables.get("GITHUB_RUN_NUMBER", "")
    if environment.variables.get("GITHUB_EVENT_NAME") == "schedule" and number.isdecimal() and int(number) > 1:
        return f"this is scheduled run {number} of its workflow"
    return ""
