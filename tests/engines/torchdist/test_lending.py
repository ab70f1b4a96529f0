"""A script may end as soon as its last collective is done, though threads still hold what it sent."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import torch

import varangian
from varangian.engines.torchdist import lending


def test_an_exit_waits_until_threads_have_let_go() -> None:
    script = """
        import threading, time, torch
        from varangian.engines.torchdist.lending import lent

        def hold(loans):
            time.sleep(0.5)
            loans.clear()
            print("let go")

        loans = [lent(torch.zeros(3)), lent(lambda: None)]
        threading.Thread(target=hold, args=(loans,), daemon=True).start()
        del loans
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": str(Path(varangian.__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "let go\n"), done.stderr


def test_what_one_keeps_oneself_is_not_waited_for() -> None:
    kept = torch.zeros(3)
    threading.Thread(target=lambda alias: None, args=(lending.lent(kept),)).start()
    started = time.monotonic()
    lending._await_return()
    assert time.monotonic() - started < lending.PATIENCE / 2
    alias = lending.lent(kept)
    assert alias is not kept
    assert alias.data_ptr() == kept.data_ptr()
