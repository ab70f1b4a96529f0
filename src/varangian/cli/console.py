"""Where words go: boxed for a terminal, plain and never cut for a pipe."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from varangian.errors import DataError

WIDE = 10_000


def show(*things: RenderableType, errors: bool = False) -> None:
    """Print to stdout, or to stderr for ``errors``; a reader that has seen enough is no error."""
    stream = sys.stderr if errors else sys.stdout
    text = _rendered(things, stream.isatty())
    with fold_away(errors=errors):
        stream.write(text)
        stream.flush()


def show_json(value: Any) -> None:
    """Print a value as JSON to stdout."""
    with fold_away():
        print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False), flush=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Sequence[str] = ()) -> Table:
    """Return a table, its ``numbers`` to the right; what is too wide for a terminal wraps."""
    plain = not sys.stdout.isatty()
    made = Table(
        box=None if plain else box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 2, 0, 0) if plain else (0, 1),
    )
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*row)
    return made


def entries(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Group:
    """Return a paragraph per row, for tables that are too wide: the first cell, then the others indented."""
    paragraphs: list[RenderableType] = []
    for first, *rest in rows:
        told = [
            Text.assemble((f"{column}: ", "dim"), cell)
            for column, cell in zip(columns[1:], rest, strict=True)
            if cell
        ]
        paragraphs += [Text(first, "bold"), Padding(Text("; ").join(told), (0, 0, 0, 4))]
    return Group(*paragraphs)


def fits(made: Table) -> bool:
    """Tell whether a table needs no wrapping where stdout goes."""
    console = _console(StringIO(), sys.stdout.isatty())
    return made.__rich_measure__(console, console.options.update(max_width=WIDE)).maximum <= console.width


def _rendered(things: Iterable[RenderableType], terminal: bool) -> str:
    page = StringIO()
    console = _console(page, terminal)
    for thing in things:
        console.print(thing)
    written = page.getvalue()
    return written if terminal else "".join(f"{line.rstrip()}\n" for line in written.splitlines())


def _console(page: StringIO, terminal: bool) -> Console:
    """Return a console that writes on the page as if it were a terminal, or a pipe."""
    return Console(
        file=page,
        force_terminal=terminal,
        width=None if terminal else WIDE,
        markup=False,
        highlight=False,
        emoji=False,
    )


@contextmanager
def fold_away(*, errors: bool = False) -> Iterator[None]:
    """Send what follows nowhere once the reader of stdout (or stderr) is gone, as after ``| head``.

    Raises DataError where it cannot be written for another reason.
    """
    try:
        yield
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, (sys.stderr if errors else sys.stdout).fileno())
        os.close(nowhere)
    except OSError as error:
        raise DataError(f"The output cannot be written: {error.strerror or error}.") from None
