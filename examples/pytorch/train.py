"""Trains an embedding of Fashion-MNIST with the loss in `my-loss`, which can be edited meanwhile.

    python train.py [EPOCHS]
"""

import sys
from pathlib import Path

import lossmith
import torch
from torch import nn

from fashion_mnist import batches, load, recall_at_1

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 10

torch.manual_seed(1)
train, test = load("train", 10_000), load("t10k", 2_000)
network = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
    nn.Flatten(), nn.Linear(32 * 7 * 7, 64),
)
loss = lossmith.Loss(Path(__file__).with_name("my-loss"), margin=0.5)
miner = lossmith.Miner("miners", "multi-similarity")
optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=1e-3)

with lossmith.Session(loss, miner) as session:
    session.guard(network, optimizer)
    for epoch in range(EPOCHS):
        for images, labels in batches(*train, count=100):
            embeddings = network(images)
            value = loss(embeddings, labels, miner(embeddings, labels))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            session.step()
        print(f"epoch {epoch}: loss {value.item():.4f}, recall@1 {recall_at_1(network, *test):.4f}", flush=True)
        if report := session.boundary():
            print(report, flush=True)
