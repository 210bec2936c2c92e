"""A training loop in PyTorch and torchvision as a good engineer would write it, for `table.py` to compare with.

    theirs.py train CASE --images FOLDER    prints a line of JSON with the number of images after each step
    theirs.py load CASE --images FOLDER     the same for batches that are loaded, and nothing else

It goes on until somebody stops it. The network, the data, the augmentation, the batches, the loss, the miner and the
optimizer are those of ours: `cases.py` has them.
"""

import argparse
import json
import pathlib
import warnings

import torch
import torchvision
from cases import CASES, MEAN, STD
from pytorch_metric_learning import losses, miners, samplers
from torch import nn
from torchvision.transforms import v2


class Convnet(nn.Sequential):
    """Three blocks; the maximum and the ReLU are exchanged, so that the ReLU has a quarter of the work."""

    def __init__(self, channels, width, embedding):
        blocks = []
        for outputs in (width, 2 * width, 4 * width):
            blocks += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)]
            blocks += [nn.MaxPool2d(2), nn.ReLU(inplace=True)]
            channels = outputs
        super().__init__(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, embedding))


def network(case):
    if case.backbone == "convnet":
        return Convnet(case.channels, case.width, case.embedding)
    return getattr(torchvision.models, case.backbone)(weights=None, num_classes=case.embedding)


class Files(torch.utils.data.Dataset):
    """JPEG files, decoded by libjpeg-turbo into tensors: faster than Pillow, and its transforms work on 8 bits."""

    def __init__(self, folder, transform):
        found = torchvision.datasets.ImageFolder(folder).samples
        self.paths, self.targets = [path for path, _ in found], [label for _, label in found]
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        data = torchvision.io.read_file(self.paths[index])
        image = torchvision.io.decode_jpeg(data, mode=torchvision.io.ImageReadMode.RGB)
        return self.transform(image), self.targets[index]


class Tensors(torch.utils.data.Dataset):
    """Images in memory."""

    def __init__(self, images, targets, transform):
        self.images, self.targets, self.transform = images, targets, transform

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.transform(self.images[index]), self.targets[index]


def transform(case):
    """The augmentation of a training, or what evaluation sees."""
    if case.augmented:
        crop = [v2.RandomResizedCrop(case.size, scale=(0.16, 1.0), antialias=True), v2.RandomHorizontalFlip()]
    else:
        crop = [v2.Resize(case.size, antialias=True), v2.CenterCrop(case.size)]
    mean, std = MEAN[case.channels], STD[case.channels]
    return v2.Compose([*crop, v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])


def dataset(case, images):
    if case.data == "folder":
        return Files(images, transform(case))
    # Read as torchvision does, which wants the files in a folder of its own.
    folder = pathlib.Path(case.path)
    pixels = torchvision.datasets.mnist.read_image_file(unpacked(folder / "train-images-idx3-ubyte.gz", images))
    targets = torchvision.datasets.mnist.read_label_file(unpacked(folder / "train-labels-idx1-ubyte.gz", images))
    return Tensors(pixels[:, None], targets.tolist(), transform(case))


def unpacked(path, images):
    """The file without its compression, beside the folder of the images."""
    import gzip

    target = pathlib.Path(images).parent / path.stem
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(gzip.decompress(path.read_bytes()))
    return str(target)


def loader(case, arguments):
    data = dataset(case, arguments.images)
    batch = case.classes * case.samples
    more = {"prefetch_factor": 4, "persistent_workers": True} if arguments.workers else {}
    sampler = samplers.MPerClassSampler(data.targets, case.samples, batch, len(data) // batch * batch)
    return torch.utils.data.DataLoader(
        data, batch, sampler=sampler, num_workers=arguments.workers, drop_last=True, **more
    )


def tell(images):
    print(json.dumps({"images": images}), flush=True)


def load(case, arguments):
    batches = loader(case, arguments)
    while True:
        for images, _ in batches:
            tell(len(images))


def train(case, arguments):
    # Of one channel or of three: on the CPU the convolutions are faster so.
    model = network(case).to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    loss_of, mine = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5), miners.MultiSimilarityMiner(epsilon=0.1)
    batches = loader(case, arguments)
    while True:
        for images, labels in batches:
            embeddings = model(images.to(memory_format=torch.channels_last))
            loss = loss_of(embeddings, labels, mine(embeddings, labels))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            tell(len(images))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["train", "load"])
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("--images", required=True, help="the folder of the photographs")
    parser.add_argument("--workers", type=int, required=True, help="processes of the loader")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    {"train": train, "load": load}[arguments.what](CASES[arguments.case], arguments)


if __name__ == "__main__":
    main()
