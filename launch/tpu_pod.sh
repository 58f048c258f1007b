#!/usr/bin/env bash
# A Cloud TPU slice: starts the same command on every host of it; the hosts find each other.
#
#   launch/tpu_pod.sh configs/table1.py [--config.seeds=3 ...]
#
# The slice must exist, with mdvae[tpu] installed on every host and the run directories on storage
# that all hosts mount. A preempted slice: create it again, and run the same line again.
set -euo pipefail

# ---- edit here -----------------------------------------------------------------------------------
TPU_NAME="${TPU_NAME:-mdvae}"
ZONE="${ZONE:-us-central2-b}"
CODE="${CODE:-mdvae}"          # folder of the checkout on the hosts
PYTHON="${PYTHON:-python}"     # on the hosts
RUNS="${RUNS:-/mnt/runs}"      # mounted on every host
GCLOUD="${GCLOUD:-gcloud}"
# --------------------------------------------------------------------------------------------------

config="${1:?usage: launch/tpu_pod.sh CONFIG [--config.field=value ...]}"
shift
name="$(basename "$config" .py)"
command="cd $(printf %q "$CODE") && $(printf %q "$PYTHON") -m mdvae.sweep --distributed"
for argument in --config "$config" --workdir "$RUNS/$name" "$@"; do
  command+=" $(printf %q "$argument")"
done
exec "$GCLOUD" compute tpus tpu-vm ssh "$TPU_NAME" --zone="$ZONE" --worker=all --command="$command"
