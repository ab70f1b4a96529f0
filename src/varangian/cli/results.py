"""``varangian results``: what the runs of a store came to."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from varangian.cli.console import fold_away, show, show_json, table
from varangian.cli.pivot import Cell, averaged_over, grouped, value_of
from varangian.cli.selection import check_field, selected, shown
from varangian.errors import ParameterError
from varangian.experiments.store import Entry, Store

DAMAGED = 1


@click.command(
    epilog="""\b
Examples:
  varangian results rule=nnm+trmean attack~alie
  varangian results --by rule --columns attack
  varangian results --by rule --value variance_to_norm seed=1 --csv
"""
)
@click.argument("conditions", nargs=-1, metavar="[FIELD=VALUE] [FIELD~PART]...")
@click.option(
    "--store", type=click.Path(path_type=Path), default="store", show_default=True, help="Where to look."
)
@click.option(
    "--by", metavar="FIELD", help="A row for each value of a field: mean ± deviation over the runs."
)
@click.option("--columns", metavar="FIELD", help="With --by: a column for each value of another field.")
@click.option(
    "--value", default="accuracy", show_default=True, help="accuracy, seconds, diverged or a metric."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def results(
    conditions: tuple[str, ...],
    store: Path,
    by: str | None,
    columns: str | None,
    value: str,
    as_json: bool,
    as_csv: bool,
) -> int:
    """List finished runs by the fields in which they differ.

    Conditions choose runs: rule=krum as train reads it, attack~alie for a part of what is shown. The exit
    code is 1 if runs cannot be read; all others are listed.
    """
    if as_json and as_csv:
        raise ParameterError("--json and --csv are two ways to print one thing; give one of them.")
    if columns and not by:
        raise ParameterError(f"--columns {columns} needs rows: add --by FIELD.")
    for field in filter(None, (by, columns)):
        check_field(field)
    scan = Store(store).scan()
    entries = selected(scan.entries, conditions)
    if by:
        _pivot(entries, by, columns, value, as_json=as_json, as_csv=as_csv)
    else:
        _list(entries, value, as_json=as_json, as_csv=as_csv)
    for error in scan.damaged:
        show(f"error: {error}", errors=True)
    return DAMAGED if scan.damaged else 0


def _list(entries: list[Entry], value: str, *, as_json: bool, as_csv: bool) -> None:
    told = list(dict.fromkeys(["accuracy", value, "seconds"]))
    rows = [
        {
            **shown(entry),
            **{name: _number(value_of(entry, name)) for name in told},
            "diverged": entry.diverged,
        }
        for entry in entries
    ]
    if as_json:
        show_json([{**row, "run": entry.identity} for row, entry in zip(rows, entries, strict=True)])
        return
    if as_csv:
        _show_csv([{**row, "run": entry.identity} for row, entry in zip(rows, entries, strict=True)])
        return
    if not rows:
        show("No run meets these conditions.")
        return
    fields = list(shown(entries[0]))
    varying = [name for name in fields if name == "run" or len({str(row[name]) for row in rows}) > 1]
    common = [f"{name} {rows[0][name]}" for name in ("data", "model", "steps") if name not in varying]
    header = [*varying, *(_header(name) for name in told)]
    cells = [
        [
            *(_word(row[name]) for name in varying),
            *(_shown(row[name], name, row["diverged"]) for name in told),
        ]
        for row in rows
    ]
    numbers = [_header(name) for name in told]
    count = f"{len(rows)} run{'' if len(rows) == 1 else 's'}"
    show(", ".join([count, *common]), table(header, cells, numbers=numbers))


def _pivot(
    entries: list[Entry], by: str, columns: str | None, value: str, *, as_json: bool, as_csv: bool
) -> None:
    groups = grouped(entries, by, columns, value)
    heads = list(dict.fromkeys(head for row in groups.values() for head in row))
    flat = [
        {
            by: row,
            **({columns: head} if columns else {}),
            "value": value,
            "mean": _number(cell.mean),
            "std": _number(cell.deviation),
            "runs": len(cell.values),
        }
        for row, cells in groups.items()
        for head, cell in cells.items()
    ]
    if as_json:
        show_json(flat)
    elif as_csv:
        _show_csv(flat)
    elif not flat:
        show("No run meets these conditions.")
    else:
        header = [by, *map(_word, heads)]
        cells = [
            [_word(row), *(_cell(told.get(head), value) for head in heads)] for row, told in groups.items()
        ]
        mixed = averaged_over(entries, by, columns)
        note = (
            f" Each mean also runs over {', '.join(mixed)}; add conditions to tell them apart."
            if mixed
            else ""
        )
        show(f"{_header(value)}, mean ± deviation (runs).{note}", table(header, cells, numbers=header[1:]))


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _header(name: str) -> str:
    return "test accuracy (%)" if name == "accuracy" else name


def _shown(value: float | None, name: str, diverged: bool) -> str:
    if value is None:
        return "diverged" if diverged else ""
    text = f"{100 * value:.1f}" if name == "accuracy" else f"{value:.4g}"
    return f"diverged {text}" if diverged and name == "accuracy" else text


def _cell(cell: Cell | None, value: str) -> str:
    """Return a group's mean, and its deviation where there is one.

    >>> _cell(Cell((0.9, 0.92)), "accuracy"), _cell(Cell((2.0,)), "loss")
    ('91.0 ± 1.4 (2)', '2 (1)')
    """
    if cell is None:
        return ""
    words = [_shown(number, value, False) for number in (cell.mean, cell.deviation) if not math.isnan(number)]
    return f"{' ± '.join(words)} ({len(cell.values)})"


def _word(value: Any) -> str:
    return "" if value is None else str(value)


def _show_csv(rows: Sequence[dict[str, Any]]) -> None:
    page = io.StringIO()
    if rows:
        writer = csv.DictWriter(page, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    with fold_away():
        print(page.getvalue(), end="", flush=True)
