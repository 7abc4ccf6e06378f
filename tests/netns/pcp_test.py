#!/usr/bin/python3
"""PCP over both of DS-Lite's transports, the mapping proved by traffic."""

import os
import shutil
import signal
import socket
import struct

from scapy.all import ICMP, IP, UDP, IPv6, Raw

import crafted
import lab as labs
import pcp
from crafted import AFTR, B3, B4, HOME, NEIGHBOUR, REMOTE, encapsulated

CLIENT_PORT = 40000


class Pcp(crafted.LabTest):
    lab_options = {"extra_config": "[softwire]\nallowed-prefix = 2001:db8:b::/48\n"}

    # --- transports -------------------------------------------------------------------------------------------------

    def ask_plain(self, message, b4=B3):
        """IPv6 from the B4's own address to the AFTR (PCD-001)."""
        self.access.send(IPv6(src=b4, dst=AFTR) / UDP(sport=CLIENT_PORT, dport=pcp.PORT) / Raw(message))
        got = self.assertCame(self.access, "towards the B4s")
        self.assertEqual((got.src, got.dst, got.nh, got[UDP].sport, got[UDP].dport), (AFTR, b4, 17, pcp.PORT, CLIENT_PORT))
        self.assertChecksums(got)
        return pcp.parse(bytes(got[UDP].payload))

    def ask_tunnelled(self, message, b4=B3, server="192.0.0.1", source=HOME):
        """IPv4 inside the softwire (PCD-005)."""
        self.access.send(encapsulated(IP(src=source, dst=server) / UDP(sport=CLIENT_PORT, dport=pcp.PORT) / Raw(message), b4))
        got = self.assertCame(self.access, "towards the B4s")
        self.assertEqual((got.src, got.dst, got.nh, got[IP].src, got[IP].dst), (AFTR, b4, 4, server, source))
        self.assertEqual((got[UDP].sport, got[UDP].dport), (pcp.PORT, CLIENT_PORT))
        self.assertChecksums(got[IP])
        return pcp.parse(bytes(got[UDP].payload))

    def assertMapped(self, answer, b4, nonce):
        """The answer names a mapping (PCP-030), and traffic goes through it both ways (PCP-031, 032)."""
        self.assertEqual((answer.opcode, answer.result), (pcp.MAP, pcp.SUCCESS))
        self.assertEqual((answer.nonce, answer.protocol, answer.inside_port), (nonce, pcp.UDP, self.port))
        self.assertOutside(answer.outside, answer.outside_port)
        self.assertGreaterEqual(answer.lifetime, 120)
        inbound = self.down(IP(src=REMOTE, dst=answer.outside) / UDP(sport=999, dport=answer.outside_port) / Raw(b"in"))
        self.assertEqual((inbound.dst, inbound[IP].dst, inbound[UDP].dport), (b4, HOME, self.port))
        out = self.up(self.udp(), b4)
        self.assertEqual((out.src, out[UDP].sport), (answer.outside, answer.outside_port))

    # --- tests ------------------------------------------------------------------------------------------------------

    # Also shows PCP-001, PCP-194.
    def test_PCD_001_announce(self):
        for ask, client in ((self.ask_plain, B3), (self.ask_tunnelled, HOME)):
            answer = ask(pcp.request(pcp.ANNOUNCE, client))
            self.assertEqual((answer.opcode, answer.result), (pcp.ANNOUNCE, pcp.SUCCESS))

    # Also shows PCP-030.
    def test_PCD_002_plain_ipv6_with_third_party(self):
        nonce = os.urandom(12)
        answer = self.ask_plain(pcp.map_request(B3, pcp.UDP, self.port, nonce=nonce, third_party=HOME))
        self.assertMapped(answer, B3, nonce)

    # Also shows CGN-018, PCP-031, PCP-032.
    def test_PCD_005_inside_the_softwire(self):
        for b4, server in ((B3, "192.0.0.1"), (B4, "192.0.0.9")):
            self.port, nonce = next(crafted.LabTest.ports), os.urandom(12)
            answer = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce), b4, server)
            self.assertMapped(answer, b4, nonce)

    def test_PCD_004_third_party_that_is_no_subscribers_host(self):
        for inside in ("8.8.8.8", "2001:db8::5", "0.0.0.0"):
            answer = self.ask_plain(pcp.map_request(B3, pcp.UDP, self.port, third_party=inside))
            self.assertEqual(answer.result, pcp.UNSUPP_OPTION, inside)

    def test_PCD_006_client_address_that_is_not_the_source(self):
        self.assertEqual(self.ask_tunnelled(pcp.map_request(NEIGHBOUR, pcp.UDP, self.port)).result, pcp.ADDRESS_MISMATCH)
        self.assertEqual(self.ask_plain(pcp.map_request(B4, pcp.UDP, self.port)).result, pcp.ADDRESS_MISMATCH)

    def test_PCD_007_same_inside_address_behind_two_b4s(self):
        answers = []
        for b4 in (B3, B4):
            nonce = os.urandom(12)
            answers.append(self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce), b4))
            self.assertMapped(answers[-1], b4, nonce)
        self.assertNotEqual(*((a.outside, a.outside_port) for a in answers))

    def test_PCP_046_PCP_047_renewal_needs_the_nonce(self):
        nonce = os.urandom(12)
        first = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce))
        renewed = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce, suggested=("192.0.2.9", 9999)))
        self.assertEqual((renewed.outside, renewed.outside_port), (first.outside, first.outside_port))
        stolen = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=bytes(12)))
        self.assertEqual(stolen.result, pcp.NOT_AUTHORIZED)
        self.assertMapped(renewed, B3, nonce)

    # Also shows PCP-170.
    def test_PCP_048_delete_ends_an_idle_mapping(self):
        nonce = os.urandom(12)
        first = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce))
        gone = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, lifetime=0, nonce=nonce))
        self.assertEqual((gone.result, gone.lifetime), (pcp.SUCCESS, 0))
        self.internet.send(IP(src=REMOTE, dst=first.outside) / UDP(sport=999, dport=first.outside_port) / Raw(b"late"))
        self.port = next(crafted.LabTest.ports)
        outside, port = self.open_udp()
        fence = self.down(IP(src=REMOTE, dst=outside) / UDP(sport=53, dport=port) / Raw(b"fence"))
        self.assertEqual(bytes(fence[UDP].payload), b"fence")

    def test_PCP_115_filters_are_enforced(self):
        nonce, other = os.urandom(12), "198.18.0.99"
        answer = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce,
                                                    options=[pcp.filter_option(REMOTE, 32), pcp.option(pcp.DESCRIPTION, b"web")]))
        self.assertMapped(answer, B3, nonce)  # REMOTE is let in
        self.assertEqual(answer.options[pcp.DESCRIPTION], [b"web"])
        self.assertEqual(len(answer.options[pcp.FILTER]), 1)
        self.internet.send(IP(src=other, dst=answer.outside) / UDP(sport=999, dport=answer.outside_port) / Raw(b"shut out"))
        fence = self.down(IP(src=REMOTE, dst=answer.outside) / UDP(sport=999, dport=answer.outside_port) / Raw(b"fence"))
        self.assertEqual(bytes(fence[UDP].payload), b"fence")
        self.assertIn("web", self.lab.ctl("show pcp"))
        self.assertNotIn(nonce.hex(), self.lab.ctl("-j show pcp"))

    # Also shows PCP-072, PCP-073, PCP-083.
    def test_PCP_070_PCP_075_a_peer_before_and_after_traffic(self):
        first = self.ask_tunnelled(pcp.peer_request(HOME, pcp.UDP, self.port, (REMOTE, 53)))
        self.assertEqual((first.opcode, first.result), (pcp.PEER, pcp.SUCCESS))
        self.assertGreaterEqual(first.lifetime, 3600)
        out = self.up(self.udp())
        self.assertEqual((out.src, out[UDP].sport), (first.outside, first.outside_port))
        again = self.ask_tunnelled(pcp.peer_request(HOME, pcp.UDP, self.port, ("198.18.0.99", 7), suggested=("192.0.2.9", 9)))
        self.assertEqual((again.result, again.outside_port), (pcp.SUCCESS, first.outside_port))

    # Also shows PCX-001, PCX-007.
    def test_PCX_003_a_set_of_ports(self):
        nonce = os.urandom(12)
        answer = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, 30_000, nonce=nonce, options=[pcp.port_set_option(8, 30_000)]))
        self.assertEqual(answer.options[pcp.PORT_SET], [b"\0\x08\x75\x30\0"])
        for i in (0, 7):
            got = self.down(IP(src=REMOTE, dst=answer.outside) / UDP(sport=9, dport=answer.outside_port + i) / Raw(b"in"))
            self.assertEqual((got[IP].dst, got[UDP].dport), (HOME, 30_000 + i))
        ended = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, 30_000, lifetime=0, nonce=nonce,
                                                   options=[pcp.port_set_option(8, 30_000)]))
        self.assertEqual((ended.result, ended.lifetime), (pcp.SUCCESS, 0))

    def test_MGT_061_the_operator_adds_extends_and_removes(self):
        where = f"{B3} {HOME}:{self.port} udp"
        self.lab.ctl(f"pcp add {where} for 600 text put there by hand")
        row = [row for row in self.lab.ctl_json("show pcp") if row["inside"] == f"{HOME}:{self.port}"][0]
        self.assertEqual((row["asked_by"], row["description"]), ("operator", "put there by hand"))
        address, port = row["outside"].split(":")
        got = self.down(IP(src=REMOTE, dst=address) / UDP(sport=9, dport=int(port)) / Raw(b"in"))
        self.assertEqual((got[IP].dst, got[UDP].dport), (HOME, self.port))
        self.assertIn("100000 s", self.lab.ctl(f"pcp extend {where} 100000"))
        nonce = os.urandom(12)  # the first client takes it over
        taken = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce))
        self.assertEqual((taken.result, taken.outside_port), (pcp.SUCCESS, int(port)))
        self.assertEqual(self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port)).result, pcp.NOT_AUTHORIZED)
        self.lab.ctl(f"pcp remove {where}")
        self.assertFalse([row for row in self.lab.ctl_json("show pcp") if row["inside"] == f"{HOME}:{self.port}"])

    # Also shows PCP-191, PCP-202: the first restart finds the translator's state, the second finds it gone.
    def test_PCP_047_what_was_acknowledged_survives_a_kill_and_a_reboot(self):
        nonce = os.urandom(12)
        first = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce, options=[pcp.filter_option(REMOTE, 32)]))
        for is_reboot in (False, True):
            portoland = self.lab.processes["portoland"]
            portoland.stop(signal.SIGKILL)
            if is_reboot:
                shutil.rmtree(self.lab.directory / "state")
            self.lab.start_aftr()
            stolen = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port))
            self.assertEqual(stolen.result, pcp.NOT_AUTHORIZED)
            self.assertGreaterEqual(stolen.epoch, first.epoch)
            renewed = self.ask_tunnelled(pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce))
            self.assertEqual((renewed.outside, renewed.outside_port), (first.outside, first.outside_port))
            self.assertMapped(renewed, B3, nonce)
            self.internet.send(IP(src="198.18.0.99", dst=first.outside) / UDP(sport=9, dport=first.outside_port) / Raw(b"no"))
            self.assertMapped(renewed, B3, nonce)

    def test_a_damaged_store_is_refused_with_the_way_out(self):
        store = self.lab.directory / "damaged.sqlite"
        store.write_bytes(b"SQLite format 3\0" + bytes(5000))
        config = self.lab.directory / "damaged.conf"
        config.write_text(self.lab.aftr_config().replace("pcp.sqlite", "damaged.sqlite").replace("cli.sock", "damaged.sock")
                          .replace("/state", "/damaged-state").replace("feed.sock", "damaged-feed.sock"))
        said = self.lab.run("aftr", [self.lab.binaries / "portoland", "-c", config], check=False)
        self.assertIn("pcp.store", said)
        self.assertIn("move it away", said)
        self.assertEqual(store.read_bytes()[16:], bytes(5000))

    # natpmpc is Debian's. Also shows NPM-001, NPM-003, NPM-007, NPM-014, PCP-025.
    def test_NPM_010_natpmpc_is_told_the_version_or_served(self):
        gateway = ["natpmpc", "-g", "192.0.0.1"]
        off = self.lab.run("home1", gateway + ["-a", "0", "8080", "udp", "600"], check=False)
        self.assertNotIn("Mapped public port", off)
        self.lab.run("home1", ["ping", "-c", "1", "-W", "2", labs.SERVERS["visitor"]], check=False)  # opens a mapping
        config = self.lab.directory / "portoland.conf"
        whole = config.read_text()
        config.write_text(whole.replace("[pcp]\n", "[pcp]\nnat-pmp = on\n", 1))
        self.lab.ctl("reload")
        try:
            made = self.lab.run("home1", gateway + ["-a", "0", "8080", "udp", "600"])
            self.assertIn("to local port 8080 liftime 600", made)
            self.assertIn("Public IP address : ", made)
            row = [row for row in self.lab.ctl_json("show pcp") if row["inside"] == f"{HOME}:8080"][0]
            self.assertIn(f"Mapped public port {row['outside'].split(':')[1]} protocol UDP", made)
            self.lab.run("home1", gateway + ["-a", "0", "8080", "udp", "0"])
            self.assertFalse([row for row in self.lab.ctl_json("show pcp") if row["inside"] == f"{HOME}:8080"])
        finally:
            config.write_text(whole)
            self.lab.ctl("reload")

    def test_PCP_211_nobody_is_served_outside_the_allowed_prefixes(self):
        foreign = "2001:db8:c:300::1"
        announce = pcp.request(pcp.ANNOUNCE, foreign)
        self.access.send(IPv6(src=foreign, dst=AFTR) / UDP(sport=CLIENT_PORT, dport=pcp.PORT) / Raw(announce))
        self.access.send(encapsulated(IP(src=HOME, dst="192.0.0.1") / UDP(sport=CLIENT_PORT, dport=pcp.PORT) /
                                      Raw(pcp.request(pcp.ANNOUNCE, HOME)), foreign))
        self.assertEqual(self.ask_plain(pcp.request(pcp.ANNOUNCE, B3)).result, pcp.SUCCESS)  # the first answer to come

    def test_PCP_006_nobody_is_served_from_the_internet(self):
        """The control thread answers the echo that comes after the requests; before it, nothing of PCP."""
        outside, _ = self.open_udp()
        for server in (labs.AFTR_INTERNET, outside):
            message = pcp.map_request(REMOTE, pcp.UDP, 80)
            self.internet.send(IP(src=REMOTE, dst=server) / UDP(sport=CLIENT_PORT, dport=pcp.PORT) / Raw(message))
        self.internet.send(IP(src=REMOTE, dst=labs.AFTR_INTERNET) / ICMP(id=6, seq=6))
        while ICMP not in (got := self.assertCame(self.internet, "towards the Internet")) or got[ICMP].type != 0:
            self.assertNotIn(UDP, got)


class NatPmp(crafted.LabTest):
    """In a lab of its own, for the announcements go on for minutes. Octet by octet as RFC 6886 §3.2 and §3.3 draw them."""
    lab_options = {"extra_config": "[pcp]\nnat-pmp = on\n"}

    # Also shows PCD-010.
    def test_NPM_013_a_cleared_client_is_told(self):
        request = struct.pack("!BBHHHI", 0, 1, 0, 9090, 0, 600)
        self.access.send(encapsulated(IP(src=HOME, dst="192.0.0.1") / UDP(sport=CLIENT_PORT, dport=pcp.PORT) / Raw(request), B3))
        made = bytes(self.assertCame(self.access, "towards the B4s")[UDP].payload)
        version, opcode, result, _, inside, outside, _ = struct.unpack("!BBHIHHI", made)
        self.assertEqual((version, opcode, result, inside), (0, 129, 0, 9090))
        self.lab.ctl(f"clear subscriber {B3}")
        for _ in range(2):
            told = self.assertCame(self.access, "towards the B4s")
            self.assertEqual((told.dst, told[IP].dst, told[UDP].dport), (B3, HOME, 5350))
            version, opcode, result, epoch, address = struct.unpack("!BBHI4s", bytes(told[UDP].payload))
            self.assertEqual((version, opcode, result, address), (0, 128, 3, bytes(4)))
            self.assertLess(epoch, 10)
        log = (self.lab.directory / "portoland.log").read_text(errors="replace")
        records = [line for line in log.splitlines() if f"inside={HOME}:9090" in line]
        for what, line in zip(("mapping-made", "mapping-ended"), records, strict=True):
            for field in (what, f":{outside} protocol=udp origin=nat-pmp"):
                self.assertIn(field, line)


class LostStore(crafted.LabTest):
    """In a lab of its own, for the announcements go on for minutes."""
    lab_options = {"extra_config": "[pcp]\nnat-pmp = on\n"}

    def start_again_without(self, *lost):
        self.lab.processes["portoland"].stop(signal.SIGKILL)
        for path in lost:
            for each in self.lab.directory.glob(path):
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        self.access.drain()
        self.lab.start_aftr()

    def map(self, nonce):
        message = pcp.map_request(HOME, pcp.UDP, self.port, nonce=nonce)
        self.access.send(encapsulated(IP(src=HOME, dst="192.0.0.1") / UDP(sport=CLIENT_PORT, dport=pcp.PORT) / Raw(message), B3))
        while (got := self.assertCame(self.access, "towards the B4s"))[UDP].dport != CLIENT_PORT:
            pass
        return pcp.parse(bytes(got[UDP].payload))

    # Also shows NPM-013: by NAT-PMP too, with the address the mapping has.
    def test_PCP_197_clients_whose_mappings_are_left_are_told_and_have_them(self):
        first = self.map(os.urandom(12))
        self.start_again_without("pcp.sqlite*")
        to_host, to_b4, by_natpmp = [], [], []
        while not (to_host and to_b4 and by_natpmp):
            got = self.assertCame(self.access, "towards the B4s")
            message = bytes(got[UDP].payload)
            self.assertEqual((got.src, got.dst, got[UDP].sport, got[UDP].dport), (AFTR, B3, pcp.PORT, 5350))
            if IP in got:
                self.assertEqual((got[IP].src, got[IP].dst), ("192.0.0.1", HOME))
                self.assertChecksums(got[IP])
            (to_b4 if IP not in got else to_host if message[0] else by_natpmp).append(message)
        for told in map(pcp.parse, (to_host[0], to_b4[0])):
            self.assertEqual((told.opcode, told.result, told.lifetime), (pcp.ANNOUNCE, pcp.SUCCESS, 0))
            self.assertLess(told.epoch, 60)
        version, opcode, result, epoch, address = struct.unpack("!BBHI4s", by_natpmp[0])
        self.assertEqual((version, opcode, result, address), (0, 128, 0, socket.inet_aton(first.outside)))
        self.assertIn("hosts told to ask anew: 1", self.lab.processes["portoland"].tail())
        again = self.map(os.urandom(12))  # the nonce was lost with the store
        self.assertEqual((again.result, again.outside, again.outside_port), (pcp.SUCCESS, first.outside, first.outside_port))

    def test_PCP_197_where_the_slab_is_lost_too_nobody_is_known(self):
        self.map(os.urandom(12))
        self.start_again_without("pcp.sqlite*", "state")
        out = self.up(self.udp())
        back = self.down(IP(src=REMOTE, dst=out.src) / UDP(sport=53, dport=out[UDP].sport) / Raw(b"fence"))
        self.assertEqual(bytes(back[UDP].payload), b"fence")  # nothing came before it


if __name__ == "__main__":
    crafted.main()
