"""The wheel: what is in it, what it needs, and how it behaves once it is installed.

It is installed into a virtual environment of its own, which sees the torch of the environment that runs the tests, but
neither this checkout nor cargo.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from pathlib import Path

import pytest
import torch

from pictures import write_pictures

REPOSITORY = Path(__file__).resolve().parents[2]
#: MB of 10^6 bytes.
MOST = 40
#: What the library may need besides libtorch: these are on every Linux, or are beside libtorch.
SYSTEM = {"libstdc++.so.6", "libgcc_s.so.1", "libm.so.6", "libc.so.6", "ld-linux-x86-64.so.2", "ld-linux-aarch64.so.1"}
LIBTORCH = {"libtorch_cpu.so", "libc10.so"}
#: Names of torch in C++, as the compiler writes them.
TORCH_SYMBOL = re.compile(r"_Z\w*?N?K?(?:2at|3c10|5torch)[0-9]")

OWN_LOSS = """
import lossmith, torch
from lossmith import Loss
embeddings = torch.eye(4, requires_grad=True)
value = Loss("losses", "contrastive")(embeddings, torch.tensor([0, 0, 1, 1]))
value.backward()
assert value.item() > 0 and embeddings.grad.abs().sum() > 0
"""

EXPERIMENT = """
name = "small"
epochs = 1

[data]
kind = "folder"
path = "pictures"
size = 16
split = "class-disjoint"

[sampler]
classes = 2
samples = 4

[model]
width = 4
embedding = 8

[[objective]]
loss = { plugin = "losses", strategy = "contrastive" }
"""


class Installed:
    """A virtual environment with the wheel in it, and with the torch of this process unless that is left out."""

    def __init__(self, folder: Path, wheel: Path, with_torch: bool = True) -> None:
        venv.create(folder, symlinks=True)
        self.bin = folder / "bin"
        self.python = self.bin / "python"
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet", "--no-deps"]
        subprocess.run([*pip, "--no-index", str(wheel)], check=True)
        self.packages = Path(self.output("import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        if with_torch:
            places = [str(Path(torch.__file__).parents[1])]
            places += [path for path in sys.path if path.endswith("site-packages")]
            # They come after the environment's own folder.
            (self.packages / "torch.pth").write_text("".join(f"{place}\n" for place in places))

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a process: no cargo, no checkout, no folder of libraries."""
        own = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": os.environ["HOME"], "OMP_NUM_THREADS": "1"}
        return {**own, **more}

    def output(self, code: str, folder: Path = Path("/")) -> str:
        """What a piece of Python prints."""
        python = [str(self.python), "-c", code]
        ran = subprocess.run(python, cwd=folder, env=self.environment(), capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def lossmith(self, folder: Path, *words: str, code: int = 0, **more: str) -> str:
        """What the command prints, on both streams, that ends with this code."""
        command = [str(self.bin / "lossmith"), *words]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        ran = subprocess.run(command, cwd=folder, env=self.environment(**more), text=True, **streams)
        assert ran.returncode == code, ran.stdout
        return ran.stdout


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that `make wheel` wrote."""
    found = sorted((REPOSITORY / "dist").glob("lossmith-*.whl"))
    assert len(found) == 1, f"dist has {len(found)} wheels, not one: make wheel"
    return found[0]


@pytest.fixture(scope="session")
def archive(wheel: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel) as opened:
        yield opened


@pytest.fixture(scope="session")
def library(archive: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one library in the wheel, unpacked."""
    names = [name for name in archive.namelist() if ".so" in Path(name).name]
    assert names == ["lossmith/_lossmith.abi3.so"]
    return Path(archive.extract(names[0], tmp_path_factory.mktemp("library")))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder with an experiment of a second."""
    write_pictures(tmp_path / "pictures", classes=10, images=12, side=16)
    (tmp_path / "experiment.toml").write_text(EXPERIMENT)
    return tmp_path


def info(archive: zipfile.ZipFile, name: str) -> str:
    """A file of the wheel's `dist-info`."""
    (found,) = [member for member in archive.namelist() if member.endswith(f".dist-info/{name}")]
    return archive.read(found).decode()


def metadata(archive: zipfile.ZipFile) -> Message:
    return message_from_string(info(archive, "METADATA"))


def readelf(library: Path, *options: str) -> str:
    command = ["readelf", "--wide", *options, str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout


def test_the_wheel_is_at_most_40_mb(wheel: Path) -> None:
    assert wheel.stat().st_size <= MOST * 10**6


def test_the_wheel_is_for_all_pythons_from_3_10_on(archive: zipfile.ZipFile, wheel: Path) -> None:
    tags = message_from_string(info(archive, "WHEEL")).get_all("Tag")
    assert tags == ["-".join(wheel.stem.split("-")[2:])]
    assert tags[0].startswith("cp310-abi3-manylinux_2_")
    assert metadata(archive)["Requires-Python"] == ">=3.10"


def test_no_symbol_is_newer_than_the_glibc_of_the_tag(wheel: Path, library: Path) -> None:
    promised = int(re.search(r"manylinux_2_(\d+)", wheel.name)[1])
    needed = [int(minor) for minor in re.findall(r"\bGLIBC_2\.(\d+)", readelf(library, "--version-info"))]
    assert max(needed) <= promised


def test_the_metadata_asks_for_the_torch_that_it_was_built_for(archive: zipfile.ZipFile) -> None:
    said = metadata(archive)
    manifest = (REPOSITORY / "Cargo.toml").read_text()
    assert said["Name"] == "lossmith"
    assert said["Version"] == re.search(r'^version = "(.+)"', manifest, re.MULTILINE)[1]
    assert said.get_all("Requires-Dist") == ["torch==2.13.*"]
    assert said["License-Expression"] == "MIT OR Apache-2.0"
    assert said.get_payload().strip() == (REPOSITORY / "host/python/README.md").read_text().strip()


def test_both_licences_are_inside(archive: zipfile.ZipFile) -> None:
    assert sorted(metadata(archive).get_all("License-File")) == ["LICENSE-APACHE", "LICENSE-MIT"]
    for name in ("LICENSE-APACHE", "LICENSE-MIT"):
        assert info(archive, f"licenses/{name}") == (REPOSITORY / name).read_text()


def test_all_of_the_package_is_inside_and_nothing_else(archive: zipfile.ZipFile) -> None:
    package = REPOSITORY / "host/python/python"
    sources = [path for path in package.rglob("*") if path.is_file() and path.suffix in (".py", ".pyi", ".typed")]
    expected = {str(path.relative_to(package)) for path in sources} | {"lossmith/_lossmith.abi3.so"}
    inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == expected
    for path in sources:
        assert archive.read(str(path.relative_to(package))) == path.read_bytes()


def test_the_record_has_the_digest_of_every_file(archive: zipfile.ZipFile) -> None:
    rows = {name: digest for name, digest, _ in csv.reader(io.StringIO(info(archive, "RECORD")))}
    assert set(rows) == set(archive.namelist())
    with_digest = {name: digest for name, digest in rows.items() if digest}
    assert len(with_digest) == len(rows) - 1, "only RECORD itself has none"
    for name, digest in with_digest.items():
        found = hashlib.sha256(archive.read(name)).digest()
        assert digest == "sha256=" + base64.urlsafe_b64encode(found).decode().rstrip("=")


def test_the_library_needs_libtorch_from_whoever_imports_it(library: Path) -> None:
    dynamic = readelf(library, "--dynamic")
    needed = set(re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic))
    assert LIBTORCH <= needed <= LIBTORCH | SYSTEM
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic


def test_the_library_defines_nothing_of_torch_and_has_no_debug_information(library: Path) -> None:
    lines = [line.split() for line in readelf(library, "--dyn-syms").splitlines()]
    defined = {words[7] for words in lines if len(words) >= 8 and words[0].endswith(":") and words[6] != "UND"}
    assert "PyInit__lossmith" in defined
    assert [name for name in defined if TORCH_SYMBOL.match(name)] == []
    sections = readelf(library, "--sections")
    assert ".debug_info" not in sections and ".symtab" not in sections


@pytest.mark.parametrize("first", ["import lossmith, torch", "import torch, lossmith"])
def test_a_process_has_one_libtorch(installed: Installed, first: str) -> None:
    maps = "print(*{line.split()[-1] for line in open('/proc/self/maps') if '.so' in line}, sep='\\n')"
    loaded = [Path(line) for line in installed.output(f"{first}\n{OWN_LOSS}\n{maps}").split()]
    torch_libraries = Path(torch.__file__).parent / "lib"
    for name in ("libtorch_cpu.so", "libtorch_python.so", "libc10.so"):
        assert [path for path in loaded if path.name == name] == [torch_libraries / name]
    assert installed.packages / "lossmith/_lossmith.abi3.so" in loaded


def test_torch_need_not_be_imported_by_the_user(installed: Installed) -> None:
    said = installed.output("import lossmith, sys; print(lossmith.__version__, 'torch' in sys.modules)")
    assert said.split() == [installed.output("import lossmith; print(lossmith.__version__)").strip(), "True"]


def test_without_torch_the_import_says_what_to_install(wheel: Path, tmp_path: Path) -> None:
    bare = Installed(tmp_path, wheel, with_torch=False)
    ran = subprocess.run([bare.python, "-c", "import lossmith"], env=bare.environment(), capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == "ImportError: lossmith needs torch 2.13: pip install 'torch==2.13.*'"


@pytest.mark.parametrize("version", ["2.12.1", "2.14.0+cu130", "2.1.3", "3.13.0"])
def test_another_torch_is_one_sentence(wheel: Path, tmp_path: Path, version: str) -> None:
    bare = Installed(tmp_path, wheel, with_torch=False)
    (bare.packages / "torch").mkdir()
    (bare.packages / "torch/__init__.py").write_text(f"__version__ = {version!r}\n")
    for command in ([bare.python, "-c", "import lossmith"], [bare.bin / "lossmith", "doctor"]):
        ran = subprocess.run(command, env=bare.environment(), capture_output=True, text=True)
        assert ran.returncode == 1
        sentence = ran.stderr.splitlines()[-1]
        assert f"built for torch 2.13, and torch {version} is installed" in sentence
        assert "pip install 'torch==2.13.*'" in sentence


def test_the_command_says_that_it_is_a_package(installed: Installed, tmp_path: Path) -> None:
    said = json.loads(installed.lossmith(tmp_path, "--json", "doctor"))
    found = {finding["what"]: finding for finding in said["findings"]}
    assert f"a package of {installed.python}, in {installed.packages / 'lossmith'}" in found["lossmith"]["found"]
    assert found["libtorch"]["found"] == f"{torch.__version__.split('+')[0]} in {Path(torch.__file__).parent}"
    # The torch that pip brings is the GPU build, also where there is no GPU.
    assert found["libtorch"]["remedy"] is None and found["devices"]["remedy"] is None
    assert "losses" in said["strategies"] or "losses" in json.dumps(said["strategies"])


def test_the_standard_plugins_are_in_it(installed: Installed, tmp_path: Path) -> None:
    code = "from lossmith import strategies; print(*sorted({s.plugin for s in strategies()}))"
    names = installed.output(code).split()
    folders = [path.parent for path in REPOSITORY.glob("plugins/*/Cargo.toml") if "cdylib" in path.read_text()]
    assert names == sorted(folder.name for folder in folders)
    assert "contrastive" in installed.lossmith(tmp_path, "plugin", "inspect", "losses")
    assert list(tmp_path.iterdir()) == []


def test_a_loss_is_computed_by_the_command_as_by_the_module(installed: Installed, tmp_path: Path) -> None:
    case = {"embeddings": [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]], "labels": [0, 0, 1, 1]}
    (tmp_path / "case.json").write_text(json.dumps(case))
    words = ["--json", "plugin", "eval", "losses", "--strategy", "contrastive", "--input", "case.json"]
    said = json.loads(installed.lossmith(tmp_path, *words))
    code = f"""
import torch
from lossmith import Loss
print(repr(Loss("losses", "contrastive")(torch.tensor({case["embeddings"]}), torch.tensor({case["labels"]})).item()))
"""
    assert said["value"] == float(installed.output(code))


def test_exit_codes_are_those_of_the_binary(installed: Installed, lab: Path) -> None:
    assert "Exit codes:" in installed.lossmith(lab, "--help")
    assert installed.lossmith(lab, "--version").startswith("lossmith ")
    installed.lossmith(lab, "no-such-command", code=2)
    installed.lossmith(lab, "train", "experiment.toml", "--set", "epoch=1", code=3)
    installed.lossmith(lab, "plugin", "inspect", "no-such-plugin", code=4)
    assert "_lossmith" in installed.lossmith(lab, "completions", "bash")


def test_a_reader_that_goes_away_ends_the_completions_quietly(installed: Installed, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [installed.bin / "lossmith", "completions", "bash"]
    ran = subprocess.run(command, cwd=tmp_path, env=installed.environment(), stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_run_says_which_command_it_was_and_can_be_repeated(installed: Installed, lab: Path) -> None:
    installed.lossmith(lab, "train", "experiment.toml", "--set", "name=first")
    (run,) = (lab / "runs").iterdir()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["command"] == ["lossmith", "train", "experiment.toml", "--set", "name=first"]
    assert manifest["versions"]["libtorch"] == torch.__version__.split("+")[0]
    assert "are equal to the last bit" in installed.lossmith(lab, "replay", str(run))


def test_a_part_of_the_command_runs_in_a_process_of_its_own(installed: Installed, tmp_path: Path) -> None:
    words = ["--json", "plugin", "bench", "losses", "--strategy", "contrastive", "--batch", "8", "--dimension", "4"]
    (row,) = json.loads(installed.lossmith(tmp_path, *words))
    assert row["megabytes"] is not None
    command = [installed.python, "-m", "lossmith", *words]
    said = subprocess.run(command, cwd=tmp_path, env=installed.environment(), stdout=subprocess.PIPE, check=True).stdout
    (row,) = json.loads(said)
    assert row["megabytes"] is not None


class Training:
    """A training of the command that does not end by itself, once it has taken a step."""

    def __init__(self, installed: Installed, lab: Path, ignored: int | None = None) -> None:
        endless = ["epochs=1000000", "evaluation.every=1000000", "run.checkpoint-every=1000000", "run.keep=1"]
        words = [word for pair in endless for word in ("--set", pair)]
        self.process = subprocess.Popen(
            [installed.bin / "lossmith", "--json", "train", "experiment.toml", *words],
            cwd=lab,
            env=installed.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=None if ignored is None else lambda: signal.signal(ignored, signal.SIG_IGN),
        )
        self.step()

    def step(self) -> None:
        """Waits for the next step."""
        for line in self.process.stdout:
            if json.loads(line).get("event") == "step":
                return
        raise AssertionError(self.process.stderr.read())

    def end(self) -> tuple[int, str]:
        """The exit code and standard error of a training that ends."""
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


def test_ctrl_c_saves_a_training(installed: Installed, lab: Path) -> None:
    training = Training(installed, lab)
    training.process.send_signal(signal.SIGINT)
    code, said = training.end()
    assert code == 130 and "its state is saved" in said and "Traceback" not in said
    (run,) = (lab / "runs").iterdir()
    assert (run / "checkpoints/interrupted.safetensors").exists()


def test_an_ignored_ctrl_c_stays_ignored(installed: Installed, lab: Path) -> None:
    training = Training(installed, lab, ignored=signal.SIGINT)
    training.process.send_signal(signal.SIGINT)
    for _ in range(3):
        training.step()
    training.process.send_signal(signal.SIGTERM)
    code, said = training.end()
    assert code == 130 and said.count("stopping after this step") == 1


def test_ctrl_c_ends_a_command_that_saves_nothing(installed: Installed, tmp_path: Path) -> None:
    """By the signal itself, as the binary: Python would wait until the command comes back to it."""
    sizes = ",".join(str(size) for size in range(8, 2048, 8))
    command = [installed.bin / "lossmith", "plugin", "bench", "losses", "--strategy", "contrastive", "--batch", sizes]
    started = {"cwd": tmp_path, "env": installed.environment(), "stdout": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, stderr=subprocess.PIPE, **started) as process:
        assert process.stderr.readline().startswith("B = 8")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == -signal.SIGINT


@pytest.mark.parametrize("language", ["rust", "python", "javascript"])
def test_a_new_plugin_has_its_sdk(installed: Installed, tmp_path: Path, language: str) -> None:
    installed.lossmith(tmp_path, "plugin", "new", "my-loss", "--role", "loss", "--language", language)
    assert len(list((tmp_path / "my-loss").iterdir())) > 1


def test_a_plugin_in_rust_is_built_where_cargo_is(installed: Installed, tmp_path: Path) -> None:
    cargo = {"PATH": f"{installed.bin}:{os.environ['PATH']}"}
    installed.lossmith(tmp_path, "plugin", "new", "my-loss", "--role", "loss")
    installed.lossmith(tmp_path, "plugin", "build", "my-loss", **cargo)
    (component,) = (tmp_path / "my-loss").rglob("my-loss.wasm")
    code = f"from lossmith import strategies; print(*[(s.role, s.name) for s in strategies({str(component)!r})])"
    assert installed.output(code).strip() == "('loss', 'my-loss')"


def test_without_cargo_a_build_says_what_is_missing(installed: Installed, tmp_path: Path) -> None:
    installed.lossmith(tmp_path, "plugin", "new", "my-loss", "--role", "loss")
    said = installed.lossmith(tmp_path, "plugin", "build", "my-loss", code=1)
    assert "`cargo` could not be started" in said and "lossmith doctor" in said
