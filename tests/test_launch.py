"""The launch scripts: with stand-ins for the cluster's commands, and against the JobSet's shape."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from runs import SMALL, environment

import mdvae

ROOT = Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
SHORT = ("--config.steps=5", "--config.grid.r=(3,)")

# Starts the tasks of a step as SLURM would, one host; its code is the largest of theirs.
SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do shift; done
pids=()
for ((i = 0; i < SLURM_NTASKS; i++)); do
  SLURM_PROCID=$i SLURM_LOCALID=$i SLURM_STEP_NODELIST=localhost "$@" & pids+=($!)
done
code=0
for pid in "${pids[@]}"; do
  task=0; wait "$pid" || task=$?
  if ((task > code)); then code=$task; fi
done
exit "$code"
"""


@pytest.fixture
def cluster(tmp_path):
    """Runs a launch script where srun, scontrol and gcloud are stand-ins that write down."""
    folder = tmp_path / "bin"
    folder.mkdir()
    scripts = {"srun": SRUN}
    for name in ("scontrol", "gcloud"):
        scripts[name] = f'#!/usr/bin/env bash\nprintf "%s\\n" "$@" > {tmp_path}/{name}.said\n'
    for name, text in scripts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)

    def run(script, *args, **variables):
        environment_here = {
            **environment(),
            "PATH": f"{folder}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
            "RUNS": str(tmp_path / "runs"),
            **variables,
        }
        command = ["bash", str(LAUNCH / script), *map(str, args)]
        return subprocess.run(
            command, capture_output=True, text=True, env=environment_here, check=False, cwd=ROOT
        )

    run.folder = tmp_path
    return run


@pytest.mark.long
def test_local(cluster):
    done = cluster("local.sh", SMALL, *SHORT, "--config.seeds=1")
    assert done.returncode == 0, done.stderr
    assert len(mdvae.load_run(cluster.folder / "runs" / "small").results) == 1


@pytest.mark.long
def test_slurm_with_two_tasks_finishes(cluster):
    variables = {"SLURM_NTASKS": "2", "SLURM_JOB_ID": str(os.getpid())}
    done = cluster("slurm.sbatch", SMALL, *SHORT, "--config.seeds=5", **variables)
    assert done.returncode == 0, done.stderr
    assert len(mdvae.load_run(cluster.folder / "runs" / "small").results) == 5
    assert not (cluster.folder / "scontrol.said").exists()


@pytest.mark.parametrize(("code", "requeued"), [(75, True), (0, False), (2, False), (137, False)])
def test_slurm_requeues_what_was_interrupted(cluster, code, requeued):
    stand_in = cluster.folder / "python"
    stand_in.write_text(f"#!/usr/bin/env bash\nexit {code}\n")
    stand_in.chmod(0o755)
    variables = {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "42", "PYTHON": str(stand_in)}
    done = cluster("slurm.sbatch", SMALL, **variables)
    assert done.returncode == (0 if requeued else code)
    said = cluster.folder / "scontrol.said"
    assert (said.read_text().split() if said.exists() else []) == (
        ["requeue", "42"] if requeued else []
    )


def test_slurm_reads_all_its_directives():
    lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
    first_command = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [i for i, line in enumerate(lines) if line.startswith("#SBATCH")]
    assert max(directives) < first_command
    assert "#SBATCH --signal=TERM@120" in lines


def test_tpu_pod_quotes_its_arguments(cluster):
    done = cluster("tpu_pod.sh", "configs/table1.py", "--config.grid.r=(2, 4)", PYTHON="python")
    assert done.returncode == 0, done.stderr
    said = (cluster.folder / "gcloud.said").read_text().splitlines()
    assert "--worker=all" in said
    command = next(line for line in said if line.startswith("--command="))
    assert "-m mdvae.sweep --distributed" in command
    # The host's shell sees the override as one word.
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command.partition('&&')[2]}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--config.grid.r=(2, 4)" in words.stdout.splitlines()


@pytest.mark.parametrize("script", ["local.sh", "slurm.sbatch", "tpu_pod.sh"])
def test_usage_is_said_without_a_config(cluster, script):
    done = cluster(script)
    assert done.returncode != 0
    assert "usage" in done.stderr


@pytest.mark.parametrize("script", ["local.sh", "slurm.sbatch", "tpu_pod.sh"])
def test_shellcheck(script):
    shellcheck = shutil.which("shellcheck") or str(Path(sys.executable).parent / "shellcheck")
    done = subprocess.run(
        [shellcheck, LAUNCH / script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_jobset_is_consistent():
    jobset = yaml.safe_load((LAUNCH / "gke_jobset.yaml").read_text())
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert jobset["spec"]["failurePolicy"]["maxRestarts"] > 0
    (replicated,) = jobset["spec"]["replicatedJobs"]
    job = replicated["template"]["spec"]
    assert job["parallelism"] == job["completions"]
    assert job["backoffLimit"] == 0
    pod = job["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    (container,) = pod["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    command = container["command"]
    assert command[:3] == ["python", "-m", "mdvae.sweep"]
    assert "--distributed" in command
    config = next(part for part in command if part.startswith("--config="))
    assert (ROOT / config.removeprefix("--config=")).is_file()
