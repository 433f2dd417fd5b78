"""Tracks the generations of prompts in one process, and notifies listeners when a prompt is invalidated."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

from shared.core.best_effort import attempt, best_effort
from shared.core.errors import StoreError
from shared.core.state.prompt_generations import PromptGenerations, Sighting

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 2.0
"""The longest wait of a read for the store: one that hangs counts as unreachable."""

_WRITE_SECONDS = 10.0

_MOST_WAITING = 4
"""Threads that may wait for the store at the same time."""

_PAUSE_SECONDS = 10.0
"""After a timeout no read waits for the store for so long."""


@dataclass(frozen=True, slots=True)
class PromptChanged:
    """A prompt, by its exact name, must be fetched anew: all its versions and labels."""

    name: str
    generation: int
    why: str


Listener = Callable[[PromptChanged], None]
A = TypeVar("A")
T = TypeVar("T")


class _StoreTimeout(StoreError):
    """Inside this file only: the store did not answer in time."""


class GenerationTracker:
    """Generations as of the last read of the store; they never decrease. Other processes' invalidations are read
    every `every` seconds, with one query for all prompts; 0 reads the store at every use.

    A store that cannot be read, or hangs, is logged and read again later: cached prompts then expire by age alone.
    """

    def __init__(self, store: PromptGenerations, every: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._last_read = clock()
        self._hung_until = clock()
        self._known: dict[str, int] = {}
        self._listeners: list[Listener] = []
        self._slots = threading.Semaphore(_MOST_WAITING)
        self._notifier = ThreadPoolExecutor(1, "prompt-listeners")

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call the listener once for each generation that this process learns of: in the thread that invalidates or
        reads the store, and for what a fetch finds in a thread of its own. Returns a function that removes it. A
        listener that raises is logged, and the others are called.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def generation(self, name: str) -> int:
        """The known generation; 0 for a prompt that was never requested."""
        return self._known.get(name, 0)

    def refresh(self, name: str) -> int:
        """Read the generation from the store, for a fetch."""
        self._read_store([name], by_fetch=True)
        return self.generation(name)

    @property
    def due(self) -> bool:
        """Whether `check` would read the store."""
        return bool(self._known) and self._clock() >= self._last_read + self._every

    def check(self) -> None:
        """Read the store if it is time."""
        with self._lock:
            now = self._clock()
            if now < self._last_read + self._every:
                return
            self._last_read = now
            names = list(self._known)
        if names:  # without the lock: listeners may read prompts
            self._read_store(names)

    def announce_change(self, name: str, why: str) -> None:
        """Invalidate because of what a fetch found: as `bump`, but a store that fails is only logged."""
        try:
            generation = self.call_store(self._store.bump, name)
        except StoreError as error:
            _log.warning("prompt %r has changed, but the other processes could not be notified: %s", name, error)
            return
        if self._is_news(name, generation):
            self._notify(PromptChanged(name, generation, why), by_fetch=True)

    def bump(self, name: str, why: str) -> int:
        """Invalidate in every process; return the new generation.

        Raises:
            StoreError: when the store cannot be written: nothing is invalidated, or, where it hangs, only later.
        """
        generation = self.call_store(self._store.bump, name)
        if self._is_news(name, generation):
            self._notify(PromptChanged(name, generation, why))
        return generation

    def learn(self, name: str, generation: int, why: str, by_fetch: bool = False) -> None:
        """Take over a generation, and notify listeners if it is new; the first sight of a name is not."""
        if self._is_news(name, generation, first_too=False):
            self._notify(PromptChanged(name, generation, why), by_fetch)

    def _is_news(self, name: str, generation: int, first_too: bool = True) -> bool:
        with self._lock:
            before = self._known.get(name)
            if before is not None and generation <= before:
                return False
            self._known[name] = generation
            return first_too or before is not None

    def _notify(self, change: PromptChanged, by_fetch: bool = False) -> None:
        if by_fetch and self._listeners:
            # not in the fetch's thread: a listener may wait for another fetch, and those threads are few
            self._notifier.submit(self._call, change)
        else:
            self._call(change)

    def _call(self, change: PromptChanged) -> None:
        for listener in tuple(self._listeners):
            with best_effort(f"a listener to changes of prompt {change.name!r}"):
                listener(change)

    def _read_store(self, names: list[str], by_fetch: bool = False) -> None:
        found = dict.fromkeys(names, 0)
        try:
            if self._clock() >= self._hung_until:
                found = self.call_store(self._store.current, names, _ANSWER_SECONDS)
        except StoreError as error:
            _log.warning("prompt invalidations cannot be read; cached prompts expire by age meanwhile: %s", error)
            if isinstance(error, _StoreTimeout):
                self._hung_until = self._clock() + _PAUSE_SECONDS
        for name, generation in found.items():
            self.learn(name, generation, "invalidated by another process", by_fetch)

    def call_store(self, ask: Callable[[A], T], argument: A, seconds: float = _WRITE_SECONDS) -> T:
        """Return the store's answer if it comes in time. A daemon thread waits for it, so that neither a caller nor the
        end of the process is held up, as by a pool's thread.

        Raises:
            StoreError: when it does not, and what the store raises.
        """
        answers: SimpleQueue[T | Exception] = SimpleQueue()

        def ask_store() -> None:
            answers.put(attempt(ask, argument))
            self._slots.release()

        try:
            if not self._slots.acquire(timeout=seconds):
                raise Empty
            threading.Thread(target=ask_store, name="prompt-generations", daemon=True).start()
            found = answers.get(timeout=seconds)
        except Empty:
            raise _StoreTimeout(f"the store of prompt generations did not answer within {seconds:g} s") from None
        if isinstance(found, Exception):
            raise found
        return found


class MemoryGenerations:
    """`PromptGenerations` in memory: counters for as long as the object lives. Managers that share one see each other's
    invalidations.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: Counter[str] = Counter()
        self._states: dict[str, tuple[str, int]] = {}

    def current(self, names: Sequence[str]) -> dict[str, int]:
        with self._lock:
            return {name: self._counters[name] for name in names}

    def bump(self, name: str) -> int:
        with self._lock:
            self._counters[name] += 1
            return self._counters[name]

    def sight(self, name: str, state: str) -> Sighting:
        with self._lock:
            before, then = self._states.get(name, (None, 0))
            announced = before is None or self._counters[name] > then
            self._counters[name] += before != state
            self._states[name] = (state, self._counters[name])
            return Sighting(self._counters[name], before != state, announced)
