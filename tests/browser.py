"""A real browser without a window: Debian's Chromium, asked over its driver. It runs no script of a page."""

from __future__ import annotations

import base64
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.debian import install

TOOLS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
# The browser of its own accord asks hosts that are nobody's here.
QUIET = (
    *(
        "--headless=new",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--hide-scrollbars",
        "--disable-dev-shm-usage",
    ),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,1600"),
)


class Browser:
    """One window."""

    def __init__(self, driver: Chrome) -> None:
        self._driver = driver
        driver.get("about:blank")
        self._do("Emulation.setScriptExecutionDisabled", value=True)

    def _do(self, command: str, **arguments: Any) -> Any:
        return self._driver.execute_cdp_cmd(command, arguments)

    def open(self, path: Path, *, dark: bool = False, media: str = "screen") -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._do("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self._driver.get_log("performance")  # of what was there before
        self._driver.get(path.as_uri())

    def all(self, selector: str, within: WebElement | None = None) -> list[WebElement]:
        return (within or self._driver).find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        (found,) = self.all(selector)
        return found

    def one_of(self, selector: str) -> WebElement:
        return self.all(selector)[0]

    @property
    def title(self) -> str:
        return self._driver.title

    def rows(self, heading: str) -> list[list[str]]:
        """What the cells of the body of the table after a heading of this text show."""
        xpath = f"//*[self::h2 or self::h3][normalize-space()='{heading}']/following::table[1]/tbody/tr"
        found = self._driver.find_elements(By.XPATH, xpath)
        return [[cell.text for cell in self.all("th, td", row)] for row in found]

    @property
    def heard(self) -> list[tuple[str, str, str]]:
        """(role, name, description) of what is not passed over by who hears the page."""
        self._do("Accessibility.enable")
        nodes = self._do("Accessibility.getFullAXTree")["nodes"]
        said = [
            {k: str(n.get(k, {}).get("value", "")) for k in ("role", "name", "description")}
            for n in nodes
            if not n["ignored"]
        ]
        return [(n["role"], n["name"], n["description"]) for n in said]

    @property
    def asked_for(self) -> set[str]:
        """Every address that the window asked for since it was opened."""
        told = [json.loads(line["message"])["message"] for line in self._driver.get_log("performance")]
        return {m["params"]["request"]["url"] for m in told if m["method"] == "Network.requestWillBeSent"}

    def picture(self, path: Path) -> Image.Image:
        """The whole page as it is shown, kept at `path`."""
        shot = self._do("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))
        return Image.open(io.BytesIO(path.read_bytes())).convert("RGB")

    def printed(self) -> bytes:
        """As a PDF."""
        return base64.b64decode(self._do("Page.printToPDF", preferCSSPageSize=True, printBackground=True)["data"])


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """With a profile of its own in `folder`. Raises `Missing` where there is none, and none can be installed."""
    install(TOOLS, "tests of pages")
    options = Options()
    for argument in (*QUIET, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(argument)
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver", log_output=str(folder / "driver.log")))
    try:
        yield Browser(driver)
    finally:
        driver.quit()
