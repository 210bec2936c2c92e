"""Exceptions. Each says what is wrong; its ``help`` says what to do."""

from __future__ import annotations

from typing import Any

#: What the help for a limit says to those who use the command.
_OF_COMMANDS = "; an experiment does so under [limits]"


class LossmithError(Exception):
    """What all exceptions of this package are.

    ``message`` says what is wrong, ``help`` what to do about it, if that is known.
    """

    def __init__(self, message: str, help: str | None = None, **fields: Any) -> None:
        super().__init__(_text(message, help))
        self.message = message
        self.help = help
        self.fields = fields

    def _advise(self, help: str) -> None:
        """Takes help that only the caller knows, after what is there."""
        self.help = help if self.help is None else f"{self.help}; {help}"
        self.args = (_text(self.message, self.help),)

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.message, self.help, self.fields)


def _text(message: str, help: str | None) -> str:
    return message if help is None else f"{message}\n  help: {help}"


def _restore(kind: type[LossmithError], message: str, help: str | None, fields: dict[str, Any]) -> LossmithError:
    return kind(message, help, **fields)


class PluginError(LossmithError):
    """A plugin was refused, or its call ended: it panicked, reached a limit, refused its input, or its result is wrong.

    ``cause`` is the kind of fault: ``panic``, ``trap``, ``limit``, ``operation``, ``result``, ``refused``,
    ``parameter``, ``unknown-strategy``, ``no-plugin``, ``not-wasm``, ``other-version``, ``foreign-import``,
    ``invalid``, ``machine`` and others. The other attributes are None where the fault has no such thing.
    """

    def __init__(self, message: str, help: str | None = None, **fields: Any) -> None:
        super().__init__(message, _in_python(message, help, fields), **fields)
        #: The plugin: its file without the ending.
        self.plugin: str | None = fields.get("plugin")
        #: SHA-256 of its bytes in hexadecimal.
        self.hash: str | None = fields.get("hash")
        #: ``load``, ``compile``, ``instantiate``, ``describe``, ``configure`` or ``call``.
        self.phase: str | None = fields.get("phase")
        self.role: str | None = fields.get("role")
        self.strategy: str | None = fields.get("strategy")
        self.cause: str | None = fields.get("cause")
        #: The parameter that is wrong.
        self.parameter: str | None = fields.get("parameter")
        #: The name of the limit, its value, and what the call wanted.
        self.limit: str | None = fields.get("limit")
        self.value: int | None = fields.get("value")
        self.wanted: int | None = fields.get("wanted")
        #: The operation of the contract that failed, and the shapes of its inputs.
        self.operation: str | None = fields.get("operation")
        self.shapes: str | None = fields.get("shapes")
        #: Where in the plugin's source, if the component tells.
        self.function: str | None = fields.get("function")
        self.file: str | None = fields.get("file")
        self.line: int | None = fields.get("line")


def _in_python(message: str, help: str | None, fields: dict[str, Any]) -> str | None:
    """The help of a fault where there is no experiment, but a module and its call."""
    cause = fields.get("cause")
    if cause == "limit" and help is not None and _OF_COMMANDS in help:
        return f'{help.partition(_OF_COMMANDS)[0]}, with limits={{"{fields["limit"]}": ...}} where the module is made'
    if cause == "refused" and help is None and "no teacher to learn from" in message:
        return "a call of a module has no experiment: give teacher=..., the teacher's embeddings of the same images"
    return help


class BuildError(LossmithError):
    """A plugin's folder does not build. The message has what the compiler says."""


class RunError(LossmithError):
    """A run's folder that cannot be read, or a checkpoint that is not there."""


class SessionError(LossmithError):
    """A session that cannot do what it is asked for."""
