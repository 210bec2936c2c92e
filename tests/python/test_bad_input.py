"""What is given wrong is refused by a sentence that says what to do; nothing ends the process or waits for ever."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import batch
from torch import Tensor, nn

import lossmith
from lossmith import Balance, Loss, Miner, Objective, PairLosses, PluginError, Transfer

LABELS = torch.tensor([0, 0, 1, 1, 2, 2])


def rows() -> Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0))


def loss() -> Loss:
    return Loss("losses", "contrastive")


def refuses(call: Callable[[], Any], kind: type[Exception], *words: str) -> None:
    """The call raises the kind of exception, with all words in its text."""
    with pytest.raises(kind) as raised:
        call()
    missing = [word for word in words if word not in str(raised.value)]
    assert not missing, str(raised.value)


def not_a_number() -> Tensor:
    embeddings = rows()
    embeddings[2, 1] = float("nan")
    return embeddings


def freed(tensor: Tensor, length: int) -> Tensor:
    tensor.untyped_storage().resize_(length)
    return tensor


def nested() -> Tensor:
    return torch.nested.nested_tensor([rows(), rows()])


def jagged() -> Tensor:
    return torch.nested.nested_tensor([rows()[0], rows()[1]], layout=torch.jagged)


def fake() -> Tensor:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        return torch.zeros(6, 4)


def masked() -> Tensor:
    return torch.masked.masked_tensor(rows(), rows() > 0)


EMBEDDINGS = {
    "integers": (lambda: rows().int(), TypeError, ["float32 or float64", "embeddings.float()"]),
    "complex": (lambda: rows().to(torch.complex64), TypeError, ["complex64", "embeddings.float()"]),
    "8 bits": (lambda: rows().to(torch.float8_e4m3fn), TypeError, ["float8_e4m3fn", ".float()"]),
    "quantized": (lambda: torch.quantize_per_tensor(rows(), 0.1, 0, torch.qint8), TypeError, ["dequantize()"]),
    "not a number": (not_a_number, ValueError, ["NaN in row 2", "1 of 6 rows", "learning rate"]),
    "infinite": (lambda: rows() / 0, ValueError, ["inf", "6 of 6 rows"]),
    "three dimensions": (lambda: rows()[None], ValueError, ["B x D", "embeddings.flatten(1)"]),
    "one dimension": (lambda: rows()[0], ValueError, ["B x D"]),
    "a number": (lambda: torch.tensor(1.0), ValueError, ["B x D"]),
    "no rows": (lambda: rows()[:0], ValueError, ["empty", "0 x 4"]),
    "no columns": (lambda: rows()[:, :0], ValueError, ["empty", "6 x 0"]),
    "an array": (lambda: rows().numpy(), TypeError, ["torch.Tensor", "ndarray", "torch.as_tensor"]),
    "nothing": (lambda: None, TypeError, ["torch.Tensor", "NoneType"]),
    "without memory": (lambda: rows().to("meta"), ValueError, ["cpu and cuda", "meta", ".to()"]),
    "freed": (lambda: freed(rows(), 0), ValueError, ["freed"]),
    "half freed": (lambda: freed(rows(), 48), ValueError, ["freed"]),
    "columns of freed": (lambda: freed(rows().T, 48), ValueError, ["freed"]),
    "sparse": (lambda: rows().to_sparse(), TypeError, ["sparse_coo", "embeddings.to_dense()"]),
    "sparse rows": (lambda: rows().to_sparse_csr(), TypeError, ["sparse_csr", "embeddings.to_dense()"]),
    "of another library": (lambda: rows().to_mkldnn(), TypeError, ["embeddings.to_dense()"]),
    "nested": (nested, TypeError, ["nested", "torch.cat"]),
    "jagged": (jagged, TypeError, ["NestedTensor", ".values()"]),
    "masked": (masked, TypeError, ["MaskedTensor", ".get_data()"]),
    "fake": (fake, TypeError, ["FakeTensor"]),
    "not made yet": (nn.parameter.UninitializedParameter, ValueError, ["uninitialized"]),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", EMBEDDINGS)
def test_embeddings_that_are_wrong_are_refused(case):
    made, kind, words = EMBEDDINGS[case]
    embeddings = made()
    refuses(lambda: loss()(embeddings, LABELS), kind, *words)
    refuses(lambda: Miner("miners", "batch-hard")(embeddings, LABELS), kind, *words)
    refuses(lambda: lossmith.Fusion("fusions", "concatenation")(embeddings), kind, *words)


LABELS_THAT_ARE_WRONG = {
    "floats": (lambda: LABELS.float(), TypeError, ["integers", "labels.long()"]),
    "booleans": (lambda: LABELS.bool(), TypeError, ["integers", "labels.long()"]),
    "unsigned": (lambda: LABELS.to(torch.uint16), TypeError, ["uint16", ".long()"]),
    "negative": (lambda: LABELS - 1, ValueError, ["a label is -1", "from 0", "take out rows"]),
    "huge": (lambda: LABELS + 2**40, ValueError, ["torch.unique(labels, return_inverse=True)"]),
    "too few": (lambda: LABELS[:3], ValueError, ["a vector of 6"]),
    "a column": (lambda: LABELS[:, None], ValueError, ["a vector of 6", "6 x 1"]),
    "a list": (lambda: LABELS.tolist(), TypeError, ["torch.Tensor", "list", "torch.as_tensor"]),
    "without memory": (lambda: LABELS.to("meta"), ValueError, ["cpu and cuda", "meta"]),
    "sparse": (lambda: LABELS.to_sparse(), TypeError, ["labels.to_dense()"]),
    "freed": (lambda: freed(LABELS.clone(), 0), ValueError, ["labels", "freed"]),
}


@pytest.mark.parametrize("case", LABELS_THAT_ARE_WRONG)
def test_labels_that_are_wrong_are_refused(case):
    made, kind, words = LABELS_THAT_ARE_WRONG[case]
    refuses(lambda: loss()(rows(), made()), kind, *words)
    refuses(lambda: Objective(loss())(rows(), made()), kind, *words)


def test_a_label_that_is_no_class_is_refused():
    module = Loss("proxies", "proxy-anchor", classes=2)
    refuses(lambda: module(rows(), LABELS), ValueError, "a label is 2", "with 2 classes", "classes=3")
    refuses(
        lambda: Loss("proxies", "proxy-anchor")(rows(), LABELS), PluginError, "classes=", "prepare(dimension, classes)"
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_labels_of_another_device_are_refused():
    refuses(lambda: loss()(rows().cuda(), LABELS), ValueError, "labels are on cpu", "labels.to(embeddings.device)")


TUPLES = {
    "two": ((LABELS, LABELS), ValueError, ["3 vectors", "or 4", "not 2"]),
    "five": ((LABELS,) * 5, ValueError, ["3 vectors", "or 4", "not 5"]),
    "no vectors": ((0, 1, 2), TypeError, ["torch.Tensor", "int"]),
    "lists": (([0], [1], [2]), TypeError, ["torch.Tensor", "list"]),
    "a number": (3, TypeError, ["3 vectors", "int"]),
    "a text": ("abc", TypeError, ["3 vectors", "str"]),
    "a matrix": (torch.zeros(3, 2).long(), TypeError, ["3 vectors", "Tensor"]),
    "matrices": ((LABELS[None],) * 3, ValueError, ["a vector of int64 positions"]),
    "floats": ((LABELS.float(),) * 3, TypeError, ["positions", ".long()"]),
    "32 bits": ((LABELS.int(),) * 3, TypeError, ["positions", ".long()"]),
    "too far": ((LABELS + 4,) * 3, ValueError, ["from 4 to 6", "0 to 5"]),
    "negative": ((LABELS - 1,) * 3, ValueError, ["from -1 to 1", "0 to 5"]),
    "uneven triplets": ((LABELS, LABELS, LABELS[:2]), ValueError, ["one length"]),
    "uneven pairs": ((LABELS, LABELS[:1], LABELS, LABELS), ValueError, ["one length"]),
}


@pytest.mark.parametrize("case", TUPLES)
def test_tuples_that_are_wrong_are_refused(case):
    tuples, kind, words = TUPLES[case]
    refuses(lambda: loss()(rows(), LABELS, tuples), kind, *words)


def test_references_that_are_wrong_are_refused():
    def call(ref_emb: Any, ref_labels: Any) -> Callable[[], Tensor]:
        return lambda: loss()(rows(), LABELS, ref_emb=ref_emb, ref_labels=ref_labels)

    other = rows() + 1
    refuses(call(other, None), ValueError, "ref_labels: the class of each of its rows")
    refuses(call(None, LABELS), ValueError, "ref_emb", "missing")
    refuses(call(other, LABELS.float()), TypeError, "ref_labels must be integers", "ref_labels.long()")
    refuses(call(other, LABELS[:2]), ValueError, "R x D")
    refuses(call(other[:, :3], LABELS), ValueError, "one number of columns")
    refuses(call(other.to("meta"), LABELS), ValueError, "ref_emb", "meta")
    refuses(call([1, 2], LABELS), TypeError, "ref_emb must be a torch.Tensor, not list")


def test_a_teacher_that_is_wrong_is_refused():
    module = Transfer("transfers", "rkd-distance")
    refuses(lambda: module(rows(), LABELS), PluginError, "no teacher")
    refuses(lambda: module(rows(), LABELS, rows()[:3]), ValueError, "teacher", "a row for each of the 6 embeddings")
    refuses(lambda: module(rows(), LABELS, rows().long()), TypeError, "teacher.float()")
    refuses(lambda: module(rows(), LABELS, rows().to("meta")), ValueError, "teacher", "meta")


def test_thresholds_that_are_wrong_are_refused():
    module = Loss("losses", "multi-threshold", slices=2)
    refuses(lambda: module(rows(), LABELS, thresholds=[0.1]), ValueError, "thresholds are 1", "2 slices")
    refuses(lambda: module(rows(), LABELS, thresholds=[0.1, float("nan")]), ValueError, "finite")
    refuses(
        lambda: Loss("losses", "multi-threshold", slices=3)(rows(), LABELS), ValueError, "4 columns", "3 equal slices"
    )


def test_a_teacher_that_is_not_finite_is_refused() -> None:
    teacher = rows().detach()
    teacher[4, 0] = float("inf")
    module = lossmith.Transfer("transfers", "relaxed-contrastive")
    refuses(lambda: module(rows(), LABELS, teacher), ValueError, "teacher: inf in row 4", "a network made")


def test_pair_losses_that_are_wrong_are_refused():
    balance = Balance("balances", "sum")
    refuses(lambda: balance(None, rows(), LABELS), TypeError, "pair_losses() of a transfer")
    refuses(lambda: balance(PairLosses(torch.ones(3, 3), 1.0), rows(), LABELS), ValueError, "(3, 3)", "6 embeddings")
    refuses(lambda: balance(PairLosses(torch.ones(6, 6).to_sparse(), 1.0), rows(), LABELS), TypeError, "to_dense()")


# Where a module is made


def test_settings_that_are_wrong_are_refused():
    def made(**settings: Any) -> Callable[[], Loss]:
        return lambda: Loss("losses", "contrastive", **settings)

    refuses(made(seed=-1), ValueError, "seed must be an integer from 0")
    refuses(made(slices=0), ValueError, "slices must be an integer from 1")
    refuses(made(slices="2"), TypeError, "slices must be an integer, not str")
    refuses(made(classes=-3), ValueError, "classes must be an integer from 1")
    refuses(made(classes=2.5), TypeError, "classes must be an integer, not float")
    refuses(made(limits={"fule": 3}), ValueError, "fule", "fuel")
    refuses(made(limits={"fuel"}), TypeError, "limits are names with numbers")
    refuses(made(negative_margin=None), TypeError, "negative_margin=None", "a number")
    refuses(made(negative_margin="x"), PluginError, "`negative-margin`", "is a number")
    refuses(made(negative_margin=float("nan")), PluginError, "not NaN")
    refuses(lambda: Loss("losses"), ValueError, "several of the role loss", "contrastive")
    refuses(lambda: Balance("balances", "sum", gather=True), TypeError, "Objective or Transfer")


def test_preparing_with_what_is_wrong_is_refused():
    module = Loss("proxies", "proxy-anchor", classes=3)
    refuses(lambda: module.prepare(0), ValueError, "dimension must be an integer from 1")
    refuses(lambda: module.prepare(4, classes=0), ValueError, "classes must be an integer from 1")
    refuses(lambda: module.prepare(4, dtype=torch.float16), TypeError, "also for embeddings of 16 bits")
    refuses(lambda: module.prepare(4, device="meta"), ValueError, "cpu and cuda")


def test_parameters_of_another_dtype_than_the_embeddings_are_refused():
    module = Loss("proxies", "proxy-anchor", classes=3).prepare(4)
    refuses(lambda: module(rows().double(), LABELS), ValueError, "`proxies`", '.to("cpu", torch.float64)')
    refuses(lambda: module.half()(rows().half(), LABELS), ValueError, "`proxies`", "torch.float32")
    module.proxies = nn.Parameter(rows()[:3].to_sparse())
    refuses(lambda: module(rows(), LABELS), TypeError, "`proxies`", "dense")


def test_objectives_that_are_wrong_are_refused():
    transfer = Transfer("transfers", "rkd-distance")
    refuses(Objective, ValueError, "either a loss or a transfer")
    refuses(lambda: Objective(loss(), transfer=transfer), ValueError, "either a loss or a transfer")
    refuses(lambda: Objective(loss(), balance=Balance("balances", "sum")), ValueError, "pair losses of a transfer")
    refuses(lambda: Objective(Miner("miners", "batch-hard")), TypeError, "loss must be a lossmith.Loss, not Miner")
    refuses(lambda: Objective(loss(), on="fused"), ValueError, "needs a fusion")
    fusion = lossmith.Fusion("fusions", "concatenation")
    refuses(lambda: Objective(loss(), fusion=fusion, on="fuse"), ValueError, '"fused-only"')
    refuses(lambda: Objective(Loss("losses", "contrastive", gather=True)), ValueError, "gather=True to Objective")


def test_progress_that_is_wrong_is_refused():
    refuses(lambda: lossmith.progress(epoch=-1), ValueError, "epoch must be an integer from 0, not -1")
    refuses(lambda: lossmith.progress(step=True), ValueError, "step must be an integer from 0, not True")


# A batch of one


def test_a_batch_of_one_is_computed_and_told_once(caplog):
    embeddings, labels = batch(1)
    for module in (loss(), Loss("losses", "multi-similarity"), Miner("miners", "multi-similarity")):
        caplog.clear()
        with caplog.at_level(logging.WARNING, logger="lossmith"):
            for _ in range(3):
                made = module(embeddings, labels)
        assert not any(map(len, made)) if isinstance(module, Miner) else made.item() == 0
        (record,) = caplog.records
        assert "a batch of one embedding has no pairs" in record.message and "drop_last=True" in record.message


def test_a_batch_of_one_is_nothing_to_tell_where_it_has_a_value(caplog):
    embeddings, labels = batch(1)
    with_memory = Loss("losses", "contrastive", memory_size=12)
    for module in (Loss("proxies", "proxy-anchor", classes=3), Loss("regularizers", "lp-norm"), with_memory):
        module(embeddings, labels)
    loss()(embeddings, labels, ref_emb=rows().new_zeros(6, 8) + 1, ref_labels=LABELS)
    assert not caplog.records


# What torch does with a network


def test_transforms_and_tracers_are_refused():
    module = loss()
    embeddings = rows()

    def call(embeddings: Tensor) -> Tensor:
        return module(embeddings, LABELS)

    refuses(lambda: torch.func.grad(call)(embeddings), RuntimeError, "torch.func", "backward()")
    refuses(lambda: torch.func.vmap(call)(embeddings[None]), RuntimeError, "torch.func", "backward()")
    refuses(lambda: torch.func.jvp(call, (embeddings,), (embeddings,)), RuntimeError, "torch.func", "backward()")
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(embeddings, embeddings)
        refuses(lambda: call(dual), RuntimeError, "forward-mode", "backward()")
    refuses(lambda: torch.jit.trace(call, (embeddings,)), RuntimeError, "torch.jit.trace", "leave the loss out")
    from torch.fx.experimental.proxy_tensor import make_fx

    refuses(lambda: make_fx(call)(embeddings), RuntimeError, "make_fx", "leave the loss out")
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        refuses(lambda: call(embeddings), RuntimeError, "FakeTensorMode")
    assert call(embeddings).isfinite()


def test_a_copy_for_data_parallel_is_refused():
    refuses(lambda: nn.parallel.replicate(loss(), [0]), RuntimeError, "DataParallel", "wrap the network alone")


def test_a_subclass_that_only_has_another_name_is_as_good_as_a_tensor():
    class Named(Tensor):
        pass

    value = loss()(rows().as_subclass(Named), LABELS.as_subclass(Named))
    assert torch.equal(value, loss()(rows(), LABELS))


# Other processes


IN_WORKERS = """
import torch
from conftest import batch
from lossmith import Loss
loss = Loss("losses", "contrastive")
wanted = loss(*batch())
def collate(samples):
    return loss(*batch())
loader = torch.utils.data.DataLoader(range(4), num_workers=2, collate_fn=collate, timeout=60)
try:
    list(loader)
except RuntimeError as error:
    print("main process" in str(error) and 'multiprocessing_context="spawn"' in str(error))
print(torch.equal(loss(*batch()), wanted))
"""


def test_forked_workers_of_a_loader_refuse(child):
    done = child(IN_WORKERS)
    assert done.stdout.split() == ["True", "True"], done.stderr


BEFORE_WORKERS = """
import torch
from conftest import batch
import lossmith
def collate(samples):
    return lossmith.Loss("losses", "contrastive")(*batch()).detach()
loader = torch.utils.data.DataLoader(range(4), num_workers=2, collate_fn=collate, timeout=60)
print(len(list(loader)))
"""


def test_forked_workers_of_a_process_without_modules_work(child):
    done = child(BEFORE_WORKERS)
    assert done.stdout == "4\n", done.stderr


FORKED_IN_A_CALL = """
import os, signal, threading
from conftest import batch
import torch
from lossmith import Loss
loss, inside, ends = Loss("losses", "contrastive"), threading.Event(), threading.Event()
def packed(tensor):
    inside.set()
    ends.wait()
    return tensor
def call():
    with torch.autograd.graph.saved_tensors_hooks(packed, lambda tensor: tensor):
        loss(*batch())
thread = threading.Thread(target=call)
thread.start()
inside.wait()
process = os.fork()
if process == 0:
    signal.alarm(60)
    try:
        loss(*batch())
    except RuntimeError as error:
        os._exit(0 if "forked" in str(error) else 1)
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
ends.set()
thread.join()
"""


def test_a_process_that_was_forked_in_the_middle_of_a_call_does_not_wait_for_it(child):
    done = child(FORKED_IN_A_CALL)
    assert done.stdout == "0\n", done.stderr


OTHER_TORCH = """
import torch
torch.__version__ = "2.11.1+cpu"
try:
    import lossmith
except ImportError as error:
    print(error)
"""


def test_another_version_of_torch_is_refused_by_a_sentence(child):
    done = child(OTHER_TORCH)
    assert "torch 2.11.1+cpu is installed" in done.stdout and "pip install 'torch==2.13.*'" in done.stdout, done.stderr


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
try:
    import lossmith
except ImportError as error:
    print(error)
"""


def test_no_torch_is_refused_by_a_sentence(child):
    done = child(WITHOUT_TORCH)
    assert "lossmith needs torch 2.13" in done.stdout and "pip install" in done.stdout, done.stderr


@pytest.mark.parametrize("wrong", ["no", 1, None])
def test_gather_is_true_or_false(wrong: Any) -> None:
    refuses(lambda: Loss("losses", "contrastive", gather=wrong), TypeError, "gather must be True or False", repr(wrong))
    refuses(lambda: Objective(loss(), gather=wrong), TypeError, "gather must be True or False", repr(wrong))


def test_a_parameter_that_is_given_twice_is_refused() -> None:
    twice: dict[str, Any] = {"negative-margin": 0.3, "negative_margin": 0.9}
    says = "`negative-margin` is given twice", "negative_margin="
    refuses(lambda: Loss("losses", "contrastive", **twice), TypeError, *says)


@pytest.mark.parametrize("strategy", ["contrastive", "triplet"])
def test_a_second_derivative_that_torch_does_not_have_is_an_error(strategy: str) -> None:
    embeddings, labels = batch()
    value = Loss("losses", strategy)(embeddings, labels)
    with pytest.raises(RuntimeError, match="automatic differentiation|can be differentiated once"):
        torch.autograd.grad(value, embeddings, create_graph=True)
    value = Loss("losses", strategy)(embeddings, labels)
    assert torch.autograd.grad(value, embeddings)[0].isfinite().all()
