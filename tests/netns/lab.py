"""The network of the demo and the end-to-end tests: two homes behind B4s, an AFTR, an internet, in network namespaces.

Why: portoland is shown and tested with real hosts, kernels and tools on one machine. A Lab owns every namespace,
process and file it makes; they go when it closes, and also when this process is killed (see `_janitor`).

    home1 -- b4-1 --+                                               +-- visitor 203.0.113.10
                    +-- access -- [acc0 aftr inet0] -- internet ----+-- ddns    203.0.113.20
    home2 -- b4-2 --+                                               +-- dns     203.0.113.53
"""

import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"

HOSTS = ("home1", "home2", "b4-1", "b4-2", "access", "aftr", "internet", "visitor", "ddns", "dns")
HOME = "10.0.0.10"  # the same in both homes, on purpose (RFC 6333 §6.6)
B4_ADDRESSES = {"b4-1": "2001:db8:b:100::1", "b4-2": "2001:db8:b:200::1"}  # of different /56
AFTR = "2001:db8:a::1"
AFTR_ACCESS, ACCESS_GATEWAY = "2001:db8:0:1::1", "2001:db8:0:1::2"
AFTR_INTERNET, INTERNET_GATEWAY = "198.51.100.1", "198.51.100.254"
POOL = "192.0.2.0/28"
SERVERS = {"visitor": "203.0.113.10", "ddns": "203.0.113.20", "dns": "203.0.113.53"}
ZONE = "example"

# Crafted packets come from here and go there; both kernels drop the answers silently instead of joining in.
SCRATCH_B4_PREFIXES = ("2001:db8:b:300::/56", "2001:db8:b:400::/56")
SCRATCH_REMOTE_PREFIX = "198.18.0.0/15"

MESSAGE_BYTES_MAX = 4000  # of a log quoted in an error


class LabError(Exception):
    """The lab, or a command in it, did not do what it was asked to."""


def require_root():
    if os.geteuid() != 0:
        raise LabError("network namespaces need root: run it as root, or with sudo")


def run(command, timeout=30, check=True, text_in=None):
    """Runs a command (list or words) and returns what it printed, standard error included."""
    words = command.split() if isinstance(command, str) else [str(word) for word in command]
    try:
        done = subprocess.run(words, input=text_in, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=timeout, errors="replace", stdin=None if text_in else subprocess.DEVNULL)
    except FileNotFoundError:
        raise LabError(f"{words[0]}: not installed (packages.txt and tests/packages.txt list what is needed)") from None
    except subprocess.TimeoutExpired as late:
        raise LabError(f"{' '.join(words)}: not done after {timeout} s\n{late.output or ''}") from None
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(words)}: exit {done.returncode}\n{done.stdout[-MESSAGE_BYTES_MAX:]}")
    return done.stdout


def wait_for(what, condition, seconds=20):
    """Polls until `condition()` is true and returns its value; a LabError inside it means not yet."""
    deadline, reason = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            if value := condition():
                return value
            reason = ""
        except LabError as error:
            reason = f": {error}"
        time.sleep(0.05)
    raise LabError(f"waited {seconds} s for {what}{reason}")


def sweep(prefix, directory):
    """Ends every process in the namespaces that begin with `prefix`, deletes those and the directory. Idempotent."""
    root = pathlib.Path("/run/netns")
    names = [entry.name for entry in root.iterdir() if entry.name.startswith(prefix)] if root.exists() else []

    def pids():
        found = {int(pid) for name in names for pid in run(["ip", "netns", "pids", name], check=False).split()
                 if pid.isdigit()}
        return found - {os.getpid()}

    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(LabError):
            wait_for("the lab's processes to end", lambda: not pids(), seconds=5)
    for name in names:
        run(["ip", "netns", "delete", name], check=False)
        shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir("/etc/netns")  # only if it is empty
    shutil.rmtree(directory, ignore_errors=True)


class Process:
    """A program running in a namespace, its output in a log."""

    def __init__(self, lab, host, name, words, environment):
        self.name, self.log = name, lab.directory / f"{name}.log"
        with open(self.log, "ab") as log:
            self.popen = subprocess.Popen(["ip", "netns", "exec", lab.namespace(host), *words], stdin=subprocess.DEVNULL,
                                          stdout=log, stderr=log, env={**os.environ, **environment},
                                          start_new_session=True)

    def alive(self):
        return self.popen.poll() is None

    def tail(self):
        return self.log.read_text(errors="replace")[-MESSAGE_BYTES_MAX:]

    def stop(self, number=signal.SIGTERM, seconds=10):
        """Sends a signal, waits for the end and returns the exit code (negative: the signal that ended it)."""
        if self.alive():
            self.popen.send_signal(number)
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: still running {seconds} s after signal {number}\n{self.tail()}") from None


class Lab:
    def __init__(self, binaries=None, device="af_packet", workers=1, pool=POOL, aftr=True, tun_mtu=None,
                 extra_config=""):
        """`device`: af_packet, af_xdp or memif. `aftr=False` leaves acc0 and inet0 to the caller."""
        self.binaries = pathlib.Path(binaries or REPOSITORY / "build/release/bin").resolve()
        self.device, self.workers, self.pool, self.with_aftr, self.tun_mtu = device, workers, pool, aftr, tun_mtu
        self.extra_config = extra_config  # sections after the others
        self.prefix = f"pl{os.getpid()}-"
        self.directory = pathlib.Path(f"/tmp/portolan-lab-{os.getpid()}")
        self.processes = {}
        self._janitor_input = None

    # --- life -------------------------------------------------------------------------------------------------------

    def __enter__(self):
        require_root()
        self._require_programs()
        self._janitor()
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit(1))  # so that __exit__ runs
        try:
            self.directory.mkdir(mode=0o755)
            self._topology()
            for b4 in B4_ADDRESSES:
                self.start_b4(b4)
            if self.with_aftr:
                self.start_aftr()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        sweep(self.prefix, self.directory)
        for process in self.processes.values():
            process.popen.wait()
        if self._janitor_input:
            self._janitor_input.communicate()
            self._janitor_input = None

    def _janitor(self):
        """A child that sweeps when its standard input closes: at our end, whatever ends us."""
        self._janitor_input = subprocess.Popen([PYTHON, __file__, "sweep", self.prefix, str(self.directory)],
                                               stdin=subprocess.PIPE, start_new_session=True)

    def _require_programs(self):
        needed = ["portolan-b4"] + (["portoland", "portolanctl"] if self.with_aftr else [])
        for name in needed:
            if not (self.binaries / name).exists():
                raise LabError(f"{self.binaries / name}: not built (cmake --preset release && cmake --build --preset release)")

    # --- namespaces and commands ------------------------------------------------------------------------------------

    def namespace(self, host):
        return self.prefix + host

    @contextlib.contextmanager
    def inside(self, host):
        """Sockets opened here by this thread belong to the host's namespace."""
        libc = ctypes.CDLL(None, use_errno=True)

        def enter(descriptor):
            if libc.setns(descriptor, 0x40000000) != 0:  # CLONE_NEWNET
                raise LabError(f"entering {host}: {os.strerror(ctypes.get_errno())}")

        with open("/proc/thread-self/ns/net", "rb") as back, open(f"/run/netns/{self.namespace(host)}", "rb") as there:
            enter(there.fileno())
            try:
                yield
            finally:
                enter(back.fileno())

    def run(self, host, command, timeout=30, check=True, text_in=None):
        words = command.split() if isinstance(command, str) else command
        return run(["ip", "netns", "exec", self.namespace(host), *words], timeout, check, text_in)

    def start(self, host, name, command, environment=None):
        words = command.split() if isinstance(command, str) else [str(word) for word in command]
        self.processes[name] = Process(self, host, name, words, environment or {})
        return self.processes[name]

    def wait_ready(self, name, condition, seconds=20):
        """Waits for a started program; its end, or the time, is an error that quotes its log."""
        process = self.processes[name]

        def ready():
            return not process.alive() or condition()

        try:
            wait_for(f"{name} to be ready", ready, seconds)
        except LabError as error:
            raise LabError(f"{error}\n--- {process.log.name}\n{process.tail()}") from None
        if not process.alive():
            raise LabError(f"{name} ended with {process.popen.returncode}\n--- {process.log.name}\n{process.tail()}")

    def ip(self, host, *commands):
        for command in commands:
            run(["ip", "-n", self.namespace(host), *command.split()])

    def mac(self, host, interface):
        return json.loads(run(["ip", "-n", self.namespace(host), "-j", "link", "show", interface]))[0]["address"]

    # --- topology ---------------------------------------------------------------------------------------------------

    def _link(self, a, a_interface, b, b_interface):
        """A veth pair that carries packets as a wire does: no checksum or segmentation left to a NIC that is not there."""
        run(["ip", "link", "add", a_interface, "netns", self.namespace(a), "type", "veth",
             "peer", "name", b_interface, "netns", self.namespace(b)])
        for host, interface in ((a, a_interface), (b, b_interface)):
            self.run(host, f"ethtool -K {interface} tx off rx off tso off gso off gro off")
            self.ip(host, f"link set {interface} up")

    def _set(self, host, *settings):
        with self.inside(host):
            for setting in settings:
                path, value = setting.split("=")
                pathlib.Path("/proc/sys/net", path).write_text(value)

    def _topology(self):
        for host in HOSTS:
            run(["ip", "netns", "add", self.namespace(host)])
            self._set(host, "ipv6/conf/all/disable_ipv6=0", "ipv6/conf/default/disable_ipv6=0",
                      "ipv6/conf/all/accept_dad=0", "ipv6/conf/default/accept_dad=0",
                      "ipv4/conf/all/rp_filter=0", "ipv4/conf/default/rp_filter=0")
            self.ip(host, "link set lo up")
        for number in ("1", "2"):
            self._home(f"home{number}", f"b4-{number}")
        self._access()
        self._internet()

    def _home(self, home, b4):
        self._link(home, "eth0", b4, "lan0")
        self._link(b4, "wan0", "access", b4)
        self.ip(home, f"addr add {HOME}/24 dev eth0", "route add default via 10.0.0.1")
        self._set(b4, "ipv4/ip_forward=1")
        gateway = B4_ADDRESSES[b4][:-1] + "fffe"
        self.ip(b4, "addr add 10.0.0.1/24 dev lan0", f"addr add {B4_ADDRESSES[b4]}/64 dev wan0 nodad",
                f"-6 route add default via {gateway}")
        self.ip("access", f"addr add {gateway}/64 dev {b4} nodad")
        self._resolver(home)

    def _access(self):
        self._link("access", "aftr0", "aftr", "acc0")
        self._set("access", "ipv6/conf/all/forwarding=1")
        self.ip("access", f"addr add {ACCESS_GATEWAY}/64 dev aftr0 nodad", f"-6 route add {AFTR}/128 via {AFTR_ACCESS}",
                *(f"-6 route add blackhole {prefix}" for prefix in SCRATCH_B4_PREFIXES),
                *(f"-6 route add {address[:-1]}/56 via {address}" for address in B4_ADDRESSES.values()))

    def _internet(self):
        self._link("internet", "aftr0", "aftr", "inet0")
        self._set("internet", "ipv4/ip_forward=1")
        self.ip("internet", f"addr add {INTERNET_GATEWAY}/24 dev aftr0", f"route add {POOL} via {AFTR_INTERNET}",
                f"route add blackhole {SCRATCH_REMOTE_PREFIX}",
                "link add lan0 type bridge", "addr add 203.0.113.1/24 dev lan0", "link set lan0 up")
        for server, address in SERVERS.items():
            self._link(server, "eth0", "internet", server)
            self.ip("internet", f"link set {server} master lan0")
            self.ip(server, f"addr add {address}/24 dev eth0", "route add default via 203.0.113.1")
            self._resolver(server)
        # The devices that portoland takes: no address of the kernel's on them, so that it stays out of the way.
        self._set("aftr", "ipv6/conf/acc0/disable_ipv6=1", "ipv6/conf/inet0/disable_ipv6=1")

    def _resolver(self, host):
        folder = pathlib.Path("/etc/netns", self.namespace(host))  # ip netns exec shows it as /etc/resolv.conf
        folder.mkdir(parents=True)
        (folder / "resolv.conf").write_text(f"nameserver {SERVERS['dns']}\n")

    # --- programs ---------------------------------------------------------------------------------------------------

    def start_b4(self, b4):
        command = [self.binaries / "portolan-b4", "--tun", "softwire0", "--local", B4_ADDRESSES[b4], "--aftr", AFTR, "--up"]
        if self.tun_mtu:
            command += ["--tun-mtu", self.tun_mtu]
        self.start(b4, b4, command)
        self.wait_ready(b4, lambda: "softwire0" in run(["ip", "-n", self.namespace(b4), "-4", "route"]))

    def start_aftr(self):
        if self.device == "memif" and "memif-bridge" not in self.processes:
            self._start_memif_bridge()
        config = self.directory / "portoland.conf"
        config.write_text(self.aftr_config())
        self.start("aftr", "portoland", [self.binaries / "portoland", "-c", config], self._eal_environment())
        self.wait_ready("portoland", self._gateways_answer, seconds=30)

    def _gateways_answer(self):
        return all(gateway["state"] == "reachable" for gateway in self.ctl_json("show neighbors"))

    def aftr_config(self):
        devices = {
            "af_packet": "net_af_packet{n},iface={iface}",
            "af_xdp": "net_af_xdp{n},iface={iface}",
            "memif": "net_memif{n},role=client,id={n},socket-abstract=no,socket={directory}/{iface}.memif",
        }
        access, internet = (devices[self.device].format(n=n, iface=iface, directory=self.directory)
                            for n, iface in enumerate(("acc0", "inet0")))
        return f"""\
[dataplane]
workers = {self.workers}
eal = --no-pci --no-huge -m 512
max-mappings = 100000
max-subscribers = 1000
state-dir = {self.directory}/state
[access]
device = {access}
address = {AFTR_ACCESS}/64
gateway = {ACCESS_GATEWAY}
[internet]
device = {internet}
address = {AFTR_INTERNET}/24
gateway = {INTERNET_GATEWAY}
[softwire]
aftr-address = {AFTR}
[pool]
prefix = {self.pool}
[pcp]
store = {self.directory}/pcp.sqlite
[cli]
socket = {self.directory}/cli.sock
[feed]
socket = {self.directory}/feed.sock
""" + self.extra_config

    def _eal_environment(self):
        return {"RUNTIME_DIRECTORY": str(self.directory)}  # where DPDK puts its dpdk/ instead of /var/run

    def _start_memif_bridge(self):
        """memif needs a DPDK peer: tests/netns/memif_bridge.cc joins each memif socket with its veth end."""
        sides = list(enumerate(("acc0", "inet0")))
        devices = [f"--vdev=net_memif{n},role=server,id={n},socket-abstract=no,socket={self.directory}/{iface}.memif"
                   for n, iface in sides] + [f"--vdev=net_af_packet{n},iface={iface}" for n, iface in sides]
        self.start("aftr", "memif-bridge",
                   [self.binaries / "memif-bridge", "--no-pci", "--no-huge", "-m", "256", "--file-prefix=bridge",
                    *devices, "--", *(f"net_memif{n}:net_af_packet{n}" for n, _ in sides)], self._eal_environment())
        self.wait_ready("memif-bridge", lambda: all((self.directory / f"{iface}.memif").exists() for _, iface in sides))

    def ctl(self, command, timeout=10):
        """portolanctl's answer as text."""
        return run([self.binaries / "portolanctl", "-s", self.directory / "cli.sock", *command.split()], timeout)

    def ctl_json(self, command):
        return json.loads(self.ctl("-j " + command))

    def start_page(self, host, name, address, port, text):
        """A web server that says `text` and whom it sees."""
        self.start(host, name, [PYTHON, REPOSITORY / "tests/netns/page.py", address, str(port), text])
        self.wait_ready(name, lambda: text in self.run(host, f"curl -s http://{address}:{port}/"))

    def start_dns(self):
        """BIND, authoritative for the zone, updates by TSIG; returns the key's file."""
        folder = self.directory / "named"
        folder.mkdir()
        key = self.directory / "ddns.key"
        key.write_text(run("tsig-keygen -a hmac-sha256 ddns"))
        (folder / "zone").write_text(f"""\
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 5
@ NS ns
ns A {SERVERS['dns']}
ddns A {SERVERS['ddns']}
visitor A {SERVERS['visitor']}
""")
        (folder / "named.conf").write_text(f"""\
include "{key}";
options {{
  directory "{folder}";
  listen-on {{ {SERVERS['dns']}; }};
  listen-on-v6 {{ none; }};
  pid-file "{folder}/named.pid";
  session-keyfile "{folder}/session.key";
  recursion no;
  dnssec-validation no;
}};
controls {{ }};
zone "{ZONE}" {{ type primary; file "zone"; allow-update {{ key ddns; }}; }};
""")
        self.start("dns", "named", f"named -g -c {folder}/named.conf")
        self.wait_ready("named", lambda: "hostmaster" in self.dig("SOA", ZONE, host="dns"))
        return key

    def dig(self, kind, name, host="visitor"):
        return self.run(host, f"dig +short +time=2 +tries=2 @{SERVERS['dns']} {name} {kind}").strip()


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] != "sweep":
        sys.exit("usage: lab.py sweep PREFIX DIRECTORY (waits for the end of its standard input first)")
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    sys.stdin.read()
    sweep(sys.argv[2], sys.argv[3])
