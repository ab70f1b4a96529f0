"""A signal in the middle of an aggregation: what was asked for ends, and nothing else is harmed."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading

import pytest
import torch

import varangian as vg
from varangian.kernels.errands import Errand, Runners, settle

SECONDS = 240
"""After which something hangs, on a machine that is busy with other things."""

BEGIN = """
import gc, random, signal, threading, time, torch
import varangian as vg
from varangian.kernels import lanes

torch.set_num_threads(2)
x = torch.randn(11, 200_003, generator=torch.Generator().manual_seed(0))
x[3, 77] = torch.nan
RULES = [
    vg.MultiKrum(f=2), vg.Krum(f=2), vg.Median(f=2), vg.TrimmedMean(f=2),
    vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2)),
]
WANTED = [rule(x) for rule in RULES]
draw, begun = random.Random(0), time.perf_counter()
for rule in RULES:
    rule(x)
takes = (time.perf_counter() - begun) / len(RULES)
"""

INTERRUPTED = """
class Interrupt(BaseException):
    pass

def interrupt(*_):
    raise Interrupt

signal.signal(signal.SIGALRM, interrupt)
heard = 0
for turn in range(600):
    rule = RULES[turn % len(RULES)]
    try:
        signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, 1.5 * takes))
        try:
            rule(x)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except Interrupt:
        heard += 1
gc.collect()
torch.set_num_threads(2)
assert lanes.lanes() == 2
assert lanes._here.lanes is None
assert not lanes._lent
assert heard > 100, heard
"""

BETWEEN = """
inner = torch.randn(25, 150_001, generator=torch.Generator().manual_seed(1))
other = [rule(inner) for rule in RULES]
heard = 0

def aggregate(*_):
    global heard
    place = heard % len(RULES)
    assert torch.equal(RULES[place](inner), other[place])
    heard += 1

signal.signal(signal.SIGALRM, aggregate)
for turn in range(200):
    place = turn % len(RULES)
    signal.setitimer(signal.ITIMER_REAL, draw.uniform(1e-6, takes))
    assert torch.equal(RULES[place](x), WANTED[place])
signal.setitimer(signal.ITIMER_REAL, 0)
assert heard > 50, heard
"""

END = """
for rule, wanted in zip(RULES, WANTED):
    assert torch.equal(rule(x), wanted), rule
print("well")
"""


with_alarms = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="No alarms can be set here.")


def run(*parts: str) -> None:
    """Run a program in a process of its own, to its last line."""
    text = "\n".join(map(textwrap.dedent, parts))
    ran = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "well\n"


@with_alarms
@pytest.mark.parametrize("what", [INTERRUPTED, BETWEEN], ids=["it ends", "its handler aggregates"])
def test_a_signal_at_any_moment(what: str) -> None:
    run(BEGIN, what, END)


@with_alarms
def test_a_signal_while_the_first_threads_begin() -> None:
    first = """
    torch.set_num_threads(16)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    begin = threading.Thread.start

    def start(thread):
        begin(thread)
        if thread.name.startswith("lane"):
            signal.raise_signal(signal.SIGALRM)

    for turn in range(5):
        threading.Thread.start = start
        try:
            RULES[1](x)
        except KeyboardInterrupt:
            heard = True
        threading.Thread.start = begin
    assert heard
    """
    run(BEGIN, first, END)


def test_after_the_main_thread_has_ended() -> None:
    last = """
    def late():
        threading.main_thread().join()
        for rule, wanted in zip(RULES, WANTED):
            assert torch.equal(rule(x), wanted), rule
        print("well")

    threading.Thread(target=late).start()
    """
    run(BEGIN, last)


def test_as_python_ends() -> None:
    last = """
    import atexit

    def late():
        for rule, wanted in zip(RULES, WANTED):
            assert torch.equal(rule(x), wanted), rule
        print("well")

    atexit.register(late)
    """
    run(last.replace("RULES, WANTED", "globals()['RULES'], WANTED"), BEGIN)


def test_a_new_thread_keeps_its_threads() -> None:
    last = """
    from concurrent.futures import ThreadPoolExecutor

    def threads():
        torch.randn(4).sum()
        return torch.get_num_threads()

    found = []
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: RULES[1](x), range(40)))
        found += pool.map(lambda _: threads(), range(40))
    newcomer = threading.Thread(target=lambda: found.append(threads()))
    newcomer.start()
    newcomer.join()
    assert set(found) == {2}, found
    """
    run(BEGIN, last, END)


def test_what_has_begun_is_waited_for_though_an_interrupt_comes() -> None:
    begun, free = threading.Event(), threading.Event()

    class Interrupted(Errand[bool]):
        times = 0

        def wait(self) -> None:
            self.times += 1
            if self.times < 3:
                raise KeyboardInterrupt
            free.set()
            super().wait()

    def work() -> bool:
        begun.set()
        return free.wait(SECONDS)

    runners = Runners(1, "test", lambda: None)
    errand, other = Interrupted(work), Errand(work)
    assert runners.give(errand)
    assert runners.give(other)
    assert begun.wait(SECONDS)
    with pytest.raises(KeyboardInterrupt):
        settle([other, errand])
    assert errand.result()
    assert other.call_off()


def test_without_threads_the_caller_does_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    x, rule = torch.randn(11, 300_000), vg.Krum(f=2)
    wanted = rule(x)
    before = torch.get_num_threads()
    torch.set_num_threads(13)  # of which there are no lanes yet
    monkeypatch.setattr(threading.Thread, "start", refuse)
    try:
        assert torch.equal(rule(x), wanted)
    finally:
        torch.set_num_threads(before)
