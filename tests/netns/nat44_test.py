#!/usr/bin/python3
"""NAT44 beside DS-Lite, end to end: a device a side, a VLAN a side, and one device for all three.

Why: kernels are the neighbours here, so that a wrong tag, MTU or ARP answer shows as no answer at all; scapy sees every
octet on the inside.

    customer 100.64.1.2 -- inside 100.64.0.2 -- [100.64.0.1 aftr], and the lab's two homes, B4s and servers
"""

import select
import shutil
import signal
import socket
import struct

from scapy.all import ICMP, IP, UDP, IPerror, Raw, UDPerror

import crafted
import lab as labs
import pcp

OUR_INSIDE, INSIDE_GATEWAY, CUSTOMER = "100.64.0.1", "100.64.0.2", "100.64.1.2"
CRAFTED = "100.64.77.7"  # a customer that exists only as crafted packets; the kernel drops the answers silently
VISITOR = labs.SERVERS["visitor"]
labs.HOSTS += ("inside", "customer", "switch")


class Nat44Lab(labs.Lab):
    """`vlans`: of access, internet and inside, 0 untagged. `one_armed`: one device for all three."""

    DEVICES = ("acc0", "inet0", "ins0")  # of the AFTR, by side

    def __init__(self, *arguments, vlans=(0, 0, 0), one_armed=False, **options):
        self.vlans, self.one_armed = vlans, one_armed
        super().__init__(*arguments, **options)

    def _topology(self):
        super()._topology()
        self._link("inside", "aftr0", "aftr", "ins0")
        self._link("customer", "eth0", "inside", "customer")
        self._set("inside", "ipv4/ip_forward=1")
        self.ip("inside", f"addr add {INSIDE_GATEWAY}/24 dev aftr0", f"route add default via {OUR_INSIDE}",
                "addr add 100.64.1.1/24 dev customer", f"route add blackhole {CRAFTED}")
        self.ip("customer", f"addr add {CUSTOMER}/24 dev eth0", "route add default via 100.64.1.1")
        if any(self.vlans) or self.one_armed:
            self._switch()
        for device in self.DEVICES[:1] if self.one_armed else self.DEVICES:
            self._set("aftr", f"ipv6/conf/{device}/disable_ipv6=1")

    def _switch(self):
        """Between the neighbours, who know of no VLAN, and the AFTR, who knows of nothing else."""
        ways = []
        for device, vlan in zip(self.DEVICES, self.vlans):
            trunk = "trunk-" + (self.DEVICES[0] if self.one_armed else device)
            self.ip("aftr", f"link set {device} netns {self.namespace('switch')}")
            self.ip("switch", f"link set {device} up")
            self._set("switch", f"ipv6/conf/{device}/disable_ipv6=1")
            if not self.one_armed or device == self.DEVICES[0]:
                self._link("switch", trunk, "aftr", device + "-new")
                self.ip("aftr", f"link set {device}-new down", f"link set {device}-new name {device}",
                        f"link set {device} up")
                self._set("switch", f"ipv6/conf/{trunk}/disable_ipv6=1")
            ways += [trunk, str(vlan), device]
        tagger = self.start("switch", "tagger", [labs.PYTHON, labs.REPOSITORY / "tests/netns/tagger.py", *ways])
        self.wait_ready("tagger", lambda: "ready" in tagger.tail())

    def aftr_config(self):
        config = super().aftr_config()
        inside = "net_af_packet2,iface=ins0"
        if self.one_armed:
            inside = "net_af_packet0,iface=acc0"
            config = config.replace("net_af_packet1,iface=inet0", inside)
        access, internet, tag = (f"vlan = {vlan}\n" for vlan in self.vlans)
        return config.replace("[internet]\n", access + "[internet]\n" + internet) + f"""\
[nat44]
inside-prefix = 100.64.0.0/10
device = {inside}
address = {OUR_INSIDE}/24
gateway = {INSIDE_GATEWAY}
{tag}"""


class Nat44:
    """The tests, of any wiring."""

    options = {}

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Nat44Lab(cls.binaries, cls.device, cls.workers, **cls.options))
        cls.wires = {}
        for host, address in (("access", labs.AFTR_ACCESS), ("internet", labs.AFTR_INTERNET), ("inside", OUR_INSIDE)):
            cls.wires[host] = crafted.Wire(cls.lab, host, "aftr0", cls._learn_mac(host, address))
        cls.access, cls.internet, cls.inside = (cls.wires[host] for host in ("access", "internet", "inside"))

    def setUp(self):
        super().setUp()
        self.inside.drain()

    # --- scapy: every octet -----------------------------------------------------------------------------------------

    def outward(self, packet):
        self.inside.send(packet)
        return self.assertCame(self.internet, "towards the Internet")

    def came_inside(self):
        """What is not for the other customer, who is told thrice that his mappings were cleared."""
        while (got := self.assertCame(self.inside, "to the inside")).dst != CRAFTED:
            pass
        return got

    def inward(self, packet):
        self.internet.send(packet)
        return self.came_inside()

    def test_udp_both_ways(self):
        sent = self.udp(b"odd number", source=CRAFTED)
        out = self.outward(sent)
        self.assertOutside(out.src, out[UDP].sport)
        expected = sent.copy()
        expected.src, expected.ttl, expected[UDP].sport = out.src, 19, out[UDP].sport
        self.assertSame(out, expected)
        answer = IP(src=crafted.REMOTE_2, dst=out.src, ttl=9, flags="DF", id=7) / \
            UDP(sport=99, dport=out[UDP].sport) / Raw(b"answer!")
        expected = answer.copy()
        expected.dst, expected.ttl, expected[UDP].dport = CRAFTED, 8, self.port
        self.assertSame(self.inward(answer), expected)

    def test_errors_about_his_packets_reach_him_translated(self):
        out = self.outward(self.udp(source=CRAFTED))
        error = IP(src="203.0.113.1", dst=out.src) / ICMP(type=3, code=4, nexthopmtu=1400) / bytes(out)
        told = self.inward(error)
        self.assertEqual((told.dst, told[ICMP].nexthopmtu), (CRAFTED, 1400))
        self.assertEqual((told[IPerror].src, told[UDPerror].sport), (CRAFTED, self.port))
        self.assertChecksums(told)

    def test_ttl_and_size_are_answered_from_the_inside_address(self):
        self.inside.send(self.udp(source=CRAFTED, ttl=1))
        told = self.came_inside()
        self.assertEqual((told.src, told.dst, told[ICMP].type, told[ICMP].code), (OUR_INSIDE, CRAFTED, 11, 0))
        self.assertEqual(told[UDPerror].sport, self.port)
        self.assertChecksums(told)

    def test_a_source_that_is_nobody_s_is_dropped(self):
        before = self.counter("drop_ipv4_source_refused")
        self.inside.send(self.udp(source="192.168.1.1"))
        labs.wait_for("the drop to be counted", lambda: self.counter("drop_ipv4_source_refused") == before + 1)

    # --- kernels: tags, MTU, ARP ------------------------------------------------------------------------------------

    def test_ping_as_long_as_the_link_takes(self):
        for size in (1471, 1472):
            answer = self.lab.run("customer", f"ping -c1 -W5 -M do -s {size} {VISITOR}")
            self.assertIn("1 received", answer)
        self.assertIn("1 received", self.lab.run("customer", f"ping -c1 -W5 -M do -s 1472 {OUR_INSIDE}"))
        self.assertIn("1 received", self.lab.run("internet", f"ping -c1 -W5 -M do -s 1472 {labs.AFTR_INTERNET}"))
        self.assertIn("1 received", self.lab.run("access", f"ping -c1 -W5 -M do -s 1452 {labs.AFTR_ACCESS}"))

    def test_web_page_from_both_kinds_of_subscriber(self):
        if "page" not in self.lab.processes:
            self.lab.start_page("visitor", "page", VISITOR, 8080, "hello from the visitor")
        for host in ("customer", "home1", "home2"):
            self.assertIn("hello from the visitor", self.lab.run(host, f"curl -s -m 10 http://{VISITOR}:8080/"))

    def socket(self, host, port=0):
        with self.lab.inside(host):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind(("", port))
        made.settimeout(crafted.SECONDS)
        self.addCleanup(made.close)
        return made

    def outside_of(self, made):
        """Opens a mapping for the socket's port; returns its outside endpoint as a server sees it."""
        visitor = self.socket("visitor", next(crafted.LabTest.ports))
        made.sendto(b"open", (VISITOR, visitor.getsockname()[1]))
        return visitor.recvfrom(100)[1]

    def test_hairpinning_between_the_two_kinds(self):
        customer, home = self.socket("customer"), self.socket("home1")
        of_customer, of_home = self.outside_of(customer), self.outside_of(home)
        home.sendto(b"from a home", of_customer)
        self.assertEqual(customer.recvfrom(100), (b"from a home", of_home))
        customer.sendto(b"from a customer", of_home)
        self.assertEqual(home.recvfrom(100), (b"from a customer", of_customer))

    def test_pcp_by_the_host_itself(self):
        client, server = self.socket("customer"), self.socket("customer", next(crafted.LabTest.ports))
        port = server.getsockname()[1]
        for address in (OUR_INSIDE, "192.0.0.9"):
            client.sendto(pcp.map_request(CUSTOMER, pcp.UDP, port, nonce=b"twelve bytes"), (address, pcp.PORT))
            data, source = client.recvfrom(1100)
            reply = pcp.parse(data)
            self.assertEqual((reply.result, source), (pcp.SUCCESS, (address, pcp.PORT)))
        self.assertOutside(reply.outside, reply.outside_port)
        visitor = self.socket("visitor")
        visitor.sendto(b"knock", (reply.outside, reply.outside_port))
        self.assertEqual(server.recvfrom(100), (b"knock", (VISITOR, visitor.getsockname()[1])))
        rows = [row for row in self.lab.ctl_json("show pcp") if row["subscriber"] == CUSTOMER]
        self.assertEqual([(row["inside"], row["client_b4"], row["asked_by"]) for row in rows],
                         [(f"{CUSTOMER}:{port}", None, "ipv4")])

    # --- what the operator sees -------------------------------------------------------------------------------------

    def counter(self, name):
        return {row["counter"]: row["value"] for row in self.lab.ctl_json("show counters all")}[name]

    def test_shown_and_cleared_as_what_he_is(self):
        self.outside_of(self.socket("customer", 7777))
        rows = self.lab.ctl_json(f"show mappings subscriber {CUSTOMER}")
        self.assertIn((None, f"{CUSTOMER}:7777"), [(row["b4"], row["inside"]) for row in rows])
        self.assertIn(CUSTOMER, [row["subscriber"] for row in self.lab.ctl_json("show subscribers")])
        self.assertEqual([row["side"] for row in self.lab.ctl_json("show neighbors")], ["access", "internet", "inside"])
        interfaces = self.lab.ctl_json("show interfaces")
        self.assertEqual([row["vlan"] or 0 for row in interfaces], list(self.lab.vlans))
        self.assertIn("mappings ended", self.lab.ctl(f"clear subscriber {CUSTOMER}"))
        self.assertEqual(self.lab.ctl_json(f"show mappings subscriber {CUSTOMER}"), [])


class ThreeDevices(Nat44, crafted.LabTest):
    pass


class ThreeDevicesWithVlans(Nat44, crafted.LabTest):
    options = {"vlans": (100, 200, 4094)}


class OneDeviceThreeVlans(Nat44, crafted.LabTest):
    options = {"vlans": (100, 200, 300), "one_armed": True}


class OneDeviceSubscribersInOneVlan(Nat44, crafted.LabTest):
    options = {"vlans": (100, 0, 100), "one_armed": True}


class OneOutsideAddress(crafted.LabTest):
    ONE = "192.0.2.7"

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Nat44Lab(cls.binaries, cls.device, cls.workers, pool=cls.ONE + "/32",
                                                 extra_config="[pcp]\nnat-pmp = on\n"))
        cls.access, cls.internet = (crafted.Wire(cls.lab, host, "aftr0", cls._learn_mac(host, address))
                                    for host, address in (("access", labs.AFTR_ACCESS), ("internet", labs.AFTR_INTERNET)))

    # RFC 6886 §3.2.1: the pool's only address is everybody's.
    def test_NPM_013_a_start_that_lost_everything_multicasts_the_address(self):
        with self.lab.inside("inside"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard:
            heard.bind(("224.0.0.1", 5350))
            heard.settimeout(crafted.SECONDS)
            self.lab.processes["portoland"].stop(signal.SIGKILL)
            for lost in [*self.lab.directory.glob("pcp.sqlite*"), self.lab.directory / "state"]:
                shutil.rmtree(lost) if lost.is_dir() else lost.unlink()
            while select.select([heard], [], [], 0)[0]:
                heard.recv(100)
            self.lab.start_aftr()
            told = {}
            while len(told) < 2:
                message, source = heard.recvfrom(100)
                self.assertEqual(source, (OUR_INSIDE, pcp.PORT))
                told.setdefault(message[0], message)
        self.assertEqual(pcp.parse(told[2]).opcode, pcp.ANNOUNCE)
        version, opcode, result, epoch, address = struct.unpack("!BBHI4s", told[0])
        self.assertEqual((version, opcode, result, address), (0, 128, 0, socket.inet_aton(self.ONE)))
        self.assertLess(epoch, 60)


if __name__ == "__main__":
    crafted.main()
