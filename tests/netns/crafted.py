"""Crafted packets against a running portoland: scapy is an independent implementation of every header and checksum.

Why: the homes of the lab send only what a Linux kernel sends. Here the access and internet namespaces play any B4 and
any remote host, frame by frame. A LabTest has one lab for all its tests; every test uses ports of its own.
"""

import argparse
import ipaddress
import itertools
import json
import logging
import select
import socket
import sys
import time
import unittest

import lab as labs

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (ARP, ICMP, IP, IPv6, TCP, UDP, Ether, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_RS, Raw)

AFTR = labs.AFTR
B3, B4 = "2001:db8:b:300::1", "2001:db8:b:400::1"  # two subscribers that exist only as crafted packets
HOME, NEIGHBOUR = labs.HOME, "10.0.0.11"
REMOTE, REMOTE_2 = "198.18.0.10", "198.18.0.20"
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
SECONDS = 5  # a packet that is due comes in milliseconds; this is when to give up


class Wire:
    """A veth end in a namespace: sends frames, and sees the IP packets that come from the AFTR."""

    def __init__(self, lab, host, interface, aftr_mac):
        self.aftr_mac, self.mac = aftr_mac, lab.mac(host, interface)
        with lab.inside(host):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            self.socket.bind((interface, 0))
        self.socket.setsockopt(263, PACKET_IGNORE_OUTGOING, 1)  # SOL_PACKET
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 23)  # a test sends hundreds and reads one

    def send(self, packet):
        self.socket.send(bytes(Ether(src=self.mac, dst=self.aftr_mac) / packet))

    def send_frame(self, frame):
        self.socket.send(bytes(frame))

    def receive(self, wanted=lambda packet: True, seconds=SECONDS):
        """The next packet from the AFTR for which `wanted` holds, without its Ethernet header; None if none comes."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0 and select.select([self.socket], [], [], left)[0]:
            frame = Ether(self.socket.recv(65536))
            if frame.src == self.aftr_mac and not is_housekeeping(frame) and wanted(frame.payload):
                return frame.payload
        return None

    def receive_frame(self, wanted):
        deadline = time.monotonic() + SECONDS
        while (left := deadline - time.monotonic()) > 0 and select.select([self.socket], [], [], left)[0]:
            frame = Ether(self.socket.recv(65536))
            if wanted(frame):
                return frame
        return None

    def drain(self):
        while select.select([self.socket], [], [], 0)[0]:
            self.socket.recv(65536)


def is_housekeeping(frame):
    if UDP in frame and frame[UDP].dport == 5350 and frame.dst[:5] in ("33:33", "01:00"):  # PCP's ANNOUNCE to the link
        return True
    return any(layer in frame for layer in (ARP, ICMPv6ND_NS, ICMPv6ND_NA, ICMPv6ND_RS, ICMPv6ND_RA))


def encapsulated(inner, b4=B3, **outer):
    return IPv6(src=b4, dst=AFTR, nh=4, **outer) / inner


def finished(packet):
    """The packet as bytes and back: every length and checksum filled in."""
    return type(packet)(bytes(packet))


def recomputed(packet):
    """A copy whose checksums scapy has computed anew."""
    copy = packet.copy()
    for layer in (IP, TCP, UDP, ICMP):
        if layer in copy:
            del copy[layer].chksum
    return finished(copy)


class LabTest(unittest.TestCase):
    binaries, device, workers = None, "af_packet", 1
    lab_options = {}
    ports = itertools.count(20000)
    openings = itertools.count()
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(labs.Lab(cls.binaries, cls.device, cls.workers, **cls.lab_options))
        cls.access = Wire(cls.lab, "access", "aftr0", cls._learn_mac("access", labs.AFTR_ACCESS))
        cls.internet = Wire(cls.lab, "internet", "aftr0", cls._learn_mac("internet", labs.AFTR_INTERNET))

    @classmethod
    def _learn_mac(cls, host, address):
        """The AFTR's MAC as the kernel next to it resolves it: by ARP or neighbour discovery."""
        def resolved():
            cls.lab.run(host, f"ping -c1 -W1 {address}", check=False)
            table = labs.run(["ip", "-n", cls.lab.namespace(host), "-j", "neigh", "show", "to", address])
            return next((row["lladdr"] for row in json.loads(table) if "lladdr" in row), None)
        return labs.wait_for(f"{address} to answer {host}", resolved)

    @classmethod
    def tearDownClass(cls):
        """Every packet that came in went one way out: counters.h's law, once no packet is under way."""
        def difference():
            counters = {row["counter"]: row["value"] for row in cls.lab.ctl_json("show counters all")}

            def of(*names):
                return sum(counters.get(name, 0) for name in names)

            into = of("access_received", "internet_received", "inside_received", "injected", "handed_in", "fragments_made",
                      "fragments_reassembled", "syns_released")
            out = of("access_sent", "internet_sent", "inside_sent", "handed_out", "fragments_joined", "fragments_waiting")
            return into - out - of(*(name for name in counters if name.startswith(("punt_", "drop_"))))
        labs.wait_for("every packet to be accounted for", lambda: difference() == 0)
        super().tearDownClass()

    def setUp(self):
        self.port = next(LabTest.ports)
        self.access.drain()
        self.internet.drain()

    def tearDown(self):
        process = self.lab.processes["portoland"]
        self.assertTrue(process.alive(), f"portoland ended:\n{process.tail()}")

    # --- packets ----------------------------------------------------------------------------------------------------

    def up(self, inner, b4=B3, **outer):
        """Sends a packet from a B4 and returns what leaves towards the Internet."""
        self.access.send(encapsulated(inner, b4, **outer))
        return self.assertCame(self.internet, "towards the Internet")

    def down(self, packet):
        """Sends a packet from the Internet and returns what leaves towards the B4s."""
        self.internet.send(packet)
        return self.assertCame(self.access, "towards the B4s")

    def udp(self, payload=b"portolan", source=HOME, destination=REMOTE, dport=53, **fields):
        return IP(src=source, dst=destination, ttl=fields.pop("ttl", 20), flags=fields.pop("flags", "DF"), **fields) / \
            UDP(sport=self.port, dport=dport) / Raw(payload)

    def open_udp(self, b4=B3, source=HOME, destination=REMOTE):
        """Opens a mapping by one packet; returns its outside address and port. Packets sent before may still be coming."""
        payload = b"opening %d" % next(LabTest.openings)
        self.access.send(encapsulated(self.udp(payload, source=source, destination=destination), b4))
        out = self.internet.receive(lambda packet: bytes(packet).endswith(payload))
        self.assertIsNotNone(out, f"the opening packet did not come out within {SECONDS} s")
        return out[IP].src, out[UDP].sport

    # --- assertions -------------------------------------------------------------------------------------------------

    def assertCame(self, wire, where):
        packet = wire.receive()
        self.assertIsNotNone(packet, f"nothing came {where} within {SECONDS} s")
        return packet

    def assertSame(self, got, expected):
        """Every octet; a difference is shown field by field."""
        expected = finished(expected)
        if bytes(got) != bytes(expected):
            self.assertMultiLineEqual(expected.show2(dump=True), type(expected)(bytes(got)).show2(dump=True))
            self.assertEqual(bytes(expected), bytes(got))

    def assertChecksums(self, packet):
        """Those of the packet are those scapy computes."""
        self.assertEqual(recomputed(packet).show2(dump=True), packet.show2(dump=True))

    def assertDropped(self, packet):
        """Nothing of the packet reaches the Internet. No waiting: what is sent after it on the same way comes first."""
        self.access.send(packet)
        fence = self.up(self.udp(b"fence"))
        self.assertTrue(bytes(fence).endswith(b"fence"), "the packet was forwarded: " + fence.summary())

    def assertOutside(self, address, port=None):
        self.assertIn(ipaddress.ip_address(address), ipaddress.ip_network(self.lab.pool))
        if port is not None:
            self.assertGreaterEqual(port, 1024)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binaries")
    parser.add_argument("--device", default="af_packet", choices=("af_packet", "af_xdp", "memif"))
    parser.add_argument("--workers", type=int, default=1)
    options, rest = parser.parse_known_args()
    LabTest.binaries, LabTest.device, LabTest.workers = options.binaries, options.device, options.workers
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
