"""A person at the inspector: a page in real Chromium, and a record of what it did behind their back."""

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import TemporaryFile
from typing import Any

from cli.cli_program import GATEWAY, PATIENCE_SECONDS, environment, require_program
from playwright.sync_api import Browser, BrowserContext, Error, Locator, Page, sync_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 375, "height": 812}
PATIENCE_MS = 20_000
DISTURBANCE = "net::ERR_NETWORK_CHANGED"
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""
PATHS = re.compile(r"/($|#|inspector/|v1/|openapi\.json$)")
"""What a page of ours asks for."""


@contextmanager
def started_chromium() -> Iterator[Browser]:
    """Debian's Chromium; without it the test is skipped, in CI it fails."""
    path = require_program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def started_demo(interval: float = 0.5) -> Iterator[str]:
    """The demo, as a process; the address of its page."""
    with served("demo", "--interval", str(interval)) as text:
        yield wait_for(lambda: re.findall(r"http://\S+", text()), "the demo's address")[0]


@contextmanager
def served(*args: str) -> Iterator[Callable[[], str]]:
    """A command of the gateway that runs, and what it has printed: into a file, since nobody reads on meanwhile."""
    with TemporaryFile() as printed:
        process = subprocess.Popen([*GATEWAY, *args], stdout=printed, stderr=subprocess.STDOUT, env=environment())
        try:
            yield lambda: os.pread(printed.fileno(), 1_000_000, 0).decode()
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE_SECONDS)
            finally:
                process.kill()
                process.wait()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """What the condition gives as soon as it gives anything."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{PATIENCE_SECONDS} s without {what}"
        time.sleep(0.02)
    return found


@dataclass
class Conduct:
    """What a page did that nobody asked it to."""

    origin: str
    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Patterns of console messages that a test provokes."""

    disturbed: bool = False
    """Whether the machine's networks changed, at which Chromium drops what is under way, on loopback too."""

    def watch(self, page: Page) -> None:
        """Note errors, dialogs, and requests to elsewhere."""
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self._requested(request.url))
        page.on("dialog", lambda dialog: (self.faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))

    def _said(self, kind: str, text: str) -> None:
        if DISTURBANCE in text:
            self.disturbed = True
        elif kind in ("error", "warning"):
            self.faults.append(f"{kind}: {text}")

    def _requested(self, url: str) -> None:
        if not url.startswith(self.origin) or not PATHS.match(url.removeprefix(self.origin.rstrip("/"))):
            self.faults.append(f"request: {url}")

    @property
    def unexpected(self) -> list[str]:
        """All but what the test provoked."""
        return [item for item in self.faults if not any(re.search(pattern, item) for pattern in self.expected)]


class Visitor:
    """Somebody who looks at the page."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        context.add_init_script(VIOLATIONS)
        self.page = context.new_page()
        self.address = address
        self.conduct = Conduct(address)
        self.conduct.watch(self.page)

    def open(self, place: str = "") -> None:
        """Go there, and wait until the page is live; again where the machine's networks changed meanwhile."""
        self.page.goto(self.address + place)
        self._wait_until_live()

    def reload(self) -> None:
        """The same for a page that is open."""
        self.page.reload()
        self._wait_until_live()

    def _wait_until_live(self) -> None:
        live = self.page.get_by_role("status").filter(has_text="Live")
        try:
            live.wait_for(timeout=PATIENCE_MS / 2)
        except Error:
            if not self.conduct.disturbed:
                raise
            self.page.reload()
            live.wait_for()

    @property
    def rows(self) -> Locator:
        """The list."""
        return self.page.locator("a.row")

    def row(self, text: str | re.Pattern[str]) -> Locator:
        """The newest mail with this text in its row."""
        return self.rows.filter(has_text=text).first

    @property
    def detail(self) -> Locator:
        """The mail that is open."""
        return self.page.locator("#detail")

    def exchange(self, event: str) -> Locator:
        """A call of the open mail."""
        return (
            self.detail.locator("details.exchange")
            .filter(has=self.page.locator("b").get_by_text(event, exact=True))
            .last
        )

    def unfold(self, event: str) -> Locator:
        """The same, open."""
        found = self.exchange(event)
        found.wait_for()
        if found.get_attribute("open") is None:
            found.locator("summary").first.click()
        found.get_by_role("region", name="Request").wait_for()
        return found


@contextmanager
def visitor(browser: Browser, address: str, **options: object) -> Iterator[Visitor]:
    """Somebody at this address; when they leave, the page must have behaved."""
    context = browser.new_context(**{"viewport": DESKTOP, **options})  # type: ignore[arg-type]
    try:
        found = Visitor(context, address)
        yield found
        assert not found.conduct.unexpected, "\n".join(found.conduct.unexpected)
    finally:
        context.close()
