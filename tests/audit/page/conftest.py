"""Chromium without a window, and the example's page in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from audit.page.example import bare, whole

from varangian.audit.page import render

PATIENCE = 180_000
"""Milliseconds: a busy machine is no bug."""

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert path, "There is no Chromium on the path; on Debian, apt-get install chromium."
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=QUIET, timeout=PATIENCE)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that opens a report's page, and hold afterwards that it was quiet and alone."""
    from audit.page.opened import opened

    visits = []

    def visit(report: dict[str, Any] | None = None, **context: Any) -> Any:
        address = tmp_path / f"report-{len(visits)}.html"
        address.write_text(render(report or whole()), "utf-8")
        visits.append(opened(browser, address.as_uri(), PATIENCE, **context))
        return visits[-1]

    yield visit
    for seen in visits:
        seen.page.context.close()
        assert not seen.complaints
        assert [url for url in seen.requests if not url.startswith("blob:")] == [seen.requests[0]]
        assert seen.requests[0].startswith("file:")


@pytest.fixture(params=["the audit's plane", "an invented cloud"])
def either(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return a report with a plane, and one without."""
    return whole() if request.param == "the audit's plane" else bare()
