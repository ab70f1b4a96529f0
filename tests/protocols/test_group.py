"""A group says whom a node waits for, and refuses what proves nothing."""

from __future__ import annotations

import pytest

from varangian.core.conditions import Condition
from varangian.errors import ToleranceError
from varangian.protocols import Group

LEAST, QUORUM = Condition(4, "n >= 3f + 1"), Condition(3, "q >= 2f + 1")


def test_all_that_is_sure_to_come_is_waited_for() -> None:
    group = Group("worker", 8, 2, first=3)
    assert group.quorum == 6
    assert list(group.parties) == list(range(3, 11))


@pytest.mark.parametrize(
    ("group", "fix"),
    [
        (Group("worker", 3, 1), "Add 1 workers"),
        (Group("worker", 1, 1, 1), "n >= 3f"),
        (Group("worker", 4, -1), "n >= 3f"),
        (Group("worker", 4, 1, 2), "q >= 2f"),
        (Group("worker", 4, 1, 4), "at most"),
    ],
)
def test_what_proves_nothing_is_refused(group: Group, fix: str) -> None:
    with pytest.raises(ToleranceError, match=fix):
        group.check(LEAST, QUORUM)
    Group("worker", 4, 1).check(LEAST, QUORUM)
