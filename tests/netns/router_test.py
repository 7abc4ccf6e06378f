#!/usr/bin/python3
"""portoland as a router on its two links: echo, ARP and neighbour discovery, by Linux and by crafted packets."""

from scapy.all import ARP, ICMP, IP, Ether, ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, Raw

import crafted
import lab as labs
from crafted import AFTR, B3, HOME, encapsulated


class Router(crafted.LabTest):
    # Shows ICM-026.
    def test_ping_its_own_addresses(self):
        for host, address in (("access", labs.AFTR_ACCESS), ("access", AFTR), ("internet", labs.AFTR_INTERNET)):
            with self.subTest(address=address):
                self.assertIn(" 0% packet loss", self.lab.run(host, f"ping -c3 -i0.2 -W2 -s 1000 {address}"))

    def test_DSL_051_ping_192_0_0_1_inside_the_softwire(self):
        for source in (HOME, "192.0.0.2"):
            sent = IP(src=source, dst="192.0.0.1") / ICMP(id=77, seq=5) / Raw(b"are you there")
            self.access.send(encapsulated(sent))
            got = self.assertCame(self.access, "towards the B4s")
            self.assertEqual((got.src, got.dst, got.nh), (AFTR, B3, 4))
            self.assertEqual((got[IP].src, got[IP].dst, got[ICMP].type, got[ICMP].id, got[ICMP].seq, bytes(got[ICMP].payload)),
                             ("192.0.0.1", source, 0, 77, 5, b"are you there"))
            self.assertChecksums(got[IP])

    def test_DSL_051_a_home_pings_its_aftr(self):
        self.assertIn(" 0% packet loss", self.lab.run("home1", "ping -c3 -i0.2 -W2 192.0.0.1"))

    def test_echo_from_a_b4_over_ipv6(self):
        self.access.send(IPv6(src=B3, dst=AFTR) / ICMPv6EchoRequest(id=1, seq=2, data=b"six"))
        got = self.assertCame(self.access, "towards the B4s")
        self.assertIn(ICMPv6EchoReply, got)
        self.assertEqual((got.src, got.dst, got[ICMPv6EchoReply].id, got[ICMPv6EchoReply].data), (AFTR, B3, 1, b"six"))

    def test_arp_for_a_foreign_address_is_not_answered(self):
        """The answer to a question asked after it comes first."""
        for target in ("198.51.100.77", labs.AFTR_INTERNET):
            self.internet.send_frame(Ether(src=self.internet.mac, dst="ff:ff:ff:ff:ff:ff") /
                                     ARP(hwsrc=self.internet.mac, psrc=labs.INTERNET_GATEWAY, pdst=target))
        got = self.internet.receive_frame(lambda frame: ARP in frame and frame[ARP].op == 2)
        self.assertIsNotNone(got)
        self.assertEqual(got[ARP].psrc, labs.AFTR_INTERNET)


class OnLinkPool(crafted.LabTest):
    """A pool inside the internet link's own prefix: nobody routes it here, so the AFTR answers ARP for it."""

    lab_options = {"pool": "198.51.100.16/28"}

    def test_arp_is_answered_for_every_pool_address(self):
        for last in (16, 17, 31):
            address = f"198.51.100.{last}"
            self.internet.send_frame(Ether(src=self.internet.mac, dst="ff:ff:ff:ff:ff:ff") /
                                     ARP(hwsrc=self.internet.mac, psrc=labs.INTERNET_GATEWAY, pdst=address))
            got = self.internet.receive_frame(lambda frame: ARP in frame and frame[ARP].op == 2)
            self.assertIsNotNone(got, address)
            self.assertEqual((got[ARP].psrc, got[ARP].hwsrc, got[ARP].hwdst, got.dst),
                             (address, self.internet.aftr_mac, self.internet.mac, self.internet.mac))

    def test_a_home_reaches_a_host_through_it(self):
        self.lab.start_page("visitor", "visitor-page", labs.SERVERS["visitor"], 80, "Visitor")
        self.assertIn("you are 198.51.100.", self.lab.run("home1", f"curl -s -m 5 http://{labs.SERVERS['visitor']}/"))


if __name__ == "__main__":
    crafted.main()
