"""Paths to write to, checked before hours of training and not after."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from varangian.errors import DataError, MissingExtraError, ParameterError

PICTURES = (".png", ".svg")
TABLE = ".csv"


def check_targets(pictures: Sequence[Path], json_path: Path | None, *, tables: bool) -> None:
    """Refuse files that cannot be written, or of which one would replace another.

    With ``tables``, the numbers of each picture go beside it. Raises ParameterError, MissingExtraError,
    DataError.
    """
    wanted = [(json_path, "what --json writes")] if json_path else []
    for picture in pictures:
        check_picture(picture)
        wanted.append((picture, "a picture"))
        if tables:
            wanted.append((picture.with_suffix(TABLE), "the numbers of a picture"))
    taken: dict[Path, str] = {}
    for path, what in wanted:
        check_writable(path)
        if other := taken.get(path.resolve()):
            raise ParameterError(f"{path} would hold {other}, and then {what}; name another file.")
        taken[path.resolve()] = what


def check_picture(path: Path) -> None:
    """Refuse a picture that cannot be drawn there. Raises ParameterError, MissingExtraError, DataError."""
    if path.suffix.lower() not in PICTURES:
        raise ParameterError(f"--plot {path}: name a file that ends in {' or '.join(PICTURES)}.")
    check_drawing()
    check_writable(path)


def check_drawing() -> None:
    """Refuse to draw without what draws. Raises MissingExtraError."""
    if find_spec("matplotlib") is None:
        raise MissingExtraError("Drawing", "plot")


def check_writable(path: Path) -> None:
    """Refuse a file that cannot be written, by opening it; what it holds stays. Raises DataError."""
    if not path.parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}. Make it first.")
    if path.is_dir():
        raise DataError(f"{path} cannot be written: it is a folder. Name a file.")
    new = not path.exists()
    if not new and not path.is_file():
        return  # opening a pipe twice would end it
    try:
        path.open("ab").close()
        if new:
            path.resolve().unlink()  # not the link that leads there
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}.") from None
