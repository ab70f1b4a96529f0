"""A cluster as its parties see it: asked over mutual TLS, told by name."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from varangian.engines.multiparty.credentials import read_credentials
from varangian.engines.multiparty.directory import Directory
from varangian.engines.multiparty.identity import Credentials
from varangian.engines.multiparty.link import ClosedError, Peer, ask
from varangian.errors import DataError, ParameterError

SECONDS = 5.0
"""How long an answer may take."""

Status = Mapping[str, Any]


def ask_all(
    directory: Directory, asker: str | None = None, seconds: float = SECONDS
) -> dict[str, Status | None]:
    """Return what each party that listens says of itself and of its peers; None of those that do not answer.

    ``asker`` is whose keys are shown: the file's own party's, or the first that can be read.

    Raises      DataError for keys that cannot be read; ParameterError where nobody has an address
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    listening = {name: directory.addresses[name] for name in directory.names if name in directory.addresses}
    if not listening:
        raise ParameterError(
            "No party has an address in this file, so nobody can be asked. Write [addresses], "
            "or ask with the file that `varangian cluster up` names."
        )
    credentials = _credentials(directory, asker or directory.party)
    return asyncio.run(_ask(directory, credentials, listening, seconds))


async def _ask(
    directory: Directory, credentials: Credentials, listening: Mapping[str, str], seconds: float
) -> dict[str, Status | None]:
    async def one(name: str, address: str) -> Status | None:
        try:
            peer = Peer(directory.number(name), name, address)
            answer = await ask(credentials, peer, directory.limits, seconds)
        except ClosedError:
            return None
        return answer if isinstance(answer, dict) else None

    answers = await asyncio.gather(*(one(name, address) for name, address in listening.items()))
    return dict(zip(listening, answers, strict=True))


def _credentials(directory: Directory, asker: str | None) -> Credentials:
    names = directory.names if asker is None else (asker,)
    failure: DataError | None = None
    for name in names:
        try:
            return read_credentials(name, directory.paths(name))
        except DataError as error:
            failure = failure or error
    assert failure is not None
    raise failure
