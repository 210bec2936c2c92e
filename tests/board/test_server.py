"""The board as a server: its token, its headers, and folders that are not as they should be."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import LOSSMITH
from folders import HOSTILE, at, lines, small, step


def refused(request: str | urllib.request.Request, opener=urllib.request.build_opener()) -> tuple[int, str]:
    """The status and the words of an answer that is none."""
    with pytest.raises(urllib.error.HTTPError) as error:
        opener.open(request)
    return error.value.code, error.value.read().decode()


def tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_only_who_has_the_token_sees_something(board, tmp_path):
    small(tmp_path / "a")
    one = board(tmp_path)
    assert one.origin.startswith("http://127.0.0.1:")
    for path in ["/", "/run?name=a", "/curves?name=a", "/events", "/assets/board.css", "/?token=0", "/?token="]:
        status, words = refused(one.origin + path)
        assert status == 403 and "Open the address that `lossmith board` printed" in words, path
    assert "small" not in refused(one.origin + "/")[1]
    opener = one.opener()
    answer = opener.open(one.origin + "/")
    assert "/run?name=a" in answer.read().decode() and "token" not in answer.url
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    # A second board has another token, and does not take this one.
    assert refused(board(tmp_path).origin + "/", opener)[0] == 403


def test_names_lead_only_to_runs_that_were_found(board, tmp_path):
    small(tmp_path / "runs" / "a")
    (tmp_path / "secret").write_text("secret")
    one = board(tmp_path / "runs")
    opener = one.opener()
    for name in ["", "../secret", "a/../../secret", str(tmp_path / "secret"), "a/", ".", "%00", "a%00"]:
        status, words = refused(f"{one.origin}/run?name={name}", opener)
        assert status == 404 and "not here" in words, name
    for path in ["/assets/none", "/assets/../Cargo.toml", "/run/a", "/curves?name=a&chart=none"]:
        assert refused(one.origin + path, opener)[0] == 404, path
    for path in ["/run", "/curves?name=a&from=x"]:
        assert refused(one.origin + path, opener)[0] == 400, path


def test_folders_that_are_not_as_they_should_be_are_shown_with_what_is_wrong(board, tmp_path):
    begun = tmp_path / "begun"
    begun.mkdir()
    lines(begun / "journal.jsonl", [at(0, "started", process=None)])
    torn = small(tmp_path / "torn")
    (torn / "metrics.jsonl").write_text("what?\n" + json.dumps(step(5, loss=0.5)) + '\n{"kind":"st')
    later = small(tmp_path / "later")
    with (later / "journal.jsonl").open("a") as journal:
        journal.write('{"time":"2027-01-01T00:00:00Z","event":"of a later version"}\n')
    (later / "manifest.json").write_text('{"of": "a later version"}')
    unreadable = small(tmp_path / "unreadable")
    (unreadable / "metrics.jsonl").unlink()
    (unreadable / "metrics.jsonl").mkdir()
    before = tree(tmp_path)

    one = board(tmp_path)
    opener = one.opener()
    text = lambda path: opener.open(one.origin + path).read().decode()  # noqa: E731
    rows = text("/")
    assert all(f"/run?name={name}" in rows for name in ["begun", "torn", "later", "unreadable"])
    assert "cannot read" in rows
    assert "is only beginning" in text("/run?name=begun")
    assert "1 line of metrics.jsonl not understood" in text("/run?name=torn")
    assert "the folder is damaged" in text("/run?name=later") and "became live" in text("/run?name=later")
    assert "cannot read" in refused(one.origin + "/run?name=unreadable", opener)[1]
    shutil.rmtree(begun)
    assert "not here, or not any more" in refused(one.origin + "/run?name=begun", opener)[1]
    assert tree(tmp_path) == {path: content for path, content in before.items() if "/begun/" not in path}


def test_undone_rows_are_not_among_the_curves(board, tmp_path):
    run = small(tmp_path / "a")
    with (run / "metrics.jsonl").open("a") as metrics:
        rewind = {"kind": "rewind", "epoch": 5, "step": 500, "values": {}}
        for row in [step(510, loss=9.0), rewind, step(510, loss="NaN")]:
            metrics.write(json.dumps(row) + "\n")
    one = board(tmp_path)
    drawing = json.loads(one.opener().open(one.origin + "/curves?name=a").read())
    loss = drawing["charts"][0]["series"][0]
    assert (loss["steps"][-2:], loss["values"][-1]) == ([500, 510], None)
    marks = [(mark["step"], mark["label"], mark["undone"]) for mark in drawing["marks"]]
    assert marks == [(200, "r2", False), (300, "r3 ↩ r2", True)]


def test_the_address_of_the_list_chooses_sorts_and_groups(board, tmp_path):
    for name, seed, margin in [("a", 1, 0.1), ("b", 2, 0.1), ("c", 1, 0.5)]:
        small(tmp_path / name, seed=seed, margin=margin)
    lines(tmp_path / "c" / "journal.jsonl", [at(0, "failed", error="no")])
    one = board(tmp_path)
    opener = one.opener()

    def names(words: str) -> str:
        return "".join(re.findall(r'<tr id="run-(\w)">', opener.open(f"{one.origin}/?{words}").read().decode()))

    assert names("sort=name") == "abc" and names("sort=-name") == "cba"
    assert names("q=seed%3D1&sort=name") == "ac" and names("q=margin%3D0.1+seed%3D2") == "b"
    assert names("q=status%3Dfailed") == "c" and names("q=nothing") == ""
    # The less is taken off by the seed, the better; ratios are better low.
    assert names("sort=-validation/map-at-r")[-1] == "b" and names("sort=validation/distance-ratio")[-1] == "b"
    grouped = opener.open(f"{one.origin}/?group=seed").read().decode()
    assert "margin=0.1" in grouped and "±" in grouped
    assert grouped.count("<tr id=\"group-") == 2


def test_what_cannot_be_served_is_said(board, tmp_path):
    def said(*words: str | Path) -> tuple[int, str]:
        outcome = subprocess.run([LOSSMITH, "board", *words], capture_output=True, text=True, timeout=60)
        return outcome.returncode, outcome.stderr

    code, text = said(tmp_path / "none")
    assert code == 1 and "is not there" in text and "help" in text
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, text = said("--port", str(other.getsockname()[1]), tmp_path)
    assert code == 1 and "another program listens" in text
    code, text = said("--listen", "192.0.2.1", tmp_path)
    assert code == 1 and "cannot listen on 192.0.2.1" in text
    assert said("--listen", "everywhere", tmp_path)[0] == 2
    run = small(tmp_path / "a")
    for words, why in [((run, "-o", "page.txt"), "must be .html"), ((tmp_path, "-o", "page.html"), "is not a run")]:
        code, text = said("export", *words)
        assert code != 0 and why in text, text
    code, text = said("export", run, "-o", run / "experiment.toml")
    assert code != 0 and (run / "experiment.toml").read_text().startswith("name")


def test_two_hundred_pages_are_told_what_is_new(board, tmp_path):
    run = small(tmp_path / "a")
    lines(run / "journal.jsonl", [at(0, "started", process=None)])
    one = board(tmp_path)
    opener = one.opener()
    streams = [opener.open(one.origin + "/events") for _ in range(200)]
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(step(9999, loss=0.1)) + "\n")
    assert {stream.readline() for stream in streams} == {b'data: ["a"]\n'}
    assert "9999" in opener.open(one.origin + "/run?name=a").read().decode()


def test_a_page_of_another_address_changes_nothing(board, tmp_path):
    small(tmp_path / "a")
    one = board(tmp_path)
    opener = one.opener()
    for headers in [{}, {"Origin": "http://elsewhere.example"}, {"Origin": "null"}]:
        request = urllib.request.Request(one.origin + "/", data=b"{}", headers=headers, method="POST")
        assert refused(request, opener)[0] == 403, headers


def test_hostile_texts_are_escaped_everywhere(board, tmp_path):
    run = small(tmp_path / "<b>x", note=HOSTILE)
    with (run / "journal.jsonl").open("a") as journal:
        journal.write(json.dumps(at(70, "failed", error=HOSTILE)) + "\n")
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(step(600, **{HOSTILE: 1.0})) + "\n")
    one = board(tmp_path)
    opener = one.opener()
    script = "%3Cscript%3E"
    words = f"/?q={script}&sort={script}&columns={script}&group={script}"
    for path in ["/", "/run?name=%3Cb%3Ex", words, f"/compare?run={script}&run=%3Cb%3Ex"]:
        page = opener.open(one.origin + path).read().decode()
        assert "<img" not in page and "<script>" not in page and "<b>x" not in page, path
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", page), path
