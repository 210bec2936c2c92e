"""What `make throughput` compares: the settings that both sides have."""

import dataclasses

#: Of ImageNet; ours are the same for colours, and for grey what they are set to.
MEAN = {1: (0.2860,), 3: (0.485, 0.456, 0.406)}
STD = {1: (0.3530,), 3: (0.229, 0.224, 0.225)}


@dataclasses.dataclass(frozen=True)
class Case:
    """A network with its data and batches."""

    data: str
    backbone: str
    size: int
    channels: int
    classes: int
    samples: int
    width: int = 32
    embedding: int = 64
    augmented: bool = True
    path: str = "/usr/share/datasets/fashion-mnist"


CASES = {
    "fashion-mnist": Case("fashion-mnist", "convnet", 28, 1, 10, 12),
    "resnet18": Case("folder", "resnet18", 224, 3, 8, 4),
    "resnet50": Case("folder", "resnet50", 224, 3, 8, 4),
    "random-crops": Case("folder", "resnet18", 224, 3, 8, 8),
    "centre-squares": Case("folder", "resnet18", 224, 3, 8, 8, augmented=False),
}
#: By what is done, in the order of the table, with the least images per second as a part of theirs.
TRAINED = {"fashion-mnist": 1.5, "resnet18": 1.0, "resnet50": 1.0}
LOADED = {"random-crops": 1.5, "centre-squares": 1.5, "fashion-mnist": 1.5}
