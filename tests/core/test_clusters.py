"""A study on Slurm through dask-jobqueue; `sbatch` is a stand-in that starts real workers."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("dask_jobqueue", reason="needs the extra `cluster`")

EXAMPLES = Path(__file__).parents[2] / "examples"
SBATCH = """#!/bin/sh
# Like Slurm's: takes a job script, starts it elsewhere, says its number.
cp "$1" "$STAND_IN/job.$$"
setsid sh "$STAND_IN/job.$$" > "$STAND_IN/log.$$" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
for job in "$@"; do kill -- "-$job" 2>/dev/null; done
exit 0
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder of stand-ins, first on the path."""
    folder = tmp_path / "slurm"
    folder.mkdir()
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755 | stat.S_IXUSR)
    environment = os.environ | {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "STAND_IN": str(folder),
        "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "30",
    }
    return folder, environment


def test_a_study_completes_on_workers_that_sbatch_started(slurm, tmp_path):
    folder, environment = slurm
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "slurm.py"), str(tmp_path / "store")],
        env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path, check=False,
    )  # fmt: skip
    logs = "".join(log.read_text() for log in folder.glob("log.*"))

    assert done.returncode == 0, done.stderr + logs
    assert len(list(folder.glob("job.*"))) == 2
    assert "#SBATCH --mem=2G" in next(folder.glob("job.*")).read_text()
    assert "Start worker at" in logs
    assert 3.2 < float(done.stdout.split("mean")[-1].split()[0]) < 3.8


def test_the_manifests_for_kubernetes_are_what_kubernetes_accepts():
    import kubernetes_validate
    import yaml

    folder = EXAMPLES.parent / "docs/how-to/kubernetes"
    kinds = []
    for path in sorted(folder.glob("*.yaml")):
        for manifest in yaml.safe_load_all(path.read_text()):
            kubernetes_validate.validate(manifest, "1.30", strict=True)
            kinds.append(manifest["kind"])

    assert sorted(kinds) == ["Deployment", "Deployment", "Job", "PersistentVolumeClaim", "Service"]
