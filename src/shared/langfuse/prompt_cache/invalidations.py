"""What one process knows of the generations of prompts, and whom it tells when they move."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeVar

from shared.core.best_effort import attempt, best_effort
from shared.core.errors import StoreError
from shared.core.state.prompt_generations import PromptGenerations

_log = logging.getLogger(__name__)

_ANSWER_SECONDS = 2.0
"""How long a read waits for the store at most: one that hangs is as good as one that is away."""

_WRITE_SECONDS = 10.0

_MOST_WAITING = 4
"""Threads that wait for the store."""

_PAUSE_SECONDS = 10.0
"""After that: until then nobody else waits for it."""


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
    """Inside this file only: the store has not answered in time."""


class GenerationTracker:
    """Generations as of the last look at the store, never falling. Other processes' are looked for every `every`
    seconds, with one question for all; 0 looks at every read.

    A store that cannot be read, or hangs, is logged and looked at again later: what is cached then lives by its age
    alone.
    """

    def __init__(self, store: PromptGenerations, every: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = clock()
        self._hung_until = clock()
        self._known: dict[str, int] = {}
        self._listeners: list[Listener] = []
        self._places = threading.Semaphore(_MOST_WAITING)
        self._telling = ThreadPoolExecutor(1, "prompt-listeners")

    def add_listener(self, listener: Listener) -> Callable[[], None]:
        """Call the listener once for each generation that this process learns of: in the thread that invalidates or
        looks, and for what a fetch finds in one of its own. What is returned ends it. A listener that raises is logged,
        and the others are called.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def generation(self, name: str) -> int:
        """The generation as far as it is known; 0 for a prompt that nobody asked about."""
        return self._known.get(name, 0)

    def refresh(self, name: str) -> int:
        """The generation as the store has it now, for a fetch."""
        self._read_store([name], by_fetch=True)
        return self.generation(name)

    @property
    def due(self) -> bool:
        """Whether `check` would look at the store."""
        return bool(self._known) and self._clock() >= self._looked + self._every

    def check(self) -> None:
        """Look at the store if it is time."""
        with self._lock:
            now = self._clock()
            if now < self._looked + self._every:
                return
            self._looked = now
            names = list(self._known)
        if names:  # without the lock: it may tell listeners, and those may read prompts
            self._read_store(names)

    def announce_change(self, name: str, why: str) -> None:
        """Invalidate because of what a fetch has seen: as `bump`, but a store that fails is logged only."""
        try:
            generation = self.call_store(self._store.bump, name)
        except StoreError as error:
            _log.warning("prompt %r: the other processes could not be told that it has changed: %s", name, error)
            return
        if self._is_news(name, generation):
            self._notify(PromptChanged(name, generation, why), by_fetch=True)

    def bump(self, name: str, why: str) -> int:
        """Invalidate everywhere; the new generation.

        Raises:
            StoreError: when the store cannot be written: then nothing is invalidated, or, where it hangs, later.
        """
        generation = self.call_store(self._store.bump, name)
        if self._is_news(name, generation):
            self._notify(PromptChanged(name, generation, why))
        return generation

    def learn(self, name: str, generation: int, why: str, by_fetch: bool = False) -> None:
        """Take over a generation, and tell of it if it is news; the first sight of a name is none."""
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
            self._telling.submit(self._call, change)
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
            _log.warning("invalidations of prompts cannot be looked for, their age decides meanwhile: %s", error)
            if isinstance(error, _StoreTimeout):
                self._hung_until = self._clock() + _PAUSE_SECONDS
        for name, generation in found.items():
            self.learn(name, generation, "invalidated by another process", by_fetch)

    def call_store(self, ask: Callable[[A], T], what: A, seconds: float = _WRITE_SECONDS) -> T:
        """What the store answers in time. A thread of ours waits for it to the end, so that no caller does, and no
        process that ends: a pool's thread would hold that up.

        Raises:
            StoreError: when it does not, and what the store raises.
        """
        answers: SimpleQueue[T | Exception] = SimpleQueue()

        def ask_store() -> None:
            answers.put(attempt(ask, what))
            self._places.release()

        try:
            if not self._places.acquire(timeout=seconds):
                raise Empty
            threading.Thread(target=ask_store, name="prompt-generations", daemon=True).start()
            found = answers.get(timeout=seconds)
        except Empty:
            raise _StoreTimeout(f"the generations of prompts: no answer within {seconds:g} s") from None
        if isinstance(found, Exception):
            raise found
        return found
