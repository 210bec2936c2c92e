#!/usr/bin/env python3
"""Makes the pictures of the board that the README shows, of a training that is edited and of others beside it.

    .board-python/bin/python scripts/board/pictures.py LOSSMITH

Takes some minutes. The pictures are in docs/images.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docs" / "images"
PATIENCE = 300_000
SEEDS, MARGINS = (1, 2, 3), (0.2, 0.5)


def train(lossmith: Path, folder: Path, sets: list[str], *words: str) -> subprocess.Popen[bytes]:
    settings = [word for one in sets for word in ("--set", one)]
    command = [lossmith, "train", "experiment.toml", *words, *settings]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)


def edit(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text, before
    aside = file.with_suffix(".new")
    aside.write_text(text.replace(before, after))
    aside.rename(file)


def edits(page: Page, file: Path, changes: list[tuple[str, str]]) -> None:
    """Makes changes one after the other, each when the one before was decided."""
    for number, (before, after) in enumerate(changes, 1):
        edit(file, before, after)
        page.locator(f"#edit-{number}.live, #edit-{number}.refused").wait_for(timeout=PATIENCE)
        # A few epochs with it.
        epoch = int(page.locator("#head .facts b").first.inner_text())
        later = "epoch => Number(document.querySelector('#head .facts b').textContent) >= epoch + 6"
        page.wait_for_function(later, arg=epoch, timeout=PATIENCE)


def main(lossmith: Path, folder: Path) -> None:
    for name in ["experiment.toml", "my-loss"]:
        source = ROOT / "examples" / "hot-reload" / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, folder / name)
    shutil.rmtree(folder / "my-loss" / "target", ignore_errors=True)
    edit(folder / "my-loss" / "Cargo.toml", "../../../plugins/sdk", str(ROOT / "plugins" / "sdk"))
    edit(folder / "experiment.toml", "every = 5", "every = 1\ntest = false")
    edit(folder / "experiment.toml", "limit = 6000", "limit = 1500")
    (folder / "runs").mkdir()
    for seed in SEEDS:
        for margin in MARGINS:
            params = f"objective.0.loss.params.margin={margin}"
            assert train(lossmith, folder, [f"seed={seed}", params, "epochs=10", f'name="margin-{margin}"']).wait() == 0

    board = subprocess.Popen([lossmith, "board", "--json", "runs"], cwd=folder, stdout=subprocess.PIPE, text=True)
    address = json.loads("".join(board.stdout.readline() for _ in range(3)))["address"]
    origin = address.partition("/?")[0]
    living = train(lossmith, folder, [], "--watch")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        program = os.environ.get("CHROMIUM") or shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        page.get_by_role("row").filter(has_text="running").get_by_role("link").click(timeout=PATIENCE)
        page.locator("figure canvas").first.wait_for(timeout=PATIENCE)
        edits(
            page,
            folder / "experiment.toml",
            [("margin = 0.5", "margin = 0.8"), ("margin = 0.8", "margin = -1"), ("margin = -1", "margin = 0.3")],
        )
        page.screenshot(path=IMAGES / "board-run.png")
        page.locator("figure").first.locator(".marks button:visible").first.click()
        page.screenshot(path=IMAGES / "board-edit.png")
        page.goto(origin + "/?q=margin-&sort=name")
        for box in page.locator("tbody input[type=checkbox]").all():
            box.check()
        page.get_by_role("button", name="Compare").click()
        page.locator("figure canvas").first.wait_for(timeout=PATIENCE)
        page.wait_for_timeout(500)
        page.screenshot(path=IMAGES / "board-compare.png")
        browser.close()
    for process in [living, board]:
        process.kill()
        process.wait()


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        main(Path(sys.argv[1]).resolve(), Path(name))
