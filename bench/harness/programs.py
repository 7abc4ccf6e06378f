"""The programs under test, each at the far end of the generator's two memif links, and the generator itself."""

import contextlib
import json
import pathlib
import shlex
import shutil
import subprocess
import time

from harness.machine import BenchError, give_long_slices, sync_latency_us

PORTS_OF_AN_ADDRESS = 65536 - 1024
READY_S, STOP_S = 60, 20
IDLE_TIMEOUT_S = 120  # the shortest that udp-timeout takes
GENERATOR_TIMEOUT_S = 3600


def memif(folder, number, role, more=""):
    return f"net_memif{number},role={role},id={number},socket-abstract=no,socket={folder}/link{number}.sock{more}"


def pool_length(mappings, fill):
    """The longest prefix whose ports the mappings fill at most to this share."""
    length = 32
    while length > 17 and mappings > fill * PORTS_OF_AN_ADDRESS * (1 << (32 - length)):
        length -= 1
    return length


class Program:
    """One under test in a phase of the run, from __enter__ to __exit__; `command` is what was run."""

    def __init__(self, name, dut, settings, phase, folder):
        self.name, self.dut, self.settings, self.phase, self.folder = name, dut, settings, phase, folder
        self.process, self.command = None, []

    def __enter__(self):
        for number in range(2):
            pathlib.Path(self.folder, f"link{number}.sock").unlink(missing_ok=True)
        self.command = shlex.split(self.settings.wrap) + self.words()
        self.log = open(self.folder / f"{self.name}.log", "wb")
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + READY_S
        try:
            while not self.ready():
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"{self.name} did not start:\n{self.tail()}")
                time.sleep(0.05)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.log.close()

    def ready(self):
        return all(pathlib.Path(self.folder, f"link{number}.sock").exists() for number in range(2))

    def tail(self):
        return (self.folder / f"{self.name}.log").read_text(errors="replace")[-2000:]

    def clear_command(self):
        return ""

    def rested_command(self):
        return ""


class Testpmd(Program):
    """DPDK's forwarder in io mode: takes a frame here and sends it there, and looks at none of it."""

    def words(self):
        devices = [f"--vdev={memif(self.folder, number, 'server')}" for number in range(2)]
        cores = f"{self.settings.generator_core},{self.settings.core}"
        return ["dpdk-testpmd", "-l", cores, "--main-lcore", str(self.settings.generator_core), "--in-memory", "--no-pci",
                "--no-telemetry", "--log-level=warning", *devices, "--", "--nb-cores=1", "--forward-mode=io",
                "--auto-start", "--total-num-mbufs=16384", "--rxd=1024", "--txd=1024"]


class Portoland(Program):
    def __init__(self, name, dut, settings, phase, folder, binaries):
        super().__init__(name, dut, settings, phase, folder)
        self.binaries = binaries
        self.pool = pool_length(phase.mappings_max, phase.fill)

    def words(self):
        shutil.rmtree(self.folder / "hugetlbfs/state", ignore_errors=True)
        for file in self.folder.glob(f"{self.name}.sqlite*"):
            file.unlink()
        config = self.folder / f"{self.name}.conf"
        config.write_text(self.configuration())
        return [str(self.binaries / "portoland"), "-c", str(config)]

    def ready(self):
        if not super().ready():
            return False
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            if "pcp" in self.phase.measure and (task / "comm").read_text().startswith("rte-worker"):
                give_long_slices(int(task.name))
        return True

    def configuration(self):
        inside = memif(self.folder, 0, "server")
        return f"""\
[dataplane]
workers = 1
cores = {self.settings.core}
idle-sleep = 0us
max-mappings = {max(1024, self.phase.mappings_max + self.phase.mappings_max // 16 + 1024)}
max-subscribers = 200000
state-dir = {self.folder}/hugetlbfs/state
[access]
device = {inside}
address = 2001:2:0:b::1/64
gateway = 2001:2:0:b::2
[internet]
device = {memif(self.folder, 1, "server")}
address = 198.19.255.1/24
gateway = 198.19.255.254
[softwire]
aftr-address = 2001:2:0:a::1
subscriber-prefix-length = 96
[pool]
prefix = 198.19.0.0/{self.pool}
quarantine = 0s
[nat]
udp-timeout = {IDLE_TIMEOUT_S if "expiry" in self.phase.measure else 300}s
[pcp]
store = {"" if self.settings.without_store else f"{self.folder}/{self.name}.sqlite"}
requests-per-second = 1000000
request-burst = 1000000
[cli]
socket = {self.folder}/cli.sock
[log]
events-target = file:{self.folder}/{self.name}.records
""" + (f"""\
[nat44]
inside-prefix = 198.18.0.0/16
device = {inside}
address = 198.19.254.1/24
gateway = 198.19.254.254
""" if self.dut == "nat44" else "")

    def ctl(self, words):
        return f"{self.binaries / 'portolanctl'} -s {self.folder}/cli.sock {words}"

    def clear_command(self):
        return self.ctl(f"clear address 198.19.0.0/{self.pool} >/dev/null")

    def rested_command(self):
        """Ends when the ports of cleared mappings can be had again: they rest for a second even with quarantine = 0s."""
        return (f"for n in $(seq 600); do {self.ctl('show status')} | grep -q '^mappings_in_quarantine *0$' && exit 0; "
                "sleep 0.1; done; exit 1")


def disk(program, settings, when):
    """How long the disk that PCP's answers wait for takes, as a line of results."""
    phase = program.phase
    return {"measurement": "sync", "when": when, "program": program.name, "mappings": phase.mappings[-1],
            "frame_bytes": phase.frame_bytes[0], "directions": "-", "latency_us": sync_latency_us(program.folder)}


def generate(program, settings, binaries, measurements):
    """Runs the generator against a program; yields its results as they come."""
    phase = program.phase
    zero_copy = f",zero-copy=yes,rsize={settings.ring_log2}"
    wrap = settings.generator_wrap or settings.wrap
    command = [*shlex.split(wrap), str(binaries / "portolan-bench"), "--dut", program.dut,
               "--core", str(settings.generator_core), "--seconds", str(settings.seconds),
               "--descriptors", str(1 << settings.ring_log2),
               "--device", memif(program.folder, 0, "client", zero_copy),
               "--device", memif(program.folder, 1, "client", zero_copy),
               "--mappings", ",".join(map(str, phase.mappings)), "--fresh-max", str(phase.fresh),
               "--frame-bytes", ",".join(map(str, phase.frame_bytes)), "--directions", ",".join(settings.directions),
               "--clear-command", program.clear_command(), "--rested-command", program.rested_command(),
               "--loss", str(settings.loss), "--repetitions", str(settings.repetitions),
               "--expiring", str(phase.expiring), "--idle-timeout", str(IDLE_TIMEOUT_S),
               "--cli-socket", f"{program.folder}/cli.sock", *measurements]
    errors = program.folder / "generator.log"
    with open(errors, "wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True,
                                   preexec_fn=give_long_slices if "pcp" in measurements else None)
        try:
            for line in process.stdout:
                yield {**json.loads(line), "program": program.name}
            code = process.wait(GENERATOR_TIMEOUT_S)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        raise BenchError(f"the generator failed against {program.name}: {errors.read_text()[-1000:]}")
    settings.commands.setdefault(program.name, [shlex.join(program.command), shlex.join(command)])
