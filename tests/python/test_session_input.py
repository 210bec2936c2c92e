"""What can be wrong around a session, and what it does with a module besides."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import resource
import threading
import time
from pathlib import Path

import pytest
import torch
from session_loop import Loop, checked, same
from session_plugin import SOURCE, write

import lossmith
from lossmith import _lossmith


def contrastive(**settings: object) -> lossmith.Loss:
    """A loss of the standard plugins."""
    return lossmith.Loss("losses", "contrastive", **settings)


def test_a_module_belongs_to_one_session_and_is_free_when_it_ends():
    loop = Loop(contrastive())
    first = loop.begin()
    with pytest.raises(lossmith.SessionError, match="belongs to a session already.*\n.*close that session"):
        lossmith.Session(loop.loss)
    loop.step()
    first.set("negative-margin", 0.5)
    checked(first)
    first.boundary()
    first.close()
    first.close()
    loop.session = None
    loop.step()
    assert loop.loss.params["negative-margin"] == 0.5, "it goes on with what was at work"
    for use in (first.boundary, first.step, first.wait, first.rollback, lambda: first.set("negative-margin", 0.4)):
        with pytest.raises(lossmith.SessionError, match="the session has ended"):
            use()
    with lossmith.Session(loop.loss, watch=False) as second:
        assert second.revision == 0


def test_what_a_session_is_made_of_is_checked():
    loss = contrastive()
    transfer = lossmith.Transfer("transfers", "rkd-distance", balance=lossmith.Balance("balances", "sum"))
    with pytest.raises(TypeError, match="needs the modules"):
        lossmith.Session()
    with pytest.raises(TypeError, match="strategies and objectives of lossmith, not Linear"):
        lossmith.Session(torch.nn.Linear(2, 2))
    with pytest.raises(lossmith.SessionError, match="a Loss is given twice"):
        lossmith.Session(loss, loss)
    with pytest.raises(lossmith.SessionError, match="a Balance is given twice"):
        lossmith.Session(transfer, transfer.balance)
    wrong = ({"probation_steps": -1}, {"probation_steps": 1.5}, {"divergence": 1}, {"divergence": float("nan")})
    for settings in wrong:
        with pytest.raises(ValueError, match=next(iter(settings))):
            lossmith.Session(loss, **settings)
    with pytest.raises(TypeError, match="on_rollback"):
        lossmith.Session(loss, on_rollback="stop")
    assert loss._session is None


def test_several_ranks_have_no_session():
    from torch.testing._internal.distributed.fake_pg import FakeStore

    torch.distributed.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    try:
        with pytest.raises(lossmith.SessionError, match="one of several ranks"):
            lossmith.Session(contrastive())
    finally:
        torch.distributed.destroy_process_group()


def test_a_journal_is_not_written_into_another_run(tmp_path):
    loss = contrastive()
    lossmith.Session(loss, journal=tmp_path / "run", watch=False).close()
    with pytest.raises(lossmith.SessionError, match="is not empty: another run.*\n.*a folder that does not exist yet"):
        lossmith.Session(loss, journal=tmp_path / "run")
    assert loss._session is None
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(lossmith.SessionError, match="cannot make"):
        lossmith.Session(loss, journal=blocked / "run")


def test_names_are_found_or_corrected():
    loss, miner = lossmith.Loss("losses", "triplet"), lossmith.Miner("miners", "triplet")
    with lossmith.Session(loss, miner, watch=False) as session:
        with pytest.raises(lossmith.SessionError, match="no module has a parameter `swop`\n.*did you mean `swap`"):
            session.set("swop", True)
        several = r"several modules have .* `margin`: objective.0.loss \(triplet\), objective.0.miner \(triplet\)"
        with pytest.raises(lossmith.SessionError, match=several):
            session.set("margin", 0.3)
        with pytest.raises(lossmith.PluginError, match="did you mean `margin`"):
            session.set("margn", 0.3, module=miner)
        with pytest.raises(lossmith.PluginError, match="margin"):
            session.set("margin", "wide", module=miner)
        with pytest.raises(lossmith.SessionError, match="none of the session's\n.*objective.0.loss, objective.0.miner"):
            session.set("margin", 0.3, module=contrastive())
        with pytest.raises(lossmith.SessionError, match="keeps no `proxies` that could begin anew"):
            session.set("margin", 0.3, module=miner, reset=["proxies"])
        with pytest.raises(TypeError, match=r"reset=\['proxies'\]"):
            session.set("margin", 0.3, module=miner, reset="proxies")
        with pytest.raises(lossmith.SessionError, match="no shadow `x`\n.*there are no shadows"):
            session.promote("x")
        with pytest.raises(TypeError, match="a shadow must be a strategy of the role loss"):
            session.shadow(lossmith.Miner("miners", "triplet"))
        with pytest.raises(lossmith.SessionError, match="belongs to a session already"):
            session.shadow(loss)
        with pytest.raises(ValueError, match="slices=2"):
            session.shadow(contrastive(slices=2))
        with pytest.raises(ValueError, match="how many epochs are complete"):
            session.boundary(-1)
        with pytest.raises(TypeError, match="int cannot be guarded"):
            session.guard(3)
        with pytest.raises(ValueError, match="goes back by itself"):
            session.guard(loss)
        assert session.set("margin", 0.3, module=miner).origin == "set margin=0.3"


def test_closing_gives_up_a_check(tmp_path):
    slow = write(tmp_path / "slow")
    # The build never ends by itself.
    (slow / "build.rs").write_text("fn main() { loop { std::thread::park(); } }")
    loop = Loop(contrastive())
    session = loop.begin()
    loop.step()
    asked = session.replace(loop.loss, slow, "square")
    behind = session.set("negative-margin", 0.5)
    assert not session.wait(0) and asked.verdict == "checking"
    session.close()
    for candidate in (asked, behind):
        assert candidate.refused and candidate.reason == "the session ended before the next boundary"
    assert not any(thread.name == "lossmith-gate" for thread in threading.enumerate())


def _in_child(loop: Loop, answers: multiprocessing.Queue) -> None:
    said = []
    for use in (loop.session.boundary, loop.session.wait, lambda: loop.session.set("negative-margin", 0.5), loop.step):
        try:
            use()
            said.append("worked")
        except Exception as error:
            said.append(str(error))
    loop.session.close()
    answers.put((said, loop.session.revision))


def test_a_session_does_not_run_in_a_forked_process(tmp_path):
    loop = Loop(contrastive())
    session = lossmith.Session(loop.loss, journal=tmp_path / "run")
    loop.session = session
    loop.step()
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_in_child, args=(loop, answers))
    child.start()
    said, _ = answers.get(timeout=60)
    child.join(60)
    assert child.exitcode == 0
    assert all("was forked from" in text for text in said), said
    lines = (tmp_path / "run" / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 1, "the child wrote nothing"
    loop.step()
    session.close()


def test_copies_of_a_module_are_in_no_session():
    loop = Loop(lossmith.Loss("proxies", "proxy-anchor", classes=4).prepare(4))
    session = loop.begin()
    loop.step()
    session.replace(loop.loss, "proxies", "proxy-nca")
    checked(session)
    session.boundary()
    loop.step()
    embeddings = loop.network(loop.images).detach()
    value = loop.loss(embeddings, loop.labels)
    for twin in (copy.deepcopy(loop.loss), pickle.loads(pickle.dumps(loop.loss))):
        assert twin._session is None and twin.strategy == "proxy-nca"
        assert torch.equal(twin(embeddings, loop.labels), value)
    other = lossmith.Loss("proxies", "proxy-nca", classes=4)
    other.load_state_dict(loop.loss.state_dict())
    assert torch.equal(other(embeddings, loop.labels), value)
    objective = lossmith.Objective(contrastive())
    with lossmith.Session(objective, watch=False):
        twin = copy.deepcopy(objective)
        assert twin._session is None and twin.loss._session is None
        twin(embeddings, loop.labels)


def test_what_is_computed_without_gradients_is_no_batch_of_the_loop():
    loop = Loop(contrastive())
    session = loop.begin()
    asked = session.set("negative-margin", 0.5)
    with torch.no_grad():
        loop.loss(loop.network(loop.images), loop.labels)
    assert session.wait(60) and asked.verdict == "waiting"


def test_many_components_need_no_more_memory(tmp_path):
    bytes_of_rankings = _lossmith.Component.load("rankings").bytes
    loop = Loop(contrastive())
    session = loop.begin(probation_steps=1)
    loop.step()

    def exchange(number: int) -> None:
        # The same component with another section of nobody's: another one to whoever looks at the bytes.
        section = b"\x01n" + number.to_bytes(4, "little")
        path = tmp_path / f"{number}.wasm"
        path.write_bytes(bytes_of_rankings + b"\x00" + bytes([len(section)]) + section)
        session.replace(loop.loss, path, "fast-ap")
        assert checked(session).accepted, session.candidates[-1]
        session.boundary()
        loop.step()

    def resident() -> int:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize()

    for number in range(10):
        exchange(number)
    before = resident()
    for number in range(10, 50):
        exchange(number)
    # One of them compiled needs more than 4 MB.
    assert resident() - before < 64 << 20


# Files


def until(session: lossmith.Session, loop: Loop, count: int) -> lossmith.Candidate:
    """Trains until there are so many candidates and the last one is checked."""
    end = time.monotonic() + 120
    while len(session.candidates) < count:
        assert time.monotonic() < end, session.candidates
        loop.step()
    return checked(session)


def test_the_folder_of_a_plugin_is_followed(tmp_path):
    folder = write(tmp_path / "plugin")
    loop = Loop(lossmith.Loss(folder, "square"))
    session = loop.begin(journal=tmp_path / "run", watch=True)
    loop.steps(2)
    source = folder / "src" / "lib.rs"
    source.write_text(SOURCE.replace("FACTOR: f64 = 1.0", 'FACTOR: f64 = "one"'))
    broken = until(session, loop, 1)
    assert broken.refused and "does not compile" in broken.reason and "mismatched types" in broken.help
    assert loop.loss.strategy == "square"
    source.write_text(SOURCE.replace("FACTOR: f64 = 1.0", "FACTOR: f64 = 0.5"))
    mended = until(session, loop, 2)
    assert mended.accepted and mended.loss == pytest.approx(mended.live_loss / 2), mended
    before = loop.loss.hash
    session.boundary()
    assert loop.loss.hash != before
    # What fails is refused until the file has other content.
    source.write_text(SOURCE.replace("FACTOR: f64 = 1.0", "FACTOR: f64 = 2000.0"))
    loop.steps(20)
    large = until(session, loop, 3)
    assert large.accepted
    session.boundary()
    loop.steps(2)
    assert session.revision == large.number
    session.close()
    kept = {path.name for path in (tmp_path / "run" / "sources").iterdir()}
    assert before in kept and loop.loss.hash in kept


def test_a_component_file_is_followed(tmp_path):
    losses, rankings = (_lossmith.Component.load(name).bytes for name in ("losses", "rankings"))
    path = tmp_path / "mine.wasm"
    path.write_bytes(losses)
    loop = Loop(lossmith.Loss(path, "contrastive"))
    session = loop.begin(watch=True)
    loop.step()
    aside = tmp_path / "aside"
    aside.write_bytes(rankings)
    os.replace(aside, path)
    refused = until(session, loop, 1)
    assert refused.refused and refused.origin == "mine.wasm" and "contrastive" in refused.reason
    aside.write_bytes(losses)
    os.replace(aside, path)
    assert until(session, loop, 2).verdict == "same"
    before = loop.weights()
    assert not session.boundary().swapped and same(loop.weights(), before)
