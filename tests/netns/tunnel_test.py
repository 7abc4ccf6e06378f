#!/usr/bin/python3
"""What routers on the way to the B4s say of tunnel packets, checked octet by octet at both ends."""

from scapy.all import (ICMP, IP, UDP, ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, IPv6,
                       IPv6ExtHdrFragment, Raw)

import crafted
import lab as labs
from crafted import AFTR, B4, REMOTE, finished

ROUTER = "2001:db8:ff::1"  # somewhere between the AFTR and the B4s


class Tunnel(crafted.LabTest):
    def answer(self, outside, port, payload_bytes, **fields):
        """What the remote host sends to a mapping."""
        return finished(IP(src=REMOTE, dst=outside, ttl=20, **fields) / UDP(sport=53, dport=port) /
                        Raw(bytes(i % 251 for i in range(payload_bytes))))

    def complain(self, error, about):
        """An ICMPv6 error about a tunnel packet, which it quotes as far as 1280 octets go."""
        self.access.send(finished(IPv6(src=ROUTER, dst=AFTR) / error / Raw(bytes(about)[:1280 - 48])))

    def assertTold(self, sent, code, mtu=0):
        """The sender hears of the packet he sent: what is quoted is what it was, but for the hops it came."""
        error = self.assertCame(self.internet, "towards the Internet")
        self.assertEqual((labs.AFTR_INTERNET, REMOTE, 1), (error.src, error.dst, error.proto))
        self.assertEqual((3, code, mtu), (error[ICMP].type, error[ICMP].code, error[ICMP].nexthopmtu))
        quoted = bytes(error)[28:]
        self.assertEqual(576 - 28 if len(sent) > 548 else len(sent), len(quoted))
        self.assertEqual(bytes(sent)[:len(quoted)], quoted)
        header = finished(IP(src=error.src, dst=error.dst, flags="DF", id=0, ttl=64, tos=error.tos) /
                          ICMP(type=3, code=code, nexthopmtu=mtu) / Raw(quoted))
        self.assertSame(error, header)

    def test_DSL_032_DSL_033_DSL_041_packet_too_big(self):
        outside, port = self.open_udp(B4)
        sent = self.answer(outside, port, 1400, flags="DF")
        tunnelled = self.down(sent)
        self.complain(ICMPv6PacketTooBig(mtu=1400), tunnelled)
        self.assertTold(sent, 4, 1360)
        self.internet.send(sent)  # too big from now on
        self.assertTold(sent, 4, 1360)
        first = self.down(self.answer(outside, port, 1400, id=9))  # DSL-023
        rest = self.assertCame(self.access, "towards the B4s")
        self.assertEqual([True, True], [IPv6ExtHdrFragment in part and len(part) <= 1400 for part in (first, rest)])
        self.assertNotIn(IPv6ExtHdrFragment, self.down(self.answer(outside, port, 1332, flags="DF")))

    def test_DSL_034_of_a_packet_never_sent(self):
        outside, port = self.open_udp()
        sent = self.answer(outside, port, 1400, flags="DF")
        tunnelled = self.down(sent)
        forged = tunnelled.copy()
        forged[UDP].dport ^= 1
        self.complain(ICMPv6PacketTooBig(mtu=1300), forged)
        self.complain(ICMPv6PacketTooBig(mtu=1279), tunnelled)
        self.assertEqual(bytes(tunnelled), bytes(self.down(sent)))

    def test_DSL_040_DSL_041_DSL_045_unreachable(self):
        outside, port = self.open_udp()
        sent = self.answer(outside, port, 33)
        for error in (ICMPv6DestUnreach(code=3), ICMPv6TimeExceeded(code=0)):
            self.complain(error, self.down(sent))
            self.assertTold(sent, 1)
        self.down(sent)  # the mapping is there as ever


if __name__ == "__main__":
    crafted.main()
