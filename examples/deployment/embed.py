"""Embeddings of a trained run's network, with PyTorch and without Lossmith.

    python3 embed.py RUN OUTPUT.npy IMAGE...

It needs torch, numpy, pillow and safetensors, and torchvision for a ResNet. RUN is the folder of the run.
"""

import json
import pathlib
import sys
import tomllib

import numpy
import torch
from safetensors.torch import load_file

from preprocess import open_image, preprocess


class Convnet(torch.nn.Module):
    """The backbone `convnet`: three blocks of convolution, batch normalisation, ReLU and pooling."""

    def __init__(self, channels, width):
        super().__init__()
        for index, (inputs, outputs) in enumerate([(channels, width), (width, 2 * width), (2 * width, 4 * width)], 1):
            setattr(self, f"conv{index}", torch.nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
            setattr(self, f"bn{index}", torch.nn.BatchNorm2d(outputs))

    def forward(self, images):
        for index in (1, 2, 3):
            images = getattr(self, f"bn{index}")(getattr(self, f"conv{index}")(images))
            images = torch.nn.functional.max_pool2d(images, 2).relu()
        return images.mean(dim=(2, 3))


def backbone(model, channels):
    name = model.get("backbone", "convnet")
    if name == "convnet":
        return Convnet(channels, model.get("width", 32))
    if name.startswith("resnet"):
        import torchvision

        network = getattr(torchvision.models, name)(weights=None)
        network.fc = torch.nn.Identity()
        return network
    sys.exit(f"the backbone {name} is a file of your own: load it with torch.jit.load")


def load(run):
    """The network of a run with the weights of its best checkpoint, and how its images are prepared."""
    manifest = json.loads((run / "manifest.json").read_text())
    experiment = tomllib.loads((run / "experiment.toml").read_text())
    if "fusion" in experiment:
        sys.exit("a fusion is a plugin: what it makes of the slices is in what `lossmith embed` writes")
    preprocessing = manifest["preprocessing"]
    files = run / "checkpoints"
    # A run that measured nothing has no best checkpoint: the last one takes its place, as for `lossmith embed`.
    last = max(files.glob("epoch-*.safetensors"), key=lambda file: int(file.stem.removeprefix("epoch-")), default=None)
    best = files / "best.safetensors"
    checkpoint = load_file(best if best.exists() else last)
    state = {name.removeprefix("model/"): tensor for name, tensor in checkpoint.items() if name.startswith("model/")}
    part = lambda prefix: {n.removeprefix(prefix): tensor for n, tensor in state.items() if n.startswith(prefix)}
    features = backbone(experiment["model"], preprocessing["channels"])
    # What PyTorch counts batches with is not in a checkpoint, and not needed.
    missing, unexpected = features.load_state_dict(part("backbone."), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    embedding, width = state["head.weight"].shape
    head = torch.nn.Linear(width, embedding)
    head.load_state_dict(part("head."))
    return torch.nn.Sequential(features, head).eval(), preprocessing


def main():
    run, output, *paths = sys.argv[1:]
    network, preprocessing = load(pathlib.Path(run))
    images = numpy.stack([preprocess(open_image(path), preprocessing) for path in paths])
    with torch.inference_mode():
        embeddings = network(torch.from_numpy(images))
    numpy.save(output, embeddings.numpy())


if __name__ == "__main__":
    main()
