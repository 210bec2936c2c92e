#!/usr/bin/env bash
# The demo: a teacher learns emoji retrieval, and two small students learn from it, one with the unbalanced transfer and one
# with a balanced one. Prints both beside each other and draws what each finds. Without an npm client the emoji cannot be had;
# then the same is done with Fashion-MNIST, where there is no imbalance to mend.
#
#   scripts/demo.sh LOSSMITH
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/setup/common.sh
lossmith=$1
runs=runs/demo

# newest NAME: the newest run of an experiment.
newest() { find "$runs" -maxdepth 1 -name "$1-2*" | sort | tail -n 1; }

# train NAME EXPERIMENT [SET...]
train() {
    local name=$1 experiment=$2 sets=()
    shift 2
    for set in "name=$name" "run.directory=$runs" "$@"; do sets+=(--set "$set"); done
    printf '\n== %s\n' "$name"
    "$lossmith" train "$experiment" "${sets[@]}"
}

if has npm; then
    "$lossmith" data fetch emoji
    data=()
    teacher_epochs=25
    student_epochs=15
else
    printf 'There is no npm client to fetch the emoji with: the demo takes Fashion-MNIST, where little is to be mended.\n'
    data=('data={kind="fashion-mnist",split="class-disjoint",seed=1,validation=0.4,limit=6000,augmentation={enabled=false}}'
        'sampler={classes=3,samples=40}')
    teacher_epochs=3
    student_epochs=3
fi

train teacher examples/bet/teacher.toml "epochs=$teacher_epochs" evaluation.every=5 "${data[@]}"
teacher="teacher.run=$PWD/$(newest teacher)"
none='objective.0.balance={plugin="balances",strategy="none"}'
train unbalanced examples/bet/student.toml "$teacher" "epochs=$student_epochs" "${data[@]}" "$none"
train balanced examples/bet/student.toml "$teacher" "epochs=$student_epochs" "${data[@]}"

printf '\n== what came out, on classes that nobody was trained on\n'
"$lossmith" runs list "$runs"
picture=$runs/retrieval.png
"$lossmith" retrieve "$(newest balanced)" --against "$(newest unbalanced)" --output "$picture"
printf '\nThe picture: %s (for each query the balanced student above, the unbalanced one below)\n' "$picture"
printf 'The report:  %s/report.html\n' "$(newest balanced)"

printf '\n== a training that is edited while it runs: one swap, and one edit that is refused\n'
examples/hot-reload/guided.sh "$lossmith" --short
