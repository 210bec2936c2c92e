#!/bin/sh
# Two processes on this machine by torchrun, which starts all again up to three times if one is lost. Each time they go on with the
# newest run of the experiment, if there is one.
#
#   examples/ranks/torchrun.sh [PROCESSES]
set -eu
here=$(dirname "$0")
newest=$(find runs -maxdepth 1 -name 'ranks-*' 2>/dev/null | sort | tail -n 1)
export HERE="$here" RUN="$newest"
# shellcheck disable=SC2016 # each process expands it
exec torchrun --nproc-per-node "${1:-2}" --max-restarts 3 --no-python sh -c '
  if [ "$TORCHELASTIC_RESTART_COUNT" -gt 0 ]; then
    RUN=$(find runs -maxdepth 1 -name "ranks-*" | sort | tail -n 1)
  fi
  if [ -n "$RUN" ]; then exec lossmith train --resume "$RUN"; fi
  exec lossmith train "$HERE/experiment.toml"'
