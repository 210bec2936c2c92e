"""Exceptions. Each says what is wrong; its ``help`` says what to do."""

from __future__ import annotations

from typing import Any


class LossmithError(Exception):
    """What all exceptions of this package are.

    ``message`` says what is wrong, ``help`` what to do about it, if that is known.
    """

    def __init__(self, message: str, help: str | None = None, **fields: Any) -> None:
        super().__init__(message if help is None else f"{message}\n  help: {help}")
        self.message = message
        self.help = help
        self.fields = fields

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self.message, self.help, self.fields)


def _restore(kind: type[LossmithError], message: str, help: str | None, fields: dict[str, Any]) -> LossmithError:
    return kind(message, help, **fields)


class PluginError(LossmithError):
    """A plugin was refused, or its call ended: it panicked, reached a limit, refused its input, or its result is wrong.

    ``cause`` is the kind of fault: ``panic``, ``trap``, ``limit``, ``operation``, ``result``, ``refused``,
    ``parameter``, ``unknown-strategy``, ``no-plugin``, ``not-wasm``, ``other-version``, ``foreign-import``,
    ``invalid``, ``machine`` and others. The other attributes are None where the fault has no such thing.
    """

    def __init__(self, message: str, help: str | None = None, **fields: Any) -> None:
        super().__init__(message, help, **fields)
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


class BuildError(LossmithError):
    """A plugin's folder does not build. The message has what the compiler says."""


class RunError(LossmithError):
    """A run's folder that cannot be read, or a checkpoint that is not there."""


class SessionError(LossmithError):
    """A session that cannot do what it is asked for."""
