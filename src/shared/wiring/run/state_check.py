"""Whether a monitor still has its memory. Where it is lost, a run that scored everything again would look like success:
it fails instead, and says what to do."""

from __future__ import annotations

from shared.core.errors import StoreError
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.config.settings import RunEnvironment


def check_and_begin_state(built: BuiltMonitor) -> None:
    """See that the memory is there that must be, and leave a sign of this run in it.

    Raises:
        StoreError: when it is not; nothing has been created then.
    """
    if built.plan.one_off:  # it neither looks at the memory nor adds to it
        return
    lost = describe_lost_state(built)
    if lost:
        raise StoreError(lost)
    built.store.begin(built.around.root)


def describe_lost_state(built: BuiltMonitor) -> str:
    """What is missing of the memory and what to do; empty where nothing is, or nothing need be.

    Raises:
        StoreError: when the memory cannot be looked at.
    """
    if built.first_run or built.plan.one_off:
        return ""
    store, root, stream = built.store, built.around.root, built.plan.stream
    half = store.half(root, stream)
    if half:
        return _told(built, half, "the two are kept together, and one of them was lost")
    reason = _reason(store.must_exist, built.around)
    lacks = store.lacks(root, stream) if reason else ""
    return _told(built, lacks, f"it must be there: {reason}") if lacks else ""


def _told(built: BuiltMonitor, what: str, why: str) -> str:
    return (
        f"the memory of monitor {built.plan.name!r} is lost: {what} ({why}). Most likely a cache that kept it was "
        "evicted, or it was stored under another name. A run without it would score and publish every item again. "
        "Either bring it back (an older cache, a backup) and run again; or, when this monitor is new or is to begin "
        "anew, run once with --first-run"
    )


def _reason(asked: bool | None, around: RunEnvironment) -> str:
    """Why the memory must be there; empty where it need not. The file goes before the environment."""
    if asked is not None:
        return "scored_store.must_exist is true" if asked else ""
    wanted = around.settings.trueline_state_must_exist
    if wanted is not None:
        return "TRUELINE_STATE_MUST_EXIST is set" if wanted else ""
    number = around.variables.get("GITHUB_RUN_NUMBER", "")
    if around.variables.get("GITHUB_EVENT_NAME") == "schedule" and number.isdecimal() and int(number) > 1:
        return f"this is scheduled run {number} of its workflow"
    return ""
