"""A report -> a folder that is there whole, or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

from varangian.audit.page import render
from varangian.audit.report import Report
from varangian.audit.series import as_csv
from varangian.errors import DataError

REPORT = "report.json"


def files_of(report: Report) -> dict[str, bytes]:
    """Return every file of a report by name: the report, its page, the worst attack, the figures' numbers."""
    made = {REPORT: report.to_json().encode(), **report.attachments}
    made["report.html"] = render(json.loads(made[REPORT])).encode()
    for name, series in report.series.items():
        made[f"{name}.csv"] = as_csv(series).encode()
    return made


def check_target(folder: Path) -> None:
    """Refuse a folder that cannot be written, or holds anything but an earlier report. Raises DataError."""
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise DataError(f"{folder} cannot be made: there is no folder {parent}. Make it first.")
    if not os.access(parent, os.W_OK):
        raise DataError(f"{folder} cannot be made: {parent} cannot be written.")
    if folder.is_dir():
        if any(folder.iterdir()) and not (folder / REPORT).is_file():
            raise DataError(f"{folder} holds other things than a report; name a folder of its own.")
    elif folder.exists():
        raise DataError(f"{folder} is a file; name a folder.")


def write(report: Report, folder: Path) -> list[str]:
    """Write a report into a folder, in place of an earlier one, and return the names of the files.

    Raises      DataError
    """
    check_target(folder)
    files = files_of(report)
    try:
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.absolute().parent))
        try:
            made.chmod(0o755)
            for name, content in files.items():
                (made / name).write_bytes(content)
            if folder.is_dir():
                old = made / ".old"
                os.rename(folder, old)
                os.rename(made, folder)
                shutil.rmtree(folder / ".old")
            else:
                os.rename(made, folder)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}.") from None
    return list(files)
