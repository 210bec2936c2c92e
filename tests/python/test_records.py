"""The record and the network of a run, read in Python."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import Lab, environment, write_png

import lossmith
from lossmith import RunError

OLD = Path(__file__).parent.parent / "data/old/0.1.0/runs"

FUSION = '[fusion]\nplugin = "fusions"\nstrategy = "concatenation"'
#: Colour or grey, `[model]`, tables behind it, and `key=value` changes.
NETWORKS = {
    "convnet": (True, "width = 4\nembedding = 8\nslices = 2", "", "epochs=2"),
    "grey": (False, "width = 4\nembedding = 6\nfreeze-batch-norm = true", ""),
    "resnet18": (True, 'backbone = "resnet18"\nembedding = 8\nslices = 4', ""),
    "resnet50": (False, 'backbone = "resnet50"\nembedding = 4', ""),
    "bf16": (True, "width = 4\nembedding = 8", "", "precision=bf16"),
    "module": (True, 'backbone = "torchscript"\npath = "module.pt"\nembedding = 6', ""),
    "fusion": (True, "width = 4\nembedding = 8\nslices = 4", FUSION),
}


class OwnNetwork(torch.nn.Module):
    """What a user trains as TorchScript: 3 channels in, 5 features out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 5, 3)
        self.norm = torch.nn.BatchNorm2d(5)
        self.conv.bias.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).relu().mean((2, 3))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    torch.manual_seed(0)
    torch.jit.script(OwnNetwork()).save(lab.folder / "module.pt")
    return lab


@pytest.fixture(scope="module")
def trained(lab):
    """The run of a network of `NETWORKS`, trained once."""
    runs: dict[str, Path] = {}

    def run(name: str) -> Path:
        if name not in runs:
            colour, model, more, *sets = NETWORKS[name]
            runs[name] = lab.train(colour, model, more, f"name={name}", *sets)
        return runs[name]

    return run


@pytest.fixture(scope="module")
def exported(lab, trained):
    """The files of a network of `NETWORKS`, written once, and what the command said."""
    exports: dict[str, tuple[Path, str]] = {}

    def files(name: str) -> tuple[Path, str]:
        if name not in exports:
            folder = lab.folder / f"exported-{name}"
            exports[name] = folder, lab.ok("export", trained(name), "--output", folder)
        return exports[name]

    return files


@pytest.fixture(scope="module")
def run(trained):
    return trained("convnet")


@pytest.fixture
def copy(run, tmp_path):
    """A copy of a run, to be damaged."""
    return Path(shutil.copytree(run, tmp_path / "copy"))


def embeddings(network, images, prepare):
    """A batch as the command makes them: all images, since they are fewer than its 256."""
    with torch.no_grad():
        return network(torch.stack([prepare(image) for image in images]))


# The network


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in ("fusion", "bf16")])
def test_a_loaded_and_an_exported_network_give_the_commands_embeddings_to_the_last_bit(lab, trained, exported, name):
    run = trained(name)
    expected, images = lab.embed(run)
    network = lossmith.load_model(run)
    assert not network.training
    assert np.array_equal(embeddings(network, images, network.preprocess).numpy(), expected)
    files, _ = exported(name)
    program = torch.jit.load(files / "model.ts.pt")
    # The program is compiled again after its first calls.
    for _ in range(4):
        assert np.array_equal(embeddings(program, images, network.preprocess).numpy(), expected)
    state = torch.load(files / "model.pt")
    network.load_state_dict({name: torch.zeros_like(tensor) for name, tensor in state.items()})
    network.load_state_dict(state)
    assert np.array_equal(embeddings(network, images, network.preprocess).numpy(), expected)


def test_the_checkpoint_is_the_best_the_last_or_that_of_an_epoch(lab, run):
    def weights(checkpoint):
        return lossmith.load_model(run, checkpoint).head.weight

    assert lossmith.load_model(run, 1).description["epoch"] == 1
    assert not torch.equal(weights(1), weights(2))
    assert torch.equal(weights("last"), weights(2))
    assert torch.equal(weights("best"), lossmith.load_model(lossmith.read_run(run)).head.weight)
    with pytest.raises(RunError, match="no checkpoint `7`; there are best, last, 1, 2"):
        lossmith.load_model(run, 7)
    for wrong in (True, 1.0, None):
        with pytest.raises(TypeError, match='"best", "last" or the number of an epoch'):
            lossmith.load_model(run, wrong)


def test_names_are_those_of_torchvision(trained):
    names = set(lossmith.load_model(trained("resnet18")).state_dict())
    assert {"backbone.conv1.weight", "backbone.layer2.0.downsample.1.running_var", "head.bias"} <= names
    names = set(lossmith.load_model(trained("resnet50")).state_dict())
    assert {"backbone.layer1.0.conv3.weight", "backbone.layer4.2.bn3.bias"} <= names
    # torchvision's own has 320 with its classifier's weight and bias.
    assert sum(name.startswith("backbone.") for name in names) == 318


def test_a_network_goes_on_training_and_frozen_normalisation_stays_frozen(trained):
    for name, moves in (("resnet18", True), ("grey", False)):
        network = lossmith.load_model(trained(name)).train()
        before = network.backbone.bn1.running_mean.clone()
        network(torch.rand(8, *_shape(network))).square().sum().backward()
        assert torch.equal(before, network.backbone.bn1.running_mean) is not moves
        assert network.backbone.bn1.weight.requires_grad is moves
        assert network.backbone.conv1.weight.grad.abs().sum() > 0


def test_a_fusion_is_told_and_makes_of_the_slices_what_the_command_writes(lab, trained):
    run = trained("fusion")
    expected, images = lab.embed(run)
    with pytest.warns(UserWarning, match="has the fusion `concatenation`, a plugin, which is no part of the network"):
        network = lossmith.load_model(run)
    found = embeddings(network, images, network.preprocess)
    assert not np.allclose(found.numpy(), expected)
    fused = lossmith.Fusion("fusions", "concatenation", slices=network.slices)(found)
    assert np.array_equal(fused.numpy(), expected)


def test_a_run_of_16_bits_is_equal_under_autocast(lab, trained):
    run = trained("bf16")
    expected, images = lab.embed(run)
    network = lossmith.load_model(run)
    assert network.description["precision"] == "bf16"
    with torch.autocast("cpu", torch.bfloat16):
        found = embeddings(network, images, network.preprocess)
    assert found.dtype == torch.float32
    assert np.array_equal(found.numpy(), expected)


def test_a_network_that_began_with_a_file_of_weights_does_not_need_it(lab, run):
    weights = lab.folder / "weights.safetensors"
    shutil.copy(run / "checkpoints/best.safetensors", weights)
    second = lab.train(True, 'width = 4\nembedding = 8\nweights = "weights.safetensors"')
    weights.unlink()
    assert lossmith.load_model(second).description["model"].get("weights") is None


def test_a_module_that_is_gone_or_another_one_is_told(lab, trained):
    run, file = trained("module"), lab.folder / "module.pt"
    kept = file.read_bytes()
    file.unlink()
    try:
        with pytest.raises(RunError, match="was trained with is gone.*module.pt"):
            lossmith.load_model(run)
        assert lab.run("export", run).returncode == 3
        torch.jit.script(torch.nn.Flatten()).save(file)
        with pytest.raises(RunError, match="`model.path` is not the file that the run was made with"):
            lossmith.load_model(run)
    finally:
        file.write_bytes(kept)


def test_a_cut_or_changed_checkpoint_is_told(copy):
    path = copy / "checkpoints/best.safetensors"
    whole = path.read_bytes()
    path.unlink()
    for damaged in (whole[: len(whole) // 2], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        path.write_bytes(damaged)
        with pytest.raises(RunError, match="best.safetensors is damaged"):
            lossmith.load_model(copy)


def test_networks_are_copied_and_pickled(run):
    import copy
    import pickle

    network = lossmith.load_model(run)
    images = torch.rand(2, 3, 32, 32)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(other(images), network(images))


# Preparation of images


def test_the_preparation_is_that_of_pillow_images_arrays_and_tensors(run):
    network = lossmith.load_model(run)
    pixels = np.random.default_rng(3).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    expected = network.preprocess(pixels)
    assert expected.shape == (3, 32, 32) and expected.dtype == torch.float32
    assert torch.equal(network.preprocess(torch.from_numpy(pixels)), expected)
    grey = network.preprocess(pixels[:, :, 0])
    assert torch.equal(grey, network.preprocess(pixels[:, :, :1].repeat(3, 2)))
    image = pytest.importorskip("PIL.Image")
    assert torch.equal(network.preprocess(image.fromarray(pixels)), expected)
    assert torch.equal(network.preprocess(image.fromarray(pixels[:, :, 0])), grey)
    # What is transparent is on white.
    alpha = np.dstack([pixels, np.zeros((30, 41), np.uint8)])
    white = network.preprocess(np.full_like(pixels, 255))
    assert torch.equal(network.preprocess(image.fromarray(alpha, "RGBA")), white)
    with pytest.raises(ValueError, match="mode I"):
        network.preprocess(image.fromarray(pixels[:, :, 0].astype(np.int32)))


def test_images_that_do_not_fit_are_told(run, trained):
    network = lossmith.load_model(run)
    for wrong in (np.zeros((4, 4, 3)), np.zeros((1, 4, 4, 3), np.uint8), np.uint8(3)):
        with pytest.raises(TypeError, match="H x W or H x W x C integers from 0 to 255"):
            network.preprocess(wrong)
    with pytest.raises(ValueError, match="trained on images of 3 channels, and this one is 4 x 4 x 2"):
        network.preprocess(np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(ValueError, match="images of 1 channel,"):
        lossmith.load_model(trained("grey")).preprocess(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="0 x 4 x 3"):
        network.preprocess(np.zeros((0, 4, 3), np.uint8))


def test_the_guide_does_what_it_says(run, tmp_path, monkeypatch):
    pytest.importorskip("PIL")
    guide = (Path(__file__).parent.parent.parent / "docs/using/deployment.md").read_text()
    code = guide.split("```python lossmith\n")[1].split("```")[0]
    for name in ("a.png", "b.png"):
        write_png(tmp_path / name, np.full((20, 30, 3), 99))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code.replace("runs/used-20261128-101500", str(run)), names)
    assert names["embeddings"].shape == (2, 8)


# Export


def test_an_export_says_what_must_be_known(exported):
    files, told = exported("fusion")
    assert "the fusion `concatenation` is a plugin and in none of them" in told
    about = json.loads((files / "model.json").read_text())
    assert (about["format"], about["version"]) == ("lossmith-export", 1)
    assert about["preprocessing"]["size"] == 32 and about["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert about["model"]["slices"] == 4 and about["distance"] == "cosine" and about["fusion"] == "concatenation"
    names = ["model.json", "model.pt", "model.safetensors", "model.ts.pt"]
    assert sorted(path.name for path in files.iterdir()) == names
    safetensors = pytest.importorskip("safetensors.torch")
    tensors, state = safetensors.load_file(files / "model.safetensors"), torch.load(files / "model.pt")
    assert tensors.keys() == state.keys()
    assert all(torch.equal(tensors[name], tensor) for name, tensor in state.items())


def test_an_exported_program_needs_nothing_of_ours_and_trains_on(exported):
    code = (
        "import sys, torch; m = torch.jit.load(sys.argv[1]); m.train(); "
        "m(torch.rand(4, 3, 32, 32)).square().sum().backward(); "
        "assert all(p.grad is not None for p in m.parameters()); "
        "assert not torch.equal(m.backbone.bn1.running_mean, torch.load(sys.argv[2])['backbone.bn1.running_mean']); "
        "m.eval(); m(torch.rand(1, 3, 48, 48)); assert 'lossmith' not in sys.modules"
    )
    folder, _ = exported("convnet")
    files = [folder / "model.ts.pt", folder / "model.pt"]
    subprocess.run([sys.executable, "-c", code, *files], check=True, env=environment())


def test_an_exported_program_is_the_backbone_of_another_experiment(lab, run, exported):
    program = exported("convnet")[0] / "model.ts.pt"
    second = lab.train(True, f'backbone = "torchscript"\npath = "{program}"\nembedding = 4')
    before, after = lossmith.load_model(run).backbone, lossmith.load_model(second).backbone.backbone
    assert not torch.equal(before.conv1.weight, after.conv1.weight)


# The record


def test_a_record_has_what_the_files_have(run):
    record = lossmith.read_run(str(run))
    assert (record.path, record.name, record.status) == (run, run.name, "finished")
    assert record.manifest == json.loads((run / "manifest.json").read_text())
    assert record.experiment["model"]["slices"] == 2 and record.experiment["objective"][0]["weight"] == 1.0
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert len(record.metrics) == len(rows)
    for (_, found), row in zip(record.metrics.iterrows(), rows):
        assert (found["kind"], found["epoch"], found["step"]) == (row["kind"], row["epoch"], row["step"])
        assert {name: found[name] for name in row["values"]} == row["values"]
    evaluations = record.metrics.query("kind == 'evaluation'")
    assert evaluations["validation/map-at-r"].between(0, 1).sum() == 2
    assert list(record.journal["event"]) == [
        json.loads(line)["event"] for line in (run / "journal.jsonl").read_text().splitlines()
    ]
    assert str(record.journal["time"].dtype).endswith("UTC]")
    assert record.unread == {"journal.jsonl": [], "metrics.jsonl": []}


def test_without_pandas_a_record_has_lists(run):
    code = (
        "import sys; sys.modules['pandas'] = None; import lossmith; run = lossmith.read_run(sys.argv[1]); "
        "assert run.metrics[0]['kind'] == 'step' and run.metrics[0]['loss'] >= 0, run.metrics[0]; "
        "assert run.journal[0]['event'] == 'started' and run.journal[0]['time'].endswith('Z')"
    )
    subprocess.run([sys.executable, "-c", code, run], check=True, env=environment())


def test_a_run_is_read_while_it_goes_on_and_what_it_undid_is_not_read_twice(lab):
    lab.experiment(True, "width = 4\nembedding = 8")
    words = lab.command("--json", "train", "experiment.toml", "--set", "epochs=100000")
    process = subprocess.Popen(words, cwd=lab.folder, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        lines = map(json.loads, process.stdout)
        run = lab.folder / next(lines)["run"]
        next(line for line in lines if line["event"] == "epoch")
        next(line for line in lines if line["event"] == "step")
        record = lossmith.read_run(run)
        assert record.status == "running" and "epoch" in set(record.metrics["kind"])
        assert lossmith.load_model(run, "last").description["epoch"] >= 1
    finally:
        process.kill()
        process.wait()
    record = lossmith.read_run(run)
    assert record.status == "died"
    epochs = int(record.metrics["epoch"].max()) + 2
    # A step that no checkpoint has, as a process leaves it that is killed later in its epoch.
    step = int(record.metrics["step"].max()) + 1
    undone = {"kind": "step", "epoch": epochs - 2, "step": step, "values": {"loss": 7.0}}
    with (run / "metrics.jsonl").open("a") as rows:
        rows.write(json.dumps(undone) + "\n")
    lab.ok("train", "--resume", run, "--set", f"epochs={epochs}", "--accept-changes")
    record = lossmith.read_run(run)
    assert record.status == "finished" and '"rewind"' in (run / "metrics.jsonl").read_text()
    steps = record.metrics.query("kind == 'step'")["step"]
    assert steps.is_unique and steps.is_monotonic_increasing and 7.0 not in set(record.metrics["loss"])


def test_a_run_of_0_1_0_is_read_and_its_network_loaded(lab, tmp_path):
    student = lossmith.read_run(OLD / "student")
    assert student.manifest["versions"]["lossmith"] == "0.1.0" and "swap" in set(student.journal["event"])
    network = lossmith.load_model(OLD / "teacher")
    assert network(torch.zeros(1, *_shape(network))).shape == (1, network.head.out_features)
    lab.ok("export", OLD / "teacher", "--output", tmp_path / "files")
    about = json.loads((tmp_path / "files/model.json").read_text())
    assert about["preprocessing"] == network.description["preprocessing"]


def _shape(network):
    how = network.description["preprocessing"]
    return how["channels"], how["size"], how["size"]


def test_images_that_a_network_cannot_take_are_refused_by_a_sentence(run):
    network = lossmith.load_model(run)
    for wrong in (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.zeros(3, 16, 16)):
        shown = " x ".join(map(str, wrong.shape))
        with pytest.raises(ValueError, match=f"B x 3 x H x W floats, as preprocess makes them, not .* of {shown}: "):
            network(wrong)


def test_what_is_no_run_is_told(tmp_path):
    with pytest.raises(RunError, match="cannot open .*missing: No such file"):
        lossmith.read_run(tmp_path / "missing")
    for read in (lossmith.read_run, lossmith.load_model):
        with pytest.raises(RunError, match="is not a run: it has no journal.jsonl\n  help: "):
            read(tmp_path)
    with pytest.raises(TypeError):
        lossmith.read_run(7)


@pytest.mark.parametrize("file", ["manifest.json", "experiment.toml"])
def test_a_cut_or_missing_file_is_told(copy, file):
    text = (copy / file).read_text()
    (copy / file).write_text(text[: text.rindex("=" if file.endswith("toml") else ":")])
    with pytest.raises(RunError, match=f"{file} is damaged: "):
        lossmith.read_run(copy)
    (copy / file).unlink()
    with pytest.raises(RunError, match=f"cannot read .*{file}: No such file"):
        lossmith.read_run(copy)


def test_cut_lines_are_left_out_with_a_warning(copy):
    whole = len(lossmith.read_run(copy).metrics)
    rows = (copy / "metrics.jsonl").read_text()
    (copy / "metrics.jsonl").write_text(rows[:-10])
    with pytest.warns(UserWarning, match=f"not understood and left out: metrics.jsonl, line {whole}"):
        record = lossmith.read_run(copy)
    assert len(record.metrics) == whole - 1
    assert record.unread["metrics.jsonl"] == [whole]
