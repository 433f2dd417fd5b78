"""Runs of one stream take turns where they must."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from shared.core.errors import BusyError
from shared.monitoring.plan import MonitorPlan, Ports

_AGAIN = 0.2  # seconds between two looks at a lock that another run holds


async def hold_stream(plan: MonitorPlan, ports: Ports, stack: ExitStack) -> None:
    """Hold the stream until the stack is closed; wait for another run in small steps, so that Ctrl-C is seen to
    meanwhile.

    Raises:
        BusyError: when another run holds it for longer than the plan's `lock_wait`.
    """
    waited = 0.0
    while not plan.one_off:  # nobody else knows a stream that is used once
        try:
            stack.enter_context(ports.state.claims.lock(plan.stream, 0.0))
            return
        except BusyError:
            if waited >= plan.limits.lock_wait:
                raise
            if not waited:
                ports.progress.stage("waiting for another run of this monitor")
        await asyncio.sleep(_AGAIN)
        waited += _AGAIN
