#!/usr/bin/python3
"""Outer IPv6 fragments from B4s, crafted and from a real kernel's path, must be reassembled (RFC 6333 §6.3)."""

from scapy.all import UDP, IPv6, IPv6ExtHdrFragment, fragment6

import crafted
import lab as labs
from crafted import AFTR, B3


class CraftedFragments(crafted.LabTest):
    def test_DSL_024_outer_fragments_in_either_order(self):
        payload = bytes(range(256)) * 5
        whole = IPv6(src=B3, dst=AFTR, nh=44) / IPv6ExtHdrFragment(id=self.port, nh=4) / self.udp(payload)
        for order in (1, -1):
            for part in fragment6(whole, 800)[::order]:
                self.access.send(part)
            self.assertEqual(bytes(self.assertCame(self.internet, "towards the Internet")[UDP].payload), payload)


class OuterFragments(crafted.LabTest):
    """A B4 as RFC 6333 §5.3 wants it: the inner packet stays whole, its IPv6 packet is fragmented."""

    lab_options = {"tun_mtu": 1500}

    def test_DSL_020_DSL_024_1500_octets_cross_both_ways(self):
        text = self.lab.run("home1", f"ping -c3 -i0.2 -W2 -M dont -s 1472 {labs.SERVERS['visitor']}")
        self.assertIn(" 0% packet loss", text)
        b4 = self.lab.processes["b4-1"]
        self.assertEqual(b4.stop(), 0)
        self.assertIn("\nfragmented 3 ", b4.tail())


if __name__ == "__main__":
    crafted.main()
