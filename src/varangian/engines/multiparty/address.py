"""Where a party listens: a host and a port, as they are written."""

from __future__ import annotations

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
