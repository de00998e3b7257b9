#!/usr/bin/env bash
# What to run whenever a GPU is at hand: agreement with the CPU, speed, the next piece of the study.
#
#   benchmarks/gpu/run.sh DATA_ROOT RUNS [SECONDS]
#
# RUNS keeps the store; bring it along next time and the study goes on where it was.
set -euo pipefail
data=$1 runs=$2 seconds=${3:-400}
cd "$(dirname "$0")/../.."
export PYTHONPATH="src:${PYTHONPATH:-}" PYTHONUNBUFFERED=1

python3 benchmarks/gpu/agreement.py
python3 benchmarks/speed.py
python3 benchmarks/scoring.py
# A run that is stopped loses nothing: 124 is the time limit, 130 the stop itself.
timeout --signal=INT "$seconds" python3 -m scratchcard.cli run studies/cifar10-jpeg-panel.toml \
  --data-root "$data" --runs "$runs" --device cuda --workers 4 || [ $? -eq 124 ] || [ $? -eq 130 ]
