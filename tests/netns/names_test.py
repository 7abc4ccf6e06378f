#!/usr/bin/python3
"""RFC 7393 from end to end: a UPnP program behind the B4 is found by name, and a name follows a port that moves, however
its client finds out. How long that took is printed; nothing fails for being slow.

    TIMES=5 names_test.py      # each way five times, for a measurement
"""

import contextlib
import json
import os
import re
import select
import signal
import socket
import statistics
import struct
import threading
import time
import unittest

import crafted
import demo
import lab as labs
import natpmp
import pcp
from lab import AFTR, HOME, wait_for

GATEWAY, NEIGHBOUR = "10.0.0.1", "10.0.0.11"
NAME = f"home1.{labs.ZONE}"
TITLE = "The page of home 1"
SUBSCRIBER = demo.Demo.subscriber("home1")
GATEWAY_CONFIG = f"[igd]\naddress = {GATEWAY}\nname = {NAME}\n[proxy]\naddress = {GATEWAY}\n"
SERVICE_CONFIG = f"[service.web]\nname = {NAME}\ninside = {HOME}:8080\ntitle = {TITLE}\n"
ANNOUNCEMENTS = 5350  # the client's port for what it has not asked for (RFC 6887 §14)
TIMES = int(os.environ.get("TIMES", "1"))


class Relay:
    """Takes a client's requests to the AFTR and brings back one answer each; what the server says unasked, to the client's
    own port or to that for announcements (RFC 6887 §14), does not come through."""

    def __init__(self, lab):
        with lab.inside("home1"):
            self.front, self.back = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.front.bind((HOME, 0))
        self.back.bind((HOME, 0))
        self.port = self.front.getsockname()[1]
        self.asked = {}  # what is not answered: whose it is
        self.ends, self.end = socket.socketpair()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    @staticmethod
    def key(message):
        """Opcode and, of a MAP, nonce, protocol and inside port."""
        return message[1] & 0x7f, message[24:42]

    def run(self):
        while True:
            ready = select.select([self.front, self.back, self.ends], [], [])[0]
            if self.ends in ready:
                return
            if self.front in ready:
                message, client = self.front.recvfrom(2048)
                self.asked[self.key(message)] = client
                self.back.sendto(message, ("192.0.0.1", pcp.PORT))
            if self.back in ready:
                message = self.back.recv(2048)
                if client := self.asked.pop(self.key(message), None):
                    self.front.sendto(message, client)

    def close(self):
        self.end.close()
        self.thread.join()
        for each in (self.front, self.back, self.ends):
            each.close()


class Names(unittest.TestCase):
    measured = []

    @classmethod
    def setUpClass(cls):
        options = crafted.LabTest
        cls.lab = cls.enterClassContext(labs.Lab(options.binaries, options.device, options.workers))
        cls.lab._resolver("b4-1")
        cls.story = demo.Demo(cls.lab)
        cls.story.start_ddnsd()
        cls.lab.start_page("home1", "page", HOME, 8080, TITLE)

    @classmethod
    def tearDownClass(cls):
        print(*cls.measured, sep="\n")

    def tearDown(self):
        if client := self.lab.processes.pop("client", None):
            client.stop()

    # --- pieces -----------------------------------------------------------------------------------------------------

    def start_client(self, host, server, more, method="table", lifetime=3600, port=pcp.PORT, natpmp="on"):
        config = self.story.write("client.conf", f"""\
[pcp]
server = {server}
port = {port}
method = {method}
check-interval = 10s
lifetime = {lifetime}
nat-pmp = {natpmp}
[ddns]
url = http://ddns.{labs.ZONE}/
account = home1
token = the-long-secret-of-home1
state = {self.lab.directory}/client.json
allow-address = {self.lab.pool}
status-socket = {self.lab.directory}/client.sock
{more}""")
        self.lab.start(host, "client", [self.lab.binaries / "portolan-ddns", "-c", config])

    def found(self):
        """Where the name leads, or None."""
        with contextlib.suppress(labs.LabError):
            return self.story.location(NAME)[1:]
        return None

    def wait_found(self, but=None):
        def elsewhere():
            place = self.found()
            return place if place != but else None
        return wait_for(f"{NAME} to lead elsewhere than to {but}", elsewhere, seconds=100)

    def mapped(self):
        """What PCP has mapped for the home: inside and outside endpoint."""
        return {row["inside"]: row["outside"] for row in self.lab.ctl_json(f"show mappings subscriber {SUBSCRIBER}")
                if row["life"].startswith("explicit")}

    def upnpc(self, arguments, check=True):
        # -i: the lab's pool is of addresses for documentation, which upnpc takes for a gateway without the Internet.
        return self.lab.run("home1", f"upnpc -i -m eth0 {arguments}", check=check)

    def wait_gateway(self):
        wait_for("the gateway", lambda: "ExternalIPAddress = 192.0.2." in self.upnpc("-s", check=False), seconds=30)

    # --- UPnP and PCP behind the B4 (figure 1's interworking function) ----------------------------------------------

    # Shows DDN-001, PCX-070, PCX-071, PCX-073.
    def test_an_unmodified_upnp_program_gets_a_port_and_a_name(self):
        self.start_client("b4-1", AFTR, GATEWAY_CONFIG)
        self.wait_gateway()
        said = self.upnpc(f"-e page -n {HOME} 8080 8080 tcp")
        outside, port = re.search(rf"external ([0-9.]+):(\d+) TCP is redirected to internal {HOME}:8080", said).groups()

        with self.subTest("the name leads there"):
            self.assertEqual(self.wait_found(), (outside, int(port)))
            self.assertIn(TITLE, self.story.curl("visitor", f"http://{NAME}/", "-L"))
            self.assertRegex(self.upnpc("-l"), rf"TCP +{port}->{HOME}:8080 +'page'")
            status = json.loads(labs.run([self.lab.binaries / "portolan-ddns", "-c", self.lab.directory / "client.conf",
                                          "--status"]))
            self.assertEqual([(each["from"], each["outside"]) for each in status["services"]],
                             [("upnp", f"{outside}:{port}")])

        with self.subTest("kill -9 keeps the lease"):
            self.lab.processes["client"].stop(signal.SIGKILL)
            self.start_client("b4-1", AFTR, GATEWAY_CONFIG)
            self.wait_gateway()
            self.assertRegex(self.upnpc("-l"), rf"TCP +{port}->{HOME}:8080 +'page'")
            self.assertEqual(self.found(), (outside, int(port)))

        with self.subTest("another host is refused"):
            self.assertIn("failed with code 606", self.upnpc(f"-e theirs -a {NEIGHBOUR} 8081 8081 tcp", check=False))

        with self.subTest("a port that is not the program's own is no entry"):
            self.assertIn("714", self.upnpc("-d 2 tcp", check=False))

        with self.subTest("deleted, it leads nowhere"):
            self.upnpc(f"-d {port} tcp")
            wait_for("the name to lead nowhere", lambda: self.found() is None)
            self.assertNotIn(f"{HOME}:8080", self.mapped())

    # --- a gateway of before PCP ------------------------------------------------------------------------------------

    def status(self):
        with contextlib.suppress(labs.LabError):  # it has just been started
            return json.loads(labs.run([self.lab.binaries / "portolan-ddns", "-c", self.lab.directory / "client.conf",
                                        "--status"]))
        return None

    def outside(self):
        return (status := self.status()) and status["services"][0]["outside"]

    def test_NPM_016_a_gateway_that_speaks_natpmp_alone(self):
        gateway = natpmp.Gateway(self.lab, "home1", HOME)
        self.addCleanup(gateway.close)
        gateway.reboot("203.0.113.7", 40_000, uptime=5_000)
        self.start_client("home1", HOME, SERVICE_CONFIG, port=gateway.port)
        client = self.lab.processes["client"]
        wait_for("the mapping", lambda: self.outside() == "203.0.113.7:40000")
        self.assertEqual(self.status()["pcp"]["protocol"], "nat-pmp")
        self.assertEqual([request[:2] for request in gateway.asked()], [b"\2\1", b"\0\2", b"\0\0"])
        gateway.requests.clear()
        gateway.reboot("203.0.113.8", 50_000)
        gateway.announce()
        wait_for("the mapping made anew", lambda: self.outside() == "203.0.113.8:50000")
        self.assertIn("the PCP server restarted", client.tail())
        asked = gateway.asked()
        self.assertEqual([request[:2] for request in asked[:2]], [b"\2\0", b"\0\2"])  # PCP first
        self.assertEqual(asked[1][4:8], struct.pack("!HH", 8080, 40_000))  # what it had
        client.popen.send_signal(signal.SIGTERM)
        wait_for("the client to end in good order", lambda: not client.alive())
        self.assertEqual(gateway.requests[-1], struct.pack("!BBHHHI", 0, 2, 0, 8080, 0, 0))
        self.assertFalse(gateway.mappings)

    def test_NPM_016_nat_pmp_off_says_what_is_missing(self):
        gateway = natpmp.Gateway(self.lab, "home1", HOME)
        self.addCleanup(gateway.close)
        self.start_client("home1", HOME, SERVICE_CONFIG, port=gateway.port, natpmp="off")
        client = self.lab.processes["client"]
        wait_for("the refusal", lambda: "NAT-PMP alone, which is switched off here" in client.tail())
        self.assertEqual({request[0] for request in gateway.requests}, {2})

    # The gateway's NAT-PMP is portoland's own.
    def test_NPM_016_a_name_follows_through_natpmp(self):
        config = self.lab.directory / "portoland.conf"
        whole = config.read_text()
        config.write_text(whole.replace("[pcp]\n", "[pcp]\nnat-pmp = on\n", 1))
        self.lab.ctl("reload")
        self.addCleanup(lambda: (config.write_text(whole), self.lab.ctl("reload")))
        gateway = natpmp.Gateway(self.lab, "home1", HOME, upstream=("192.0.0.1", pcp.PORT))
        self.addCleanup(gateway.close)
        self.start_client("home1", HOME, SERVICE_CONFIG, port=gateway.port)
        self.follow("announced by NAT-PMP")
        self.assertEqual(self.outside(), self.mapped()[f"{HOME}:8080"])
        self.assertIn(TITLE, self.story.curl("visitor", f"http://{NAME}/", "-L"))
        client = self.lab.processes["client"]
        client.popen.send_signal(signal.SIGTERM)
        wait_for("the client to end in good order", lambda: not client.alive())
        self.assertNotIn(f"{HOME}:8080", self.mapped(), client.tail())

    # Shows PCX-062, PCX-061.
    def test_a_program_that_speaks_pcp_to_its_gateway_is_mapped_by_the_aftr(self):
        self.start_client("b4-1", AFTR, GATEWAY_CONFIG)
        with self.lab.inside("home1"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.settimeout(1)

            def answered():
                asking.sendto(pcp.map_request(HOME, pcp.TCP, 8090, nonce=b"of this test"), (GATEWAY, pcp.PORT))
                with contextlib.suppress(TimeoutError, ConnectionRefusedError):
                    return pcp.parse(asking.recv(1100))
                return None
            response = wait_for("the proxy", answered)
        self.assertEqual(response.result, pcp.SUCCESS)
        self.assertEqual(self.mapped()[f"{HOME}:8090"], f"{response.outside}:{response.outside_port}")

    def test_a_configuration_read_again_keeps_what_it_names_and_ends_the_rest(self):
        more = f"[service.other]\nname = {NAME}\ninside = {HOME}:8091\nscheme = ssh\ntype = sftp-ssh\n"
        self.start_client("home1", "192.0.0.1", SERVICE_CONFIG + more)
        client = self.lab.processes["client"]

        def portal():
            return self.story.curl("visitor", f"http://{NAME}/")
        wait_for("both services on the portal", lambda: "ssh://" in (page := portal()) and TITLE in page)
        before, other = (self.mapped()[f"{HOME}:{port}"] for port in (8080, 8091))
        wait_for("the other's type in the DNS",
                 lambda: f" {other.split(':')[1]} " in (self.lab.dig("SRV", f"_sftp-ssh._tcp.{NAME}") or ""))
        config = self.lab.directory / "client.conf"
        config.write_text(config.read_text().replace(more, "").replace("lifetime = 3600", "lifetime = x"))
        client.popen.send_signal(signal.SIGHUP)
        wait_for("the refusal", lambda: "the configuration in force stays" in client.tail())
        self.assertIn(f"{HOME}:8091", self.mapped())
        config.write_text(config.read_text().replace("lifetime = x", "lifetime = 1800"))
        client.popen.send_signal(signal.SIGHUP)
        wait_for("the redirect of the service that is left", lambda: self.found() and "{}:{}".format(*self.found()) == before)
        self.assertNotIn(f"{HOME}:8091", self.mapped())
        self.assertEqual(self.mapped()[f"{HOME}:8080"], before)
        for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM):  # whatever moment they come at
            client.popen.send_signal(number)
        wait_for("the client to end in good order", lambda: not client.alive())
        self.assertEqual(client.popen.returncode, 0, client.tail())
        self.assertNotIn("another process listens there", client.tail())
        self.assertNotIn(f"{HOME}:8080", self.mapped(), client.tail())

    # --- detection (§2.3) -------------------------------------------------------------------------------------------

    def follow(self, what, prepare=lambda place: None):
        """Ends the mapping the name leads to, and waits until it leads to the next; several times."""
        taken = []
        for _ in range(TIMES):
            before = self.wait_found()
            prepare(before)
            time.sleep(4)  # a client cannot tell the reset of an epoch younger than 3 s (RFC 6887 §8.5)
            began = time.monotonic()
            self.lab.ctl(f"clear subscriber {SUBSCRIBER}")
            self.assertNotEqual(self.wait_found(but=before), before)
            taken.append(time.monotonic() - began)
        shown = ", ".join(f"{each:.2f}" for each in sorted(taken))
        self.measured.append(f"{what}: the name is right {statistics.median(taken):.2f} s after the change ({shown})")

    def drain(self, place):
        """The subscriber's next address is another one: a probe sees no ports."""
        config = self.lab.directory / "portoland.conf"
        config.write_text(self.lab.aftr_config() + f"[pool]\ndrain = {place[0]}/32\n")
        self.lab.ctl("reload")

    def deaf(self):
        """The port of a PCP server in the home that tells its client nothing it has not asked for; and the client's port
        for announcements is somebody else's."""
        relay = Relay(self.lab)
        self.addCleanup(relay.close)
        with self.lab.inside("home1"):
            taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        taken.bind(("0.0.0.0", ANNOUNCEMENTS))
        self.addCleanup(taken.close)
        return relay.port

    # Also shows DDN-003.
    def test_DDN_005_an_announcement_moves_the_name(self):
        self.start_client("home1", "192.0.0.1", SERVICE_CONFIG)
        self.follow("announced")

    def test_DDN_002_a_probe_finds_a_new_address(self):
        self.start_client("home1", HOME, SERVICE_CONFIG, method="probe", port=self.deaf())
        self.follow("unannounced, by probes every 10 s", self.drain)

    def test_DDN_004_the_next_renewal_finds_a_new_port(self):
        self.start_client("home1", HOME, SERVICE_CONFIG, lifetime=120, port=self.deaf())
        self.follow("unannounced, by renewal of a lifetime of 120 s")


if __name__ == "__main__":
    crafted.main()
