#!/usr/bin/env bash
# Sets up everything that Lossmith's build, tests and demo need. It can be run again at any time: what is there is kept.
#
#   scripts/setup.sh              what the command and its plugins in Rust need
#   scripts/setup.sh languages    what builds plugins in Python and JavaScript, and nothing else
#   scripts/setup.sh wheel        what makes the wheel, and nothing else
#   scripts/setup.sh python       the Python that the wheel is tested in, and nothing else
#   scripts/setup.sh peers        the same with what our times are compared with, and nothing else
#   scripts/setup.sh board        the browser that the board is tested in, and nothing else
#
# Environment:
#   LIBTORCH=<folder>                 use this libtorch (2.13.0) instead of one in .libtorch
#   LIBTORCH_USE_PYTORCH=1            use the libtorch of the PyTorch (2.13.0) that Python has
#   LOSSMITH_DATA=<folder>            where data sets are, besides /usr/share/datasets and .data
#   LOSSMITH_TOOLS=<folder>           where the tools of the languages are, instead of ~/.local/share/lossmith/tools
#   CHROMIUM=<program>                use this browser for the tests of the board instead of `chromium`
#   LOSSMITH_WASM_TOOLCHAIN=debian    build plugins with Debian's rustc-web, even if rustup's target is there
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup/common.sh
source scripts/setup/tools.sh
source scripts/setup/libtorch.sh
source scripts/setup/wasm.sh
source scripts/setup/dataset.sh
source scripts/setup/languages.sh
source scripts/setup/python.sh
source scripts/setup/board.sh

case ${1:-} in
'')
    setup_tools
    setup_libtorch
    setup_wasm
    setup_dataset
    ;;
languages) setup_languages ;;
wheel) setup_wheel ;;
python) setup_python ;;
peers) setup_peers ;;
board) setup_board ;;
*) fail "\`$1\` is no part of the set-up" "scripts/setup.sh languages" ;;
esac
say "done"
