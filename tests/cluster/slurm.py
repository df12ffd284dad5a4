"""A Slurm of two hosts on this machine, and the jobs that tests give it."""

import contextlib
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
_SCRIPT = pathlib.Path(__file__).with_name("two_hosts.sh")
_PROGRAMS = ("slurmctld", "slurmd", "munged", "ip", "unshare", "nsenter")
_CONFIG = """\
ClusterName=test
SlurmctldHost=head(10.99.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
NodeName=n1 NodeAddr=10.99.0.11 CPUs=2 State=UNKNOWN
NodeName=n2 NodeAddr=10.99.0.12 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
_OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")


class Slurm:
    """A running cluster."""

    def __init__(self, folder: pathlib.Path, head: int):
        self.folder = folder
        # `python` is this one.
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
        own = {"SLURM_CONF": f"{folder}/slurm.conf", "PATH": path}
        self._environment = os.environ | own
        # All commands run as on the head, in its namespaces.
        self._enter = ["nsenter", f"--target={head}", "--all", "env", f"--chdir={ROOT}"]

    def run(self, *command, timeout=300):
        """Runs a command on the head until it ends; what it prints."""
        done = subprocess.run(
            [*self._enter, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self._environment,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def submit(self, *command):
        """Submits what `sbatch` takes, options first; the job."""
        output = self.folder / f"job-{time.monotonic_ns()}"
        number = self.run("sbatch", "--parsable", f"--output={output}", *command)
        return Job(self, int(number), output)

    def srun(self, *arguments, tasks=2):
        """A job of one step, of tasks on both hosts that run `python` with these."""
        command = shlex.join([sys.executable, *map(str, arguments)])
        spread = ("--nodes=2", f"--ntasks-per-node={tasks // 2}")
        return self.submit(*spread, f"--wrap=exec srun --label {command}")

    @contextlib.contextmanager
    def link_down(self, host):
        """A host whose network link is down during the block."""
        self.run("ip", "link", "set", host, "down")
        try:
            yield
        finally:
            self.run("ip", "link", "set", host, "up")


class Job:
    """A job that was submitted."""

    def __init__(self, slurm: Slurm, number: int, output: pathlib.Path):
        self._slurm, self.number, self._output = slurm, number, output

    def facts(self):
        """What `scontrol` says of it, by name."""
        text = self._slurm.run("scontrol", "--oneliner", "show", "job", self.number)
        return dict(pair.split("=", 1) for pair in text.split() if "=" in pair)

    def printed(self):
        return self._output.read_text() if self._output.exists() else ""

    def wait(self, timeout):
        """Waits for its end; its state and its exit code."""
        deadline = time.monotonic() + timeout
        while (facts := self.facts())["JobState"] not in _OVER:
            assert time.monotonic() < deadline, (facts, self.printed()[-3000:])
            time.sleep(0.3)
        return facts["JobState"], int(facts["ExitCode"].split(":")[0])

    def wait_for(self, condition, timeout=300):
        """Waits for something that it is to do; it must not end before."""
        deadline = time.monotonic() + timeout
        while not condition():
            facts = self.facts()
            assert facts["JobState"] not in _OVER, (facts, self.printed()[-3000:])
            assert time.monotonic() < deadline, (facts, self.printed()[-3000:])
            time.sleep(0.1)

    def cancel(self):
        self._slurm.run("scancel", self.number)

    def kill_task(self, rank):
        """Ends a task by SIGKILL, as a lack of memory does."""
        (process,) = self._processes(rank)
        os.kill(process, signal.SIGKILL)

    def runs_task(self, rank):
        return bool(self._processes(rank))

    def _processes(self, rank):
        """The process of a task, as this machine numbers it; none after its end."""
        wanted = {f"SLURM_JOB_ID={self.number}", f"SLURM_PROCID={rank}"}
        found = []
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_text().split("\0")
                environment = (folder / "environ").read_text().split("\0")
                if command[:2] == [sys.executable, "-m"] and wanted < set(environment):
                    found.append(int(folder.name))
        return found


@contextlib.contextmanager
def two_hosts(folder):
    """A `Slurm` that ends with the block; skips the test where there can be none."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"without {', '.join(missing)} (packages slurm-wlm and munge)")
    spaces = ["unshare", "--mount", "--net", "--pid", "--uts", "--kill-child"]
    tried = subprocess.run([*spaces, "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"namespaces are not permitted here: {tried.stderr.strip()}")
    (folder / "slurm.conf").write_text(_CONFIG.format(folder=folder))
    with subprocess.Popen(
        [*spaces, "bash", str(_SCRIPT), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout.readline() == "ready\n", _logs(folder)
            children = f"/proc/{process.pid}/task/{process.pid}/children"
            head = int(pathlib.Path(children).read_text())
            yield Slurm(folder, head)
        finally:
            process.kill()  # and all that is in the namespaces with it


def _logs(folder):
    return {path.name: path.read_text()[-2000:] for path in folder.glob("log/*")}
