"""The pages of a board in a browser, of runs as plain files."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import axe_playwright_python
import pytest
from conftest import LOSSMITH
from folders import HOSTILE, at, evaluation, lines, manifest, small, step
from playwright.sync_api import expect

# Where pictures of the pages are kept for whoever wants to look at them.
PICTURES = os.environ.get("LOSSMITH_PICTURES")
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def picture(page, name: str) -> None:
    """Keeps a picture, if they are wanted."""
    if PICTURES:
        page.screenshot(path=Path(PICTURES) / f"{name}.png", full_page=True)


def mistakes(page) -> list[str]:
    """What axe-core finds wrong with the page: contrast, names, roles, keyboard."""
    page.evaluate(AXE)
    found = page.evaluate("() => axe.run()")["violations"]
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in found]


@pytest.mark.parametrize("width", [360, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_pages_fit_and_can_be_read(board, visit, tmp_path, width, scheme):
    for name, seed in [("first", 1), ("second-with-a-rather-long-name-that-goes-on", 2)]:
        small(tmp_path / "sweep" / name, seed=seed)
    one = board(tmp_path)
    window = visit(one.address, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = window.page
    both = "/compare?run=sweep%2Ffirst&run=sweep%2Fsecond-with-a-rather-long-name-that-goes-on"
    addresses = {"list": "/", "group": "/?group=seed", "run": "/run?name=sweep%2Ffirst", "compare": both}
    for name, address in addresses.items():
        page.goto(one.origin + address)
        if name in ("run", "compare"):
            expect(page.locator("figure canvas").first).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{name} is {wide} pixels wide"
        assert mistakes(page) == [], name
        picture(page, f"{name}-{width}-{scheme}")
    assert window.is_clean(one.origin)


def test_a_mark_on_the_curves_opens_what_was_edited_by_mouse_and_by_keyboard(board, visit, tmp_path):
    small(tmp_path / "a")
    one = board(tmp_path)
    window = visit(one.address)
    page = window.page
    page.get_by_role("link", name="a", exact=True).click()
    mark = page.locator("figure").first.get_by_role("button", name="r2", exact=True)
    mark.click()
    dialog = page.get_by_role("dialog")
    for words in ["optimizer.learning-rate", "0.001", "-0.750", "a - b", "a + b", "src/lib.rs", "points away"]:
        expect(dialog).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.locator("figure").first.get_by_role("button", name="r3 ↩ r2").focus()
    page.keyboard.press("Enter")
    expect(dialog).to_contain_text("the loss is NaN")
    picture(page, "edit")
    page.keyboard.press("Escape")
    expect(page.locator("#edit-1")).to_contain_text("refused")
    assert window.is_clean(one.origin)


def test_zooming_shows_every_step_of_a_long_curve(board, visit, tmp_path):
    run = small(tmp_path / "a")
    lines(run / "metrics.jsonl", [step(at, loss=1.0 if at != 5001 else 77.0) for at in range(1, 20001)])
    one = board(tmp_path)
    window = visit(one.address)
    page = window.page
    page.goto(one.origin + "/run?name=a")
    plot = page.locator("figure .u-over").first
    expect(plot).to_be_visible()
    box = plot.bounding_box()
    with page.expect_response(lambda answer: "chart=" in answer.url) as asked:
        page.mouse.move(box["x"] + 0.245 * box["width"], box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.255 * box["width"], box["y"] + 50, steps=5)
        page.mouse.up()
    series = asked.value.json()["series"][0]
    first, last = series["steps"][0], series["steps"][-1]
    assert series["steps"] == list(range(first, last + 1)) and first < 5001 < last < 6000
    assert series["values"][5001 - first] == 77.0
    for choice in ["logarithmic", "smoothing", "axis"]:
        assert page.locator(f"#{choice}").is_visible()
    page.locator("#smoothing").fill("0.5")
    page.locator("#logarithmic").check()
    page.locator("#axis").select_option("epoch")
    assert {"axis=epoch", "smoothing=0.5", "log=1"} < set(page.url.split("&"))
    expect(page.locator("figure canvas").first).to_be_visible()
    assert window.is_clean(one.origin)


def test_a_row_of_a_living_run_appears_and_one_that_is_deleted_goes(board, visit, tmp_path):
    run = small(tmp_path / "runs" / "a")
    lines(run / "journal.jsonl", [at(0, "started", process=None)])
    one = board(tmp_path / "runs")
    window = visit(one.address)
    page = window.page
    row = page.get_by_role("row").filter(has_text="unknown")
    expect(row).to_contain_text("0.5430")
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(evaluation(6, map_at_r=0.875)) + "\n")
    expect(row).to_contain_text("0.8750")
    small(tmp_path / "runs" / "later")
    expect(page.get_by_role("link", name="later")).to_be_visible()
    page.get_by_role("link", name="a", exact=True).click()
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(evaluation(7, map_at_r=0.9375)) + "\n")
    expect(page.locator("#results")).to_contain_text("0.9375")
    run.rename(tmp_path / "elsewhere")
    expect(page.locator("#connection")).to_contain_text("not any more")


def test_hostile_texts_are_texts(board, visit, tmp_path):
    run = small(tmp_path / "<b>x", note=HOSTILE)
    (run / "manifest.json").write_text(json.dumps(manifest(command=["lossmith", HOSTILE])))
    with (run / "journal.jsonl").open("a") as journal:
        for event in [at(70, "candidate", number=9, origin=HOSTILE), at(71, "failed", error=HOSTILE)]:
            journal.write(json.dumps(event) + "\n")
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(step(600, **{HOSTILE: 1.0, f"a/{HOSTILE}": 2.0})) + "\n")
        metrics.write(json.dumps({**evaluation(6), "values": {f"validation/linear-accuracy.{HOSTILE}": 1.0}}) + "\n")
    one = board(tmp_path)
    window = visit(one.address)
    page = window.page
    expect(page.get_by_role("link", name="<b>x")).to_be_visible()
    page.goto(one.origin + "/run?name=%3Cb%3Ex")
    expect(page.locator("figure").first).to_be_visible()
    expect(page.locator("#journal")).to_contain_text("<script>document.title='owned'</script>␛[31mred␇")
    assert page.locator("img").count() == 0 and page.title() == "<b>x · lossmith"
    assert not re.search("[\x00-\x08\x0b-\x1f\u202e]", page.locator("body").inner_text())
    assert window.is_clean(one.origin)


def test_an_exported_page_opens_from_the_disk(visit, tmp_path):
    run = small(tmp_path / "runs" / "a", note=HOSTILE)
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(step(600, **{HOSTILE: 1.0})) + "\n")
    file = tmp_path / "page.html"
    subprocess.run([LOSSMITH, "board", "export", run, "-o", file], check=True, timeout=60)
    window = visit(file.as_uri())
    page = window.page
    expect(page.locator("figure canvas").first).to_be_visible()
    page.locator("figure").first.get_by_role("button", name="r2", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("a + b")
    page.keyboard.press("Escape")
    page.locator("#smoothing").fill("0.9")
    assert page.title() == "a" and mistakes(page) == []
    picture(page, "export")
    assert window.requests == [file.as_uri()]
    assert window.is_clean("file:")
    # What is in it cannot be made to load something either.
    assert page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'loaded', () => 'refused')") == "refused"
