"""Losses."""

from __future__ import annotations

from torch import Tensor

from lossmith import given
from lossmith.distributed import gathered
from lossmith.modules.calls import eager, full_precision, without_autocast
from lossmith.modules.strategy import StrategyModule
from lossmith.references import may_have_tuples, placeholders, with_references
from lossmith.tuples import Tuples


class Loss(StrategyModule):
    """A loss: a scalar of embeddings (B x D) and labels (B, integers from 0).

    Tools that look at the name of a loss's class, as ``CrossBatchMemory`` and ``SelfSupervisedLoss`` of
    pytorch-metric-learning do, take a subclass of the name that they know: ``class ContrastiveLoss(Loss): pass``.
    """

    ROLE = "loss"

    @eager
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor | None = None,
        indices_tuple: Tuples | None = None,
        ref_emb: Tensor | None = None,
        ref_labels: Tensor | None = None,
        *,
        thresholds: list[float] | None = None,
        teacher: Tensor | None = None,
        feature_map: Tensor | None = None,
        teacher_feature_map: Tensor | None = None,
    ) -> Tensor:
        """The loss of a batch.

        ``indices_tuple`` is what a miner returns: 3 vectors of positions (anchors, positives, negatives) or 4 (anchors,
        positives, anchors, negatives). With it, losses of pairs and triplets need no labels. With ``ref_emb`` and
        ``ref_labels`` the batch is compared with these rows instead of with itself, and positives and negatives are
        positions among them; losses that look at all rows of one batch refuse that.

        Embeddings of 16 bits are computed in 32 bits, also under autocast.
        """
        if (
            indices_tuple is None
            and ref_emb is None
            and ref_labels is None
            and thresholds is None
            and teacher is None
            and feature_map is None
            and teacher_feature_map is None
        ):
            usual: Tensor | None = self._usual(embeddings, labels)
            if usual is not None:
                return usual
        if ref_emb is embeddings and (ref_labels is None or ref_labels is labels):
            ref_emb = ref_labels = None
        if self.gather:
            rows = gathered(
                {
                    "embeddings": embeddings,
                    "labels": labels,
                    "ref_emb": ref_emb,
                    "ref_labels": ref_labels,
                    "teacher": teacher,
                    "feature_map": feature_map,
                    "teacher_feature_map": teacher_feature_map,
                },
                {**self._same(), "indices_tuple": indices_tuple, "thresholds": thresholds},
            )
            embeddings, labels, ref_emb, ref_labels, teacher, feature_map, teacher_feature_map = rows.values()
        embeddings, factor = full_precision(embeddings), 1.0
        ref_emb = None if ref_emb is None else full_precision(ref_emb, "ref_emb")
        if ref_labels is not None:
            given.labels(ref_labels, "ref_labels")
        given.tuples(indices_tuple)
        if indices_tuple is not None:
            may_have_tuples(self)
        if labels is None:
            labels = placeholders(self, indices_tuple, embeddings)
            if ref_emb is not None and ref_labels is None:
                ref_labels = placeholders(self, indices_tuple, ref_emb)
        alone = embeddings.shape[:1] == (1,)
        if ref_emb is not None or ref_labels is not None:
            given.labels(labels, "labels")
            embeddings, labels, indices_tuple, factor = with_references(
                self, embeddings, labels, indices_tuple, ref_emb, ref_labels
            )
        with without_autocast(embeddings):
            batch = self._batch(
                embeddings, labels, indices_tuple, thresholds, teacher, feature_map, teacher_feature_map
            )
            value: Tensor = self._call(batch)
        if alone:
            self._warn_of_one(not value.any())
        return value if factor == 1.0 else value * factor
