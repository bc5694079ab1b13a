"""The page of `dicos screen` in headless Chromium, at the width of a desk and of a phone."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("hypercorn")
pytest.importorskip("selenium")
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from dicos_proto.dicos import TDR
from dicos_transports.dicos import read_file
from tests.transports.screening.stations import HERE, Running, destination, scan_file, station

CHROMIUM, DRIVER = (shutil.which(name) for name in ("chromium", "chromedriver"))
pytestmark = [
    pytest.mark.slow,  # starts a browser
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no chromium and chromedriver (tools/peers.sh installs them)"),
]
DESK, PHONE = (1280, 900), (390, 844)
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=Service(str(DRIVER)))
    yield driver
    driver.quit()


def show(browser: Chrome, running: Running, size: tuple[int, int] = DESK) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 600},
    )
    browser.get_log("browser")
    browser.get(running.url)
    wait(browser, lambda: browser.find_element(By.ID, "live").text == "live")


def wait(browser: Chrome, condition: Any, seconds: float = 60) -> Any:
    def found(_: Chrome) -> Any:
        try:
            return condition()
        except StaleElementReferenceException:  # drawn again meanwhile
            return None

    return WebDriverWait(browser, seconds, 0.1).until(found)


def texts(browser: Chrome, css: str) -> list[str]:
    return [one.text for one in browser.find_elements(By.CSS_SELECTOR, css)]


def faults(browser: Chrome) -> list[str]:
    """Complaints of the browser: scripts that fail, violations of the content security policy."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]


def bags(folder: Path, running: Running) -> None:
    """One bag with a threat, one without."""
    running.store(
        scan_file(folder, 1, frames=128, rows=256, columns=256),
        scan_file(folder, 2, frames=30, rows=40, columns=40),
    )


def screenshot(browser: Chrome, name: str) -> None:
    """Keeps a picture of the page where STATION_SCREENSHOTS says, for the documentation."""
    if folder := os.environ.get("STATION_SCREENSHOTS"):
        browser.execute_script("scrollTo(0, 0); document.activeElement.blur()")
        time.sleep(2)
        browser.save_screenshot(str(Path(folder) / f"{name}.png"))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with destination() as goal, station(tmp_path / "s", "--report-to", goal.name) as found:
        yield found


def test_scans_appear_as_they_arrive(browser: Chrome, running: Running, tmp_path: Path) -> None:
    show(browser, running)
    assert "No scans yet" in browser.find_element(By.ID, "empty").text
    bags(tmp_path, running)
    wait(browser, lambda: set(texts(browser, ".scan h2")) == {"BAG-0001", "BAG-0002"})
    wait(browser, lambda: texts(browser, ".scan .badge") == ["CLEAR", "ALARM"])  # newest first
    wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".scan .picture img")) == 2)
    wait(browser, lambda: all("Report sent" in text for text in texts(browser, ".scan")))
    sizes = browser.execute_script(
        "return [...document.querySelectorAll('.picture img')].map(one => one.complete && one.naturalWidth)"
    )
    assert all(sizes)
    assert "g/cm3" in texts(browser, ".threats li")[0]
    assert faults(browser) == []


def test_an_operator_confirms_and_clears(browser: Chrome, running: Running, tmp_path: Path) -> None:
    bags(tmp_path, running)
    running.done(2)
    show(browser, running)
    alarm = wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".scan.ALARM .confirm"))
    alarm.click()
    wait(browser, lambda: "Enter your operator identifier" in browser.find_element(By.TAG_NAME, "main").text)
    browser.find_element(By.ID, "operator").send_keys("OP-17")
    wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".scan.ALARM .confirm")).click()
    wait(browser, lambda: "Alarm by OP-17" in browser.find_element(By.ID, "scan-1").text)
    browser.find_element(By.CSS_SELECTOR, "#scan-2 .clear").click()
    wait(browser, lambda: "Cleared by OP-17" in browser.find_element(By.ID, "scan-2").text)
    browser.find_element(By.ID, "open").click()
    wait(browser, lambda: "No scan waits for a decision" in browser.find_element(By.ID, "empty").text)
    browser.find_element(By.ID, "open").click()
    running.done(2)
    found = {one["id"]: one["reports"][-1] for one in running.scans()}
    assert [(found[number]["kind"], found[number]["decision"]) for number in (1, 2)] == [
        ("operator", "ALARM"), ("operator", "CLEAR"),
    ]  # fmt: skip
    report = next(
        one for one in map(read_file, tmp_path.glob("s/reports/operator-*"))
        if isinstance(one, TDR) and one.decision == "ALARM"
    )  # fmt: skip
    assert report.operator is not None
    assert report.operator.id == "OP-17"
    assert report.threats[0].flag == "THREAT"
    assert faults(browser) == []


def test_the_keyboard_is_enough(browser: Chrome, running: Running, tmp_path: Path) -> None:
    running.store(scan_file(tmp_path, 1, frames=128, rows=256, columns=256))
    running.done(1)
    show(browser, running)
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".scan .picture img"))
    browser.execute_script("sessionStorage.setItem('operator', 'OP-1')")
    show(browser, running)
    wait(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".scan .picture img"))
    seen = []

    def press(key: str) -> str:
        browser.switch_to.active_element.send_keys(key)
        active = browser.switch_to.active_element
        return str(active.get_attribute("aria-label") or active.get_attribute("id") or active.text)

    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    for _ in range(8):
        seen.append(press(Keys.TAB))
        if "Enlarge" in seen[-1]:
            browser.switch_to.active_element.send_keys(Keys.ENTER)
            assert browser.find_element(By.ID, "view").get_attribute("open") is not None
            screenshot(browser, "station-picture")
            browser.switch_to.active_element.send_keys(Keys.ESCAPE)
            wait(browser, lambda: browser.find_element(By.ID, "view").get_attribute("open") is None)
        if seen[-1].startswith("Clear"):
            browser.switch_to.active_element.send_keys(Keys.ENTER)
            break
    wait(browser, lambda: "Cleared by OP-1" in browser.find_element(By.ID, "scan-1").text)
    # The focus stays where it was, although the scan was drawn again.
    assert browser.switch_to.active_element.get_attribute("aria-label") == "Clear: BAG-0001"


@pytest.mark.parametrize(("size", "name"), [(DESK, "station"), (PHONE, "station-phone")])
def test_it_fits(browser: Chrome, tmp_path: Path, size: tuple[int, int], name: str) -> None:
    """Also takes the pictures of the documentation."""
    with destination() as goal:
        words = "--report-to", goal.name, "--recogniser", f"{HERE}:some", "--deadline", "20"
        with station(tmp_path / "s", *words) as running:
            large = 512 if "STATION_SCREENSHOTS" in os.environ else 96
            for seed in (3, 2, 1):
                running.store(scan_file(tmp_path, seed, frames=large // 2, rows=large, columns=large, threat=seed != 2))
            running.post(b"no scan at all")
            running.done(3)
            show(browser, running, size)
            wait(browser, lambda: len(browser.find_elements(By.CSS_SELECTOR, ".scan .picture img")) == 3)
            browser.find_element(By.ID, "operator").send_keys("OP-17")
            browser.find_element(By.CSS_SELECTOR, "#scan-3 .confirm").click()
            wait(browser, lambda: "Alarm by OP-17" in browser.find_element(By.ID, "scan-3").text)
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert width <= size[0]
            buttons = browser.find_elements(By.CSS_SELECTOR, "button.act:not([hidden])")
            assert min(one.size["height"] for one in buttons if one.is_displayed()) >= 44  # for a finger
            screenshot(browser, name)
            assert faults(browser) == []


def test_a_station_that_goes_and_comes_back(browser: Chrome, tmp_path: Path) -> None:
    with station(tmp_path / "s", "--recogniser", "nothing") as running:
        show(browser, running)
        running.kill()
        wait(browser, lambda: "no connection" in browser.find_element(By.ID, "live").text)
    with station(tmp_path / "s", "--recogniser", "nothing", "--http", running.http) as again:
        wait(browser, lambda: browser.find_element(By.ID, "live").text == "live")
        again.store(scan_file(tmp_path, 1))
        wait(browser, lambda: texts(browser, ".scan .badge") == ["CLEAR"])
        # The page has the token of the station that was killed.
        again.done(1)
        browser.find_element(By.ID, "operator").send_keys("OP-17")
        wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, "#scan-1 .clear")).click()
        wait(browser, lambda: "load it again" in browser.find_element(By.ID, "scan-1").text)


def test_text_of_a_scan_is_text(browser: Chrome, tmp_path: Path) -> None:
    """An identifier that looks like HTML changes nothing."""
    import pydicom

    path = scan_file(tmp_path, 1)
    dataset = pydicom.dcmread(path)
    dataset.PatientID = "<img src=x onerror=document.title=1>"
    dataset.save_as(path)
    with station(tmp_path / "s", "--recogniser", "nothing") as running:
        running.store(path)
        running.done(1)
        show(browser, running)
        wait(browser, lambda: texts(browser, ".scan h2") == ["<img src=x onerror=document.title=1>"])
        assert browser.title == "Screening station"
        assert faults(browser) == []
