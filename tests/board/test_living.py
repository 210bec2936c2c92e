"""A board beside a real training that is edited while it runs."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import LOSSMITH, ROOT
from folders import HOSTILE
from playwright.sync_api import expect

EXPERIMENT = """\
name = "living"
seed = 7
epochs = 100000
threads = 1

[data]
kind = "fashion-mnist"
limit = 2000
validation = 0.25

[sampler]
classes = 10
samples = 4

[model]
width = 4
embedding = 8

[evaluation]
nmi = false

[run]
directory = "runs"
log-every = 2

[[objective]]
loss = { plugin = "losses", strategy = "contrastive", params = { negative-margin = 0.5 } }

[session]
quiet-ms = 50
"""
# It may build a plugin and check edits meanwhile, on a machine with little to spare.
PATIENCE = 120_000


@pytest.fixture
def training(tmp_path):
    """Starts trainings in a folder, and ends them."""
    started: list[subprocess.Popen[bytes]] = []

    def start(experiment: str, *words: str) -> Path:
        file = tmp_path / "experiment.toml"
        file.write_text(experiment)
        log = (tmp_path / "training.log").open("w")
        command = [LOSSMITH, "train", file.name, *words]
        started.append(subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log))
        return file

    (tmp_path / "runs").mkdir()
    yield start
    for process in started:
        process.kill()
        process.wait()


def save(file: Path, text: str) -> None:
    """As editors do, in one step."""
    aside = file.with_suffix(".new")
    aside.write_text(text)
    aside.rename(file)


def test_a_living_run_appears_moves_and_shows_its_edits(board, visit, training, tmp_path):
    one = board(tmp_path / "runs")
    window = visit(one.address)
    page = window.page
    expect(page.get_by_text("There are no runs here yet")).to_be_visible()
    file = training(EXPERIMENT, "--watch")
    row = page.get_by_role("row").filter(has_text="running")
    expect(row).to_be_visible(timeout=PATIENCE)
    row.get_by_role("link").click()
    expect(page.locator("figure canvas").first).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#results")).to_contain_text("map-at-r", timeout=PATIENCE)

    save(file, EXPERIMENT.replace("negative-margin = 0.5", "negative-margin = 0.75"))
    mark = page.locator("figure").first.get_by_role("button", name="r1", exact=True)
    expect(mark).to_be_visible(timeout=PATIENCE)
    mark.click()
    dialog = page.get_by_role("dialog")
    for words in ["negative-margin", "0.5", "0.75", "cosine of their gradients"]:
        expect(dialog).to_contain_text(words)
    page.keyboard.press("Escape")

    save(file, EXPERIMENT.replace("negative-margin = 0.5", 'negative-margin = "wide"'))
    refused = page.locator("#edits details.refused")
    expect(refused).to_be_visible(timeout=PATIENCE)
    refused.locator("summary").click()
    expect(refused).to_contain_text("negative-margin")
    assert window.is_clean(one.origin)


def test_what_a_hostile_plugin_says_is_text(board, visit, training, tmp_path):
    subprocess.run([LOSSMITH, "plugin", "build", ROOT / "tests/guests/evil", "--out", tmp_path], check=True)
    loss = 'loss = { plugin = "evil", strategy = "names", params = { how = "page" } }'
    before, _, after = EXPERIMENT.partition("loss = {")
    training(before + loss + after.partition("}\n")[2].partition("}\n")[2] + "\n")
    one = board(tmp_path / "runs")
    window = visit(one.address)
    page = window.page
    failed = page.get_by_role("row").filter(has_text="failed")
    expect(failed).to_be_visible(timeout=PATIENCE)
    failed.get_by_role("link").click()
    expect(page.locator("#journal")).to_contain_text("<script>document.title='owned'</script>")
    assert page.locator("img").count() == 0 and "owned" not in page.title()
    assert HOSTILE.startswith("<img") and window.is_clean(one.origin)


def test_a_training_is_steered_from_its_page(board, visit, training, tmp_path):
    shadow = '[[shadow]]\nname = "wider"\nobjective = { loss = { plugin = "losses", strategy = "multi-similarity" } }\n'
    training(EXPERIMENT + shadow)
    one = board(tmp_path / "runs")
    window = visit(one.address)
    page = window.page
    page.get_by_role("row").filter(has_text="running").get_by_role("link").click(timeout=PATIENCE)
    state, said = page.locator("#steering-state"), page.locator("#steering-said")
    expect(state).to_contain_text("at work", timeout=PATIENCE)
    page.get_by_role("button", name="Pause").click()
    expect(state).to_contain_text("paused", timeout=PATIENCE)
    page.get_by_role("button", name="Go on").click()
    expect(state).to_contain_text("at work", timeout=PATIENCE)

    setting = page.get_by_label("Set")
    setting.fill("optimizer.learning-rate=-1")
    page.get_by_role("button", name="Check and take").click()
    expect(said).to_contain_text("learning-rate", timeout=PATIENCE)
    assert page.locator(".marks button").count() == 0
    setting.fill("optimizer.learning-rate=0.0005")
    setting.press("Enter")
    expect(said).to_contain_text("accepted", timeout=PATIENCE)
    expect(page.locator(".marks button").first).to_be_visible(timeout=PATIENCE)

    window.accepts = True
    page.get_by_role("button", name="Promote wider").click()
    expect(said).to_contain_text("accepted", timeout=PATIENCE)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#head")).to_contain_text("interrupted", timeout=PATIENCE)
    assert len(window.questions) == 2


def test_a_plugin_is_edited_in_the_page(board, visit, training, tmp_path):
    loss = tmp_path / "my-loss"
    shutil.copytree(ROOT / "examples/hot-reload/my-loss", loss, ignore=shutil.ignore_patterns("target"))
    manifest = loss / "Cargo.toml"
    manifest.write_text(manifest.read_text().replace("../../../plugins/sdk", str(ROOT / "plugins/sdk")))
    before, _, after = EXPERIMENT.partition("loss = {")
    crate = 'loss = { plugin = { crate = "my-loss" }, strategy = "my-loss", params = { margin = 0.5 } }'
    training(before + crate + "\n" + after.partition("}\n")[2].partition("}\n")[2], "--watch")
    one = board("--edit", tmp_path / "runs")
    window = visit(one.address)
    page = window.page
    page.get_by_role("row").filter(has_text="running").get_by_role("link").click(timeout=PATIENCE)
    page.get_by_label("File").select_option("my-loss/src/lib.rs", timeout=PATIENCE)
    text, said = page.get_by_label("The source"), page.locator("#editor-said")
    expect(text).to_have_value((loss / "src/lib.rs").read_text())
    good = text.input_value()

    text.fill(good + "\nfn broken( {\n")
    text.press("Control+s")
    expect(said).to_contain_text("refused", timeout=PATIENCE)
    expect(said).to_contain_text("fn broken( {", timeout=PATIENCE)
    text.fill(good.replace(".relu()", ".relu() * 2.0", 1) + "\n// edited\n")
    page.get_by_role("button", name="Save").click()
    expect(said).to_contain_text("became live", timeout=PATIENCE)
    mark = page.locator("figure").first.locator(".marks button:visible").last
    mark.click()
    expect(page.get_by_role("dialog")).to_contain_text("+// edited")
    page.keyboard.press("Escape")

    assert window.is_clean(one.origin)

    # What somebody else wrote meanwhile is not lost.
    (loss / "src/lib.rs").write_text(good)
    text.press("Control+s")
    expect(said).to_contain_text("changed by another program")
    assert (loss / "src/lib.rs").read_text() == good
