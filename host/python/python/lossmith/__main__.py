"""The command ``lossmith``: the same code as the binary, in this process."""

import signal
import sys


def main() -> None:
    """Runs the command with the words of the command line, and ends the process."""
    from lossmith import _lossmith

    # Ctrl-C is the command's business: Python would only make a note of it. A signal that is ignored stays ignored.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _lossmith.command(["lossmith", *sys.argv[1:]])


if __name__ == "__main__":
    main()
