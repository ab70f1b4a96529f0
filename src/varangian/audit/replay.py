"""The worst attack that was found, as a file that comes to the same number again.

A ``.npz`` holds what liars send as combinations of base points, and the vectors of the round, or where they
lie if they are many. A ``.toml`` is a training run under the worst attack; its first line has the accuracy.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from varangian.audit.examination import Job
from varangian.audit.measured import measure
from varangian.audit.provenance import file_digest
from varangian.audit.recording import Round, read_rounds
from varangian.audit.recording.files import arrays_of
from varangian.audit.search import Found
from varangian.core.parties import Parties
from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.errors import DataError, ParameterError
from varangian.experiments.run import run
from varangian.specification import Experiment, from_toml, to_toml
from varangian.specification.names import parse_rule
from varangian.specification.spell import spell_rule

EMBEDDED = 2**22
"""Numbers that a replayable file may hold; of a larger round, it names the files."""
FORMAT = "varangian-attack/1"
FIRST = re.compile(r"# worst_accuracy = (\S+)")


@dataclass(frozen=True)
class Replayed:
    """The number that a file was saved with, and the one that it came to now."""

    quantity: str
    saved: float
    number: float
    words: str

    @property
    def same(self) -> bool:
        """Tell whether the numbers agree, to rounding."""
        return abs(self.number - self.saved) <= 1e-6 * max(1e-12, abs(self.saved))


def attack_file(
    found: Found, job: Job, exact: float, folder: Path | None, digests: Mapping[Path, str]
) -> bytes:
    """Return the file that replays a forgery.

    ``folder`` is what the rounds were read from, if from any, and ``digests`` are those of its files.
    """
    seen, one = found.ground.seen, found.ground.seen.round
    told: dict[str, Any] = {
        "format": FORMAT,
        "rule": spell_rule(job.rule),
        "n": job.n,
        "b": job.b,
        "all_recorded": job.all_recorded,
        "honest": list(found.ground.honest),
        "seed": job.stream.seed,
        "path": list(job.stream.path),
        "round": one.name,
        "clients": list(one.clients),
        "coefficient": exact,
        "name": found.name,
        "mass": None if job.parties is None else job.parties.mass,
    }
    arrays: dict[str, Any] = {"forged": found.forged.numpy()}
    if job.parties is not None:
        arrays["shares"] = job.parties.shares.numpy()
    if seen.m * one.d <= EMBEDDED or folder is None:
        vectors = one.whole()
        arrays["vectors"] = (vectors if vectors.dtype == torch.float64 else vectors.float()).numpy()
    else:
        told["folder"] = str(folder.resolve())
        told["sha256"] = {str(file.relative_to(folder)): digests[file] for file in one.files}
    arrays["told"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def run_file(worst: Experiment, accuracy: float) -> bytes | None:
    """Return the file that replays a training run, or None if the experiment has no spelling."""
    try:
        return f"# worst_accuracy = {accuracy!r}\n{to_toml(worst)}".encode()
    except ParameterError:
        return None


def replay(path: Path) -> Replayed:
    """Return the number that a saved attack comes to.

    Raises      DataError for a file that is none of ours, was changed, or whose rounds are gone or changed
    """
    if path.suffix == ".toml":
        return _replay_run(path)
    arrays = {array.name: array for array in arrays_of(path)}
    try:
        told = json.loads(bytes(arrays["told"].whole().numpy()).decode())
        if told["format"] != FORMAT:
            raise KeyError
        forged = arrays["forged"].whole()
        rule = parse_rule(told["rule"], 0)
        stream = Stream(told["seed"], tuple(told["path"]))
        shares = arrays["shares"].whole() if "shares" in arrays else None
        honest, clients = tuple(told["honest"]), tuple(told["clients"])
        saved, job = float(told["coefficient"]), (told["n"], told["b"], told["all_recorded"])
        if not bool(forged.isfinite().all()):
            raise ValueError
    except (KeyError, ValueError, TypeError):
        raise DataError(f"{path} is no attack that an audit saved.") from None
    assert isinstance(rule, Stage)
    parties = None if shares is None else Parties(shares, told["mass"])
    one = (
        Round.of(told["round"], arrays["vectors"].whole(), clients)
        if "vectors" in arrays
        else _recorded(path, told)
    )
    number = coefficient_of(one, Job(rule, *job, parties, stream), honest, forged)
    words = f"{rule!r} in round {one.name}: {told['name']}"
    return Replayed("coefficient", saved, number, words)


def coefficient_of(one: Round, job: Job, honest: tuple[int, ...], forged: Tensor) -> float:
    """Return what a forgery comes to when all vectors are made and aggregated."""
    return job.ground(measure(one, job.rule, job.b), honest).exactly(forged)


def _recorded(path: Path, told: dict[str, Any]) -> Round:
    """Return the round where it lies, if it is still the same."""
    folder = Path(told["folder"])
    if not folder.is_dir():
        raise DataError(f"{path} was made of the rounds in {folder}, which is not there. Put it back.")
    for name, digest in told["sha256"].items():
        if not (folder / name).is_file() or file_digest(folder / name) != digest:
            raise DataError(f"{folder / name} is not the file that {path} was made of.")
    return next(one for one in read_rounds(folder) if one.name == told["round"])


def _replay_run(path: Path) -> Replayed:
    try:
        first = FIRST.match(path.read_text(encoding="utf-8"))
        saved = float(first.group(1)) if first else None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from None
    if saved is None:
        raise DataError(f"{path} is no run that an audit saved: its first line tells no worst_accuracy.")
    spec = from_toml(path)
    result = run(spec)
    words = f"{spec.rule!r} under {spec.attack!r}, {spec.byzantine} of {spec.workers} lie"
    return Replayed("worst_accuracy", saved, 0.0 if result.diverged else result.accuracy, words)
