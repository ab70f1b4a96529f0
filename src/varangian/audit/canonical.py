"""One way to write a JSON value, so that its bytes can be signed: RFC 8785."""

from __future__ import annotations

import json
import math
from typing import Any

from varangian.errors import InputError

EXACT = 2**53
"""Larger whole numbers are not all the same to every reader of JSON."""
LARGEST = 1000
"""Bits of a whole number that any float holds."""
DEEPEST = 100


def canonical(value: Any) -> bytes:
    """Return a JSON value as RFC 8785 writes it: names in order, no spaces, numbers as ECMAScript does.

    Raises      InputError for what JSON cannot say, or not to every reader alike

    >>> canonical({"b": 1e21, "a": ["é", True, None, 0.1]}).decode()
    '{"a":["é",true,null,0.1],"b":1e+21}'
    """
    try:
        return _written(value, 0).encode()
    except UnicodeEncodeError:
        raise InputError(
            "A text holds half a character (a lone surrogate), which UTF-8 cannot say."
        ) from None


def _written(value: Any, depth: int) -> str:
    if depth > DEEPEST:
        raise InputError(f"A JSON value is nested more than {DEEPEST} deep.")
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise InputError("A name in a JSON object is no text.")
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        pairs = (f"{_text(name)}:{_written(value[name], depth + 1)}" for name in names)
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(_written(one, depth + 1) for one in value)}]"
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return _number(value)
    raise InputError(
        f"A {type(value).__name__} arrived; JSON has texts, numbers, lists, objects, true, null."
    )


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _number(value: float) -> str:
    """Return a number as ECMAScript writes it.

    >>> [_number(x) for x in (1.0, -0.0, 1e-6, 1e-7, 123456789012345680000.0, 1.5e300)]
    ['1', '0', '0.000001', '1e-7', '123456789012345680000', '1.5e+300']
    """
    if isinstance(value, int):
        return _whole(value)
    if not math.isfinite(value):
        raise InputError(f"{value} is no number of JSON.")
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    part = "" if part == "0" else part
    digits = (whole + part).lstrip("0")
    place = int(exponent or 0) + len(whole) - (len(whole + part) - len(digits) if whole == "0" else 0)
    digits = digits.rstrip("0")
    sign = "-" if value < 0 else ""
    if len(digits) <= place <= 21:
        return sign + digits.ljust(place, "0")
    if 0 < place <= 21:
        return f"{sign}{digits[:place]}.{digits[place:]}"
    if -6 < place <= 0:
        return f"{sign}0.{'0' * -place}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{place - 1:+d}"


def _whole(value: int) -> str:
    """Return a whole number, if every reader of JSON takes it for the same."""
    if abs(value) <= EXACT:
        return str(value)
    if value.bit_length() > LARGEST or _number(float(value)) != str(value):
        raise InputError("A whole number is too large for every reader of JSON; write it as a text.")
    return str(value)
