#!/bin/sh
#SBATCH --job-name=ranks
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=2
#SBATCH --time=01:00:00
#SBATCH --requeue
# Five minutes before its time is over srun's processes get SIGTERM: rank 0 saves the state, and all end with code 130.
#SBATCH --signal=TERM@300
#
#   sbatch examples/ranks/slurm.sh
set -u
newest=$(find runs -maxdepth 1 -name 'ranks-*' 2>/dev/null | sort | tail -n 1)
if [ -n "$newest" ]; then
  srun lossmith train --resume "$newest"
else
  srun lossmith train examples/ranks/experiment.toml
fi
code=$?
if [ "$code" -eq 130 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
