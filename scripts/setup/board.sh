# shellcheck shell=bash
# The browser that the board is tested in, and the Python that drives it: scripts/setup/board.txt.

BOARD_FOLDER=.board-python

setup_board() {
    # This file is written last, so that a set-up that was interrupted leaves nothing that looks finished.
    local finished=$BOARD_FOLDER/finished.txt
    has "${CHROMIUM:-chromium}" || install_packages "the browser of the tests" chromium
    has python3 || install_packages "Python 3" python3
    if ! cmp -s scripts/setup/board.txt "$finished"; then
        make_venv "$BOARD_FOLDER"
        say "downloading Playwright into $BOARD_FOLDER (45 MB)"
        "$BOARD_FOLDER/bin/pip" install --disable-pip-version-check --no-deps --only-binary=:all: --quiet \
            -r scripts/setup/board.txt || fail "pip could not install scripts/setup/board.txt" "scripts/setup.sh board"
        cp scripts/setup/board.txt "$finished"
    fi
    say "browser of the tests: $("${CHROMIUM:-chromium}" --version), driven from $BOARD_FOLDER"
}
