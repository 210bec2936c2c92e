#!/usr/bin/env bash
# The session of README.md, from its first command to its last, in a folder of its own. What it prints is transcript.txt.
#
#   examples/hot-reload/guided.sh LOSSMITH           everything: about five minutes, the first build of the loss included
#   examples/hot-reload/guided.sh LOSSMITH --short   one swap and one refused edit, with a standard loss: half a minute
set -euo pipefail

lossmith=$(realpath "$1")
short=${2:-}
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")")
repository=$(realpath "$here/../..")
LOSSMITH_DATA=${LOSSMITH_DATA:-$repository/.data}
export LOSSMITH_DATA
folder=$(mktemp -d)
training=
cleanup() {
    if [[ -n $training ]]; then kill -9 "$training" 2>/dev/null || true; fi
    rm -rf "$folder"
}
trap cleanup EXIT

cp -r "$here/experiment.toml" "$here/my-loss" "$folder"
rm -rf "$folder/my-loss/target"
cd "$folder"
sed -i "s|\.\./\.\./\.\./plugins/sdk|$repository/plugins/sdk|" my-loss/Cargo.toml
sed -i '/^name = "hot-reload"/a threads = 1' experiment.toml
[[ -z $short ]] || sed -i 's|{ crate = "my-loss" }, strategy = "my-loss"|"losses", strategy = "contrastive"|; s|{ margin|{ negative-margin|' experiment.toml

shown=0
# show: what the training has printed since this was last called.
show() {
    local lines
    lines=$(wc -l <training.log)
    if ((lines > shown)); then sed -n "$((shown + 1)),${lines}p" training.log; fi
    shown=$lines
}
# until_line PATTERN: waits for a line of the training after those that were shown, and shows all up to now.
until_line() {
    local waited=0
    while ! tail -n "+$((shown + 1))" training.log | grep -q "$1"; do
        if ! kill -0 "$training" 2>/dev/null; then
            show
            printf 'the training has ended, and there was no "%s"\n' "$1" >&2
            exit 1
        fi
        sleep 0.2
        waited=$((waited + 1))
        if ((waited > 3000)); then
            show
            printf 'there was no "%s" within ten minutes\n' "$1" >&2
            exit 1
        fi
    done
    show
}
say() { printf '\n== %s\n' "$*"; }
# run WORDS: shows a command and runs it.
run() {
    printf '$ %s\n' "$*"
    "$@" || true
}
# edit FILE FROM TO: changes a file in one step, as editors do.
edit() {
    printf '$ edit %s: %s  ->  %s\n' "$1" "$2" "$3"
    sed "s|$2|$3|" "$1" >"$1.new"
    if cmp -s "$1" "$1.new"; then
        printf 'nothing to edit: "%s" is not in %s\n' "$2" "$1" >&2
        exit 1
    fi
    mv "$1.new" "$1"
}
begin() {
    printf '$ lossmith %s\n' "$*"
    "$lossmith" "$@" >>training.log 2>&1 &
    training=$!
}
lossmith() { "$lossmith" "$@" 2>&1; }

touch training.log
if [[ -z $short ]]; then
    say 'The loss is a Rust crate. Its first build takes a minute.'
    printf '$ lossmith plugin build my-loss\n'
    "$lossmith" plugin build my-loss 2>build.log || { cat build.log >&2 && exit 1; }
fi
say 'A training begins; it follows its experiment file and what the loss is made of.'
begin train experiment.toml --watch
until_line '^epoch *1/'
run=$(find runs -mindepth 1 -maxdepth 1 -name 'hot-reload-*' | head -n 1)
margin='margin = 0.5'
# Out of the range of my-loss; the standard loss has no range, but wants a number.
bad='margin = -1'
[[ -z $short ]] || bad='margin = "far"'

say 'A parameter is edited: it is tried out on a batch of the run and taken at the next epoch.'
edit experiment.toml "$margin" "${margin/0.5/0.8}"
until_line 'is live from epoch'

say 'A bad edit is refused, and costs nothing.'
edit experiment.toml "${margin/0.5/0.8}" "$bad"
until_line 'refused'
edit experiment.toml "$bad" "${margin/0.5/0.8}"
until_line 'nothing changed'

if [[ -n $short ]]; then
    run lossmith session stop "$run"
    wait "$training" || true
    training=
    show
    exit 0
fi

say 'The source of the loss is edited, with a mistake. The compiler says what it is.'
edit my-loss/src/lib.rs 'let pull = distances.relu();' 'let pull = distances.sqare();'
until_line 'refused'

say 'Without the mistake it is built, tried out and taken.'
edit my-loss/src/lib.rs 'distances.sqare()' 'distances.square()'
until_line 'is live from epoch'

say 'A loss that is not finite does not pass the canary.'
edit my-loss/src/lib.rs 'distances.square()' 'distances.square() / 0.0'
until_line 'candidate [0-9]*: refused'

say 'A loss that passes the canary and fails at work leads back to the start of the epoch, with the loss before.'
step=$("$lossmith" --json session status "$run" | sed -n 's/.*"step": *\([0-9]*\).*/\1/p' | head -n 1)
late="if _progress.step() > $((step + 110)) { panic!(\"not ready for this step\") }"
edit my-loss/src/lib.rs 'distances.square() / 0.0;' "distances.square(); $late"
until_line 'back to the start of epoch'
edit my-loss/src/lib.rs "; $late" ';'
until_line 'candidate [0-9]*:'

say 'From outside: how it stands, another learning rate, and the shadow in place of the loss.'
run lossmith session status "$run"
run lossmith session set "$run" optimizer.learning-rate=0.001
until_line 'is live from epoch'
run lossmith session promote "$run" multi-similarity
until_line 'is live from epoch'
until_line '^epoch'

say 'The process is killed, and the run goes on from its last checkpoint.'
run kill -9 "$training"
wait "$training" 2>/dev/null || true
begin train --resume "$run"
until_line '^epoch'
run lossmith session stop "$run"
wait "$training" || true
training=
show

say 'Everything is in the journal, and the whole run can be repeated: same swaps, same bits.'
printf '$ lossmith replay %s | tail -n 1\n' "$run"
"$lossmith" replay "$run" | tail -n 1
