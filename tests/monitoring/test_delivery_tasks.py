"""Deliveries to several sinks at once: what the state raises ends the run, whichever sink it concerned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest

from shared.core.clock import utc_now
from shared.core.errors import StoreError
from shared.core.state.outbox import Outlet
from shared.database.engine.database import open_database
from shared.database.runs.sql_outbox import SqlOutbox
from shared.monitoring.publishing.delivery_tasks import DeliveryTasks
from shared.monitoring.sink_delivery import DeliveryContext, DeliveryLimits, SinkDelivery
from tests.monitoring.test_pipeline import STREAM, Shelf


class FullOutbox(SqlOutbox):
    """A store on a full disk."""

    def claim(self, *_: object) -> NoReturn:
        raise StoreError("the disk is full")


def tasks_on_a_full_disk(folder: Path, required: bool) -> DeliveryTasks:
    """One sink's deliveries from a store that fails."""
    store = FullOutbox(open_database(folder / "state.db"))
    context = DeliveryContext(store, STREAM, utc_now, DeliveryLimits(), Random(1), lambda batch: batch)
    return DeliveryTasks([SinkDelivery(Outlet(Shelf(), required), context)])


def test_an_error_of_the_state_reaches_the_run_from_a_required_sink(tmp_path: Path) -> None:
    """The run must not end as if everything had been delivered."""
    with pytest.raises(StoreError, match="the disk is full"):
        asyncio.run(tasks_on_a_full_disk(tmp_path, required=True).serve_all())


async def _serve_again(tasks: DeliveryTasks) -> None:
    await tasks.serve_all()


async def _leave(tasks: DeliveryTasks) -> None:
    await tasks.leave(5.0)


@pytest.mark.parametrize("later", [_serve_again, _leave])
def test_an_error_of_the_state_reaches_the_run_from_a_best_effort_sink(
    later: Callable[[DeliveryTasks], Coroutine[object, object, None]], tmp_path: Path
) -> None:
    """Its task runs beside the run, so the error comes with the next look at it, or at the end."""

    async def deliver() -> None:
        tasks = tasks_on_a_full_disk(tmp_path, required=False)
        await tasks.serve_all()
        await asyncio.sleep(0.01)
        with pytest.raises(StoreError, match="the disk is full"):
            await later(tasks)

    asyncio.run(deliver())
