"""The program itself."""

from __future__ import annotations

from cli.running import Run

import varangian


def test_alone_it_helps(run: Run) -> None:
    done = run()
    assert done.code == 0
    assert done.out == run("--help").out
    for command in ("train", "list", "cite", "doctor", "bench"):
        assert f"\n  {command} " in done.out
    assert "..." not in done.out.partition("Commands:")[2]


def test_version(run: Run) -> None:
    assert run("--version").out == f"varangian {varangian.__version__}\n"
