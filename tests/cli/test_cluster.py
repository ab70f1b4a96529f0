"""Keys, parties and clusters from the command line."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli.running import SECONDS, Run, process, start

from varangian.engines.multiparty.cluster import free_ports

CLUSTER = """
topology = "single:patience=60"
run = "a test"
[experiment]
model = "logistic"
workers = 2
steps = {steps}
[addresses]
server0 = "127.0.0.1:{port}"
"""


def written(folder: Path, steps: int = 20, more: str = "") -> str:
    path = folder / "cluster.toml"
    path.write_text(CLUSTER.format(steps=steps, port=free_ports(1)[0]) + more, encoding="utf-8")
    return str(path)


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Yield a function that starts a process with pipes, and kills it in the end if it still runs."""
    with ExitStack() as ends:

        def begun(*words: str) -> subprocess.Popen[str]:
            child = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            ends.enter_context(child)
            ends.callback(child.kill)
            return child

        yield begun


NODE = 'topology = "single"\n[experiment]\nworkers = 2\n'
ADDRESS = '[addresses]\nserver0 = "127.0.0.1:7"\n'
REFUSED = [
    (NODE + "[topologie]\n", "Did you mean 'topology'?"),
    (NODE.replace("single", "singel"), "Did you mean 'single'?"),
    (NODE.replace("single", "replicated:server=5"), "Did you mean 'servers'?"),
    (NODE.replace("single", "replicated:servers=3"), "the protocol needs n >= 3f + 2"),
    (NODE.replace('"single"', "1"), "write a word in quotes"),
    (NODE + "steppes = 3\n", "Did you mean 'steps'?"),
    (NODE + '[addresses]\nserver0 = "here"\n', "is no address"),
    (NODE + '[addresses]\nserver0 = "a:70000"\n', "is no address"),
    (NODE + '[addresses]\nsever0 = "a:7"\n', "Did you mean 'server0'?"),
    (NODE + '[addresses]\nserver0 = "a:7"\nworker0 = "a:7"\n', "are both at a:7"),
    (NODE + '[faults]\nserver0 = "lying"\n', "There is no fault called 'lying'"),
    (NODE + "[limits]\nwaitin = 3\n", "Did you mean 'waiting'?"),
    (NODE + "[limits]\nwaiting = 0\n", "waiting must be above 0"),
    (NODE + "[checkpoints]\nevery = 0\n", "at least 1"),
    (NODE + "[checkpoints]\nevery = 9\n", "nobody stands in for a single server"),
    (NODE + "[metrics]\nserver0 = 0\n", "write a port"),
    (NODE + '[keys]\nserver0 = "a"\n', "write all of authority, certificate, key"),
    (NODE + "[addresses", "is not TOML"),
    ('party = "server1"\n' + NODE, "Did you mean 'server0'?"),
]


@pytest.mark.parametrize(("text", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_a_file_that_is_wrong_is_refused_by_every_command(
    text: str, said: str, run: Run, elsewhere: Path
) -> None:
    (elsewhere / "cluster.toml").write_text(text, encoding="utf-8")
    for words in (
        ["keys", "keys", "cluster.toml"],
        ["serve", "cluster.toml", "--party", "server0"],
        ["join", "cluster.toml", "--party", "worker0"],
        ["cluster", "up", "cluster.toml"],
        ["cluster", "status", "cluster.toml"],
    ):
        done = run(*words)
        assert (done.code, done.out) == (2, ""), words
        assert done.err.startswith("error: ")
        assert said in done.err
        assert len(done.err.splitlines()) <= 2
    assert not (elsewhere / "keys").exists()


KINDS = [
    (NODE.replace("single", "replicated:servers=many"), "servers must be of type int"),
    (NODE + '[faults]\nserver0 = "noise:scale=x"\n', "scale must be of type float"),
    (NODE + '[limits]\nframe_seconds = "long"\n', "frame_seconds must be of type float"),
]


def test_numbers_that_are_none(elsewhere: Path) -> None:
    """The type checks of the test run would come first here, so a process of its own is asked."""
    for place, (text, _) in enumerate(KINDS):
        (elsewhere / f"{place}.toml").write_text(text, encoding="utf-8")
    code = (
        "import sys; from varangian.cli import main; [main(['cluster', 'up', name]) for name in sys.argv[1:]]"
    )
    names = [f"{place}.toml" for place in range(len(KINDS))]
    done = subprocess.run([sys.executable, "-c", code, *names], capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert len(lines) == len(KINDS)
    for line, (_, said) in zip(lines, KINDS, strict=True):
        assert line.startswith("error: ")
        assert said in line


WORDS = [
    (["keys"], "varangian keys keys cluster.toml"),
    (["keys", "add", "keys"], "varangian keys keys cluster.toml"),
    (["keys", "keys", "Server"], "no name for a party"),
    (["keys", "keys", "a", "a"], "Name it once"),
    (["keys", "keys", "a", "--days", "0"], "at least 1"),
    (["keys", "add", "keys", "a"], "authority.crt cannot be read"),
    (["serve", "missing.toml"], "missing.toml cannot be read"),
    (["serve", "cluster.toml"], "say who this is: --party server0"),
    (["serve", "cluster.toml", "--party", "sever0"], "Did you mean 'server0'?"),
    (["serve", "cluster.toml", "--party", "worker0"], "it dials: join"),
    (["join", "cluster.toml", "--party", "server0"], "varangian serve cluster.toml"),
    (["serve", "cluster.toml", "--party", "server0"], "varangian keys"),
    (["join", "cluster.toml", "--pary", "worker0"], "Did you mean '--party'?"),
    (["cluster", "upp"], "Did you mean 'up'?"),
    (["cluster", "up"], "Missing argument"),
    (["cluster", "up", "missing.toml"], "missing.toml cannot be read"),
    (["cluster", "status", "cluster.toml"], "varangian keys"),
    (["cluster", "status", "cluster.toml", "--party", "sever0"], "Did you mean 'server0'?"),
]


@pytest.mark.parametrize(("words", "said"), WORDS, ids=[" ".join(words) for words, _ in WORDS])
def test_words_that_are_wrong(words: list[str], said: str, run: Run, elsewhere: Path) -> None:
    (elsewhere / "cluster.toml").write_text(NODE + ADDRESS, encoding="utf-8")
    done = run(*words)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_keys_say_until_when_they_hold(run: Run, elsewhere: Path) -> None:
    made = run("keys", "keys", written(elsewhere), "--days", "30")
    assert made.code == 0
    assert made.out.startswith("Made an authority and 3 keys in keys, valid until 20")
    assert len(list((elsewhere / "keys").iterdir())) == 8
    assert "has an authority already" in run("keys", "keys", written(elsewhere)).err
    assert run("keys", "add", "keys", "worker9").out.startswith("Made 1 key in keys")


def test_a_cluster_is_up_tells_what_came_of_it_and_is_gone(elsewhere: Path) -> None:
    done = process("cluster", "up", written(elsewhere), "--json")
    told = json.loads(done.out)
    assert done.code == 0
    assert list(told["accuracies"]) == ["server0"]
    assert told["accuracies"]["server0"] > 0.8
    assert {name: one["step"] >= 20 for name, one in told["parties"].items()} == dict.fromkeys(
        ("server0", "worker0", "worker1"), True
    )
    assert set(told["parties"]["server0"]["seconds"]) == {"compute", "aggregate", "other", "communicate"}
    asked, file = done.err.rstrip().split(": ")
    assert asked == "Ask with"
    assert not Path(file.split()[-1]).exists()


def until(holds: Callable[[], bool], *children: subprocess.Popen[str]) -> None:
    """Wait until something holds, no longer than all the processes run that see to it."""
    end = time.monotonic() + SECONDS
    while not holds():
        for child in children:
            assert child.poll() is None, child.communicate()
        if time.monotonic() > end:
            for child in children:
                child.kill()
            pytest.fail(f"It never came to be; they said {[child.communicate() for child in children]}.")
        time.sleep(0.1)


def step_of(run: Run, file: str) -> int:
    """Return where the server is, 0 if it does not answer."""
    answer = json.loads(run("cluster", "status", file, "--json").out)["server0"]
    return answer["step"] if answer else 0


def interrupted(server: subprocess.Popen[str], file: str) -> int:
    """Interrupt a server, and return the step after which it says it stopped."""
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=SECONDS)
    assert (server.returncode, out) == (130, "")
    assert err.startswith("interrupted: server0 after step ")
    assert err.endswith(f"Go on with: varangian serve {file} --party server0\n")
    return int(err.split("after step ")[1].split()[0])


def test_parties_are_asked_interrupted_and_go_on_where_they_were(
    run: Run, elsewhere: Path, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    """While it is asked and interrupted, the server reads so slowly that it cannot end first."""
    limits = "[limits]\nlinger_seconds = 1.0\n"
    file, slow = written(elsewhere, steps=200, more=limits), str(elsewhere / "slow.toml")
    text = Path(file).read_text(encoding="utf-8") + "messages_per_second = 5.0\nburst_seconds = 1.0\n"
    Path(slow).write_text(text, encoding="utf-8")
    assert process("keys", "keys", file).code == 0
    workers = [begin("join", file, "--party", f"worker{k}") for k in range(2)]
    first = begin("serve", slow, "--party", "server0")
    until(lambda: step_of(run, slow) >= 5, first, *workers)
    step = interrupted(first, slow)
    assert 5 <= step < 200
    second = begin("serve", slow, "--party", "server0")
    until(lambda: step_of(run, slow) >= step, second, *workers)
    table: list[str] = []

    def answered() -> bool:
        table[:] = run("cluster", "status", slow).out.splitlines()
        return len(table) > 2

    until(answered, second, *workers)
    assert table[0].split()[:3] == ["party", "state", "step"]
    assert [line.split()[0] for line in table[1:]] == ["server0", "worker0", "worker1"]
    assert step <= interrupted(second, slow) < 200
    third = begin("serve", file, "--party", "server0")
    out, err = third.communicate(timeout=SECONDS)
    assert (third.returncode, err) == (0, "")
    assert out.startswith("server0: 200 steps, test accuracy 9")
    for worker in workers:
        assert worker.communicate(timeout=SECONDS)[0].endswith(": 200 steps.\n")
        assert worker.returncode == 0


def test_ctrl_c_ends_a_whole_cluster(
    run: Run, elsewhere: Path, begin: Callable[..., subprocess.Popen[str]]
) -> None:
    file = written(elsewhere, steps=100_000, more='[checkpoints]\nfolder = "kept"\n[keys]\nfolder = "keys"\n')
    child = begin("cluster", "up", file)
    until((elsewhere / "keys" / "worker1.key").exists, child)
    until(lambda: step_of(run, file) >= 3, child)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=SECONDS)
    assert (child.returncode, out) == (130, "")
    assert err.splitlines()[1:] == [f"interrupted. Go on with: varangian cluster up {file}"]
    assert step_of(run, file) == 0
    assert sorted(path.name for path in (elsewhere / "kept").glob("*[0-9].npz")) == [
        "server0.npz",
        "worker0.npz",
        "worker1.npz",
    ]


def test_a_port_that_is_taken_and_a_checkpoint_that_is_damaged(elsewhere: Path) -> None:
    file = written(elsewhere)
    assert process("keys", "keys", file).code == 0
    port = int(Path(file).read_text(encoding="utf-8").rpartition(":")[2].strip().strip('"'))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        done = process("serve", file, "--party", "server0")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: Cannot listen at 127.0.0.1:{port}: Address already in use.")
    assert len(done.err.splitlines()) == 1
    for path in (elsewhere / "checkpoints").iterdir():
        path.unlink()
    (elsewhere / "checkpoints" / "server0.npz").write_bytes(b"half")
    done = process("serve", file, "--party", "server0")
    assert (done.code, done.out) == (2, "")
    assert "server0.npz is no checkpoint" in done.err
