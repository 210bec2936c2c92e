"""Strategies in the cells of a notebook: ``%load_ext lossmith``, then ``%%lossmith loss NAME``."""

from __future__ import annotations

import argparse
import builtins
import html
import keyword
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, line_cell_magic, magics_class
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring
from IPython.display import DisplayHandle, display

from lossmith.catalogue import _MODULES
from lossmith.errors import LossmithError
from lossmith.modules import StrategyModule
from lossmith.session import Candidate, Session

#: Where the source is in a plugin's folder.
_SOURCES = {"rust": "src/lib.rs", "python": "plugin.py", "javascript": "plugin.js"}
_USAGE = "%%lossmith ROLE NAME [--language rust|python|javascript] [--strategy STRATEGY]"


@magics_class
class StrategyMagics(Magics):
    """The magic ``lossmith``. What it builds is in a folder that goes with the kernel."""

    shell: InteractiveShell

    def __init__(self, shell: InteractiveShell) -> None:
        super().__init__(shell)
        self._folder = tempfile.TemporaryDirectory(prefix="lossmith-notebook-")

    @magic_arguments()
    @argument("role", help="what the strategy does: loss, miner, transfer, balance, schedule or fusion")
    @argument("name", help="the variable that holds its module")
    @argument("--language", default="rust", help="what the cell is written in: rust, python or javascript")
    @argument("--strategy", help="which strategy of the cell, if it has several of the role")
    @line_cell_magic
    def lossmith(self, line: str, cell: str | None = None) -> None:
        """A strategy, written in this cell: all of what a plugin's source file has.

        The cell is built and checked, and what the compiler or the check says is shown below it. The module NAME that
        is in a session takes the strategy as a candidate, for the next boundary; else NAME becomes a new module with
        the defaults of all parameters, unless it has a value that is no module of lossmith. With one % and nothing
        below, a cell with a strategy to begin with is written.
        """
        given = self._arguments(line)
        folder = self._plugin(given.role, given.name, given.language)
        source = folder / _SOURCES[given.language]
        if cell is None:
            self.shell.set_next_input(f"%%lossmith {line.strip()}\n{source.read_text()}")
            return
        live = self.shell.user_ns.get(given.name)
        session = live._session if isinstance(live, StrategyModule) else None
        if session is not None and live.ROLE != given.role:
            raise UsageError(f"`{given.name}` is a {live.ROLE} in a session: give this {given.role} another name")
        if source.read_text() != cell:
            source.write_text(cell)
        report = _Report(given.name)
        component = self._built(folder, report)
        try:
            module = _MODULES[given.role](component, given.strategy)
        except (LossmithError, ValueError) as error:
            report.show("was built, but cannot be used", str(error), failed=True)
            raise UsageError(f"`{given.name}` stays as it was") from None
        checked = _run("plugin", "check", str(component), "--strategy", module.strategy)
        details, failed = checked.stdout + checked.stderr, checked.returncode != 0
        outcome = f"its check {'failed' if failed else 'passed'}"
        if session is None:
            self.shell.user_ns[given.name] = module
            report.show(f"{outcome}; it is a new module", details, failed)
            return
        candidate = _replace(session, live, module)
        changes = "".join(f"\n  {change['key']}: {change['from']} -> {change['to']}" for change in candidate.changes)
        report.show(f"{outcome}; {candidate}{changes}", details, failed or candidate.refused)
        if candidate.refused:
            raise UsageError(f"`{given.name}` stays as it was")

    def _arguments(self, line: str) -> argparse.Namespace:
        """The words of the magic's line."""
        try:
            given: argparse.Namespace = parse_argstring(self.lossmith, line)
        except UsageError as error:
            raise UsageError(f"{error}\n  help: {_USAGE}") from None
        if given.role not in _MODULES:
            raise UsageError(f'there is no role "{given.role}": the roles are {", ".join(_MODULES)}')
        if given.language not in _SOURCES:
            raise UsageError(f'there is no language "{given.language}": a cell is in {", ".join(_SOURCES)}')
        if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", given.name) or keyword.iskeyword(given.name):
            raise UsageError(f'"{given.name}" cannot be the name: give lower-case words joined by _, as my_loss')
        bound = {**vars(builtins), **self.shell.user_ns}
        if given.name in bound and not isinstance(bound[given.name], StrategyModule):
            raise UsageError(
                f"`{given.name}` is there already and no module of lossmith, but {_kind(bound[given.name])}: give "
                "another name"
            )
        return given

    def _plugin(self, role: str, name: str, language: str) -> Path:
        """The folder of a plugin. It is made at the first use of the name, and built again after that."""
        plugin = name.replace("_", "-")
        folder = Path(self._folder.name, f"{role}-{language}", plugin)
        if not folder.exists():
            made = _run("plugin", "new", plugin, "--role", role, "--language", language, "--directory", str(folder))
            if made.returncode != 0:
                raise UsageError(made.stderr.strip().removeprefix("× "))
        return folder

    def _built(self, folder: Path, report: _Report) -> Path:
        """The component of a folder. Each build has a file of its own: a session may follow that of the one before."""
        report.show("is being built", "")
        out = tempfile.mkdtemp(prefix="built-", dir=self._folder.name)
        built = _run("plugin", "build", str(folder), "--out", out)
        if built.returncode != 0:
            report.show("does not build", built.stderr, failed=True)
            raise UsageError(f"`{report.name}` does not build, and stays as it was")
        return Path(out, f"{folder.name}.wasm")


def _replace(session: Session, live: StrategyModule, module: StrategyModule) -> Candidate:
    """Asks the session of the module ``live`` for another one's strategy, with the values that were given to ``live``,
    and waits for the checks. A value of a parameter that the strategy has no more is left out, which is among the
    changes of the candidate.
    """
    params = {name.replace("-", "_"): value for name, value in live._given.items() if name in module.params}
    candidate = session.replace(live, module.source, module.strategy, **params)
    session.wait()
    return candidate


def _kind(value: object) -> str:
    """What a value is, for an error: ``a module``, ``an int``."""
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


class _Report:
    """What is shown below a cell. What is shown later takes its place."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._handle: DisplayHandle | None = None

    def show(self, outcome: str, details: str, failed: bool = False) -> None:
        """Shows a line, and what a command printed: folded, unless something failed."""
        title, colour = f"{self.name}: {outcome}", "#b00020" if failed else "inherit"
        shown = f'<div style="color: {colour}; white-space: pre-wrap">{html.escape(title)}</div>'
        if details:
            opened = " open" if failed else ""
            shown += f"<details{opened}><summary>report</summary><pre>{html.escape(details)}</pre></details>"
        data = {"text/plain": f"{title}\n{details}".rstrip(), "text/html": shown}
        if self._handle is None:
            self._handle = display(data, raw=True, display_id=True)
        else:
            self._handle.update(data, raw=True)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs the command ``lossmith`` of this package."""
    return subprocess.run([sys.executable, "-m", "lossmith", *words], capture_output=True, text=True)
