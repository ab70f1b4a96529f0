"""A checkpoint holds a node whole, is never half there, and is read without trust."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from varangian.engines.multiparty.checkpoint import Checkpoint, Saved
from varangian.engines.roles import task_of
from varangian.engines.world import World
from varangian.errors import DataError
from varangian.protocols import Decentralised, Message, Node, Replicated, Synchronous, Topic, Topology
from varangian.specification import Experiment

SPEC = Experiment(workers=4, steps=3, model="logistic")
BODY = np.arange(3, dtype=np.float32)
SAID = [Message(0, peer, Topic(2, "model", 1), BODY) for peer in (1, 2)]


def saved(step: int = 2) -> Saved:
    state = {"step": step, "theta": BODY, "gathering": False, "keeper": {"memory": BODY + step}}
    return Saved(state, SAID, {"step": [1.0, 2.0], "accuracy": [float("nan"), 0.5]})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint.of(tmp_path / "kept", "server0", "a run")


def test_what_is_read_is_what_was_written(checkpoint: Checkpoint) -> None:
    assert checkpoint.read() is None
    checkpoint.write(saved())
    read = checkpoint.read()
    assert read is not None
    assert (read.state["step"], read.state["gathering"]) == (2, False)
    np.testing.assert_array_equal(read.state["keeper"]["memory"], BODY + 2)
    assert [message[:3] for message in read.said] == [message[:3] for message in SAID]
    assert read.said[0].body is read.said[1].body
    assert read.said[0].body.dtype == np.float32
    np.testing.assert_array_equal(read.columns["accuracy"], [np.nan, 0.5])


@pytest.mark.parametrize(
    ("topology", "party"),
    [
        (Replicated(workers=4), 0),
        (Replicated(workers=4), 5),
        (Synchronous(workers=4), 5),
        (Decentralised(peers=4), 1),
    ],
)
def test_every_node_comes_back_as_it_was(topology: Topology, party: int, checkpoint: Checkpoint) -> None:
    def made() -> Node:
        return topology.node(party, task_of(World.of(SPEC), topology))

    node = made()
    node.start()
    checkpoint.write(Saved(node.state(), node.said(), {}))
    again, read = made(), checkpoint.read()
    assert read is not None
    again.restore(read.state)
    again.recall(read.said)
    assert str(again.state()) == str(node.state())
    for peer in range(topology.n):
        assert str(again.again(peer)) == str(node.again(peer))


def test_what_was_said_since_is_read_as_far_as_it_is_whole(checkpoint: Checkpoint) -> None:
    later = [Message(0, peer, Topic(2, "model", k), BODY + k) for k in (2, 3) for peer in (1, 2)]
    checkpoint.write(saved())
    checkpoint.add([*SAID[1:], *later[:2]], 2)
    first = len(checkpoint.words.read_bytes())
    checkpoint.add(later[2:], 2)
    whole = checkpoint.words.read_bytes()
    read = checkpoint.read()
    assert read is not None
    assert [word[:3] for word in read.said] == [word[:3] for word in [*SAID, *later]]
    np.testing.assert_array_equal(read.said[-1].body, BODY + 3)
    ends = [whole[:size] for size in (len(whole) - 1, first + 9, first + 1, first)]
    for damaged in [*ends, whole[:first] + b"\xff" * 8, whole[:first] + b"\xff" * 7 + b"\x1f"]:
        checkpoint.words.write_bytes(damaged)
        read = checkpoint.read()
        assert read is not None
        assert [word[:3] for word in read.said] == [word[:3] for word in [*SAID, *later[:2]]]


def test_what_was_said_before_is_not_said_since(checkpoint: Checkpoint) -> None:
    checkpoint.write(saved(1))
    checkpoint.add([Message(0, 1, Topic(1, "model"), BODY)], 1)
    stale = checkpoint.words.read_bytes()
    checkpoint.write(saved(2))
    assert not checkpoint.words.exists()
    checkpoint.words.write_bytes(stale)
    read = checkpoint.read()
    assert read is not None
    assert len(read.said) == len(SAID)


def test_a_damaged_file_falls_back_on_the_one_before(checkpoint: Checkpoint) -> None:
    checkpoint.write(saved(1))
    checkpoint.write(saved(2))
    whole = checkpoint.path.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        checkpoint.path.write_bytes(whole[:size])
        read = checkpoint.read()
        assert read is not None
        assert read.state["step"] == 1


def test_a_bit_that_flipped_is_noticed(checkpoint: Checkpoint) -> None:
    checkpoint.write(saved(1))
    checkpoint.write(saved(2))
    whole = bytearray(checkpoint.path.read_bytes())
    place = whole.index(BODY.tobytes())
    whole[place] ^= 1
    checkpoint.path.write_bytes(whole)
    read = checkpoint.read()
    assert read is not None
    assert read.state["step"] == 1


def test_without_one_before_damage_is_refused(checkpoint: Checkpoint) -> None:
    checkpoint.write(saved())
    checkpoint.path.write_bytes(b"PK nothing")
    with pytest.raises(DataError, match="is no checkpoint"):
        checkpoint.read()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("exploded",))


def test_nothing_is_unpickled(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for content in (lambda: pickle.dumps(Bomb()), bomb_in_an_array):
        checkpoint.path.write_bytes(content())
        with pytest.raises(DataError, match="is no checkpoint"):
            checkpoint.read()
    assert not (tmp_path / "exploded").exists()


def bomb_in_an_array() -> bytes:
    path = Path("bomb.npz")
    np.savez(path, about=np.array([Bomb()], dtype=object))
    return path.read_bytes()


def test_the_checkpoint_of_another_run_is_refused(checkpoint: Checkpoint) -> None:
    checkpoint.write(saved())
    with pytest.raises(DataError, match="belongs to another run"):
        Checkpoint(checkpoint.path, "another run").read()


def test_a_writer_that_is_killed_leaves_the_last_one(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.write(saved(1))

    def cut(stream: object, **_: object) -> None:
        stream.write(b"PK half")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", cut)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.write(saved(2))
    read = checkpoint.read()
    assert read is not None
    assert read.state["step"] == 1


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="cannot be made"):
        Checkpoint.of(tmp_path / "file" / "kept", "server0", "a run")
