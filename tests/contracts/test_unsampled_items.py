"""Items that were not sampled: stored in a few bytes each, and known for ever."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import md5
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from shared.core.records import DatasetItem
from shared.core.results import Decision
from shared.core.state.item_history import SkippedItem
from shared.core.state.run_stores import RunState, StateReader
from shared.database.engine.database import Database, open_database
from shared.database.engine.migrate import FOLDER, upgrade
from shared.database.runs.run_state import build_run_state, build_state_reader
from shared.database.runs.sql_scored_items import SqlScoredItems
from shared.database.schema.tables import decisions, unsampled_pages
from shared.database.stores.sql_retention import read_sizes
from tests.contracts.adapters.served import postgres_at
from tests.contracts.adapters.stores import AWKWARD, NOW, OTHER_MONITOR, STREAM
from tests.contracts.test_run_store import Ticking, decision, draw, item


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "state.db" if request.param == "sqlite" else postgres_at(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def store(database: Database) -> RunState:
    return build_run_state(database, Ticking())


@pytest.fixture
def reader(database: Database) -> StateReader:
    return build_state_reader(database)


def trace_id(number: int) -> str:
    """An id as traces have it."""
    return md5(b"%d" % number, usedforsecurity=False).hexdigest()


def leave_out(store: RunState, ids: list[str], run_id: str = "run-1", probability: float | None = 0.25) -> None:
    """Store a sample that leaves out all of these."""
    store.samples.save_sample(run_id, STREAM, [Decision(each, False, probability, "random") for each in ids], [])


def test_an_item_of_any_of_many_samples_is_known(store: RunState, reader: StateReader, database: Database) -> None:
    """Samples of all sizes, so that they are merged again and again; nothing that was not read is taken for known."""
    sizes = [1, 2, 5000, 900, 40_000, 3, *[700] * 12]
    ids = [[f"{run}-{trace_id(place)}" for place in range(size)] for run, size in enumerate(sizes)]
    for run, some in enumerate(ids):
        leave_out(store, some, f"run-{run}", 1 / (run + 1))
    every = [each for some in ids for each in some]
    assert store.samples.find_undecided(STREAM, every) == []
    new = [trace_id(-1 - place) for place in range(5000)]
    assert store.samples.find_undecided(STREAM, new) == new
    for run, some in enumerate(ids):
        (story,) = reader.histories.read_histories(STREAM, some[-1])
        assert (story.run_id, story.decision.probability) == (f"run-{run}", 1 / (run + 1))
    assert {each.table: each.rows for each in read_sizes(database)}["unsampled_pages"] == len(every)


def test_an_item_left_out_takes_at_most_24_bytes(store: RunState, database: Database) -> None:
    """Also where each has a probability of its own; sizes are those of the tables with their indexes."""
    for run, size in enumerate([60_000, 500, 30_000]):
        made = [Decision(f"{run} {trace_id(n)}", False, 0.1 + n / size / 2, "temporal_decay") for n in range(size)]
        store.samples.save_sample(f"run-{run}", STREAM, made, [])
    with database.write() as connection:
        found = connection.execute(sa.select(sa.func.sum(sa.func.length(unsampled_pages.c.entries)))).scalar_one()
    sizes = {each.table: each for each in read_sizes(database)}
    used = sum(sizes[name].bytes or 0 for name in ("unsampled_pages", "unsampled_groups"))
    assert found / 90_500 < 22.1
    if database.path is not None:  # Postgres gives the room of rows that were moved back later
        assert used / 90_500 <= 24
    assert sizes["decisions"].rows == 0


@pytest.mark.parametrize("chance", [0.123456, 1e-9, 0.5, None])
def test_the_inclusion_probability_stays(store: RunState, reader: StateReader, chance: float | None) -> None:
    """Exactly where all of a sample have the same; to five digits where each has its own."""
    leave_out(store, ["a", *AWKWARD], probability=chance)
    (story,) = reader.histories.read_histories(STREAM, "a")
    assert story.decision == Decision("a", False, chance, "random")
    made = [Decision(each, False, chance if each == "b" else 0.75, "random", "web") for each in "bcd"]
    store.samples.save_sample("run-2", STREAM, made, [])
    found = [reader.histories.read_histories(STREAM, each)[0].decision for each in "bc"]
    assert [(each.probability, each.stratum) for each in found] == [
        (None if chance is None else pytest.approx(chance, rel=2e-5), "web"),
        (pytest.approx(0.75, rel=2e-5), "web"),
    ]


def test_the_first_decision_stands_whichever_it_was(store: RunState, reader: StateReader) -> None:
    """One left out is not sampled by a later run, and one sampled not left out; nor in another stream's name."""
    draw(store, ["a"], run_id="run-1")
    leave_out(store, ["b"])
    leave_out(store, ["a", "b", "c"], "run-2", 0.5)
    draw(store, ["b", "c", "d"], run_id="run-3")
    found = {each: reader.histories.read_histories(STREAM, each) for each in "abcd"}
    assert {each: [(story.run_id, story.state) for story in stories] for each, stories in found.items()} == {
        "a": [("run-1", "drawn")],
        "b": [("run-1", "undrawn")],
        "c": [("run-2", "undrawn")],
        "d": [("run-3", "drawn")],
    }
    assert store.samples.find_undecided(OTHER_MONITOR, ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize("item_id", [*AWKWARD, "a@b", "@", f"@{'0' * 16}"])
def test_any_id_may_be_left_out(store: RunState, reader: StateReader, item_id: str) -> None:
    leave_out(store, [item_id])
    assert store.samples.find_undecided(STREAM, [item_id, item_id + "x"]) == [item_id + "x"]
    assert [each.decision.item_id for each in reader.histories.read_histories(STREAM, item_id)] == [item_id]


def test_versions_are_items_of_their_own(store: RunState, reader: StateReader) -> None:
    """Which come again when they change; by the id of its source an item tells of all its versions."""
    first, second, third = (f"a@{digit * 16}" for digit in "f0a")
    leave_out(store, [first, f"b@{'0' * 16}"])
    leave_out(store, [second, f"ab@{'f' * 16}"], "run-2")
    draw(store, [third], run_id="run-3")
    assert store.samples.find_undecided(STREAM, [first, second, third, "a", f"a@{'1' * 16}"]) == ["a", f"a@{'1' * 16}"]
    assert [each.run_id for each in reader.histories.read_histories(STREAM, "a")] == ["run-1", "run-2", "run-3"]
    assert [each.run_id for each in reader.histories.read_histories(STREAM, second)] == ["run-2"]


def test_what_was_skipped_of_it_is_told(store: RunState, reader: StateReader) -> None:
    leave_out(store, ["a"])
    store.skipped.save_skipped("run-1", STREAM, [SkippedItem("a", "duplicate", 2)])
    (story,) = reader.histories.read_histories(STREAM, "a")
    assert [(each.reason, each.times) for each in story.passed] == [("duplicate", 2)]


def test_one_that_is_marked_later_counts_as_processed(store: RunState, database: Database) -> None:
    marks = SqlScoredItems(database)
    leave_out(store, ["a", "b"])
    marks.mark(STREAM, ["a"], NOW)
    assert marks.unseen(STREAM, ["a", "b"]) == ["b"]
    marks.clear(STREAM)
    assert store.samples.find_undecided(STREAM, ["a", "b"]) == []


def test_a_state_of_before_goes_on(store: RunState, reader: StateReader, database: Database) -> None:
    """Items left out by an earlier version have a row each; they are known, and stay so beside what is new."""
    row: dict[str, object] = {
        "source_key": STREAM.source_key,
        "monitor_key": STREAM.monitor_key,
        "item_id": "old",
        "run_id": "run-0",
    }
    row |= {"drawn": False, "probability": 0.1, "strategy": "random", "stratum": "", "attempts": 0}
    with database.write() as connection:
        config = Config()
        config.set_main_option("script_location", str(FOLDER))
        config.attributes["connection"] = connection
        command.downgrade(config, "0014")
        connection.execute(sa.insert(decisions), [row | {"decided_at": NOW, "state": "undrawn"}])
        upgrade(connection)
    leave_out(store, ["old", "new"], "run-1", 0.5)
    draw(store, ["old"], run_id="run-2")
    assert store.samples.find_undecided(STREAM, ["old", "new", "c"]) == ["c"]
    found = [reader.histories.read_histories(STREAM, each)[0] for each in ("old", "new")]
    assert [(each.run_id, each.state, each.decision.probability) for each in found] == [
        ("run-0", "undrawn", 0.1),
        ("run-1", "undrawn", 0.5),
    ]
    assert found[0].decision == replace(decision("old", drawn=False), probability=0.1)


def test_a_sample_that_fails_leaves_nobody_out(store: RunState) -> None:
    """It is stored whole or not at all."""
    made = [decision("a"), decision("b", drawn=False)]
    with pytest.raises(ValueError, match="no more"):
        store.samples.save_sample("run-1", STREAM, made, failing_items())
    assert store.samples.find_undecided(STREAM, ["a", "b"]) == ["a", "b"]


def failing_items() -> Iterator[DatasetItem]:
    """Items that end in the middle."""
    yield item("z")
    raise ValueError("no more")
