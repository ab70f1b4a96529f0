"""Work for other threads, given and ended so that an interrupt between any two steps spoils nothing.

Executors, futures and conditions are written in Python: where a handler of a signal raises between two of
their lines, a lock stays taken for ever, or work goes on of which nobody knows. Here everything that threads
have in common changes in one step, of a dictionary or a queue; only to begin a thread takes a condition, its
own.
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

Made = TypeVar("Made")


class Errand(Generic[Made]):
    """Something that another thread does, unless it is called off before it begins."""

    def __init__(self, work: Callable[[], Made]) -> None:
        self._work = work
        self._whose: dict[str, bool] = {}
        self._made: list[Made] = []
        self._ended, self._bell = False, SimpleQueue[None]()
        self.failure: BaseException | None = None

    def do(self) -> None:
        """Do it, and keep what comes of it."""
        if self._whose.setdefault("called off", False):
            return
        try:
            self._made.append(self._work())
        except BaseException as failure:
            self.failure = failure
        self._ended = True
        self._bell.put(None)

    def call_off(self) -> bool:
        """See to it that it never begins; tell whether that was possible."""
        return self._whose.setdefault("called off", True)

    def wait(self) -> None:
        """Wait until it has ended."""
        while not self._ended:
            self._bell.get()

    def result(self) -> Made:
        """Wait, and return what came of it. Raises what it raised."""
        self.wait()
        if self.failure is not None:
            raise self.failure
        return self._made[0]


class Runners:
    """Threads that do errands, one after the other; so many at most, and none before they are needed."""

    def __init__(self, most: int, name: str, begin: Callable[[], None]) -> None:
        self._most, self._name, self._begin = most, name, begin
        self._waiting, self._begun = SimpleQueue[Errand[object] | None](), SimpleQueue[None]()
        self._threads, self._growing, self._over = list[threading.Thread](), threading.RLock(), False
        atexit.register(self._end)

    def give(self, errand: Errand[Made]) -> bool:
        """Let a thread do an errand; return False if there is none, and can be none any more."""
        if not self._over and len(self._threads) < self._most:
            self._grow()
        if self._over or not self._threads:
            return False
        self._waiting.put(cast("Errand[object]", errand))
        return True

    def _grow(self) -> None:
        with self._growing:
            if len(self._threads) == self._most:
                return
            thread = threading.Thread(
                target=self._run, name=f"{self._name}_{len(self._threads)}", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # no more threads, or Python is about to end
                return
            self._begun.get()  # until then, what it sets for itself might be seen by others
            self._threads.append(thread)

    def _run(self) -> None:
        self._begin()
        self._begun.put(None)
        for errand in iter(self._waiting.get, None):
            errand.do()
            del errand
        self._waiting.put(None)  # for the next: there may be one that an interrupt kept from being listed

    def _end(self) -> None:
        """End the threads before Python takes their ground away."""
        self._over = True
        self._waiting.put(None)
        for thread in self._threads:
            thread.join()


def settle(errands: Iterable[Errand[Made]]) -> None:
    """Call off what has not begun, and wait for the others, which use what others may soon give away.

    Who interrupts that is heard afterwards.
    """
    interrupted = None
    while True:
        try:
            for errand in errands:
                if not errand.call_off():
                    errand.wait()
            break
        except BaseException as interrupt:
            interrupted = interrupt
    if interrupted is not None:
        raise interrupted
