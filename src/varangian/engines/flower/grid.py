"""A Grid that waits for enough good replies, not for all: late ones are dropped, busy nodes known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flwr.app import Error, Message, RecordDict
from flwr.serverapp import Grid

from varangian.federation.admission import printable

SHORTEST, LONGEST = 0.02, 1.0
"""Seconds between two looks at what has arrived: the longer nothing came, the longer the next pause."""
UNREADABLE = 1
"""The code of the error that stands for a reply which cannot be read."""


class QuorumGrid(Grid):  # type: ignore[misc] # Flower is not installed where types are checked
    """Another Grid, with a ``send_and_receive`` that ends as soon as ``enough`` says so.

    ``enough`` is given every reply as it comes, and tells whether to stop waiting. What comes later is taken
    from the SuperLink and dropped; a node that owes a reply is ``busy`` until it comes, or until the timeout
    it was given is over. One reply that cannot be read is that node's error, and nobody else's.
    """

    def __init__(self, inner: Any, enough: Callable[[Any], bool]) -> None:
        self.inner, self.enough = inner, enough
        self._owed: dict[str, tuple[int, float]] = {}

    def busy(self) -> set[int]:
        """Return the nodes that have not answered an earlier message."""
        self._drop_late(time.monotonic())
        return {node for node, _ in self._owed.values()}

    def send_and_receive(self, messages: Iterable[Any], *, timeout: float | None = None) -> Sequence[Any]:
        """Send, and return the replies that came until there were enough, or until the timeout in seconds."""
        sent = list(messages)
        if not sent:
            return []
        begun = time.monotonic()
        end = begun + timeout if timeout is not None else float("inf")
        ids = self.inner.push_messages(sent)
        waiting = {key: message for key, message in zip(ids, sent, strict=False) if key is not None}
        replies: list[Any] = []
        done, pause = False, SHORTEST
        while waiting and not done:
            came = {key: reply for key, message in waiting.items() for reply in self._pull(key, message)}
            for key, reply in came.items():
                del waiting[key]
                replies.append(reply)
                done = self.enough(reply) or done
            if done or time.monotonic() >= end:
                break
            pause = SHORTEST if came else min(1.5 * pause, LONGEST)
            time.sleep(max(0.0, min(pause, end - time.monotonic())))
            self._drop_late(time.monotonic())
        self._owed |= {key: (message.metadata.dst_node_id, end) for key, message in waiting.items()}
        return replies

    def _pull(self, key: str, message: Any) -> list[Any]:
        """Return the reply to one message, if it is there; what cannot be read becomes an error.

        Messages are pulled one by one, since all that were pulled with an unreadable one would be lost.
        """
        try:
            replies = list(self.inner.pull_messages([key]))
        except Exception as error:
            if _is_of_the_wire(error):
                raise
            return [Message(Error(UNREADABLE, f"unreadable: {printable(error)}"), reply_to=message)]
        if any(reply.metadata.reply_to_message_id != key for reply in replies):
            return [Message(Error(UNREADABLE, "it answers what it was not asked"), reply_to=message)]
        return replies

    def _drop_late(self, now: float) -> None:
        for key, (_, end) in list(self._owed.items()):
            try:
                late = bool(list(self.inner.pull_messages([key])))
            except Exception as error:
                if _is_of_the_wire(error):
                    raise
                late = True
            if late or now > end:
                del self._owed[key]

    def set_run(self, run: Any) -> None:
        """Set the run of the other Grid."""
        self.inner.set_run(run)

    @property
    def run(self) -> Any:
        """Return the run of the other Grid."""
        return self.inner.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Any:
        """Create a message; Flower calls this deprecated."""
        return self.inner.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that are connected."""
        nodes: Iterable[int] = self.inner.get_node_ids()
        return nodes

    def get_nodes(self) -> Iterable[Any]:
        """Return what is known of the nodes that are connected."""
        nodes: Iterable[Any] = self.inner.get_nodes()
        return nodes

    def push_messages(self, messages: Iterable[Any]) -> Iterable[str]:
        """Send messages through the other Grid."""
        ids: Iterable[str] = self.inner.push_messages(messages)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Any]:
        """Take replies from the other Grid."""
        replies: Iterable[Any] = self.inner.pull_messages(message_ids)
        return replies


def _is_of_the_wire(error: Exception) -> bool:
    """Tell whether the SuperLink could not be reached, which no client is to blame for."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in {
        "httpx",
        "httpcore",
        "grpc",
    }
