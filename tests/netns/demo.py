#!/usr/bin/python3
"""The story of Portolan, told by real tools: two homes behind one AFTR, found by name, whatever their ports become.

Each step is a method that returns what it saw or raises; the steps run in the order they are written. The end-to-end
tests run this same file over every kind of device.
"""

import argparse
import json
import re
import shutil
import signal
import socket
import sys
import time
import traceback

import lab as labs
import pcp
from lab import HOME, SERVERS, Lab, LabError, wait_for

STEPS = []
TITLES = {"home1": "The page of home 1", "home2-web": "The page of home 2", "home2-camera": "The camera of home 2"}


def step(title, command):
    """Registers a method as a step; `command` is what a reader would type."""
    # Shows DDN-001.
    def register(method):
        STEPS.append((title, command, method))
        return method
    return register


def must(condition, text):
    if not condition:
        raise LabError(text)


class Demo:
    def __init__(self, lab):
        self.lab = lab
        self.seen = {}  # for the summary: what, and what was seen
        self.show = []  # for the summary: the command line's answers

    # --- pieces -----------------------------------------------------------------------------------------------------

    def curl(self, host, url, *options):
        return self.lab.run(host, ["curl", "-s", "-S", "-m", "5", *options, url])

    def location(self, name):
        """Where the redirect of a name leads: (status, address, port)."""
        headers = self.curl("visitor", f"http://{name}/", "-I")
        status = headers.split(None, 2)[1] if headers.startswith("HTTP/") else "no answer"
        found = re.search(r"^location: http://([0-9.]+):(\d+)/", headers, re.IGNORECASE | re.MULTILINE)
        must(found, f"no Location in\n{headers}")
        return status, found[1], int(found[2])

    def seen_as(self, home):
        page = self.curl(home, f"http://{SERVERS['visitor']}/")
        return re.search(r"you are ([0-9.]+):(\d+)", page).groups()

    def write(self, name, text):
        path = self.lab.directory / name
        path.write_text(text)
        return path

    def start_ddnsd(self):
        key = self.lab.start_dns()
        config = self.write("ddnsd.conf", f"""\
[server]
listen = {SERVERS['ddns']}:80
hostname = ddns.{labs.ZONE}
database = {self.lab.directory}/ddnsd.sqlite
allow-address = {self.lab.pool}
[dns]
mode = portal
server = {SERVERS['dns']}:53
zone = {labs.ZONE}
key-file = {key}
portal-address = {SERVERS['ddns']}
[authority]
socket = {self.lab.directory}/feed.sock
""")
        self.ddnsd = program = [self.lab.binaries / "portolan-ddnsd", "-c", config]
        for home in ("home1", "home2"):
            labs.run([*program, "account", "add", home, "--token-stdin"], text_in=f"the-long-secret-of-{home}\n")
            labs.run([*program, "account", "bind", home, self.subscriber(home)])
            labs.run([*program, "name", "add", f"{home}.{labs.ZONE}", home])
        self.lab.start("ddns", "portolan-ddnsd", program)
        self.lab.wait_ready("portolan-ddnsd", lambda: self.curl("ddns", f"http://{SERVERS['ddns']}/"))

    @staticmethod
    def subscriber(home):
        return labs.B4_ADDRESSES[f"b4-{home[-1]}"][:-1] + "/56"

    def map(self, home, port):
        """Asks for a port as any program of the home could, and tells no DDNS server: the outside port."""
        with self.lab.inside(home), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(5)
            asking.sendto(pcp.map_request(HOME, pcp.TCP, port), ("192.0.0.1", pcp.PORT))
            response = pcp.parse(asking.recv(1100))
        must(response.result == pcp.SUCCESS, f"result {response.result}")
        return response.outside_port

    def start_client(self, home, services, suggested_port=0):
        """portolan-ddns on the home's host: PCP inside the softwire, registration at the DDNS server."""
        config = f"""\
[pcp]
server = 192.0.0.1
check-interval = 10s
[ddns]
url = http://ddns.{labs.ZONE}/
account = {home}
token-file = {self.write(home + '.token', f'the-long-secret-of-{home}')}
state = {self.lab.directory}/{home}.json
allow-address = {self.lab.pool}
"""
        for name, port, title in services:
            config += f"""\
[service.{name}]
name = {home}.{labs.ZONE}
inside = {HOME}:{port}
title = {title}
suggested-port = {suggested_port}
"""
        path = self.write(f"{home}.conf", config)
        self.lab.start(home, f"{home}-ddns", [self.lab.binaries / "portolan-ddns", "-c", path])

    # --- the story --------------------------------------------------------------------------------------------------

    @step("A home reaches the Internet", "home1$ ping -c3 203.0.113.10")
    def ping(self):
        self.lab.start_page("visitor", "visitor-page", SERVERS["visitor"], 80, "A server on the Internet")
        text = self.lab.run("home1", f"ping -c3 -i0.2 -W2 {SERVERS['visitor']}")
        must(" 0% packet loss" in text, text)
        return f"3 of 3 answered, {re.search(r'= [0-9.]+/([0-9.]+)/', text)[1]} ms"

    @step("Both homes have the same inside address and share the outside", "home1$ home2$ curl http://203.0.113.10/")
    def web(self):
        inside = {json.loads(labs.run(["ip", "-n", self.lab.namespace(home), "-j", "addr", "show", "eth0"]))
                  [0]["addr_info"][0]["local"] for home in ("home1", "home2")}
        must(inside == {HOME}, f"inside addresses {inside}")
        first, second = self.seen_as("home1"), self.seen_as("home2")
        must(first != second, f"both homes are {first}")
        self.seen["home 1, home 2 as the server sees them"] = f"{':'.join(first)}, {':'.join(second)}"
        return f"seen as {':'.join(first)} and {':'.join(second)}"

    @step("Throughput, up and down", "home1$ iperf3 -c 203.0.113.10 -t2 [-R]")
    def throughput(self):
        self.lab.start("visitor", "iperf3", f"iperf3 -s --forceflush -B {SERVERS['visitor']}")
        self.lab.wait_ready("iperf3", lambda: "listening" in self.lab.processes["iperf3"].log.read_text())
        rates = []
        for direction in ([], ["-R"]):
            report = json.loads(self.lab.run("home1", ["iperf3", "-J", "-t2", "-c", SERVERS["visitor"], *direction]))
            rates.append(report["end"]["sum_received"]["bits_per_second"] / 1e6)
        must(min(rates) > 1, f"{rates} Mbit/s")
        self.seen["one TCP connection, up / down"] = f"{rates[0]:.0f} / {rates[1]:.0f} Mbit/s through TUN, veth and NAT"
        return f"{rates[0]:.0f} Mbit/s up, {rates[1]:.0f} Mbit/s down"

    @step("A large packet is told the tunnel's size, a small enough one passes", "home1$ ping -M do -s 1424 203.0.113.10")
    def path_mtu(self):
        refused = self.lab.run("home1", f"ping -c1 -W2 -M do -s 1472 {SERVERS['visitor']}", check=False)
        must("mtu" in refused, refused)
        text = self.lab.run("home1", f"ping -c1 -W2 -M do -s 1424 {SERVERS['visitor']}")
        must(" 0% packet loss" in text, text)
        return "1452 octets pass, 1500 are answered \"fragmentation needed\""

    @step("Home 1 opens its port by PCP and registers its name", "home1$ portolan-ddns -c home1.conf")
    def register(self):
        self.lab.start_page("home1", "home1-page", HOME, 8080, TITLES["home1"])
        self.start_ddnsd()
        self.start_client("home1", [("web", 8080, TITLES["home1"])])
        _, address, port = self.wait_found("home1")
        self.seen["home1.example at first"] = f"{address}:{port}"
        return f"home1.example is {address}:{port}"

    def wait_found(self, home):
        name = f"{home}.{labs.ZONE}"
        return wait_for(f"{name} to redirect", lambda: self.location(name), seconds=30)

    # Shows DDN-014.
    @step("The name is in the DNS", "visitor$ dig home1.example A; dig direct.home1.example A")
    def dns(self):
        _, outside, port = self.location("home1.example")
        portal = wait_for("home1.example in the DNS", lambda: self.lab.dig("A", "home1.example"))
        must(portal == SERVERS["ddns"], f"home1.example is {portal}, not the DDNS server")
        direct = self.lab.dig("A", "direct.home1.example")
        must(direct == outside, f"direct.home1.example is {direct}, the redirect says {outside}")
        return f"{portal} (the redirector); direct {direct}"

    # Shows DDN-010.
    @step("A visitor asks for the name and is sent to the port", "visitor$ curl -I http://home1.example/")
    def redirect(self):
        status, address, port = self.location("home1.example")
        must(status == "301", f"status {status}")
        return f"{status}, Location http://{address}:{port}/"

    # Shows TCP-011.
    @step("… and sees the home's page", "visitor$ curl -L http://home1.example/")
    def visit(self):
        page = self.curl("visitor", "http://home1.example/", "-L")
        must(TITLES["home1"] in page, page)
        must(f"you are {SERVERS['visitor']}" in page, f"the home does not see the visitor's own address:\n{page}")
        return f"\"{TITLES['home1']}\""

    # Shows DDN-013.
    @step("Home 2 has two services: its name shows a page that lists both", "visitor$ curl -L http://home2.example/")
    def portal(self):
        services = [("web", 8080, TITLES["home2-web"]), ("camera", 8081, TITLES["home2-camera"])]
        for name, port, title in services:
            self.lab.start_page("home2", f"home2-{name}", HOME, port, title)
        self.start_client("home2", services)

        def both():
            page = self.curl("visitor", "http://home2.example/", "-L")
            return page if all(title in page for _, _, title in services) else None

        page = wait_for("home2.example to list both services", both, seconds=30)
        links = re.findall(r'href="(http://[0-9.]+:\d+/)"', page)
        answers = [self.curl("visitor", link) for link in links]
        for _, _, title in services:
            must(any(title in answer for answer in answers), f"no link leads to \"{title}\": {links}")
        self.seen["home2.example"] = " ".join(links)
        return " ".join(links)

    # Shows DDN-005, DSL-085, MGT-061, PCP-196, PCP-197, PCP-199.
    @step("Home 1's outside port changes", "# portolanctl clear subscriber 2001:db8:b:100::/56")
    def change(self):
        _, address, before = self.location("home1.example")
        prefix = labs.B4_ADDRESSES["b4-1"][:-1] + "/56"
        self.lab.ctl(f"clear subscriber {prefix}")
        given = wait_for("another mapping", lambda: [m["outside"] for m in self.lab.ctl_json(f"show mappings subscriber {prefix}")
                                                     if m["inside"] == f"{HOME}:8080" and m["life"].startswith("explicit")])
        cleared = time.monotonic()

        def moved():
            _, now_address, port = self.location("home1.example")
            return f"{now_address}:{port}" if (now_address, port) != (address, before) else None

        after = wait_for("another outside port", moved, seconds=30)
        must([after] == given, f"mapped to {given}, the name leads to {after}")
        took = time.monotonic() - cleared
        self.seen["home1.example after the change"] = f"{after}, found by name {took:.2f} s after the AFTR had given it"
        stale = self.lab.run("visitor", f"curl -s -m 2 http://{address}:{before}/", check=False)
        must(TITLES["home1"] not in stale, "the old port still leads to the home")
        return f"{address}:{before} → {after}, by name {took:.2f} s after PCP; the old one is closed"

    @step("The same name works again", "visitor$ curl -L http://home1.example/")
    def visit_again(self):
        return self.visit()

    # Shows DDN-016, DDN-019.
    @step("A home that runs no DDNS client is found too: the AFTR tells", "# portolan-ddnsd name follow quiet.example PREFIX")
    def operator_mode(self):
        labs.run([*self.ddnsd, "name", "add", "quiet.example", "home2"])
        labs.run([*self.ddnsd, "name", "follow", "quiet.example", self.subscriber("home2"), "tcp", "8082", "web"])
        self.lab.start_page("home2", "home2-quiet", HOME, 8082, "A quiet page")
        port = self.map("home2", 8082)
        asked = time.monotonic()
        found = wait_for("quiet.example to redirect", lambda: self.location("quiet.example"))
        took = time.monotonic() - asked
        must(found[2] == port, f"PCP granted {port}, the name leads to {found}")
        must("A quiet page" in self.curl("visitor", "http://quiet.example/", "-L", "--resolve",
                                         f"quiet.example:80:{SERVERS['ddns']}"), "not the page")
        wait_for("quiet.example in the DNS",
                 lambda: self.lab.dig("SRV", "_http._tcp.quiet.example") == f"0 0 {port} direct.quiet.example.")
        stolen = self.curl("home1", f"http://ddns.{labs.ZONE}/nic/update?hostname=home1.{labs.ZONE}&myip={found[1]}"
                           f"&port={port}&service=theft", "-u", "home1:the-long-secret-of-home1")
        must(stolen == "dnserr\n", f"home 1 registers home 2's port: {stolen}")
        labs.run([*self.ddnsd, "name", "unfollow", "quiet.example"])
        wait_for("its end in the DNS", lambda: not self.lab.dig("SRV", "_http._tcp.quiet.example"))
        self.seen["a mapping without any client"] = f"found by name {took:.2f} s after PCP's answer"
        return f"port {port}, {took:.2f} s after it was mapped; home 1 cannot register it"

    # Shows PCP-202.
    @step("portoland is killed and started again: nobody notices", "# kill -9 portoland; portoland -c portoland.conf")
    def restart(self):
        before = self.location("home1.example")
        self.lab.processes["portoland"].stop(signal.SIGKILL)
        self.lab.start_aftr()
        wait_for("the home's page after the restart", lambda: TITLES["home1"] in self.curl("visitor", "http://home1.example/", "-L"))
        must(self.location("home1.example") == before, f"{before} became {self.location('home1.example')}")
        self.seen["after kill -9"] = "every mapping as before"
        return f"still {before[1]}:{before[2]}"

    @step("What the operator sees", "# portolanctl show status|subscribers|mappings|pools|counters|neighbors")
    def operator(self):
        shown = []
        for topic in ("status", "subscribers", "mappings", "pools", "counters", "neighbors"):
            text = self.lab.ctl(f"show {topic}")
            must(text.strip(), f"show {topic} prints nothing")
            shown += [f"$ portolanctl show {topic}", *text.splitlines(), ""]
        self.show = shown
        mappings = self.lab.ctl("show mappings")
        must(HOME in mappings, mappings)
        self.seen["mappings shown by portolanctl"] = str(mappings.count(HOME))
        return f"{mappings.count(HOME)} mappings of {HOME}, behind two B4s"


class Colours:
    def __init__(self, on):
        self.good, self.bad, self.dim, self.end = ("\033[32m", "\033[31m", "\033[2m", "\033[0m") if on else ("",) * 4


def keep_logs(lab):
    """The logs outlive a lab that failed; the next failure replaces them."""
    kept = labs.REPOSITORY / "build/lab-logs"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for log in [*lab.directory.glob("*.log"), *lab.directory.glob("*.conf")]:
        shutil.copy(log, kept)
    return kept


def run_steps(demo, colours):
    for number, (title, command, method) in enumerate(STEPS, 1):
        started = time.monotonic()
        try:
            seen = method(demo)
        except (LabError, KeyError, IndexError, TypeError, ValueError) as error:
            print(f"{number:2} {colours.bad}FAIL{colours.end} {title}\n     {command}\n{error}", flush=True)
            if not isinstance(error, LabError):
                traceback.print_exc()
            print(f"logs: {keep_logs(demo.lab)}/")
            return False
        print(f"{number:2} {colours.good}ok{colours.end}  {title}  {colours.dim}{time.monotonic() - started:.1f} s\n"
              f"       {command}{colours.end}\n       {seen}", flush=True)
    return True


def print_summary(demo):
    print("\nThe operator's view\n")
    for line in demo.show:
        print(f"  {line}"[:shutil.get_terminal_size((160, 0)).columns])
    print("Seen")
    width = max(map(len, demo.seen))
    for what, value in demo.seen.items():
        print(f"  {what:{width}}  {value}")


def stay(lab):
    print(f"\nRunning until Ctrl-C. Enter a host with: ip netns exec {lab.namespace('HOST')} bash")
    rows = [("home1, home2", f"{HOME} behind b4-1, b4-2", f"ip netns exec {lab.namespace('home1')} curl http://{SERVERS['visitor']}/"),
            ("b4-1, b4-2", ", ".join(labs.B4_ADDRESSES.values()), f"ip netns exec {lab.namespace('b4-1')} ip route"),
            ("access", labs.ACCESS_GATEWAY, f"ip netns exec {lab.namespace('access')} ping {labs.AFTR}"),
            ("internet", labs.INTERNET_GATEWAY, f"ip netns exec {lab.namespace('internet')} ping {labs.AFTR_INTERNET}"),
            ("visitor", SERVERS["visitor"], f"ip netns exec {lab.namespace('visitor')} curl -L http://home1.example/"),
            ("ddns", SERVERS["ddns"], f"ip netns exec {lab.namespace('visitor')} curl http://home2.example/"),
            ("dns", SERVERS["dns"], f"ip netns exec {lab.namespace('visitor')} dig home1.example"),
            ("aftr", f"{labs.AFTR}, pool {lab.pool}", f"{lab.binaries}/portolanctl -s {lab.directory}/cli.sock show mappings")]
    for row in rows:
        print(f"  {row[0]:13}{row[1]:44}{row[2]}")
    print(f"  logs         {lab.directory}/*.log", flush=True)
    signal.pause()


def main():
    parser = argparse.ArgumentParser(prog="demo", description="Two homes behind a DS-Lite AFTR, reachable by name.")
    parser.add_argument("--stay", action="store_true", help="leave it running until Ctrl-C")
    parser.add_argument("--device", default="af_packet", choices=("af_packet", "af_xdp", "memif"), help="how portoland takes its links")
    parser.add_argument("--workers", type=int, default=1, help="portoland's forwarding threads")
    parser.add_argument("--binaries", help="where the programs are (build/release/bin)")
    options = parser.parse_args()
    try:
        with Lab(options.binaries, options.device, options.workers) as lab:
            demo = Demo(lab)
            good = run_steps(demo, Colours(sys.stdout.isatty()))
            if good:
                print_summary(demo)
            if options.stay:
                stay(lab)
            return 0 if good else 1
    except LabError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130 if not options.stay else 0


if __name__ == "__main__":
    sys.exit(main())
