#!/usr/bin/python3
"""Fragments through the running AFTR: scapy's, put together and cut by scapy, and a real kernel's pings."""

from scapy.all import (IP, UDP, ICMPv6ParamProblem, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, Raw, fragment,
                       fragment6)

import crafted
import lab as labs
from crafted import AFTR, B3, HOME, REMOTE, finished

PAYLOAD = bytes(range(256)) * 10


def outer_parts(inner, identification, size=800):
    return fragment6(IPv6(src=B3, dst=AFTR, nh=44) / IPv6ExtHdrFragment(id=identification, nh=4) / inner, size)


def joined(parts, offset_of, more_of):
    """What fragments carry, in their order, or None while some are missing."""
    parts = sorted(parts, key=offset_of)
    carried = b"".join(bytes(p.payload) for p in parts)
    whole = not more_of(parts[-1]) and all(
        offset_of(p) == sum(len(q.payload) for q in parts[:i]) for i, p in enumerate(parts))
    return carried if whole else None


class CraftedFragments(crafted.LabTest):
    def test_DSL_024_outer_fragments_in_either_order(self):
        for order in (1, -1):
            for part in outer_parts(self.udp(PAYLOAD[:1280]), self.port + order)[::order]:
                self.access.send(part)
            self.assertEqual(bytes(self.assertCame(self.internet, "towards the Internet")[UDP].payload), PAYLOAD[:1280])

    def test_DSL_031_inner_fragments_both_ways_in_any_order(self):
        for turn, order in enumerate(((0, 1, 2), (2, 1, 0), (1, 0, 2))):
            parts = fragment(finished(IP(src=HOME, dst=REMOTE, id=700 + turn) / UDP(sport=self.port, dport=53) / PAYLOAD),
                             1000)
            self.assertEqual(len(parts), 3)
            for i in order:
                self.access.send(crafted.encapsulated(parts[i]))
            out, whole = self.datagram(self.internet, "towards the Internet")
            self.assertEqual(bytes(whole.payload), PAYLOAD)
            self.assertEqual(self.checksum_of(out, whole), whole.chksum)

            back = fragment(finished(IP(src=REMOTE, dst=out.src, id=800 + turn) / UDP(sport=53, dport=whole.sport) /
                                     PAYLOAD), 1000)
            for i in order:
                self.internet.send(back[i])
            into, whole = self.datagram(self.access, "towards the B4s")
            self.assertEqual((into.dst, whole.dport, bytes(whole.payload)), (HOME, self.port, PAYLOAD))
            self.assertEqual(self.checksum_of(into, whole), whole.chksum)

    def datagram(self, wire, where):
        """The next UDP datagram, in however many fragments, outer and inner: its IPv4 header, and what it carries.
        An af_packet device gives the AFTR datagrams that the kernel has put together already."""
        outer, inner = [], []
        while True:
            packet = self.assertCame(wire, where)
            if IPv6ExtHdrFragment in packet:
                outer.append(packet[IPv6ExtHdrFragment])
                carried = joined(outer, lambda p: p.offset * 8, lambda p: p.m)
                if carried is None:
                    continue
                outer, packet = [], IP(carried)
            inner.append(packet[IP])
            self.assertEqual(len({(p.src, p.dst, p.id, p.proto) for p in inner}), 1)
            carried = joined(inner, lambda p: p.frag * 8, lambda p: p.flags.MF)
            if carried is not None:
                return inner[0], UDP(carried)

    @staticmethod
    def checksum_of(ip, udp):
        again = IP(src=ip.src, dst=ip.dst) / UDP(sport=udp.sport, dport=udp.dport) / bytes(udp.payload)
        return finished(again)[UDP].chksum

    def problem(self, packet):
        self.access.send(packet)
        got = self.assertCame(self.access, "towards the B4s")
        self.assertEqual((got.src, got.dst), (AFTR, B3))
        return got[ICMPv6ParamProblem].code, got[ICMPv6ParamProblem].ptr

    def test_DSL_027_lengths_that_cannot_be_are_answered(self):
        header = IPv6(src=B3, dst=AFTR, nh=44)
        self.assertEqual(self.problem(header / IPv6ExtHdrFragment(id=1, nh=4, offset=10, m=1) / Raw(bytes(61))), (0, 4))
        self.assertEqual(self.problem(header / IPv6ExtHdrFragment(id=2, nh=4, offset=8191, m=0) / Raw(bytes(16))), (0, 42))

    def test_DSL_028_a_first_fragment_without_its_headers_is_answered(self):
        whole = IPv6(src=B3, dst=AFTR, nh=44) / IPv6ExtHdrFragment(id=3, nh=60, m=1) / IPv6ExtHdrDestOpt(nh=4)
        self.assertEqual(self.problem(whole), (3, 0))


class Pings(crafted.LabTest):
    """A B4 as RFC 6333 §5.3 wants it: the inner packet stays whole, its IPv6 packet is fragmented."""

    lab_options = {"tun_mtu": 1500}

    def ping(self, octets):
        text = self.lab.run("home1", f"ping -c3 -i0.2 -W2 -M dont -s {octets} {labs.SERVERS['visitor']}")
        self.assertIn(" 0% packet loss", text)

    def test_DSL_020_DSL_024_1500_octets_cross_both_ways(self):
        self.ping(1472)

    def test_ICM_025_3000_octets_cross_both_ways(self):
        self.ping(3000)



class FragmentTable(crafted.LabTest):
    MAX = 256  # dataplane.max-fragments, of which a sender may use a quarter
    lab_options = {"extra_config": f"[dataplane]\nmax-fragments = {MAX}\n"}

    def test_DSL_030_a_table_of_fragments_that_fills_up_is_told_of_and_costs_others_nothing(self):
        def alarms():
            return self.lab.ctl_json("show status")["alarms"] or ""
        self.assertNotIn("fragments", alarms())
        for subscriber in range(8):  # first fragments whose others never come; at any number of workers some table fills
            b4 = f"2001:db8:b:{subscriber + 16:x}00::1"
            for identification in range(self.MAX // 2):
                part = IPv6(src=b4, dst=AFTR) / IPv6ExtHdrFragment(id=identification, nh=4, offset=0, m=1) / Raw(b"E" * 64)
                self.access.send(part)
        labs.wait_for("the fragments' table to be told of", lambda: "fragments" in alarms())
        self.assertTrue(any(row["event"].startswith("fragments") for row in self.lab.ctl_json("show events")))
        for _ in range(20):
            self.open_udp()


if __name__ == "__main__":
    crafted.main()
