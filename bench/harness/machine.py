"""The machine a benchmark runs on: what it is, its hugepages, and the commit that is measured."""

import contextlib
import os
import pathlib
import re
import subprocess
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
HUGEPAGES = pathlib.Path("/proc/sys/vm/nr_hugepages")  # of 2 MB


class BenchError(Exception):
    """The benchmark cannot go on; says why."""


def output_of(*words, check=True, cwd=None):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd=cwd)
    if check and done.returncode != 0:
        raise BenchError(f"{' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout[-2000:]}")
    return done.stdout


def describe():
    lscpu = dict(re.findall(r"^([^:\n]+):\s+(.*)$", output_of("lscpu"), re.MULTILINE))
    commit = output_of("git", "-C", REPOSITORY, "describe", "--always", "--dirty", "--abbrev=12").strip()
    wanted = ("Model name", "CPU(s)", "Thread(s) per core", "L1d cache", "L2 cache", "L3 cache", "Hypervisor vendor")
    facts = {name: lscpu[name] for name in wanted if name in lscpu}
    facts["kernel"] = os.uname().release
    facts["DPDK"] = output_of("pkg-config", "--modversion", "libdpdk", check=False).strip()
    facts["hugepages of 2 MB"] = HUGEPAGES.read_text().strip()
    facts["load before"] = pathlib.Path("/proc/loadavg").read_text().split()[0]
    facts["commit"] = commit
    return facts


@contextlib.contextmanager
def hugepages(megabytes):
    """At least so much in free 2 MB pages, and a hugetlbfs to keep mappings in; both are given back."""
    before = int(HUGEPAGES.read_text())
    wanted = max(before, (megabytes + 1) // 2)
    HUGEPAGES.write_text(str(wanted))
    with tempfile.TemporaryDirectory(prefix="portolan-bench-") as folder:
        mounted = pathlib.Path(folder, "hugetlbfs")
        mounted.mkdir()
        try:
            got = int(HUGEPAGES.read_text())
            if got < wanted:
                raise BenchError(f"{wanted} hugepages of 2 MB are needed and {got} were given: free memory first")
            output_of("mount", "-t", "hugetlbfs", "none", mounted)
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", mounted], check=False, stderr=subprocess.DEVNULL)
            HUGEPAGES.write_text(str(before))


def build(folder, targets):
    output_of("cmake", "--preset", "release", "-DPORTOLAN_BENCH=ON", "--log-level=WARNING", cwd=folder)
    output_of("cmake", "--build", "--preset", "release", "--target", *targets, cwd=folder)
    return pathlib.Path(folder, "build/release/bin")


def build_commit(commit):
    """Another version of portoland, in a worktree under build/."""
    name = output_of("git", "-C", REPOSITORY, "rev-parse", "--short=12", "--verify", commit + "^{commit}").strip()
    folder = REPOSITORY / "build" / f"against-{name}"
    if not folder.exists():
        output_of("git", "-C", REPOSITORY, "worktree", "add", "--detach", folder, name)
    return name, build(folder, ["portoland", "portolanctl"])
