"""Each invariant of the histories can fail: a protocol that is broken on purpose breaks it."""

from __future__ import annotations

from pathlib import Path

from bare import bare


def test_what_is_broken_is_found() -> None:
    results = bare(Path(__file__).with_name("mutations.py"), "found")
    assert len(results) >= 20
    assert {name: seen for name, (_, seen) in results.items()} == {
        name: invariant for name, (invariant, _) in results.items()
    }
