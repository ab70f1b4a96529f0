"""The page in Chromium: no request, no complaint, and a playground that says what the library says."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest
from audit.page.example import bare, whole
from audit.page.library import holds
from audit.page.opened import DESKTOP, PHONE

pytestmark = pytest.mark.browser

RULES = 12
WAY = [(0.7, 0.6), (0.55, 0.5), (0.48, 0.45), (0.41, 0.52), (0.3, 0.2), (0.1, 0.9), (0.9, 0.1)]
"""Where the attacker is dragged: across the cloud and out again, as shares of the plot."""
Visit = Callable[..., Any]


def test_dragging_says_what_the_library_says(visit: Visit, either: dict[str, Any]) -> None:
    here = visit(either)
    assert holds(here.scene()) == RULES
    mouse, plot = here.page.mouse, here.box("plot")
    mouse.move(*here.middle("attacker"))
    mouse.down()
    places = set()
    for across, down in WAY:
        x, y = plot["x"] + across * plot["width"], plot["y"] + down * plot["height"]
        mouse.move(x, y, steps=3)
        scene = here.scene()
        assert holds(scene) == RULES
        places.add(tuple(scene["attacker"]))
        assert here.middle("attacker") == pytest.approx((x, y), abs=1.5)
    mouse.up()
    assert len(places) == len(WAY)
    mouse.move(plot["x"] + 9, plot["y"] + 9)
    assert tuple(here.scene()["attacker"]) in places, "the point follows a mouse that let it go"
    assert "is moved furthest" in here.part("told").inner_text()


def test_a_finger_drags_the_attacker_and_nothing_else(visit: Visit) -> None:
    here = visit(whole(), **PHONE)
    x, y = here.middle("attacker")
    touch = here.page.context.new_cdp_session(here.page)

    def finger(kind: str, *place: float) -> None:
        points = [{"x": place[0], "y": place[1]}] if place else []
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = here.scene()["attacker"]
    finger("touchStart", x, y)
    for step in range(1, 6):
        finger("touchMove", x - 12 * step, y - 6 * step)
        assert holds(here.scene()) == RULES
    finger("touchEnd")
    after = here.scene()["attacker"]
    assert after[0] < before[0]
    assert after[1] > before[1]
    box = here.box("plot")
    finger("touchStart", box["x"] + 5, box["y"] + 5)
    finger("touchEnd")
    assert here.scene()["attacker"] == after, "a finger that scrolls the page moved the attacker"


def test_the_keyboard_does_all_that_a_mouse_does(visit: Visit, either: dict[str, Any]) -> None:
    here = visit(either)
    press = here.page.keyboard.press
    reached = []
    for _ in range(90):
        press("Tab")
        words = "e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText.trim().split('\\n')[0]"
        reached.append(here.page.evaluate(f"({words})(document.activeElement)"))
        if str(reached[-1]).startswith("The attacker"):
            break
    assert reached[0] == "Skip to the verdict"
    assert "Download JSON" in reached or "The whole report as JSON" in reached
    start = here.scene()["attacker"]
    press("ArrowLeft")
    one = here.scene()["attacker"]
    assert one[0] < start[0]
    assert one[1] == start[1]
    press("Shift+ArrowLeft")
    ten = here.scene()["attacker"]
    assert one[0] - ten[0] == pytest.approx(10 * (start[0] - one[0]), rel=0.02)
    press("ArrowUp")
    press("ArrowRight")
    press("ArrowDown")
    assert here.scene()["attacker"] == pytest.approx([ten[0] + start[0] - one[0], ten[1]], abs=2e-3)
    assert holds(here.scene()) == RULES
    assert "is moved furthest" in here.part("told").inner_text()
    press("Home")
    assert here.scene()["attacker"] == start
    names = []
    for _ in range(4 + 1 + 1 + 2 * RULES):
        press("Tab")
        words = "e => e.ariaLabel || e.labels?.[0]?.innerText || e.innerText"
        names.append(here.page.evaluate(f"({words})(document.activeElement)").strip())
    assert names[:5] == ["Attacker, x", "Attacker, y", "Liars, all sending it", "Declared f", "Another cloud"]
    assert names[-1].startswith("Find the worst point against NearestNeighborMixing + TrimmedMean")
    press("Enter")
    assert "The worst point found" in here.part("told").inner_text()
    assert holds(here.scene()) == RULES


def test_numbers_can_be_typed_as_far_as_anybody_likes(visit: Visit) -> None:
    here = visit(bare())
    for x, y, liars, declared in [(1e6, -3e5, 1, 1), (-2e8, 7.25, 3, 4), (0.5, 0.25, 2, 1), (1.5, 40, 4, 4)]:
        here.type(x=x, y=y, liars=liars, declared=declared)
        scene = here.scene()
        assert scene["attacker"] == [x, y]
        assert (scene["liars"], scene["declared"]) == (liars, declared)
        assert holds(scene) == RULES
        seen, plot = here.middle("attacker"), here.box("plot")
        assert plot["x"] <= seen[0] <= plot["x"] + plot["width"]
    here.type(liars=1, declared=5)
    assert holds(here.scene()) == RULES - 2, "Krum and MultiKrum need two more"
    here.type(declared=6)
    assert holds(here.scene()) == 1
    here.type(declared=2)
    here.part("x").fill("")
    here.part("x").press("Tab")
    assert holds(here.scene()) == RULES


def test_the_worst_point_is_worse_and_within_what_is_proven(visit: Visit) -> None:
    here = visit(bare())
    here.type(x=1.2, y=0.8)
    before = {rule["name"]: rule["now"] for rule in here.scene()["rules"]}
    for name in ("Median", "Krum", "GeometricMedian", "MinimumDiameterAveraging"):
        here.page.get_by_label(f"Find the worst point against {name}", exact=True).click()
        scene = here.scene()
        assert holds(scene) == RULES
        found = {rule["name"]: rule for rule in scene["rules"]}[name]
        assert before[name] < found["now"] == found["worst"] < found["proven"]
        assert found["now"] > scene["floor"] / 4
    assert "broken" not in here.part("rules").inner_html()


def test_another_cloud_is_another_cloud(visit: Visit) -> None:
    here = visit(whole())
    clouds = [here.scene()["honest"]]
    for _ in range(3):
        here.part("again").click()
        clouds.append(here.scene()["honest"])
        assert holds(here.scene()) == RULES
    assert len({str(cloud) for cloud in clouds}) == 4


def test_a_crowd_too_large_for_a_search_says_so(visit: Visit) -> None:
    report = whole()
    honest = [[(37 * k) % 101 / 10, (61 * k) % 97 / 10] for k in range(60)]
    report["plane"] |= {"honest": honest, "b": 20, "f": 20}
    told = {rule["name"]: rule for rule in visit(report).scene()["rules"]}
    assert told["MinimumDiameterAveraging"]["words"] == "too many subsets"
    assert told["Krum"]["now"] is not None


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", ["desktop", "phone"])
def test_axe_finds_nothing_serious(visit: Visit, scheme: str, device: str) -> None:
    report = whole()
    report["series"]["influence"]["lines"] = report["series"]["influence"]["lines"][5:12]
    report["clients"] = report["clients"][10:13]
    here = visit(report, color_scheme=scheme, **(PHONE if device == "phone" else DESKTOP))
    here.page.evaluate("document.querySelectorAll('details').forEach((part) => (part.open = true))")
    here.page.evaluate(files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8"))
    found = here.page.evaluate("axe.run()")
    assert len(found["passes"]) > 25
    assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]] == []


@pytest.mark.parametrize("width", [320, 375, 768, 1200])
def test_nothing_sticks_out_sideways(visit: Visit, width: int) -> None:
    here = visit(whole(), viewport={"width": width, "height": 800})
    assert here.page.evaluate("document.documentElement.scrollWidth") == width


def test_on_a_phone_every_rule_can_be_attacked_without_scrolling(visit: Visit) -> None:
    here = visit(whole(), **PHONE)
    table = here.page.get_by_role("region", name="What every rule returns")
    assert table.evaluate("(part) => part.scrollWidth <= part.clientWidth")


def test_every_picture_gives_its_numbers_away(visit: Visit) -> None:
    here, series = visit(whole()), whole()["series"]
    buttons = here.page.get_by_role("button", name="the numbers as CSV")
    assert buttons.count() == len(series) + 1  # the clients have a table, too
    for place in range(buttons.count()):
        with here.page.expect_download() as waiting:
            buttons.nth(place).click()
        rows = list(csv.reader(io.StringIO(waiting.value.path().read_text("utf-8"))))
        assert len({len(row) for row in rows}) == 1
        label = buttons.nth(place).get_attribute("aria-label")
        shown = next((one for one in series.values() if label.startswith(f"{one['title']}:")), None)
        if shown is None:
            assert rows[1][0] == "worker 11"
        elif shown["kind"] == "heatmap":
            assert rows[0][1:] == [*shown["columns"], "worst"]
            wanted = [[*row, worst] for row, worst in zip(shown["values"], shown["worst"], strict=True)]
            assert [row[1:] for row in rows[1:]] == [
                ["" if v is None else str(v) for v in row] for row in wanted
            ]
        else:
            assert rows[0][1:] == [line["name"] for line in shown["lines"]]
            told = {
                (name, float(row[0])): value
                for row in rows[1:]
                for name, value in zip(rows[0][1:], row[1:], strict=True)
            }
            for line in shown["lines"]:
                for x, y in zip(line["x"], line["y"], strict=True):
                    assert told[line["name"], x] == ("" if y is None else str(y))


def test_a_spreadsheet_is_given_no_formula(visit: Visit) -> None:
    report = whole()
    report["clients"][0]["name"] = '=HYPERLINK("http://x","y"),1'
    here = visit(report)
    with here.page.expect_download() as waiting:
        here.page.get_by_label("The clients: the numbers as CSV").click()
    rows = list(csv.reader(io.StringIO(waiting.value.path().read_text("utf-8"))))
    assert '\'=HYPERLINK("http://x","y"),1' in [row[0] for row in rows]


def test_the_whole_report_can_be_taken_away(visit: Visit) -> None:
    here = visit(whole())
    with here.page.expect_download() as waiting:
        here.page.get_by_label("The whole report as JSON").click()
    text = waiting.value.path().read_text("utf-8")
    assert text == json.dumps(whole(), indent=2, ensure_ascii=False) + "\n"


def test_paper_shows_what_is_folded_and_no_buttons(visit: Visit) -> None:
    here = visit(whole())
    here.page.evaluate(
        """() => {
          const open = () => document.querySelectorAll("details[open]").length;
          addEventListener("beforeprint", () => (window.seen = open()));
        }"""
    )
    paper = here.page.pdf(format="A4", prefer_css_page_size=True)
    assert paper.startswith(b"%PDF")
    assert here.page.evaluate("window.seen") == here.page.locator("details").count() > 0
    assert here.page.locator("details[open]").count() == 0
    here.page.emulate_media(media="print", color_scheme="dark")
    assert here.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert here.page.locator("button:visible").count() == 0
    assert here.page.locator("svg.curves:visible").count() > 0


def test_nothing_that_is_smuggled_in_runs(visit: Visit) -> None:
    report = whole()
    payload = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    for client in report["clients"]:
        client["name"] = payload
    report["subject"]["name"] = report["verdict"]["summary"] = payload
    report["plane"]["names"] = [payload] * len(report["plane"]["names"])
    here = visit(report)
    assert here.page.evaluate("window.hacked") is None
    assert here.page.locator("img").count() == 0
    here.page.evaluate(
        """() => {
          const noted = (event) => (window.refused = event.violatedDirective);
          document.addEventListener("securitypolicyviolation", noted);
          const script = document.createElement("script");
          script.textContent = "window.hacked = 1";
          document.body.append(script);
        }"""
    )
    here.page.wait_for_function("window.refused")
    assert here.page.evaluate("window.hacked") is None
    (complaint,) = here.complaints
    assert "Content Security Policy" in complaint
    here.complaints.clear()


def test_without_scripts_all_but_the_playground_is_there(visit: Visit) -> None:
    here = visit(whole(), java_script_enabled=False)
    text = here.page.inner_text("main")
    assert "The playground needs JavaScript" in text
    assert whole()["verdict"]["summary"] in text
    assert here.page.locator("svg.curves:visible").count() == 5
    assert not here.part("plot").is_visible()
