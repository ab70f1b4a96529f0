"""``varangian list``: what there is to choose from."""

from __future__ import annotations

from typing import Any

import click

from varangian.cli.catalogues import CATALOGUES, Row
from varangian.cli.console import entries, fits, show, show_json, table
from varangian.errors import ParameterError, UnknownNameError

HIDDEN = ("short names",)
"""Columns that stand inside another."""


@click.command("list")
@click.argument("catalogue", required=False, metavar="|".join(CATALOGUES))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_catalogue(catalogue: str | None, as_json: bool) -> None:
    """List what there is to choose from, as train takes it."""
    if catalogue is None:
        raise ParameterError(f"varangian list needs one of {', '.join(CATALOGUES)}.")
    if catalogue.lower() not in CATALOGUES:
        raise UnknownNameError("list", catalogue, CATALOGUES)
    rows = CATALOGUES[catalogue.lower()]()
    if as_json:
        show_json(rows)
        return
    columns = [column for column in rows[0] if column not in HIDDEN]
    numbers = [column for column in columns if _is_number(rows[0][column])]
    cells = [[_cell(row, column) for column in columns] for row in rows]
    made = table(columns, cells, numbers=numbers)
    show(made if fits(made) else entries(columns, cells))


def _cell(row: Row, column: str) -> str:
    if column == "name" and row.get("short names"):
        return f"{row['name']} ({', '.join(row['short names'])})"
    value: Any = row[column]
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    return "" if value is None else str(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
