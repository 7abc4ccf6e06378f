#!/usr/bin/python3
"""portolan-ddnsd on loopback: redirects a second on one core, and how long it takes until many names that change at the
same moment are right in the DNS. An AFTR's mapping feed is played to it, a real BIND or Knot takes the records, wrk visits.

    bench/ddns.py [--binaries build/release/bin] [--dns bind|knot] [--names 10000] [--seconds 5] [--rounds 3]
                  [--wrap 'chrt -r 50'] [--results FILE.md]

--wrap begins the commands of ddnsd and wrk, so that what else runs on the machine is in their way less.
"""

import argparse
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

HTTP, DNS = 18053, 15353
BASE = 1024  # the first outside port


def outside(number, shift):
    return f"192.0.2.{number // 5000 + 1}:{BASE + number % 5000 + shift * 10000}"


def mapping(event, number, shift, sequence, was=None):
    line = {"event": event, "subscriber": f"2001:db8:{number >> 8:x}:{number & 0xff:x}00::/56", "inside": "10.0.0.2:80",
            "protocol": "tcp", "outside": outside(number, shift), "sequence": sequence}
    return json.dumps(line | ({"was": was} if was else {})) + "\n"


class Feed:
    """As portoland's (docs/operations.md §5.2), for one reader."""

    def __init__(self, path):
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()

    def begin(self, names):
        self.reader, _ = self.listening.accept()
        self.reader.recv(1024)
        self.say('{"event":"hello","feed":1,"instance":"bench","begins":"snapshot"}\n{"event":"snapshot","sequence":0}\n')
        self.say("".join(mapping("mapping", number, 0, 0) for number in range(names)))
        self.say('{"event":"snapshot-end","sequence":0}\n')

    def move_all(self, names):
        self.say("".join(mapping("moved", number, 1, number + 1, outside(number, 0)) for number in range(names)))

    def say(self, text):
        self.reader.sendall(text.encode())


def start_dns(options, folder):
    return start_named(folder) if options.dns == "bind" else start_knot(folder)


def start_knot(folder):
    key = make_key(folder)
    secret = re.search(r'secret "(.*)"', key)[1]
    (folder / "knot.conf").write_text(f"""server:
  rundir: {folder}
  listen: 127.0.0.1@{DNS}
database:
  storage: {folder}
key:
  - id: ddns
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: ddns
    key: ddns
    action: update
zone:
  - domain: example
    storage: {folder}
    file: zone
    acl: ddns
""")
    return subprocess.Popen(["knotd", "-c", str(folder / "knot.conf")], stdout=subprocess.DEVNULL,
                            stderr=open(folder / "knot.log", "w"))


def make_key(folder):
    key = subprocess.run(["tsig-keygen", "-a", "hmac-sha256", "ddns"], check=True, text=True, capture_output=True).stdout
    (folder / "key").write_text(key)
    (folder / "zone").write_text("$TTL 60\n@ SOA ns hostmaster 1 60 60 600 60\n@ NS ns\nns A 127.0.0.1\n")
    return key


def start_named(folder):
    key = make_key(folder)
    (folder / "named.conf").write_text(f"""{key}
options {{ directory "{folder}"; listen-on port {DNS} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file "{folder}/pid";
  session-keyfile "{folder}/session.key"; recursion no; dnssec-validation no; }};
controls {{}};
zone "example" {{ type primary; file "{folder}/zone"; allow-update {{ key ddns; }}; }};
""")
    return subprocess.Popen(["named", "-g", "-c", str(folder / "named.conf")], stderr=open(folder / "named.log", "w"))


def ddnsd_command(options, folder):
    config = folder / "ddnsd.conf"
    config.write_text(f"""[server]
listen = 127.0.0.1:{HTTP}
hostname = ddns.example
database = {folder}/ddns.sqlite
allow-address = 192.0.2.0/24
connections-max = 4000
[dns]
mode = portal
server = 127.0.0.1:{DNS}
zone = example
key-file = {folder}/key
portal-address = 192.0.2.80
[authority]
socket = {folder}/feed.sock
[log]
level = warning
""")
    return [str(options.binaries / "portolan-ddnsd"), "-c", str(config)]


def register(folder, names):
    """Names and the rules they follow, as `name add` and `name follow` write them, in one go."""
    with sqlite3.connect(folder / "ddns.sqlite") as database:
        database.executemany("INSERT INTO names(fqdn, account) VALUES(?, 'isp')", ((f"n{n}.example",) for n in range(names)))
        database.executemany("INSERT INTO follows(fqdn, subscriber, protocol, inside_port, id, scheme, path, title) "
                             "VALUES(?, ?, 6, 80, 'web', 'http', '', '')",
                             ((f"n{n}.example", json.loads(mapping("made", n, 0, 0))["subscriber"]) for n in range(names)))


def owed(folder):
    with sqlite3.connect(f"file:{folder}/ddns.sqlite?mode=ro", uri=True) as database:
        return database.execute("SELECT count(*) FROM dns_owed").fetchone()[0]


def wait_until_settled(folder, limit_s=600):
    began = time.monotonic()
    while time.monotonic() - began < limit_s:
        time.sleep(0.1)
        if owed(folder) == 0:
            return
    sys.exit(f"{owed(folder)} names are still owed after {limit_s} s")


def dig(name, kind):
    return subprocess.run(["dig", "@127.0.0.1", "-p", str(DNS), "+short", name, kind], text=True,
                          capture_output=True).stdout.strip()


def tell(options, text):
    """A line of the results."""
    print(text, flush=True)
    options.told.append(text)


def memory_kib(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])


def measure_names(options, folder, feed):
    began = time.monotonic()
    feed.begin(options.names)
    time.sleep(1)
    wait_until_settled(folder)
    tell(options, f"{options.names} names published from a snapshot in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    feed.move_all(options.names)
    last = options.names - 1
    while owed(folder) == 0 and time.monotonic() - began < 10:
        time.sleep(0.01)
    wait_until_settled(folder)
    taken = time.monotonic() - began
    for number in (0, options.names // 2, last):
        want = f"0 0 {outside(number, 1).split(':')[1]} direct.n{number}.example."
        got = dig(f"_http._tcp.n{number}.example", "SRV")
        if got != want:
            sys.exit(f"n{number}.example: {got} instead of {want}")
    tell(options, f"{options.names} names changed at the same moment: all right in the DNS after {taken:.1f} s")


def measure_redirects(options, process):
    for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {0})
    for host, path, what in (("n7.example", "/x", "redirects"), ("ddns.example", "/", "welcome pages")):
        rates = sorted(wrk(options, host, path) for _ in range(options.rounds))
        tell(options, f"{statistics.median(rates):.0f} {what} a second, median of {', '.join(f'{rate:.0f}' for rate in rates)}"
                      "; ddnsd on one core, wrk on another")


def wrk(options, host, path):
    report = subprocess.run([*options.wrap.split(), "taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{options.seconds}", "-H",
                             f"Host: {host}", f"http://127.0.0.1:{HTTP}{path}"], text=True, capture_output=True, check=True).stdout
    if found := re.search(r"Non-2xx or 3xx responses: (\d+)", report):
        sys.exit(f"{found[1]} of wrk's requests were refused")
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", report)[1])


def measure_slow_clients(options, process):
    """900 connections that send an octet of a header each second: memory must not grow with time."""
    before = memory_kib(process)
    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    clients = [socket.create_connection(("127.0.0.1", HTTP)) for _ in range(900)]
    for client in clients:
        client.setblocking(False)
    sizes = []
    for _ in range(8):
        for client in clients:
            try:
                client.send(b"G")
            except OSError:
                pass  # let go already
        sizes.append(memory_kib(process))
        time.sleep(1)
    tell(options, f"900 slow clients: {before} KiB before, {sizes[0]} KiB with them, {sizes[-1]} KiB after 8 s of one octet a "
                  "second")


def write_results(options):
    """What was measured, by which command, on what: bench/results keeps it."""
    def said_by(*command):
        return subprocess.run(command, text=True, capture_output=True, cwd=pathlib.Path(__file__).parent).stdout.strip()
    cpu = re.search(r"Model name:\s+(.*)", said_by("lscpu"))[1]
    lines = ["# portolan-ddnsd", "", *(f"- {line}" for line in options.told), "",
             f"    {' '.join(['bench/ddns.py', *sys.argv[1:]])}", "",
             f"{said_by('date', '-u', '+%F %H:%M')} UTC, commit {said_by('git', 'rev-parse', '--short=12', 'HEAD')}, {cpu}, "
             f"{os.cpu_count()} CPUs, kernel {os.uname().release}, {options.dns} for DNS, load before {options.load:.2f}.", ""]
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--names", type=int, default=10000)
    parser.add_argument("--dns", choices=("bind", "knot"), default="bind")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wrap", default="")
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    options.told, options.load = [], os.getloadavg()[0]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="portolan-ddns-bench-"))
    os.environ["PATH"] += ":/usr/sbin"
    dns = ddnsd = None
    try:
        dns = start_dns(options, folder)
        command = ddnsd_command(options, folder)
        subprocess.run([*command, "account", "add", "isp", "--token-stdin"], input="the-token-of-the-isp\n", text=True, check=True)
        register(folder, options.names)
        feed = Feed(folder / "feed.sock")
        ddnsd = subprocess.Popen([*options.wrap.split(), *command])
        measure_names(options, folder, feed)
        measure_redirects(options, ddnsd)
        measure_slow_clients(options, ddnsd)
        if options.results:
            write_results(options)
    finally:
        for process in (ddnsd, dns):
            if process:
                process.send_signal(signal.SIGTERM)
                process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
