"""What one process knows of the generations of prompts, and whom it tells when they move."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from shared.core.best_effort import best_effort
from shared.core.errors import StoreError
from shared.core.prompts import PromptGenerations

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PromptChanged:
    """A prompt, by its exact name, must be fetched anew: all its versions and labels."""

    name: str
    generation: int
    why: str


Listener = Callable[[PromptChanged], None]


class KnownGenerations:
    """Generations as of the last look at the store, never falling. Other processes' are looked for every `every`
    seconds, with one question for all; 0 looks at every read.

    A store that cannot be read is logged and looked at again later: what is cached then lives by its age alone.
    """

    def __init__(self, store: PromptGenerations, every: float, clock: Callable[[], float]) -> None:
        self._store = store
        self._every = every
        self._clock = clock
        self._lock = threading.Lock()
        self._looked = clock()
        self._known: dict[str, int] = {}
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call the listener once for each generation that this process learns of, in the thread that does; what is
        returned ends it. A listener that raises is logged, and the others are called.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def of(self, name: str) -> int:
        """The generation as far as it is known; 0 for a prompt that nobody asked about."""
        return self._known.get(name, 0)

    def asked(self, name: str) -> int:
        """The generation as the store has it now."""
        self._look([name])
        return self.of(name)

    def check(self) -> None:
        """Look at the store if it is time."""
        with self._lock:
            now = self._clock()
            if now < self._looked + self._every:
                return
            self._looked = now
            names = list(self._known)
        if names:  # without the lock: it may tell listeners, and those may read prompts
            self._look(names)

    def raised(self, name: str, why: str) -> int | None:
        """Invalidate because of something seen by the way: as `bump`, but a store that fails is logged only."""
        try:
            return self.bump(name, why)
        except StoreError as error:
            _log.warning("prompt %r: the other processes could not be told that it has changed: %s", name, error)
            return None

    def bump(self, name: str, why: str) -> int:
        """Invalidate everywhere; the new generation.

        Raises:
            StoreError: when the store cannot be written: then nothing is invalidated.
        """
        generation = self._store.bump(name)
        self.learn(name, generation, why, told=True)
        return generation

    def learn(self, name: str, generation: int, why: str, told: bool = False) -> None:
        """Take over a generation, and tell of it if it is news. The first sight of a name is none unless `told`."""
        with self._lock:
            before = self._known.get(name)
            if before is not None and generation <= before:
                return
            self._known[name] = generation
        if told or before is not None:
            for listener in tuple(self._listeners):
                with best_effort(f"a listener to changes of prompt {name!r}"):
                    listener(PromptChanged(name, generation, why))

    def _look(self, names: list[str]) -> None:
        try:
            found = self._store.current(names)
        except StoreError as error:
            _log.warning("invalidations of prompts cannot be looked for, their age decides meanwhile: %s", error)
            found = dict.fromkeys(names, 0)
        for name, generation in found.items():
            self.learn(name, generation, "invalidated by another process")
