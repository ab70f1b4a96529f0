"""Where a party listens: a host and a port, as they are written."""

from __future__ import annotations

import os
import socket

from varangian.errors import ParameterError


def split_address(text: object) -> tuple[str, int]:
    """Return the host and the port of an address. Raises ParameterError.

    >>> split_address("[::1]:7000")
    ('::1', 7000)
    """
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not (colon and host and port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise ParameterError(f'{text!r} is no address: write "host:port", "127.0.0.1:7001" for instance.')
    return host.removeprefix("[").removesuffix("]"), int(port)


def host_of(text: str) -> str:
    """Return the host of an address, whatever its port.

    >>> host_of("[::]:0")
    '::'
    """
    return text.rpartition(":")[0].removeprefix("[").removesuffix("]")


def obstacle(address: str) -> str:
    """Return why nobody can listen at an address, in the system's words, which gRPC keeps to itself."""
    host, port = host_of(address), address.rpartition(":")[2]
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind(place)
            one.listen()
    except OSError as error:
        return in_words(error)
    return "nothing tells why, and it may work now"


def in_words(error: OSError) -> str:
    """Return what the system says, without the numbers and places that Python adds.

    >>> in_words(OSError(13, "while binding", "somewhere"))
    'Permission denied'
    """
    if error.errno is None or isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    return os.strerror(error.errno)
