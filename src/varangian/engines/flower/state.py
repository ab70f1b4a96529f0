"""What a server needs to go on after a restart, as one file of plain data."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from varangian.arrays import read_arrays
from varangian.errors import DataError, ParameterError


@dataclass(frozen=True, eq=False)
class ServerState:
    """The rounds that are done, the model they came to, and the rule with its memory (None without one)."""

    rule: str
    round: int
    model: dict[str, NDArray[Any]]
    memory: list[NDArray[Any]] | None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the state where the last one stood, which is kept until this one is whole."""
        head = {
            "rule": self.rule,
            "round": self.round,
            "names": list(self.model),
            "memory": None if self.memory is None else len(self.memory),
        }
        arrays = {f"model-{place}": array for place, array in enumerate(self.model.values())}
        arrays |= {f"memory-{place}": array for place, array in enumerate(self.memory or [])}
        target = Path(path)
        new = target.with_name(f".{target.name}.new")
        with new.open("wb") as file:
            np.savez(file, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)

    @classmethod
    def load(cls, path: str | os.PathLike[str], rule: str) -> ServerState | None:
        """Read the state, or return None where there is none yet.

        Nothing of the file is executed. Raises DataError for what is no state, ParameterError for that of
        another rule.
        """
        if not Path(path).exists():
            return None
        try:
            arrays = read_arrays(Path(path))
            head = json.loads(str(arrays["head"]))
            model = {name: arrays[f"model-{place}"] for place, name in enumerate(head["names"])}
            count = head["memory"]
            memory = None if count is None else [arrays[f"memory-{place}"] for place in range(count)]
            state = cls(str(head["rule"]), int(head["round"]), model, memory)
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise DataError(
                f"{path} holds no state of a server: {error}. Move it away to begin anew."
            ) from None
        if state.rule != rule:
            raise ParameterError(
                f"{path} was written by a run of {state.rule}, and this one aggregates with {rule}. "
                "Go on with that rule, or name another file."
            )
        return state
