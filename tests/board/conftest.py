"""What the tests of the board share: the real command, a real browser, and folders of runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.cookiejar import CookieJar
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, sync_playwright

ROOT = Path(__file__).parents[2]
LOSSMITH = Path(os.environ.get("LOSSMITH", ROOT / "target" / "debug" / "lossmith"))
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@dataclass
class Board:
    """A board that is served by the command."""

    process: subprocess.Popen[str]
    address: str

    @property
    def origin(self) -> str:
        """Its address without a path and a token."""
        return self.address.partition("/?")[0]

    def opener(self) -> urllib.request.OpenerDirector:
        """What asks it with the cookie of its token."""
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        opener.open(self.address).read()
        return opener


@pytest.fixture
def board() -> Iterator[Callable[..., Board]]:
    """Starts boards and ends them."""
    started: list[Board] = []

    def start(*words: str | Path) -> Board:
        command = [LOSSMITH, "board", "--json", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        lines = ""
        while not lines.endswith("}\n"):
            line = process.stdout.readline()
            assert line, f"the board ended with {process.wait()}"
            lines += line
        started.append(Board(process, json.loads(lines)["address"]))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.wait()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    assert CHROMIUM, "the tests of the board need Chromium: scripts/setup.sh board, or CHROMIUM=PROGRAM"
    with sync_playwright() as playwright:
        # A container gives no process a sandbox of its own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@dataclass
class Visit:
    """A browser's window, with all that it asked for and complained of."""

    context: BrowserContext
    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    # What the page asked before it did something. Without `accepts`, a question is a complaint.
    questions: list[str] = field(default_factory=list)
    accepts: bool = False

    def asked(self, dialog: Dialog) -> None:
        """Answers a question of the page."""
        (self.questions if self.accepts else self.complaints).append(dialog.message)
        dialog.accept() if self.accepts else dialog.dismiss()

    def is_clean(self, origin: str) -> bool:
        """Whether nothing was asked of others, and no script or policy complained."""
        elsewhere = [url for url in self.requests if not url.startswith(origin)]
        assert not elsewhere, elsewhere
        assert not self.complaints, self.complaints
        return True


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens windows, and closes them."""
    opened: list[BrowserContext] = []

    def open_at(address: str, **options: object) -> Visit:
        context = browser.new_context(**options)
        opened.append(context)
        visit = Visit(context, context.new_page())
        visit.page.on("request", lambda request: visit.requests.append(request.url))
        visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
        visit.page.on("dialog", visit.asked)
        complaint = ("error", "warning")
        visit.page.on("console", lambda one: one.type in complaint and visit.complaints.append(one.text))
        visit.page.goto(address)
        return visit

    yield open_at
    for context in opened:
        context.close()
