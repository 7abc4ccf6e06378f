#!/usr/bin/python3
"""portolan-ddnsd on loopback: redirects a second on one core, and how long it takes until many names that change at the
same moment are right in the DNS. An AFTR's mapping feed is played to it, a real BIND takes the records, wrk visits.

    bench/ddns.py [--binaries build/release/bin] [--names 10000] [--seconds 5]
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


def start_named(folder):
    key = subprocess.run(["tsig-keygen", "-a", "hmac-sha256", "ddns"], check=True, text=True, capture_output=True).stdout
    (folder / "key").write_text(key)
    (folder / "zone").write_text("$TTL 60\n@ SOA ns hostmaster 1 60 60 600 60\n@ NS ns\nns A 127.0.0.1\n")
    (folder / "named.conf").write_text(f"""{key}
options {{ directory "{folder}"; listen-on port {DNS} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file "{folder}/pid";
  session-keyfile "{folder}/session.key"; recursion no; dnssec-validation no; }};
controls {{}};
zone "example" {{ type primary; file "{folder}/zone"; allow-update {{ key ddns; }}; }};
""")
    return subprocess.Popen(["named", "-g", "-c", str(folder / "named.conf")], stderr=open(folder / "named.log", "w"))


def start_ddnsd(options, folder, command=()):
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
    return [str(options.binaries / "portolan-ddnsd"), "-c", str(config), *command]


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


def memory_kib(process):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{process.pid}/status").read_text())[1])


def measure_names(options, folder, feed):
    began = time.monotonic()
    feed.begin(options.names)
    time.sleep(1)
    wait_until_settled(folder)
    print(f"{options.names} names published from a snapshot in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    feed.move_all(options.names)
    last = options.names - 1
    port = outside(last, 1).split(":")[1]
    while owed(folder) == 0 and time.monotonic() - began < 10:
        time.sleep(0.01)
    wait_until_settled(folder)
    taken = time.monotonic() - began
    for number in (0, options.names // 2, last):
        want = f"0 0 {outside(number, 1).split(':')[1]} direct.n{number}.example."
        got = dig(f"_http._tcp.n{number}.example", "SRV")
        if got != want:
            sys.exit(f"n{number}.example: {got} instead of {want}")
    print(f"{options.names} names changed at the same moment: all right in the DNS after {taken:.1f} s (port {port})")


def measure_redirects(options, process):
    os.sched_setaffinity(process.pid, {0})
    for host, what in (("n7.example", "redirects"), ("ddns.example", "welcome pages")):
        report = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c64", f"-d{options.seconds}", "-H", f"Host: {host}",
                                 f"http://127.0.0.1:{HTTP}/x"], text=True, capture_output=True, check=True).stdout
        print(report) if os.environ.get("DEBUG") else None
        rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", report)[1])
        print(f"{rate:.0f} {what} a second, ddnsd on one core, wrk on another")


def measure_slow_clients(process):
    """3000 connections that send an octet of a header each second: memory must not grow with time."""
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
    print(f"900 slow clients: {before} KiB before, {sizes[0]} KiB with them, {sizes[-1]} KiB after 8 s of one octet a second")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, default=pathlib.Path("build/release/bin"))
    parser.add_argument("--names", type=int, default=10000)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="portolan-ddns-bench-"))
    os.environ["PATH"] += ":/usr/sbin"
    named = ddnsd = None
    try:
        named = start_named(folder)
        command = start_ddnsd(options, folder)
        subprocess.run([*command, "account", "add", "isp", "--token-stdin"], input="the-token-of-the-isp\n", text=True, check=True)
        register(folder, options.names)
        feed = Feed(folder / "feed.sock")
        ddnsd = subprocess.Popen(command)
        measure_names(options, folder, feed)
        measure_redirects(options, ddnsd)
        measure_slow_clients(ddnsd)
    finally:
        for process in (ddnsd, named):
            if process:
                process.send_signal(signal.SIGTERM)
                process.wait()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
