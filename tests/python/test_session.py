"""Sessions: candidates are checked, taken at a boundary, and taken back if they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from session_loop import Loop, checked, same
from session_plugin import write

import lossmith
from lossmith import _lossmith


@pytest.fixture(scope="session")
def component(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The component of the plugin in `session_plugin.py`."""
    folder = tmp_path_factory.mktemp("changing")
    built = _lossmith.Component.load(write(folder / "crate"))
    path = folder / "changing.wasm"
    path.write_bytes(built.bytes)
    return str(path)


def square(component: str, **settings: object) -> lossmith.Loss:
    """The loss that is right."""
    return lossmith.Loss(component, "square", **settings)


def journal(folder: Path) -> list[dict]:
    """The events of a journal."""
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


# Exchange


def test_a_value_is_taken_at_the_boundary_and_not_before(component):
    loop = Loop(square(component))
    session = loop.begin()
    loop.steps(2)
    asked = session.set("factor", 0.5)
    assert checked(session) is asked and asked.verdict == "accepted", asked
    assert asked.loss == pytest.approx(asked.live_loss / 2) and asked.cosine == pytest.approx(1.0)
    assert asked.changes == [{"key": "objective.0.loss.params.factor", "from": 1.0, "to": 0.5}]
    before = loop.weights()
    assert loop.loss.params["factor"] == 1.0
    report = session.boundary()
    assert report.swapped is asked and report and asked.verdict == "live" and session.revision == 1
    assert loop.loss.params["factor"] == 0.5 and same(loop.weights(), before)
    embeddings = loop.network(loop.images)
    assert loop.loss(embeddings, loop.labels).item() == pytest.approx(0.5 * embeddings.square().mean().item())
    assert not session.boundary()


def test_another_component_is_taken_with_its_parameters(component):
    loop = Loop(lossmith.Loss("losses", "contrastive", negative_margin=0.7))
    session = loop.begin()
    loop.step()
    asked = session.replace(loop.loss, component, "square", factor=2.0)
    assert checked(session).accepted, asked
    session.boundary()
    assert (loop.loss.plugin, loop.loss.strategy, loop.loss.params) == ("changing", "square", {"factor": 2.0})
    assert "Mean square" in loop.loss.__doc__
    loop.step()


def test_later_wishes_contain_the_accepted_ones_before(component):
    loss, miner = lossmith.Loss("losses", "contrastive"), lossmith.Miner(component, "ring")
    loop = Loop(loss, miner)
    session = loop.begin()
    loop.step()
    first, second = session.set("negative_margin", 0.6), session.set("by", 2)
    assert checked(session) is second and second.accepted and first.verdict == "superseded"
    assert [change["key"] for change in second.changes] == [
        "objective.0.loss.params.negative-margin", "objective.0.miner.params.by"
    ]
    session.boundary()
    assert loss.params["negative-margin"] == 0.6 and miner.params["by"] == 2


def test_what_is_at_work_already_takes_back_what_waits(component):
    loop = Loop(square(component))
    session = loop.begin()
    loop.step()
    first = session.set("factor", 0.5)
    assert checked(session) is first
    assert session.set("factor", 1.0) is checked(session) and session.candidates[-1].verdict == "same"
    assert first.verdict == "superseded" and not session.boundary()


def test_without_a_batch_a_candidate_waits(component):
    loop = Loop(square(component))
    session = loop.begin()
    asked = session.set("factor", 0.5)
    assert session.wait(60) and asked.verdict == "waiting" and not session.boundary()
    loop.step()
    assert checked(session).verdict == "accepted" and session.boundary().swapped is asked


def test_the_parameters_of_an_optimizer_stay_and_new_ones_are_told(component, caplog):
    loop = Loop(lossmith.Loss("proxies", "proxy-anchor", classes=4).prepare(4))
    proxies = loop.loss.proxies
    loop.optimizer.add_param_group({"params": [proxies], "lr": 0.1})
    session = loop.begin()
    loop.steps(3)
    kept = proxies.detach().clone()
    session.replace(loop.loss, "proxies", "proxy-nca")
    assert checked(session).accepted
    report = session.boundary()
    assert loop.loss.proxies is proxies and torch.equal(proxies, kept)
    assert report.new_parameters == [] and session.new_parameters == []
    loop.step()
    assert not torch.equal(proxies, kept)
    # Two of 4 columns, where 4 of 4 are kept.
    for _ in range(20):
        loop.step()
    refused = session.replace(loop.loss, component, "proxies")
    assert checked(session).refused and "keeps `proxies` of shape [4, 4]" in refused.reason
    assert 'reset=["proxies"]' in refused.help
    accepted = session.replace(loop.loss, component, "proxies", reset=["proxies"])
    assert checked(session).accepted and accepted.reset == ["objective.0.loss/proxies"], accepted
    report = session.boundary()
    assert report.new_parameters == ["objective.0.loss/proxies"] and "session.new_parameters" in caplog.text
    (new,) = session.new_parameters
    assert new is loop.loss.proxies and new is not proxies and new.shape == (2, 4)
    loop.optimizer.add_param_group({"params": session.new_parameters})
    before = new.detach().clone()
    loop.step()
    assert loop.loss.proxies is new and not torch.equal(new, before)


def test_an_objective_is_tried_out_as_a_whole(component):
    loss, miner = lossmith.Loss("losses", "triplet", margin=0.5), lossmith.Miner("miners", "batch-hard")
    objective = lossmith.Objective(loss, miner=miner)
    loop = Loop(objective)
    session = loop.begin(objective)
    loop.steps(2)
    asked = session.replace(miner, component, "ring")
    assert checked(session).accepted and asked.live_loss is not None and asked.loss != asked.live_loss
    session.boundary()
    assert (miner.plugin, loss.plugin) == ("changing", "losses")
    loop.step()
    with pytest.raises(lossmith.SessionError, match="several strategies"):
        session.set("margin", 0.1, module=objective)


def test_an_objective_goes_back_with_all_its_strategies(component):
    objective = lossmith.Objective(lossmith.Loss("losses", "triplet"), miner=lossmith.Miner(component, "ring"))
    loop = Loop(objective)
    session = loop.begin(objective)
    loop.steps(2)
    session.set("after", 4)
    assert checked(session).accepted
    at_swap = loop.weights()
    session.boundary()
    loop.steps(3)
    assert objective.miner.params["after"] == 10**6 and same(loop.weights(), at_swap)
    assert objective.step == objective.loss.step == objective.miner.step == 2
    loop.step()


def test_a_transfer_is_tried_with_its_balance(component):
    transfer = lossmith.Transfer("transfers", "rkd-distance", balance=lossmith.Balance("balances", "sum"))
    teacher = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    loop = Loop(lambda embeddings, labels: transfer(embeddings, labels, teacher))
    session = loop.begin(transfer)
    loop.steps(2)
    asked = session.set("alpha", 2.0)
    assert checked(session).accepted and asked.loss != asked.live_loss and asked.cosine is not None
    assert session.boundary().swapped.changes[0]["key"] == "objective.0.balance.params.alpha"
    asked = session.replace(transfer, "transfers", "relative-teacher")
    loop.steps(20)
    assert checked(session).accepted and session.boundary().swapped is asked
    loop.step()


def test_strategies_without_a_loss_are_tried_by_themselves(component):
    embeddings, labels = torch.randn(8, 6), torch.arange(8) % 4
    miner = lossmith.Miner(component, "ring")
    schedule = lossmith.Schedule("schedules", "uniform", slices=2)
    fusion = lossmith.Fusion("fusions", "weighted", slices=2, weights=[1.0, 1.0])
    transfer = lossmith.Transfer("transfers", "rkd-distance")
    balance = lossmith.Balance("balances", "sum")
    with lossmith.Session(miner, schedule, fusion, balance, watch=False) as session:
        miner(embeddings, labels), schedule(embeddings, labels), fusion(embeddings)
        student = embeddings.clone().requires_grad_()
        balance(transfer.pair_losses(student, labels, torch.randn(8, 3)), student, labels).backward()
        for name, value in {"by": 2, "maximum": 0.9, "weights": [0.3, 0.7], "alpha": 2.0}.items():
            asked = session.set(name, value)
            assert checked(session).accepted and asked.loss is None and asked.milliseconds > 0, asked
        assert len(session.boundary().swapped.changes) == 4
        refused = session.replace(miner, component, "counted")
        assert checked(session).refused and "two results" in refused.reason


# Refusals


@pytest.mark.parametrize(
    "strategy, reason",
    [
        ("nan-gradient", "its gradient is not finite"),
        ("panics", "the end is near"),
        ("endless", "reached the limit"),
        ("counting", "computed twice on one batch it gives two results"),
        ("ring", "has no loss `ring`"),
        ("sqare", "no loss `sqare`"),
    ],
)
def test_what_is_wrong_is_refused_and_what_is_at_work_stays(component, strategy, reason):
    loop = Loop(square(component, limits={"deadline-ms": 300}))
    session = loop.begin()
    loop.steps(2)
    asked = session.replace(loop.loss, component, strategy)
    assert checked(session).verdict == "refused" and reason in asked.reason, asked
    report = session.boundary()
    assert report.refused == [asked] and report.swapped is None and reason in str(report)
    assert loop.loss.strategy == "square" and session.revision == 0
    loop.step()


def test_a_component_of_another_role_says_which_it_has():
    loop = Loop(lossmith.Loss("losses", "contrastive"))
    session = loop.begin()
    loop.step()
    asked = session.replace(loop.loss, "miners")
    assert checked(session).refused and "has no loss" in asked.reason and "miner" in asked.reason
    asked = session.replace(loop.loss, "no-such-plugin.wasm")
    assert checked(session).refused and "no-such-plugin" in asked.reason


# Rollback


def test_a_loss_that_diverges_is_taken_back_with_all_that_is_guarded(component, tmp_path):
    told = []
    loop = Loop(square(component))
    session = loop.begin(journal=tmp_path / "run", on_rollback=told.append, divergence=10.0)
    loop.steps(5)
    session.replace(loop.loss, component, "growing", after=9)
    assert checked(session).accepted
    at_swap = loop.weights()
    session.boundary()
    good = loop.steps(4)
    value = loop.step()
    assert value <= good[-1], "the call was computed again with the loss of before"
    assert same(loop.weights(), at_swap) and loop.loss.strategy == "square" and loop.loss.step == 5
    (rollback,) = told
    assert (rollback.revision, rollback.to, rollback.failed_at, rollback.step) == (1, 0, 9, 5)
    assert "at most was expected" in rollback.reason and len(rollback.quarantined) == 1
    assert session.candidates[0].verdict == "rolled back"
    report = session.boundary()
    assert report.rolled_back == [rollback] and report.restored
    # The same parameters of the same component are refused; others are not.
    asked = session.replace(loop.loss, component, "growing", after=9)
    assert checked(session).refused and asked.reason == "these parameters were rolled back before"
    session.replace(loop.loss, component, "growing", after=10**6)
    assert checked(session).accepted
    session.close()
    events = [event["event"] for event in journal(tmp_path / "run")]
    assert events == [
        "started", "candidate", "verdict", "swap", "rollback", "candidate", "verdict", "candidate", "verdict",
        "verdict", "finished",
    ]


def test_a_component_that_failed_is_refused_until_its_bytes_change(component):
    loop = Loop(lossmith.Loss("losses", "contrastive"))
    session = loop.begin()
    loop.step()
    session.replace(loop.loss, component, "panics", after=3)
    assert checked(session).accepted
    session.boundary()
    values = loop.steps(4)
    assert all(value == value for value in values) and loop.loss.plugin == "losses"
    asked = session.replace(loop.loss, component, "square")
    assert checked(session).refused and "was rolled back before" in asked.reason and "other content" in asked.help


def test_after_the_first_calls_a_fault_goes_back_to_the_last_boundary(component):
    loop = Loop(lossmith.Loss(component, "proxies").prepare(4))
    loop.optimizer.add_param_group({"params": list(loop.loss.parameters())})
    session = loop.begin(probation_steps=3)
    loop.steps(2)
    session.set("fails", 12)
    assert checked(session).accepted
    session.boundary()
    loop.steps(6)
    at_boundary, calls = loop.weights(), loop.loss.calls.clone()
    proxies = loop.loss.proxies.detach().clone()
    assert not session.boundary()
    loop.steps(3)
    assert not same(loop.weights(), at_boundary)
    loop.step()
    assert same(loop.weights(), at_boundary) and session.revision == 0
    assert torch.equal(loop.loss.calls, calls) and torch.equal(loop.loss.proxies, proxies)


def test_a_fault_of_what_the_session_began_with_is_raised(component):
    loop = Loop(lossmith.Loss(component, "panics", after=2))
    session = loop.begin()
    loop.steps(2)
    with pytest.raises(lossmith.PluginError, match="the end is near"):
        loop.step()
    assert session.revision == 0 and not session.boundary()


def test_a_gradient_that_is_not_finite_is_taken_back_at_the_next_safe_point(component):
    loop = Loop(square(component))
    session = loop.begin()
    loop.steps(2)
    session.replace(loop.loss, component, "nan-gradient", after=4)
    assert checked(session).accepted
    at_swap = loop.weights()
    session.boundary()
    loop.steps(3)
    assert same(loop.weights(), at_swap) and loop.loss.strategy == "square"
    (rollback,) = session.boundary().rolled_back
    assert rollback.reason == "the gradient of step 4 is not finite"
    loop.step()


def test_without_step_what_is_guarded_is_restored_at_the_boundary(component):
    loop = Loop(square(component))
    session = loop.begin()
    loop.steps(2)
    session.replace(loop.loss, component, "panics", after=3)
    checked(session)
    at_swap = loop.weights()
    session.boundary()
    loop.session = None
    loop.steps(3)
    assert not same(loop.weights(), at_swap)
    assert session.boundary().restored and same(loop.weights(), at_swap)


def test_a_miner_that_faults_is_taken_back_in_the_middle_of_a_step(component):
    loop = Loop(lossmith.Loss("losses", "triplet"), lossmith.Miner(component, "ring"))
    session = loop.begin()
    loop.steps(2)
    asked = session.set("after", 3)
    assert checked(session).accepted and asked.cosine is not None, "it is tried with the loss"
    at_swap = loop.weights()
    session.boundary()
    loop.steps(2)
    assert loop.miner.params["after"] == 10**6 and same(loop.weights(), at_swap)


def test_a_step_of_two_calls_can_go_back_in_the_second(component):
    loss = lossmith.Loss(component, "proxies").prepare(4)
    loop = Loop(lambda embeddings, labels: loss(embeddings, labels) + loss(embeddings * 2.0, labels))
    loop.optimizer.add_param_group({"params": list(loss.parameters())})
    session = loop.begin(loss)
    loop.steps(1)
    session.set("fails", 6)
    assert checked(session).accepted
    at_swap, proxies = loop.weights(), loss.proxies.detach().clone()
    session.boundary()
    loop.steps(2)
    assert session.revision == 0 and same(loop.weights(), at_swap) and torch.equal(loss.proxies, proxies)


def test_a_wish_goes_back_without_refusing_anything(component):
    told = []
    loop = Loop(square(component))
    session = loop.begin(on_rollback=told.append)
    loop.step()
    session.set("factor", 0.5)
    checked(session)
    at_swap = loop.weights()
    session.boundary()
    loop.steps(3)
    report = session.rollback()
    assert report.restored and told == report.rolled_back and told[0].quarantined == ()
    assert same(loop.weights(), at_swap) and loop.loss.params["factor"] == 1.0
    with pytest.raises(lossmith.SessionError, match="nothing to go back to"):
        session.rollback()
    session.set("factor", 0.5)
    assert checked(session).accepted


def test_new_parameters_leave_the_optimizer_with_the_revision_that_brought_them(component):
    loop = Loop(lossmith.Loss(component, "square"))
    session = loop.begin()
    loop.step()
    session.replace(loop.loss, component, "proxies", fails=5)
    assert checked(session).accepted
    at_swap = loop.weights()
    assert session.boundary().new_parameters == ["objective.0.loss/proxies"]
    loop.optimizer.add_param_group({"params": session.new_parameters})
    loop.steps(5)
    assert same(loop.weights(), at_swap) and len(loop.optimizer.param_groups) == 1
    assert list(loop.loss.parameters()) == [] and session.new_parameters == []
    loop.step()


def test_a_guarded_network_may_have_the_loss_inside_of_it(component):
    loop = Loop(square(component))
    loop.network.loss = loop.loss
    session = lossmith.Session(loop.loss, watch=False)
    whole = loop.network
    loop.network = torch.nn.Sequential(whole[0], whole[1], whole[2])
    session.guard(whole)
    loop.session = session
    loop.step()
    session.replace(loop.loss, component, "proxies", fails=3)
    assert checked(session).accepted
    at_swap = [parameter.detach().clone() for parameter in loop.network.parameters()]
    session.boundary()
    loop.steps(3)
    assert same(list(loop.network.parameters()), at_swap) and loop.loss.strategy == "square"


def test_in_the_first_calls_a_boundary_takes_nothing_and_says_so(component):
    loop = Loop(square(component))
    session = loop.begin(probation_steps=5)
    loop.step()
    session.set("factor", 0.5)
    checked(session)
    session.boundary()
    loop.steps(3)
    asked = session.set("factor", 0.25)
    assert checked(session) is asked
    report = session.boundary()
    assert report.swapped is None
    assert report.waiting == "candidate 2 waits for a later boundary: revision 1 is on probation for 2 more calls"
    loop.steps(2)
    assert session.boundary().swapped is asked


def test_what_was_compared_to_a_revision_that_failed_is_refused(component):
    loop = Loop(square(component))
    session = loop.begin()
    loop.step()
    session.replace(loop.loss, component, "panics", after=4)
    checked(session)
    session.boundary()
    loop.step()
    waiting = session.replace(loop.loss, component, "square", factor=3.0)
    assert checked(session).verdict == "accepted"
    loop.steps(3)
    assert waiting.refused and waiting.reason == "what it was compared to was rolled back"
    assert session.boundary().swapped is None


def test_what_is_under_check_when_its_base_goes_is_refused(component):
    loop = Loop(square(component))
    session = loop.begin()
    loop.step()
    session.set("factor", 0.5)
    checked(session)
    session.boundary()
    under_check = session.replace(loop.loss, "rankings", "fast-ap")
    session.rollback()
    assert checked(session) is under_check and under_check.refused, under_check
    assert under_check.reason == "what it was compared to was rolled back"


# Shadows


def test_a_shadow_measures_and_changes_no_bit(component):
    def run(shadows: bool) -> Loop:
        loop = Loop(lossmith.Loss("losses", "contrastive"))
        session = loop.begin()
        if shadows:
            session.shadow(lossmith.Loss("losses", "triplet"))
            session.shadow(lossmith.Loss("proxies", "proxy-anchor", classes=4), name="anchors")
        loop.steps(5)
        return loop

    alone, watched = run(False), run(True)
    assert same(alone.weights(), watched.weights())
    for measured in watched.session.shadows.values():
        assert set(measured) == {"loss", "gradient-norm", "cosine"} and measured["gradient-norm"] > 0
        assert -1 <= measured["cosine"] <= 1
    assert list(watched.session.shadows) == ["triplet", "anchors"]


def test_a_shadow_is_promoted_with_what_it_learned(component):
    loop = Loop(lossmith.Loss("losses", "contrastive"))
    session = loop.begin()
    other = lossmith.Loss("proxies", "proxy-anchor", classes=4).prepare(4)
    own = torch.optim.SGD(other.parameters(), lr=0.5)
    begun = other.proxies.detach().clone()
    session.shadow(other, name="anchors")
    for _ in range(3):
        loop.step()
        own.step()
    learned = other.proxies
    assert not torch.equal(learned, begun)
    asked = session.promote("anchors")
    assert checked(session).accepted and asked.loss == pytest.approx(session.shadows["anchors"]["loss"].item(), rel=0.5)
    report = session.boundary()
    assert loop.loss.strategy == "proxy-anchor" and loop.loss.proxies is learned and session.shadows == {}
    assert report.new_parameters == ["objective.0.loss/proxies"] and session.new_parameters[0] is learned
    loop.step()
    session.rollback()
    assert loop.loss.strategy == "contrastive" and list(loop.loss.parameters()) == []


def test_a_shadow_that_faults_is_left_out(component, caplog):
    loop = Loop(square(component))
    session = loop.begin()
    session.shadow(lossmith.Loss(component, "panics", after=1))
    loop.steps(3)
    assert session.shadows == {"panics": {}} and caplog.text.count("left out from now on") == 1


# Journal


def test_the_command_shows_the_journal_of_a_session(component, tmp_path):
    loop = Loop(square(component))
    folder = tmp_path / "runs" / "mine"
    with loop.begin(journal=folder) as session:
        loop.steps(2)
        session.set("factor", 0.5)
        checked(session)
        session.boundary(3)
        loop.step()
        session.replace(loop.loss, "losses", "contrastive")
        checked(session)
    kept = journal(folder)
    swap = next(event for event in kept if event["event"] == "swap")
    assert (swap["revision"], swap["epoch"], swap["step"]) == (1, 3, 2)
    for entry in swap["plugins"]:
        assert (folder / "plugins" / f"{entry['hash']}.wasm").read_bytes() == loop.loss._component.bytes
    assert json.loads((folder / "manifest.json").read_text())["device"] == "cpu"
    shown = subprocess.run(
        [sys.executable, "-m", "lossmith", "runs", "show", str(folder)], capture_output=True, text=True, timeout=120
    )
    assert shown.returncode == 0, shown.stderr
    assert "mine: finished" in shown.stdout and "a session in a loop of its own" in shown.stdout
    assert "from epoch 4 on, revision 1" in shown.stdout
    assert "objective.0.loss.params.factor: 1.0 -> 0.5" in shown.stdout


def test_the_journal_says_how_a_session_ended(component, tmp_path):
    with pytest.raises(ZeroDivisionError), Loop(square(component)).begin(journal=tmp_path / "one"):
        raise ZeroDivisionError("by\nzero")
    assert journal(tmp_path / "one")[-1]["error"] == "ZeroDivisionError: by zero"
    with pytest.raises(KeyboardInterrupt), Loop(square(component)).begin(journal=tmp_path / "two"):
        raise KeyboardInterrupt
    assert journal(tmp_path / "two")[-1]["event"] == "interrupted"
