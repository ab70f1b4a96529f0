"""A page opened in Chromium, and all that it asks for and complains of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE = {"viewport": {"width": 375, "height": 780}, "has_touch": True, "is_mobile": True}
DESKTOP = {"viewport": {"width": 1200, "height": 900}}

SCENE = """() => {
  const room = document.querySelector("[data-playground]");
  const part = (name) => room.querySelector(`[data-part="${name}"]`);
  const number = (row, name) => {
    const data = row.querySelector(`[data-number="${name}"]`);
    return data && data.value !== "null" ? Number(data.value) : null;
  };
  const honest = [...part("honest").children].map((point) => [point.dataset.x, point.dataset.y].map(Number));
  const rules = [...part("rules").rows].map((row) => ({
    name: row.dataset.rule,
    answer: [number(row, "x"), number(row, "y")],
    words: row.cells[1].textContent,
    ...Object.fromEntries(["now", "worst", "proven"].map((name) => [name, number(row, name)])),
  }));
  const [x, y, liars, declared] = ["x", "y", "liars", "declared"].map((name) => part(name).valueAsNumber);
  return { honest, attacker: [x, y], liars, declared, rules, floor: Number(part("floor").value) };
}"""


@dataclass
class Opened:
    """A page, and what it did that a reader would not want."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def scene(self) -> dict[str, Any]:
        """Return what the playground shows, in full digits."""
        return dict(self.page.evaluate(SCENE))

    def part(self, name: str) -> Any:
        return self.page.locator(f'[data-part="{name}"]')

    def box(self, name: str) -> Any:
        """Return where a part is on the screen, scrolled there."""
        self.part("plot").scroll_into_view_if_needed()
        return self.part(name).bounding_box()

    def middle(self, name: str) -> tuple[float, float]:
        box = self.box(name)
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def type(self, **numbers: float) -> None:
        """Type numbers into the fields of the playground."""
        for name, value in numbers.items():
            self.part(name).fill(repr(value))
            self.part(name).press("Tab")


def opened(browser: Browser, address: str, patience: int, **context: Any) -> Opened:
    """Open a page, and wait so many milliseconds for whatever it is asked to do."""
    page = browser.new_context(offline=True, **(context or DESKTOP)).new_page()
    page.set_default_timeout(patience)
    here = Opened(page)
    page.on("request", lambda request: here.requests.append(request.url))
    page.on("pageerror", lambda error: here.complaints.append(str(error)))
    page.on("console", lambda message: here.complaints.append(f"{message.type}: {message.text}"))
    page.goto(address)
    return here
