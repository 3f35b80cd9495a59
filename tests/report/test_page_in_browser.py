"""The page in a real browser, from its file, with the network cut.

Skipped where there is no chromium with its driver; the accessibility check also where the
environment variable NORMBENCH_AXE does not name axe-core's axe.min.js.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reported import BEST, MANY_NORMS, many_norms

from normbench.charts.palette import DARK_BACKGROUND
from normbench.data import Dataset
from normbench.report.page import render

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
DRIVER = shutil.which("chromedriver")
AXE = os.environ.get("NORMBENCH_AXE")

pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no browser: chromium and chromedriver are not installed"
)

PHONE, DESK = 375, 1280
PAGES = ["swept", "tuned", "several", "hostile"]
DRAWN = "return [...document.querySelectorAll('figure[data-chart]')].map(f => f.dataset.drawn)"
FOUND = """
return [...document.querySelectorAll('figure[data-chart]')].map(figure => [
    figure.dataset.chart,
    figure.querySelectorAll('svg').length,
    figure.querySelectorAll('svg .role-mark path, svg .role-mark text, svg .role-mark line').length,
    figure.querySelector('svg')?.getBoundingClientRect().width ?? 0,
])
"""
WIDE = """
return [...document.querySelectorAll(arguments[0])]
    .filter(box => box.scrollWidth > box.clientWidth).map(box => box.outerHTML.slice(0, 99))
"""
BACKGROUNDS = """
return [...document.querySelectorAll('.chart svg')].map(it => getComputedStyle(it).backgroundColor)
"""
FILLS = "return [...document.querySelectorAll(arguments[0])].map(it => it.getAttribute('fill'))"


class Window:
    """The browser on one page at a time."""

    def __init__(self, driver: Any, folder: Path):
        self.driver, self.folder = driver, folder

    def show(self, page: str, width: int = DESK, scheme: str = "light") -> None:
        """Open a page afresh and wait until its charts are drawn."""
        from selenium.webdriver.support.ui import WebDriverWait

        self.scheme(scheme)
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width == PHONE}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.get_log("browser")
        self.driver.get((self.folder / f"{page}.html").as_uri())
        self.wait = WebDriverWait(self.driver, 20, poll_frequency=0.05)
        self.drawn(scheme)

    def scheme(self, scheme: str) -> None:
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def drawn(self, scheme: str) -> None:
        self.wait.until(lambda d: set(d.execute_script(DRAWN)) == {scheme})

    def ask(self, script: str, *values: object) -> Any:
        return self.driver.execute_script(script, *values)


@pytest.fixture(scope="module")
def window(
    tmp_path_factory: pytest.TempPathFactory, pages: dict[str, str], digits: Dataset
) -> Iterator[Window]:
    from selenium import webdriver

    folder = tmp_path_factory.mktemp("pages")
    more = [f"{{kind: dyt, alpha: {0.1 * number:.1f}}}" for number in range(6, 24)]
    thirty = many_norms(
        tmp_path_factory.mktemp("many"), digits, [*MANY_NORMS, *more], seeds=2, probes=False
    )
    for name, text in (*pages.items(), ("many", render([thirty]))):
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        # No name resolves and every connection ends nowhere.
        *("--disable-background-networking", "--proxy-server=127.0.0.1:9"),
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
        "--host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield Window(driver, folder)
    finally:
        driver.quit()


@pytest.mark.parametrize("page", PAGES)
def test_every_chart_is_drawn_and_the_console_is_silent(window, page):
    window.show(page)
    found = window.ask(FOUND)
    assert len(found) >= 6
    for name, pictures, marks, width in found:
        assert pictures == 1, name
        assert marks >= 3, name
        assert width > 400, name
    assert window.driver.get_log("browser") == []


@pytest.mark.parametrize("page", PAGES)
def test_on_a_phone_nothing_sticks_out(window, page):
    window.show(page, PHONE)
    assert window.ask("return document.documentElement.scrollWidth") == PHONE
    wide = (
        "return [...document.querySelectorAll('.chart')].filter(c => c.scrollWidth > c.clientWidth)"
    )
    assert window.ask(wide) == []
    # Wide tables scroll in their own boxes.
    assert window.ask(WIDE, ".scroll") != []


def test_pointing_at_a_mark_tells_its_numbers(window):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    window.show("tiny")
    bar = window.driver.find_element(By.CSS_SELECTOR, "[data-chart$=cost] .mark-rect path")
    ActionChains(window.driver).move_to_element(bar).perform()
    tip = window.wait.until(
        lambda d: d.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible").text
    )
    assert "norm" in tip
    assert "ms per step" in tip


LINES = """
return [...arguments[0].querySelectorAll('svg .mark-line path')].map(path => [
    path.ariaLabel.replace(/.*norm: ([^;]*).*/, '$1'),
    path.getAttribute('stroke'), Number(path.getAttribute('opacity'))])
"""


def test_of_many_norms_the_one_under_the_pointer_stands_out_until_it_leaves(window):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    def lines() -> list[tuple[str, str, float]]:
        return [tuple(line) for line in window.ask(LINES, figure)]

    window.show("many")
    figure = window.driver.find_element(By.CSS_SELECTOR, "[data-chart$=chart-curves]")
    before = lines()
    grey = {colour for norm, colour, _ in before if norm not in ("none", BEST)}
    assert len(grey) == 1
    last = figure.find_elements(By.CSS_SELECTOR, ".mark-symbol path[aria-label*='norm: rms']")[-1]
    ActionChains(window.driver).move_to_element(last).perform()
    window.wait.until(lambda _: lines() != before)
    ((was, now),) = [(old, new) for old, new in zip(before, lines(), strict=True) if old != new]
    tip = window.driver.find_element(By.CSS_SELECTOR, "#vg-tooltip-element.visible").text
    assert tip.split("norm")[1].split()[0] == was[0] == now[0]
    assert now[1] not in grey
    assert was[2] < now[2] == 1
    title = window.driver.find_element(By.TAG_NAME, "h1")
    ActionChains(window.driver).move_to_element(title).perform()
    window.wait.until(lambda _: lines() == before)


OVERLAPS = """
const boxes = [...arguments[0].querySelectorAll(arguments[1])].map(t => t.getBoundingClientRect());
const across = arguments[2];
return boxes.slice(1).filter((box, i) =>
    across ? box.left < boxes[i].right - 3 : box.top < boxes[i].bottom - 6).length;
"""


def test_names_of_thirty_norms_can_be_read_on_a_phone_and_leave_room_for_the_plot(window):
    from selenium.webdriver.common.by import By

    window.show("many", PHONE)
    assert window.ask("return document.documentElement.scrollWidth") == PHONE
    for chart, names in (("forest", "y"), ("cost", "y"), ("seeds", "x")):
        figure = window.driver.find_element(By.CSS_SELECTOR, f"[data-chart$=chart-{chart}]")
        labels = f".role-axis[aria-label^={names.upper()}] .role-axis-label text"
        assert len(figure.find_elements(By.CSS_SELECTOR, labels)) == 30
        assert window.ask(OVERLAPS, figure, labels, names == "x") == 0, chart
    right = "return Math.max(...[...arguments[0].querySelectorAll(arguments[1])].map("
    names_end = right + "t => t.getBoundingClientRect().right))"
    points_start = right.replace("max", "min") + "t => t.getBoundingClientRect().left))"
    forest = window.driver.find_element(By.CSS_SELECTOR, "[data-chart$=chart-forest]")
    ends = window.ask(names_end, forest, ".role-axis[aria-label^=Y] .role-axis-label text")
    assert ends <= window.ask(points_start, forest, ".mark-symbol path")


def lightness(colour: str) -> float:
    """rgb(20, 23, 28) -> the mean of the three."""
    return sum(int(part) for part in colour[4:-1].split(",")) / 3


def test_in_the_dark_page_and_charts_turn_dark_without_a_reload(window):
    window.show("tiny")
    style = "const s = getComputedStyle(document.body); return [s.backgroundColor, s.color]"
    assert lightness(window.ask(style)[0]) > 250
    window.scheme("dark")
    window.drawn("dark")
    paper, ink = window.ask(style)
    assert lightness(paper) < 40
    assert lightness(ink) > 200
    assert set(window.ask(BACKGROUNDS)) == {paper}
    assert paper == f"rgb({', '.join(str(part) for part in bytes.fromhex(DARK_BACKGROUND[1:]))})"
    found = set(window.ask(FILLS, ".role-axis-label text"))
    assert found
    assert all(sum(bytes.fromhex(colour[1:])) / 3 > 200 for colour in found)


def test_a_dark_page_is_printed_with_light_charts_and_is_dark_again_after(window):
    window.show("tiny", scheme="dark")
    # A browser lays the print out when the event has been handled, without waiting for timers.
    printing = (
        "const done = arguments[0];"
        "setTimeout(() => {"
        "  dispatchEvent(new Event('beforeprint'));"
        "  const figures = [...document.querySelectorAll('figure')];"
        "  setTimeout(() => done(figures.map(figure => figure.dataset.drawn)));"
        "});"
    )
    assert set(window.driver.execute_async_script(printing)) == {"light"}
    assert set(window.ask(BACKGROUNDS)) == {"rgb(255, 255, 255)"}
    window.ask("dispatchEvent(new Event('afterprint'))")
    window.drawn("dark")


def test_step_zero_is_there_on_a_logarithm_and_a_chart_is_drawn_once(window):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    window.show("tiny")
    figure = window.driver.find_element(By.CSS_SELECTOR, "[data-chart$=chart-survival]")
    points = "return arguments[0].querySelectorAll('.mark-symbol.role-mark path').length"
    before = window.ask(points, figure)
    left = "return arguments[0].querySelector('.role-axis-label text').textContent"
    Select(figure.find_element(By.CSS_SELECTOR, "select[data-axis=x]")).select_by_value("log")
    labels = (
        "return [...arguments[0].querySelectorAll('.role-axis-label text')].map(t => t.textContent)"
    )
    window.wait.until(lambda _: "10" in window.ask(labels, figure))
    assert window.ask(points, figure) == before
    assert window.ask(left, figure) == "0"
    assert window.ask("return document.querySelectorAll('#vg-tooltip-element').length") <= 1


def test_an_axis_can_be_read_on_a_logarithm(window):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    window.show("tiny")
    figure = window.driver.find_element(By.CSS_SELECTOR, "[data-chart$=chart-curves]")

    def line() -> str | None:
        return figure.find_element(By.CSS_SELECTOR, ".mark-line path").get_attribute("d")

    before = line()
    Select(figure.find_element(By.CSS_SELECTOR, "select[data-axis=x]")).select_by_value("log")
    window.wait.until(lambda _: line() != before)
    assert "NaN" not in figure.get_attribute("innerHTML")
    assert window.driver.get_log("browser") == []


def test_markup_in_a_name_does_nothing(window):
    window.show("hostile")
    assert window.ask("return document.title") != "broken"
    assert window.ask("return document.images.length") == 0


def test_a_keyboard_reaches_the_content_and_every_table(window):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    window.show("tiny")
    window.driver.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    assert window.ask("return document.activeElement.className") == "skip"
    shown = "return document.activeElement.getBoundingClientRect().left"
    assert window.ask(shown) >= 0
    focusable = "return [...document.querySelectorAll('.scroll')].every(b => b.tabIndex === 0)"
    assert window.ask(focusable)


@pytest.mark.skipif(AXE is None, reason="NORMBENCH_AXE names no axe.min.js")
@pytest.mark.parametrize(
    ("page", "scheme"),
    [
        *(("swept", "light"), ("tuned", "dark")),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (("swept", "dark"), ("tuned", "light"))
        ),
    ],
)
def test_axe_finds_nothing_serious(window, page, scheme):
    window.show(page, DESK, scheme)
    window.ask(Path(str(AXE)).read_text(encoding="utf-8"))
    run = "const done = arguments[0]; axe.run().then(found => done(found.violations))"
    violations = window.driver.execute_async_script(run)
    serious = [
        (found["id"], found["nodes"][0]["html"])
        for found in violations
        if found["impact"] in ("serious", "critical")
    ]
    assert serious == []
