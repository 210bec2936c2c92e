"""Plugins that misbehave, interrupted calls and several threads: the interpreter goes on."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from conftest import batch, gradient, with_package

import lossmith
from lossmith import BuildError, Loss, Miner, PluginError


def misbehaving(guest, how: str, **limits: int) -> PluginError:
    """The fault of a loss that does `how` in epoch 1. It behaves before and after."""
    loss = Loss(
        guest("evil"), "evil", how=how, limits={name.replace("_", "-"): value for name, value in limits.items()}
    )
    embeddings, labels = batch()
    lossmith.progress(epoch=0)
    wanted = loss(embeddings, labels)
    lossmith.progress(epoch=1)
    with pytest.raises(PluginError) as raised:
        loss(embeddings, labels)
    lossmith.progress(epoch=2)
    # The first call makes a buffer and is no program, this one is: up to its last bits.
    assert torch.allclose(loss(embeddings, labels), wanted)
    assert not hasattr(loss, "extra"), "what a call that failed has made is not kept"
    return raised.value


def test_a_panic_tells_its_message_and_place(guest):
    error = misbehaving(guest, "panic")
    assert (error.cause, error.phase, error.role, error.strategy) == ("panic", "call", "loss", "evil")
    assert "purpose" in str(error) and error.file.endswith("common.rs") and error.line > 0
    assert error.hash == Loss(guest("evil"), "evil").hash


def test_a_trap_tells_the_function(guest):
    error = misbehaving(guest, "unreachable")
    assert error.cause == "trap" and "trap_without_a_word" in error.function


def test_a_trap_is_no_signal(guest, child):
    # Whoever turns `faulthandler` off puts the handlers back that were there before: a trap by a signal would end the
    # process.
    ended = child(
        """
import faulthandler, sys
faulthandler.enable()
from conftest import batch
import lossmith
loss = lossmith.Loss(sys.argv[1], "evil", how="unreachable")
loss(*batch())
faulthandler.disable()
lossmith.progress(epoch=1)
try:
    loss(*batch())
except lossmith.PluginError as error:
    print(error.cause)
""",
        guest("evil"),
    )
    assert (ended.returncode, ended.stdout) == (0, "trap\n"), ended.stderr


@pytest.mark.parametrize(
    ("how", "limit"), [("spin", "fuel"), ("grow", "memory-bytes"), ("handles", "handles"), ("log-lines", "log-bytes")]
)
def test_a_limit_tells_its_name_and_value(guest, how, limit):
    error = misbehaving(guest, how)
    assert (error.cause, error.limit) == ("limit", limit)
    assert error.value > 0


def test_a_loop_without_end_is_stopped_by_its_deadline(guest):
    error = misbehaving(guest, "spin", deadline_ms=200, fuel=2**62)
    assert (error.cause, error.limit, error.value) == ("limit", "deadline-ms", 200)


def test_a_failed_operation_tells_its_name_and_shapes(guest):
    error = misbehaving(guest, "shapes")
    assert (error.cause, error.operation) == ("operation", "add")
    assert "[2, 3]" in error.shapes and "[4]" in error.shapes


def test_a_refusal_has_the_text_of_the_plugin(guest):
    error = misbehaving(guest, "error")
    assert error.cause == "refused" and "of the error" in error.message


def test_a_fault_can_be_sent_to_another_process(guest):
    error = misbehaving(guest, "shapes")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.operation) == (PluginError, str(error), "add")


def test_wrong_parameters_are_refused_where_the_module_is_made_with_the_nearest_name():
    with pytest.raises(PluginError, match="did you mean `negative-margin`") as raised:
        Loss("losses", "contrastive", negativ_margin=1.0)
    assert (raised.value.cause, raised.value.phase, raised.value.parameter) == (
        "parameter",
        "configure",
        "negativ-margin",
    )
    with pytest.raises(PluginError, match="-1"):
        Loss("losses", "contrastive", memory_size=-1)


def test_a_component_of_another_role_or_strategy_is_refused():
    with pytest.raises(PluginError, match="it offers no miner") as raised:
        Miner("losses", "contrastive")
    assert raised.value.cause == "role-not-exported" or raised.value.cause == "unknown-strategy"
    with pytest.raises(ValueError, match="has no miner: it has strategies of the role loss"):
        Miner("losses")
    with pytest.raises(PluginError, match="did you mean `contrastive`") as raised:
        Loss("losses", "contrastiv")
    assert raised.value.cause == "unknown-strategy"
    with pytest.raises(PluginError, match="did you mean `losses`"):
        Loss("lossess", "contrastive")


def test_what_is_no_component_is_refused(tmp_path):
    file = tmp_path / "text.wasm"
    file.write_text("not wasm")
    with pytest.raises(PluginError) as raised:
        Loss(file)
    assert (raised.value.cause, raised.value.phase) == ("not-wasm", "load")


def test_a_folder_that_does_not_build_shows_what_the_compiler_says(tmp_path):
    folder = tmp_path / "broken"
    (folder / "src").mkdir(parents=True)
    (folder / "Cargo.toml").write_text('[package]\nname = "broken"\nversion = "0.1.0"\nedition = "2024"\n[workspace]\n')
    (folder / "src" / "lib.rs").write_text("fn broken( {")
    with pytest.raises(BuildError):
        Loss(folder)


# Threads and signals


def test_other_threads_go_on_during_a_call(guest):
    loss = Loss(guest("evil"), "evil", how="spin", limits={"deadline-ms": 3000, "fuel": 2**62})
    embeddings, labels = batch()
    lossmith.progress(epoch=1)
    begins, ended = threading.Event(), threading.Event()

    def call() -> None:
        begins.set()
        with pytest.raises(PluginError):
            loss(embeddings, labels)
        ended.set()

    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(call)
        begins.wait()
        for _ in range(300_000):
            running = not ended.is_set()
        assert running, "all turns of this loop were before the end of the call"
        called.result()


def test_threads_that_call_one_module_get_the_values_of_their_batches():
    loss = Loss("losses", "contrastive")

    def call(seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        embeddings, labels = batch(seed=seed)
        value = loss(embeddings, labels)
        return value.detach(), gradient(value, embeddings)[0]

    seeds = range(40)
    wanted = list(map(call, seeds))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, seeds))
    assert loss.step == 80
    for here, there in zip(found, wanted, strict=True):
        assert all(map(torch.equal, here, there))


def test_a_memory_that_several_threads_fill_misses_no_batch():
    loss = Loss("losses", "contrastive", memory_size=480)
    parts = [batch(seed=seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: loss(*part), parts))
    rows = torch.cat([embeddings.detach() for embeddings, _ in parts])
    assert torch.equal(loss.memory_embeddings.unique(dim=0), rows.unique(dim=0))


def test_the_first_calls_of_several_threads_make_one_parameter(caplog):
    loss = Loss("proxies", "proxy-anchor", classes=4)
    ready = threading.Barrier(4)

    def call(seed: int) -> torch.Tensor:
        embeddings, labels = batch(seed=seed)
        ready.wait()
        value = loss(embeddings, labels)
        return gradient(value, loss.proxies)[0]

    with ThreadPoolExecutor(4) as pool:
        slopes = list(pool.map(call, range(4)))
    assert all(slope.any() for slope in slopes)
    assert not caplog.records


WITH_HOOK = """
import faulthandler, threading
from conftest import batch
import torch
from lossmith import Loss
faulthandler.dump_traceback_later(60, exit=True)
loss, inside, called = Loss("losses", "contrastive"), threading.Event(), threading.Event()
def packed(tensor):
    if not inside.is_set():
        inside.set()
        called.wait(0.5)
    return tensor
def call():
    with torch.autograd.graph.saved_tensors_hooks(packed, lambda tensor: tensor):
        loss(*batch())
thread = threading.Thread(target=call)
thread.start()
inside.wait()
loss(*batch())
thread.join()
print("both ended")
"""


def test_a_hook_in_one_thread_and_a_call_in_another_do_not_wait_for_each_other(child):
    done = child(WITH_HOOK)
    assert done.stdout == "both ended\n", done.stderr


INTERRUPTED = """
from conftest import batch
from lossmith import Loss
loss = Loss("losses", "contrastive")
embeddings, labels = batch(64, 16)
wanted = loss(embeddings, labels)
try:
    print("ready", flush=True)
    while True:
        loss(embeddings, labels).backward()
except KeyboardInterrupt:
    print("interrupted", loss(embeddings, labels).item() == wanted.item(), flush=True)
"""


def test_an_interrupt_ends_a_loop_of_calls_and_the_module_works_in_its_handler():
    program = [sys.executable, "-c", INTERRUPTED]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=with_package()) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == "interrupted True\n"
        assert process.wait(timeout=60) == 0
