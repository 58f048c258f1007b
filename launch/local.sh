#!/usr/bin/env bash
# One machine: all its GPUs, or all cores of its CPU.
#
#   launch/local.sh configs/table1.py [--config.seeds=3 ...]
#
# Interrupted (Ctrl-C, kill, a reboot), it saves; the same line resumes.
set -euo pipefail

# ---- edit here -----------------------------------------------------------------------------------
PYTHON="${PYTHON:-python}" # of the environment that mdvae is installed in
RUNS="${RUNS:-runs}"       # run directories go here
# --------------------------------------------------------------------------------------------------

config="${1:?usage: launch/local.sh CONFIG [--config.field=value ...]}"
shift
name="$(basename "$config" .py)"
exec "$PYTHON" -m mdvae.sweep --config "$config" --workdir "$RUNS/$name" "$@"
