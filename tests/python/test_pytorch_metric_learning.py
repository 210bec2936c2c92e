"""Our losses and miners against those of pytorch-metric-learning 2.9, by its calling conventions.

Both are given the same tensors. Where ours is another value on purpose, a test of its own says so and why.
"""

from __future__ import annotations

import pytest
import torch
from peer import BATCHES, CASES, MINERS, OURS_ALONE, WITH_REFERENCES, WITH_TUPLES
from peer import assert_equal, batch, both, computed, mined
from pytorch_metric_learning import reducers
from torch import Tensor

import lossmith
from lossmith import Loss, Miner
from lossmith.references import OF_ONE_BATCH, OF_ROWS, OF_TUPLES, WITHOUT_TUPLES

pytestmark = [
    pytest.mark.filterwarnings("ignore:Values of Tp or Tn"),
    pytest.mark.filterwarnings("ignore:Using a non-tuple sequence"),
    pytest.mark.filterwarnings("ignore:__array_wrap__ must accept"),
]


def test_every_loss_of_the_catalogue_is_compared_or_known_to_be_ours_alone():
    catalogue = {info.name for info in lossmith.strategies(role="loss")}
    assert catalogue == set(CASES) | OURS_ALONE
    assert not set(CASES) & OURS_ALONE


@pytest.fixture(params=[torch.float64, torch.float32], ids=str)
def dtype(request: pytest.FixtureRequest):
    """The dtype of embeddings, and of what the library makes without being told a dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(before)


def for_batch(name: str, sizes: list[int]) -> list[int]:
    """Smooth-AP of the library needs equal classes, as many as each has images."""
    return BATCHES["equal"] if name == "smooth-ap" else sizes


@pytest.mark.parametrize("sizes", BATCHES)
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_theirs_without_a_miner(name, sizes, dtype):
    embeddings, labels = batch(for_batch(name, BATCHES[sizes]), dtype)
    ours, theirs = both(name, dtype)
    assert_equal(computed(ours, embeddings, labels), computed(theirs, embeddings, labels), dtype)


@pytest.mark.parametrize("miner", MINERS)
@pytest.mark.parametrize("name", WITH_TUPLES)
def test_values_and_gradients_are_theirs_with_tuples_of_their_miners(name, miner, dtype):
    embeddings, labels = batch(for_batch(name, BATCHES["several"]), dtype)
    tuples = mined(miner, embeddings, labels)
    assert sum(map(len, tuples)) > 0
    ours, theirs = both(name, dtype)
    assert_equal(computed(ours, embeddings, labels, tuples), computed(theirs, embeddings, labels, tuples), dtype)


@pytest.mark.parametrize("miner", [info.name for info in lossmith.strategies(role="miner")])
@pytest.mark.parametrize("name", WITH_TUPLES)
def test_tuples_of_our_miners_go_into_their_losses(name, miner, dtype):
    embeddings, labels = batch(for_batch(name, BATCHES["several"]), dtype)
    tuples = Miner("miners", miner)(embeddings, labels)
    assert sum(map(len, tuples)) > 0
    ours, theirs = both(name, dtype)
    assert_equal(computed(ours, embeddings, labels, tuples), computed(theirs, embeddings, labels, tuples), dtype)


def positions(*lists: list[int]) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(numbers, dtype=torch.int64) for numbers in lists)


POSITIVE_ONLY = "positive pairs only"
#: Tuples of the batch "equal": rows 0 to 3 are of class 0, 4 to 7 of class 1, and so on.
GIVEN = {
    "repeated triplets": positions([0, 0, 0, 5], [1, 1, 2, 4], [4, 4, 9, 12]),
    "repeated pairs": positions([0, 0, 0, 5], [1, 1, 2, 4], [0, 0, 5, 5, 9], [4, 4, 9, 12, 0]),
    "no triplets": positions([], [], []),
    "no pairs": positions([], [], [], []),
    POSITIVE_ONLY: positions([0, 5, 6], [1, 4, 4], [], []),
    "negative pairs only": positions([], [], [0, 5, 6], [4, 9, 12]),
}


#: Angular takes its negatives from the batch, as a test below says.
ELSEWHERE = ("angular", POSITIVE_ONLY)
NAMES_AND_GIVEN = [(name, given) for name in WITH_TUPLES for given in GIVEN if (name, given) != ELSEWHERE]


@pytest.mark.parametrize("name, given", NAMES_AND_GIVEN)
def test_values_and_gradients_are_theirs_with_repeated_tuples_and_without_any(name, given, dtype):
    embeddings, labels = batch(BATCHES["equal"], dtype)
    ours, theirs = both(name, dtype)
    tuples = GIVEN[given]
    assert_equal(computed(ours, embeddings, labels, tuples), computed(theirs, embeddings, labels, tuples), dtype)


#: Where theirs takes positions among the references for positions in the batch; tests below say what ours does.
OTHERWISE_WITH_REFERENCES = {"lifted-structure", "threshold-consistent-margin"}


@pytest.mark.parametrize("sizes", ["several", "one alone", "one class"])
@pytest.mark.parametrize("name", [name for name in WITH_REFERENCES if name not in OTHERWISE_WITH_REFERENCES])
def test_values_and_gradients_are_theirs_with_references(name, sizes, dtype):
    embeddings, labels = batch(BATCHES["several"], dtype)
    references, classes = batch(BATCHES[sizes], dtype, seed=4)
    ours, theirs = both(name, dtype)
    given = {"ref_emb": references, "ref_labels": classes}
    assert_equal(computed(ours, embeddings, labels, **given), computed(theirs, embeddings, labels, **given), dtype)


@pytest.mark.parametrize("miner", [name for name in MINERS if name != "hdc"])
@pytest.mark.parametrize("name", [name for name in WITH_REFERENCES if name not in OTHERWISE_WITH_REFERENCES])
def test_values_and_gradients_are_theirs_with_references_and_tuples(name, miner, dtype):
    embeddings, labels = batch(BATCHES["several"], dtype)
    references, classes = batch(BATCHES["equal"], dtype, seed=4)
    tuples = mined(miner, embeddings, labels, references, classes)
    ours, theirs = both(name, dtype)
    given = (tuples, references, classes)
    assert_equal(computed(ours, embeddings, labels, *given), computed(theirs, embeddings, labels, *given), dtype)


def test_angular_takes_its_negatives_from_the_batch_where_tuples_have_none(dtype):
    # A miner chooses its positive pairs only. Theirs does the same, but stops where there are no negative pairs.
    embeddings, labels = batch(BATCHES["equal"], dtype)
    ours, theirs = both("angular", dtype)
    anchors, positives, _, _ = tuples = GIVEN[POSITIVE_ONLY]
    any_pair = (anchors, positives, *positions([0], [4]))
    assert_equal(computed(ours, embeddings, labels, tuples), computed(theirs, embeddings, labels, any_pair), dtype)


def test_a_single_pair_counts(dtype):
    # Theirs is 0 for losses of pairs where no list has more than one position.
    embeddings, labels = batch(BATCHES["equal"], dtype)
    ours, theirs = both("contrastive", dtype)
    single, twice = positions([0], [1], [0], [4]), positions([0, 0], [1, 1], [0], [4])
    assert theirs(embeddings, labels, single) == 0
    assert_equal(computed(ours, embeddings, labels, single), computed(theirs, embeddings, labels, twice), dtype)


def test_lifted_structure_compares_with_references_as_anchors_nothing(dtype):
    # In a batch it sums the negatives of the anchor and of the positive. A reference is no anchor and has none; theirs
    # looks for the positive's position among the anchors all the same. Positives from position 14 on, which no anchor
    # has, show that everything else is equal.
    embeddings, labels = batch(BATCHES["several"], dtype)
    references, classes = batch([8, 6, 5, 4], dtype, seed=4)
    same = labels.unsqueeze(1) == classes.unsqueeze(0)
    same[:, : len(labels)] = False
    tuples = (*same.nonzero(as_tuple=True), *(labels.unsqueeze(1) != classes.unsqueeze(0)).nonzero(as_tuple=True))
    ours, theirs = both("lifted-structure", dtype)
    given = (tuples, references, classes)
    assert_equal(computed(ours, embeddings, labels, *given), computed(theirs, embeddings, labels, *given), dtype)


def test_threshold_consistent_margin_compares_with_the_references(dtype):
    # Theirs takes the rows of the batch at the positions among the references. So it is computed here by its formula.
    embeddings, labels = batch(BATCHES["several"], dtype)
    references, classes = batch(BATCHES["equal"], dtype, seed=4)

    def formula(rows: Tensor, labels: Tensor, ref_emb: Tensor, ref_labels: Tensor) -> Tensor:
        cosines = torch.nn.functional.cosine_similarity(rows.unsqueeze(1), ref_emb.unsqueeze(0), dim=2)
        same = labels.unsqueeze(1) == ref_labels.unsqueeze(0)
        pull, push = (0.9 - cosines).relu()[same], (cosines - 0.5).relu()[~same]
        return sum(hinges.sum() / (hinges > 0).sum().clamp(min=1) for hinges in (pull, push))

    ours = Loss("losses", "threshold-consistent-margin")
    theirs = torch.nn.Module()
    theirs.forward = formula
    given = {"ref_emb": references, "ref_labels": classes}
    assert_equal(computed(ours, embeddings, labels, **given), computed(theirs, embeddings, labels, **given), dtype)


def test_references_get_their_gradient():
    embeddings, labels = batch(BATCHES["several"])
    references, classes = batch(BATCHES["equal"], seed=4)
    gradients = []
    for loss in both("multi-similarity"):
        leaf = references.clone().requires_grad_()
        loss(embeddings, labels, ref_emb=leaf, ref_labels=classes).backward()
        gradients.append(leaf.grad)
    assert_equal(gradients[:1], gradients[1:], torch.float64)


@pytest.mark.parametrize(
    "reducer", ["mean", "sum", "average-non-zero", "threshold", "divisor", "per-anchor", "class-weighted"]
)
@pytest.mark.parametrize("name", sorted(OF_TUPLES | OF_ROWS))
def test_rows_of_the_batch_alone_count_with_every_reducer(name, reducer):
    # References that no tuple names change nothing, however many they are.
    embeddings, labels = batch(BATCHES["several"])
    references, classes = batch(BATCHES["equal"], seed=4)
    given = {"reducer": reducer, "divisor": 3.0, "reducer_low": 0.1, "reducer_high": 0.9}
    loss = Loss(CASES[name].plugin, name, classes=4, class_weights=[0.5, 1.0, 1.5, 2.0], **given)
    tuples = mined("pair-margin", embeddings, labels, references, classes)
    once = loss(embeddings, labels, tuples, references, classes)
    more, other = batch([9, 9, 9, 9], seed=6)
    many = loss(embeddings, labels, tuples, torch.cat([references, more]), torch.cat([classes, other]))
    torch.testing.assert_close(many, once, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", sorted(OF_ONE_BATCH | WITHOUT_TUPLES))
def test_losses_of_one_batch_refuse_references(name):
    info = next(info for info in lossmith.strategies(role="loss") if info.name == name)
    embeddings, labels = batch(BATCHES["several"])
    with pytest.raises(ValueError, match=f"`{name}` looks at all rows of one batch.*without ref_emb"):
        Loss(info.plugin, name)(embeddings, labels, ref_emb=embeddings.clone(), ref_labels=labels)


def test_each_loss_of_the_catalogue_says_whether_it_takes_references():
    groups = [OF_TUPLES, OF_ROWS, OF_ONE_BATCH, WITHOUT_TUPLES]
    catalogue = {info.name for info in lossmith.strategies(role="loss")}
    assert catalogue == frozenset.union(*groups)
    assert len(catalogue) == sum(map(len, groups))


@pytest.mark.parametrize("name", sorted(WITHOUT_TUPLES))
def test_losses_that_do_not_look_at_tuples_refuse_them(name):
    # Theirs refuses them in RankedListLoss, too; ProxyAnchorLoss of theirs weighs images by them, which ours does not.
    info = next(info for info in lossmith.strategies(role="loss") if info.name == name)
    embeddings, labels = batch(BATCHES["several"])
    with pytest.raises(ValueError, match=f"`{name}` does not look at tuples"):
        Loss(info.plugin, name)(embeddings, labels, mined("batch-hard", embeddings, labels))


@pytest.mark.parametrize("name, params, message", [
    ("contrastive", {"memory_size": 64}, "memory would keep ref_emb"),
    ("snr-contrastive", {"mean_weight": 0.1}, "mean_weight would pull at ref_emb"),
    ("margin", {"learn_beta": "one", "nu": 0.1, "reducer": "per-anchor"}, "nu with reducer"),
])  # fmt: skip
def test_parameters_for_all_rows_refuse_references(name, params, message):
    embeddings, labels = batch(BATCHES["several"])
    with pytest.raises(ValueError, match=message):
        Loss("losses", name, **params)(embeddings, labels, ref_emb=embeddings.clone(), ref_labels=labels)


@pytest.mark.parametrize("name", ["contrastive", "intra-pair-variance", "multi-similarity", "nt-xent"])
def test_the_mean_of_each_anchor_is_theirs_with_references(name, dtype):
    # As many references as rows of the batch: theirs has a matrix of B x B for them.
    embeddings, labels = batch(BATCHES["several"], dtype)
    references, classes = batch(BATCHES["several"], dtype, seed=4)
    ours, theirs = both(name, dtype, reducer="per-anchor")
    theirs.set_reducer(reducers.PerAnchorReducer())
    given = {"ref_emb": references, "ref_labels": classes}
    assert_equal(computed(ours, embeddings, labels, **given), computed(theirs, embeddings, labels, **given), dtype)


def test_a_value_without_gradient_is_right_where_none_is_wanted():
    embeddings, labels = batch(BATCHES["several"])
    ours, theirs = both("contrastive")
    with torch.no_grad():
        values = [loss(embeddings.requires_grad_(), labels) for loss in (ours, theirs)]
    torch.testing.assert_close(*values)
    assert not values[0].requires_grad


@pytest.mark.parametrize("name", [name for name in WITH_REFERENCES if name != "threshold-consistent-margin"])
def test_losses_of_tuples_need_no_labels(name, dtype):
    embeddings, labels = batch(BATCHES["several"], dtype)
    tuples = mined("pair-margin", embeddings, labels)
    ours, theirs = both(name, dtype)
    without = computed(ours, embeddings, None, tuples)
    assert_equal(without, computed(theirs, embeddings, None, tuples), dtype)
    assert_equal(without, computed(ours, embeddings, labels, tuples), dtype)


def test_labels_may_be_left_out_with_references_too(dtype):
    embeddings, labels = batch(BATCHES["several"], dtype)
    references, classes = batch(BATCHES["equal"], dtype, seed=4)
    tuples = mined("pair-margin", embeddings, labels, references, classes)
    ours, theirs = both("contrastive", dtype)
    given = {"indices_tuple": tuples, "ref_emb": references}
    assert_equal(computed(ours, embeddings, **given), computed(theirs, embeddings, **given), dtype)


@pytest.mark.parametrize("loss, tuples, message", [
    (("losses", "contrastive", {}), None, "needs labels, or indices_tuple"),
    (("losses", "nca", {}), GIVEN["repeated pairs"], "`nca` needs labels"),
    (("losses", "margin", {"learn_beta": "per-class"}), GIVEN["repeated pairs"], "`margin` needs labels"),
    (("proxies", "arc-face", {"classes": 4}), GIVEN["repeated pairs"], "`arc-face` needs labels"),
])  # fmt: skip
def test_labels_that_are_needed_are_asked_for(loss, tuples, message):
    plugin, name, params = loss
    embeddings, _ = batch(BATCHES["equal"])
    with pytest.raises(ValueError, match=message):
        Loss(plugin, name, **params)(embeddings, None, tuples)


def test_the_batch_as_its_own_reference_is_the_batch():
    # As in theirs: the same tensors are compared without each row with itself, a copy of them with it.
    embeddings, labels = batch(BATCHES["several"])
    ours, theirs = both("contrastive")
    for given in ({"ref_emb": embeddings, "ref_labels": labels}, {"ref_emb": embeddings, "ref_labels": labels.clone()}):
        torch.testing.assert_close(ours(embeddings, labels, **given), theirs(embeddings, labels, **given))
    half = embeddings.half()
    assert torch.equal(ours(half, labels, ref_emb=half, ref_labels=labels), ours(half, labels))


@pytest.mark.parametrize("given, message", [
    ({"ref_labels": torch.arange(3)}, "ref_emb, which is missing"),
    ({"ref_emb": torch.ones(3, 8).double()}, "ref_emb needs ref_labels"),
    ({"ref_emb": torch.ones(3, 8), "ref_labels": torch.arange(3)}, "one dtype and one number of columns"),
    ({"ref_emb": torch.ones(3, 7).double(), "ref_labels": torch.arange(3)}, "one dtype and one number of columns"),
    ({"ref_emb": torch.ones(3, 8).double(), "ref_labels": torch.arange(2)}, "R x D and R are expected"),
])  # fmt: skip
def test_references_that_do_not_go_with_the_batch_are_refused(given, message):
    embeddings, labels = batch(BATCHES["several"])
    with pytest.raises(ValueError, match=message):
        Loss("losses", "contrastive")(embeddings, labels, **given)


@pytest.mark.parametrize("tuples, message", [
    (positions([0], [1]), "indices_tuple has 3 vectors .* not 2"),
    (positions([0], [1], [40]), "positions in ref_emb from 40 to 40: they must be from 0 to 15"),
    (positions([0], [-1], [4]), "positions in ref_emb from -1 to -1"),
    (positions([0], [1], [15], [4]), "anchors in the batch from 15 to 15: they must be from 0 to 13"),
])  # fmt: skip
def test_tuples_outside_of_batch_and_references_are_refused(tuples, message):
    embeddings, labels = batch(BATCHES["several"])
    references, classes = batch(BATCHES["equal"], seed=4)
    with pytest.raises(ValueError, match=message):
        Loss("losses", "contrastive")(embeddings, labels, tuples, references, classes)
