"""The machine a benchmark runs on: what it is, its hugepages, and the commit that is measured."""

import contextlib
import ctypes
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import time

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


def give_long_slices(thread=0):
    """A thread that never sleeps (0: this one) gets long time slices, so that whoever wakes up on its CPU runs at once.
    Otherwise that one waits for the next tick: the kernel's own work for a disk too, whose syncs then take 4 ms and not
    0.2. Kernels before 6.12 ignore it."""
    long_slice_ns, sched_setattr = 50_000_000, 314  # x86-64
    policy_other, nice = 0, os.getpriority(os.PRIO_PROCESS, thread)
    attributes = struct.pack("IIQiIQQQ", 48, policy_other, 0, nice, 0, long_slice_ns, 0, 0)
    ctypes.CDLL(None).syscall(sched_setattr, thread, attributes, 0)


def sync_latency_us(folder, seconds=2.0, block_bytes=4096, file_bytes=1 << 24):
    """Percentiles of a write and fdatasync of one block after the other, of a file that has its size already."""
    taken, at = [], 0
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(file_bytes))
        file.flush()
        os.fsync(file.fileno())
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            os.pwrite(file.fileno(), b"x" * block_bytes, at)
            os.fdatasync(file.fileno())
            taken.append((time.monotonic() - start) * 1e6)
            at = (at + block_bytes) % file_bytes
    taken.sort()
    shares = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999, "max": 1}
    return {name: taken[min(len(taken) - 1, int(share * len(taken)))] for name, share in shares.items()}


def come_first():
    """Other sessions wait for this one. Where the kernel groups processes by session, `nice` counts within one alone."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/autogroup").write_text("-20")


def unmount(folder, seconds=10):
    """The memory of a program that has just ended may keep its files a little longer; then it goes when that does."""
    deadline = time.monotonic() + seconds
    while os.path.ismount(folder):
        late = time.monotonic() > deadline
        subprocess.run(["umount", *(["--lazy"] if late else []), folder], check=late, stderr=subprocess.DEVNULL)
        time.sleep(0 if late else 0.1)


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
            unmount(mounted)
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
