"""The command ``lossmith``: the same code as the binary, in this process."""

import signal
import sys


def main() -> None:
    """Runs the command with the words of the command line, and ends the process."""
    from lossmith import _lossmith

    # Ctrl-C is the command's business: Python would only make a note of it. A signal that is ignored stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # A part of the command runs in a process of its own, started as this one was: by its script, or by `-m lossmith`.
    own = sys.argv[1:]
    first = sys.orig_argv[1 : len(sys.orig_argv) - len(own)]
    _lossmith.command(["lossmith", *own], sys.executable, first)


if __name__ == "__main__":
    main()
