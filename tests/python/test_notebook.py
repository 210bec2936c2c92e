"""The magic `%%lossmith` in a real kernel, and in a shell where no kernel is needed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

import lossmith

pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
from IPython.core.error import UsageError  # noqa: E402
from IPython.core.interactiveshell import InteractiveShell  # noqa: E402
from nbclient import NotebookClient  # noqa: E402
from nbformat.v4 import new_code_cell, new_notebook  # noqa: E402

#: Contrastive loss, with a place for an edit.
SOURCE = """use lossmith_sdk::prelude::*;

export! { losses: [MyLoss] }

strategy! {
    /// Pairs of one class are pulled together, others pushed apart.
    pub struct MyLoss as "my-loss" {
        /// Distance above which a pair of two classes costs nothing.
        margin: f64 = 0.5, range 0.0..=2.0;
    }
}

impl Loss for MyLoss {
    fn loss(&self, batch: &Batch, _: &Progress) -> Result<Tensor> {
        let x = batch.embeddings().normalize(2.0, 1);
        let distances = x.distance_matrix(&x);
        let pairs = PairWeights::of(batch);
        let pull = distances.relu();
        let push = (self.margin - distances).relu();
        let mean = Reducer::mean();
        Ok(mean.reduce(&pull, &pairs.positive, batch)? + mean.reduce(&push, &pairs.negative, batch)?)
    }
}
"""

TRAINING = """
torch.manual_seed(1)
network, rows, labels = torch.nn.Linear(8, 4), torch.randn(24, 8), torch.arange(24) % 3
optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
session = lossmith.Session(my_loss)

def train(steps):
    for _ in range(steps):
        value = my_loss(network(rows), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        session.step()
    print(f"{value.item():.4f}")

train(1)
session.set("margin", 0.75)
session.wait()
session.boundary()
# As long as what was taken is on probation, nothing else is.
train(20)
first, module = my_loss.hash, my_loss
"""


def edited(before: str, after: str) -> str:
    """A cell with the source, of which one place is another."""
    assert before in SOURCE
    return "%%lossmith loss my_loss\n" + SOURCE.replace(before, after)


def text_of(cell: Any, kind: str = "text/plain") -> str:
    """What is shown below a cell."""
    shown = [output.get("data", {}).get(kind, "") + output.get("text", "") for output in cell.outputs]
    return "\n".join(shown)


def test_a_loss_is_written_corrected_trained_with_and_swapped_in_a_notebook() -> None:
    cells = {
        "begin": "%load_ext lossmith\nimport lossmith, torch",
        # The compiler says what was expected: `Vec<f64>`.
        "wrong": edited("let mean", "let wrong: Vec<f64> = batch.labels();\n        let mean"),
        "not there": "my_loss",
        "right": edited("", ""),
        "train": TRAINING,
        "not finite": edited("let push =", "let distances = distances / 0.0;\n        let push ="),
        "squared": edited("distances.relu()", "distances.square()"),
        "before": "print(my_loss.hash == first)",
        "swap": "print(bool(session.boundary().swapped), my_loss.hash != first, my_loss is module, my_loss.params)",
        "go on": "train(3)",
        "other role": "%%lossmith miner my_loss\nx",
        "wrong again": edited("fn loss", "fn los"),
        "still there": "train(1); session.close()",
    }
    notebook = new_notebook(cells=[new_code_cell(text) for text in cells.values()])
    NotebookClient(notebook, timeout=600, kernel_name="python3", allow_errors=True).execute()
    done = dict(zip(cells, notebook.cells, strict=True))
    said = {name: text_of(cell) for name, cell in done.items()}

    assert "does not build" in said["wrong"] and "expected `Vec<f64>`" in said["wrong"]
    assert "expected `Vec&lt;f64&gt;`" in text_of(done["wrong"], "text/html")
    assert done["not there"].outputs[0].ename == "NameError"

    assert "its check passed; it is a new module" in said["right"] and "finite differences" in said["right"]
    assert done["train"].outputs[-1].output_type == "stream", done["train"].outputs

    assert "refused" in said["not finite"] and "finite" in said["not finite"]
    assert "`my_loss` stays as it was" in said["not finite"]
    assert "accepted" in said["squared"] and "cosine of the gradients" in said["squared"]
    assert said["before"].strip() == "True", "it takes over at the boundary"
    assert said["swap"].strip() == "True True True {'margin': 0.75}", "the value that was set stays"
    float(said["go on"])

    assert "is a loss in a session" in said["other role"]
    assert "does not build" in said["wrong again"]
    float(said["still there"])


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """A shell of IPython with the magic."""
    # It puts a module of its own in the place of `__main__`, which processes that others start look at.
    main = sys.modules["__main__"]
    shell = InteractiveShell.instance()
    shell.run_line_magic("load_ext", "lossmith")
    yield shell
    shell.reset()
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("loss", "required: name"),
        ("los my_loss", 'there is no role "los": the roles are loss, miner'),
        ("loss 3d", "lower-case words joined by _, as my_loss"),
        ("loss MyLoss", "lower-case words joined by _, as my_loss"),
        ("loss lambda", "lower-case words joined by _, as my_loss"),
        ("loss my_loss --language perl", "a cell is in rust, python, javascript"),
        ("loss my_loss --margin 1", "unrecognized arguments: --margin"),
    ],
)
def test_a_line_that_makes_no_sense_is_a_sentence(shell: InteractiveShell, line: str, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        shell.run_cell_magic("lossmith", line, "use lossmith_sdk::prelude::*;")
    assert says in str(raised.value)


@pytest.mark.parametrize("line", ["loss math", "loss x", "loss print"])
def test_a_name_of_the_user_stays(shell: InteractiveShell, line: str) -> None:
    shell.run_cell("import math; x = 7")
    before = dict(shell.user_ns)
    for cell in (SOURCE, None):
        with pytest.raises(UsageError) as raised:
            shell.run_line_magic("lossmith", line) if cell is None else shell.run_cell_magic("lossmith", line, cell)
        assert "is there already and no module of lossmith" in str(raised.value)
    assert shell.user_ns["math"] is before["math"] and shell.user_ns["x"] == 7 and "print" not in shell.user_ns


@pytest.mark.parametrize(
    ("role", "language", "word"),
    [
        ("loss", "rust", "lossmith_sdk"),
        ("miner", "python", "from lossmith import"),
        ("transfer", "javascript", 'from "./lossmith.js"'),
        ("balance", "rust", "lossmith_sdk"),
        ("schedule", "python", "from lossmith import"),
        ("fusion", "javascript", 'from "./lossmith.js"'),
    ],
)
def test_a_cell_to_begin_with_is_written(shell: InteractiveShell, role: str, language: str, word: str) -> None:
    written: list[str] = []
    shell.set_next_input = written.append
    shell.run_line_magic("lossmith", f"{role} my_{role} --language {language}")
    assert len(written) == 1
    first, _, source = written[0].partition("\n")
    assert first == f"%%lossmith {role} my_{role} --language {language}"
    assert word in source and f"my-{role}" in source
