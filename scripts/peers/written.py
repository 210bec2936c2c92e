"""Losses as a good PyTorch programmer would write them by hand, for `compiled.py`: vectorised, in as few passes over
the pairs as the formulas take, so that Inductor can make one loop of what is between two matrix products.

Each takes embeddings, B x D, and labels, B, has the defaults of our strategy of the same name and gives the same value.
"""

import torch
from torch.nn import functional

#: Squared distances below this are 0, and so is their gradient: that of the root would be infinite.
SMALLEST = 1e-12


def masks(labels):
    """Pairs of one class without those of an image with itself, and pairs of different classes."""
    same = labels[:, None] == labels[None, :]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def cosines(embeddings):
    unit = functional.normalize(embeddings, dim=1)
    return unit @ unit.T


def contrastive(embeddings, labels):
    """Margins 0 and 1, average over non-zero."""
    positive, negative = masks(labels)
    distances = (2 - 2 * cosines(embeddings)).clamp_min(SMALLEST).sqrt()

    def mean(hinge, mask):
        losses = torch.where(mask, hinge.relu(), 0)
        return losses.sum() / (losses > 0).sum().clamp_min(1)

    return mean(distances, positive) + mean(1 - distances, negative)


def multi_similarity(embeddings, labels):
    """Alpha 2, beta 50, base 0.5. Cosines are at most 1, so no sum of exponentials overflows: 1024 exp(25) is 7e13."""
    positive, negative = masks(labels)
    excess = cosines(embeddings) - 0.5
    pull = torch.where(positive, torch.exp(-2 * excess), 0).sum(1).log1p() / 2
    push = torch.where(negative, torch.exp(50 * excess), 0).sum(1).log1p() / 50
    return (pull + push).mean()


def sup_con(embeddings, labels):
    """Temperature 0.1, average over non-zero. Logits are at most 10, so the largest need not be taken off first."""
    positive, negative = masks(labels)
    logits = cosines(embeddings) / 0.1
    everything = torch.where(positive | negative, torch.exp(logits), 0).sum(1, keepdim=True).log()
    sums = torch.where(positive, everything - logits, 0).sum(1)
    losses = sums / positive.sum(1).clamp_min(1) * negative.any()
    return losses.sum() / (losses > 0).sum().clamp_min(1)


LOSSES = {"contrastive": contrastive, "multi-similarity": multi_similarity, "sup-con": sup_con}
