"""One host opens sixteen connections and floods; who keeps what of an uplink, with and without fair share?"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from netns.laboratory import Laboratory

pytestmark = pytest.mark.netns

TRAFFIC = str(Path(__file__).with_name("traffic.py"))
SERVER = "10.9.0.1"
HOSTS = ("10.0.0.2", "10.0.0.6", "10.0.0.10", "10.0.0.14")
GREEDY = HOSTS[-1]
RATE = 20e6
PAYLOAD = 1448 / 1514
"""Of what a wire carries, headers taken off."""
SECONDS = 5
KEPT = 0.8
DATAGRAMS = 2000
"""A second, of 1400 bytes: more than an uplink carries."""


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    with Laboratory() as made:
        yield made


def neighbourhood(lab: Laboratory, uplinks: int) -> list[str]:
    """Build hosts - router = modems = server; each modem sends 20 Mbit/s. Return the router's uplinks."""
    for name in ("router", "server", *(f"modem{i}" for i in range(uplinks))):
        lab.space(name)
    lab.ask("server", "ip", "addr", "add", f"{SERVER}/32", "dev", "lo")
    for place, address in enumerate(HOSTS):
        lab.space(f"host{place}")
        router = f"10.0.0.{4 * place + 1}"
        lab.wire(f"host{place}", "router", f"{address}/30", f"{router}/30")
        lab.ask(f"host{place}", *f"ip route add default via {router} congctl cubic".split())
    ends, ways, back = [], [], []
    for i in range(uplinks):
        end, _ = lab.wire("router", f"modem{i}", f"10.1.{i}.1/30", f"10.1.{i}.2/30")
        slow, _ = lab.wire(f"modem{i}", "server", f"10.2.{i}.1/30", f"10.2.{i}.2/30")
        lab.slow(f"modem{i}", slow, f"{RATE:.0f}")
        lab.ask(f"modem{i}", *f"ip route add {SERVER} via 10.2.{i}.2".split())
        lab.ask(f"modem{i}", *f"ip route add 10.0.0.0/24 via 10.1.{i}.1".split())
        ends.append(end)
        ways += ["nexthop", "via", f"10.1.{i}.2"]
        back += ["nexthop", "via", f"10.2.{i}.1"]
    lab.ask("router", "ip", "route", "add", "default", *ways)
    lab.ask("server", "ip", "route", "add", "default", *back)
    return ends


def share(lab: Laboratory, ends: list[str], *more: str) -> str:
    told = [f"{end}={0.95 * RATE:.0f}bit,via=10.1.{i}.2" for i, end in enumerate(ends)]
    hosts = [word for host in HOSTS for word in ("--hosts", host)]
    return lab.python("router", "-m", "varangian", "fairshare", *told, *hosts, *more)


def measured(lab: Laboratory, port: int, datagrams: int, ends: int) -> dict[str, float]:
    """Return the part of an equal share that each host gets."""
    server = lab.start("server", TRAFFIC, "receive", str(port), str(SECONDS))
    assert server.stdout is not None
    assert server.stdout.readline() == "ready\n"
    senders = [
        lab.start(
            f"host{place}", TRAFFIC, "send", SERVER, str(port),
            *(("16", str(datagrams)) if host == GREEDY else ("1", "0")),
        )
        for place, host in enumerate(HOSTS)
    ]  # fmt: skip
    came = json.loads(server.communicate()[0])
    for sender in senders:
        sender.kill()
    equal = ends * RATE * PAYLOAD / len(HOSTS)
    return {host: came.get(host, 0.0) / equal for host in HOSTS}


def line(what: str, kept: dict[str, float]) -> str:
    honest = "  ".join(f"{kept[host]:6.0%}" for host in HOSTS if host != GREEDY)
    return f"{what:<42}honest {honest}   greedy {kept[GREEDY]:6.0%}"


@pytest.mark.parametrize("uplinks", [1, 2])
def test_every_honest_host_keeps_its_share_and_would_not_without(lab: Laboratory, uplinks: int) -> None:
    ends = neighbourhood(lab, uplinks)
    without = measured(lab, 7000, 0, uplinks)
    flooded = measured(lab, 7001, DATAGRAMS, uplinks)
    done = share(lab, ends)
    kept = measured(lab, 7002, 0, uplinks)
    despite = measured(lab, 7003, DATAGRAMS, uplinks)
    standing = lab.python("router", "-m", "varangian", "fairshare", *ends)
    print(f"\n{uplinks} uplink(s) of 20 Mbit/s, parts of an equal share\n{done.strip()}")
    for told in (
        line("without, 16 connections", without),
        line("without, 16 connections and datagrams", flooded),
        line("fair share, 16 connections", kept),
        line("fair share, 16 connections and datagrams", despite),
    ):
        print(told)
    print(standing)
    honest = [host for host in HOSTS if host != GREEDY]
    assert min(without[host] for host in honest) < KEPT
    assert min(flooded[host] for host in honest) < KEPT
    for seen in (kept, despite):
        assert all(seen[host] >= KEPT for host in honest), seen


def state(lab: Laboratory, ends: list[str]) -> list[str]:
    """Return what the kernel says of queues, classes, filters, rules and ways, without the counters."""
    told = [lab.ask("router", "tc", what, "show", "dev", end) for end in ends for what in ("qdisc", "class")]
    told += [lab.ask("router", "tc", "filter", "show", "dev", end, "parent", "fa1e:") for end in ends]
    told += [lab.ask("router", *words.split()) for words in ("ip rule", "ip -4 route show table all")]
    return sorted(
        re.sub(r"(?<=pfifo )\w+:|(?<=leaf )\w+:", "", line) for text in told for line in text.splitlines()
    )


def test_twice_is_once_and_removing_leaves_nothing(lab: Laboratory) -> None:
    ends = neighbourhood(lab, 2)
    before = state(lab, ends)
    share(lab, ends)
    once = state(lab, ends)
    assert once != before
    share(lab, ends)
    assert state(lab, ends) == once
    lab.python("router", "-m", "varangian", "fairshare", *ends, "--remove")
    assert state(lab, ends) == before


def test_the_dry_run_says_what_would_be_done(lab: Laboratory) -> None:
    ends = neighbourhood(lab, 2)
    share(lab, ends, "--with", "htb")
    by_netlink = state(lab, ends)
    lab.python("router", "-m", "varangian", "fairshare", *ends, "--remove")
    lines = share(lab, ends, "--with", "htb", "--dry-run").splitlines()
    for command in lines:
        lab.ask("router", *command.split())
    assert state(lab, ends) == by_netlink


def test_a_queue_of_somebody_else_is_left_alone(lab: Laboratory) -> None:
    ends = neighbourhood(lab, 1)
    lab.slow("router", ends[0], "1mbit")
    with pytest.raises(RuntimeError, match=r"not ours, tbf 77:.*tc qdisc del"):
        share(lab, ends)


def test_without_rights_it_is_refused(lab: Laboratory) -> None:
    ends = neighbourhood(lab, 1)
    nobody = (
        "import os, sys, pyroute2; from varangian.cli import main; os.setuid(65534);"
        "sys.exit(main(['fairshare', *sys.argv[1:]]))"
    )
    with pytest.raises(RuntimeError, match="run this as root, or with CAP_NET_ADMIN"):
        lab.python("router", "-c", nobody, f"{ends[0]}=1mbit", "--hosts", "10.0.0.0/30")


def test_half_a_set_up_is_taken_away(lab: Laboratory) -> None:
    ends = neighbourhood(lab, 2)
    before = state(lab, ends)
    wrong = [f"{end}=19mbit,via=192.0.2.{i + 1}" for i, end in enumerate(ends)]
    with pytest.raises(RuntimeError, match="The kernel refused"):
        lab.python("router", "-m", "varangian", "fairshare", *wrong, "--hosts", "10.0.0.0/28")
    assert state(lab, ends) == before


def test_the_laboratory_loses_what_it_is_told_to(lab: Laboratory) -> None:
    for name in ("one", "other"):
        lab.space(name)
    _, end = lab.wire("one", "other", "10.0.0.1/30", "10.0.0.2/30")
    count = (
        "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.bind(('', 7000)); s.settimeout(1);"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**24); print('ready', flush=True); n = 0\n"
        "try:\n while True: n += len(s.recv(9)) > 0\nexcept TimeoutError: print(n)"
    )
    fire = (
        "import socket, time; s = socket.socket(type=socket.SOCK_DGRAM)\n"
        "for _ in range(10000): s.sendto(b'x', ('10.0.0.2', 7000))"
    )
    for lost in (0.0, 0.01, 0.1):
        lab.lossy("other", end, lost)
        listener = lab.start("other", "-c", count.replace("settimeout(1)", "settimeout(2)"))
        assert listener.stdout is not None
        listener.stdout.readline()
        lab.python("one", "-c", fire)
        came = int(listener.communicate()[0])
        assert abs(1 - came / 10000 - lost) <= 4 * (lost * (1 - lost) / 10000) ** 0.5
