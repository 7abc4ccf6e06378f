#!/usr/bin/python3
"""Translation, checked octet by octet at both ends. Names carry the rows of the conformance table."""

from scapy.all import ICMP, IP, TCP, UDP, IPerror, IPv6, IPv6ExtHdrFragment, Raw, UDPerror

import crafted
from crafted import AFTR, B3, B4, HOME, NEIGHBOUR, REMOTE, REMOTE_2, encapsulated, finished

LIMIT_OPTION = bytes.fromhex("0400040104010100")  # as Linux ip6tnl writes it (RFC 2473 §4.1.1)


class Translation(crafted.LabTest):
    def softwire(self, inner, b4=B3):
        """What the AFTR must send for an inner packet: forty octets, hop limit 64, no flow label (DSL-001, 006, 009)."""
        return IPv6(src=AFTR, dst=b4, nh=4, hlim=64, tc=inner.tos) / inner

    # --- each protocol, both ways -----------------------------------------------------------------------------------

    # Also shows UDP-019.
    def test_DSL_002_DSL_007_udp_upstream(self):
        sent = self.udp(b"odd number")
        out = self.up(sent)
        self.assertOutside(out.src, out[UDP].sport)
        expected = sent.copy()
        expected.src, expected.ttl, expected[UDP].sport = out.src, 19, out[UDP].sport
        self.assertSame(out, expected)

    # Also shows DSL-009.
    def test_DSL_001_DSL_006_udp_downstream(self):
        outside, port = self.open_udp()
        for ttl in (10, 250):
            answer = IP(src=REMOTE, dst=outside, ttl=ttl, flags="DF", id=7) / UDP(sport=53, dport=port) / Raw(b"answer!")
            inner = answer.copy()
            inner.dst, inner.ttl, inner[UDP].dport = HOME, ttl - 1, self.port
            self.assertSame(self.down(answer), self.softwire(finished(inner)))

    # Also shows TCP-024.
    def test_DSL_036_tcp_both_ways_and_the_mss(self):
        for mss, clamped in ((1460, 1420), (536, 536)):
            self.port = next(crafted.LabTest.ports)
            syn = IP(src=HOME, dst=REMOTE, ttl=20, flags="DF", id=9) / \
                TCP(sport=self.port, dport=80, flags="S", seq=1000, options=[("MSS", mss), ("SAckOK", b"")])
            out = self.up(syn)
            expected = syn.copy()
            expected.src, expected.ttl, expected[TCP].sport = out.src, 19, out[TCP].sport
            expected[TCP].options = [("MSS", clamped), ("SAckOK", b"")]
            self.assertSame(out, expected)
            answer = IP(src=REMOTE, dst=out.src, ttl=20, flags="DF") / \
                TCP(sport=80, dport=out[TCP].sport, flags="SA", seq=5, ack=1001, options=[("MSS", 536)])
            inner = answer.copy()
            inner.dst, inner.ttl, inner[TCP].dport = HOME, 19, self.port
            self.assertSame(self.down(answer), self.softwire(finished(inner)))

    # Shows ICM-001.
    def test_icmp_echo_both_ways(self):
        sent = IP(src=HOME, dst=REMOTE, ttl=20, flags="DF") / ICMP(id=self.port, seq=3) / Raw(b"ping data")
        out = self.up(sent)
        self.assertOutside(out.src)
        expected = sent.copy()
        expected.src, expected.ttl, expected[ICMP].id = out.src, 19, out[ICMP].id
        self.assertSame(out, expected)
        reply = IP(src=REMOTE, dst=out.src, ttl=20, flags="DF") / ICMP(type=0, id=out[ICMP].id, seq=3) / Raw(b"ping data")
        inner = reply.copy()
        inner.dst, inner.ttl, inner[ICMP].id = HOME, 19, self.port
        self.assertSame(self.down(reply), self.softwire(finished(inner)))

    # Shows ICM-010.
    def test_icmp_error_reaches_the_home_in_its_own_terms(self):
        outside, port = self.open_udp()
        seen = IP(src=outside, dst=REMOTE, ttl=9, flags="DF") / UDP(sport=port, dport=53) / Raw(b"portolan")
        error = IP(src=REMOTE_2, dst=outside, ttl=20, flags="DF") / ICMP(type=3, code=3) / finished(seen)
        got = self.down(error)
        self.assertEqual((got.dst, got[IP].src, got[IP].dst), (B3, REMOTE_2, HOME))
        quoted = got[IPerror]
        self.assertEqual((quoted.src, quoted.dst, quoted[UDPerror].sport), (HOME, REMOTE, self.port))
        as_sent = self.udp(ttl=9)
        self.assertEqual(bytes(quoted)[:28], bytes(finished(as_sent))[:28], "addresses, ports and both checksums")
        self.assertChecksums(got[IP])

    # --- mappings ---------------------------------------------------------------------------------------------------

    def test_DSL_053_same_inside_address_behind_two_b4s(self):
        mappings = {b4: self.open_udp(b4) for b4 in (B3, B4)}
        self.assertNotEqual(mappings[B3], mappings[B4])
        for b4, (outside, port) in mappings.items():
            got = self.down(IP(src=REMOTE, dst=outside) / UDP(sport=53, dport=port) / Raw(b"yours"))
            self.assertEqual((got.dst, got[IP].dst, got[UDP].dport), (b4, HOME, self.port))

    # Shows CGN-013, UDP-001.
    def test_mapping_is_endpoint_independent(self):
        first, second = self.open_udp(), self.open_udp(destination=REMOTE_2)
        self.assertEqual(first, second)
        got = self.down(IP(src="198.18.0.99", dst=first[0]) / UDP(sport=999, dport=first[1]) / Raw(b"stranger"))
        self.assertEqual((got.dst, got[IP].dst, got[UDP].dport), (B3, HOME, self.port))

    # Shows UDP-017.
    def test_hairpin_from_another_subscriber(self):
        outside, port = self.open_udp()
        self.access.send(encapsulated(self.udp(b"hello neighbour", NEIGHBOUR, outside, port), B4))
        got = self.assertCame(self.access, "towards the B4s")
        self.assertEqual((got.dst, got[IP].dst, got[UDP].dport, bytes(got[UDP].payload)),
                         (B3, HOME, self.port, b"hello neighbour"))
        self.assertOutside(got[IP].src, got[UDP].sport)
        self.assertChecksums(got[IP])

    # --- what B4s really send ---------------------------------------------------------------------------------------

    def test_DSL_003_encapsulation_limit_option(self):
        mapping = self.open_udp()
        self.access.send(IPv6(src=B3, dst=AFTR, nh=60) / Raw(LIMIT_OPTION + bytes(self.udp())))
        out = self.assertCame(self.internet, "towards the Internet")
        self.assertEqual((out.src, out[UDP].sport), mapping)
        self.assertChecksums(out)

    def test_DSL_014_malformed_inner_packets_are_dropped(self):
        good = finished(self.udp(b"malformed"))
        for change in ({"version": 5}, {"ihl": 4}, {"ihl": 15}, {"len": len(good) + 1}, {"len": 19}, {"chksum": good.chksum ^ 1}):
            bad = good.copy()
            for field, value in change.items():
                setattr(bad, field, value)
            if "chksum" not in change:
                del bad.chksum
            with self.subTest(**change):
                self.assertDropped(IPv6(src=B3, dst=AFTR, nh=4) / Raw(bytes(bad)))

    def test_DSL_014_trailing_octets_are_removed(self):
        sent = finished(self.udp())
        self.access.send(IPv6(src=B3, dst=AFTR, nh=4) / Raw(bytes(sent) + b"123456"))
        out = self.assertCame(self.internet, "towards the Internet")
        self.assertEqual(len(bytes(out)), len(bytes(sent)))

    def test_DSL_055_foreign_inner_sources_are_dropped(self):
        for source in ("8.8.8.8", "127.0.0.1", "0.0.0.0", "224.0.0.1", "169.254.1.1", "192.0.0.1", "192.0.2.1"):
            with self.subTest(source=source):
                self.assertDropped(encapsulated(self.udp(b"malformed", source=source)))

    # --- checksums, DSCP, ECN, TTL, size ----------------------------------------------------------------------------

    def test_DSL_017_udp_without_a_checksum_stays_without(self):
        sent = self.udp()
        sent[UDP].chksum = 0
        self.assertEqual(self.up(sent)[UDP].chksum, 0)

    def test_DSL_018_a_wrong_checksum_stays_wrong(self):
        sent = finished(self.udp())
        right = self.up(sent)[UDP].chksum
        sent[UDP].chksum -= 1
        self.assertEqual(self.up(sent)[UDP].chksum, right - 1)

    def test_DSL_010_DSL_013_outer_dscp_and_ecn(self):
        self.assertEqual(self.up(self.udp(tos=0), tc=10 << 2).tos, 10 << 2)
        self.assertEqual(self.up(self.udp(tos=2), tc=3).tos, 3)
        self.access.send(encapsulated(self.udp(b"not ECT", tos=0), tc=3))
        self.assertEqual(bytes(self.up(self.udp(b"next"))[UDP].payload), b"next")

    def test_DSL_008_DSL_050_ttl_exceeded_comes_from_192_0_0_1(self):
        sent = finished(self.udp(ttl=1))
        self.access.send(encapsulated(sent))
        got = self.assertCame(self.access, "towards the B4s")
        self.assertEqual((got.dst, got[IP].src, got[IP].dst, got[ICMP].type, got[ICMP].code), (B3, "192.0.0.1", HOME, 11, 0))
        self.assertEqual(bytes(got[ICMP].payload)[:len(sent)], bytes(sent))
        self.assertChecksums(got[IP].copy())

    def test_DSL_021_too_big_with_df_is_answered(self):
        outside, port = self.open_udp()
        sent = finished(IP(src=REMOTE, dst=outside, flags="DF") / UDP(sport=53, dport=port) / Raw(bytes(1472)))
        self.internet.send(sent)
        got = self.assertCame(self.internet, "towards the Internet")
        self.assertEqual((got.dst, got[ICMP].type, got[ICMP].code, got[ICMP].nexthopmtu), (REMOTE, 3, 4, 1460))
        self.assertEqual(bytes(got[ICMP].payload)[:28], bytes(sent)[:28])

    def test_DSL_020_too_big_without_df_comes_as_outer_fragments(self):
        outside, port = self.open_udp()
        sent = finished(IP(src=REMOTE, dst=outside, ttl=20, flags=0, id=77) / UDP(sport=53, dport=port) / Raw(bytes(1472)))
        self.internet.send(sent)
        parts = [self.assertCame(self.access, "towards the B4s") for _ in range(2)]
        self.assertEqual({(p.nh, p[IPv6ExtHdrFragment].nh, p[IPv6ExtHdrFragment].id) for p in parts},
                         {(44, 4, parts[0][IPv6ExtHdrFragment].id)})
        self.assertTrue(all(len(bytes(p)) <= 1500 for p in parts))
        parts.sort(key=lambda p: p[IPv6ExtHdrFragment].offset)
        inner = IP(b"".join(bytes(p[IPv6ExtHdrFragment])[8:] for p in parts))
        expected = sent.copy()
        expected.dst, expected.ttl, expected[UDP].dport, expected.id = HOME, 19, self.port, inner.id
        for layer in (IP, UDP):
            del expected[layer].chksum
        self.assertSame(inner, expected)


if __name__ == "__main__":
    crafted.main()
