#!/usr/bin/python3
"""What an operator asks of a running portoland, and what it tells him by itself: who, clear, resources that run out, a
start right after a kill."""

import json
import mmap
import os
import re
import signal
import socket
import time

import crafted
import lab as labs
import pcp
from crafted import AFTR, B3, B4, HOME, REMOTE, IP, TCP, UDP, IPv6, Raw, encapsulated
from lab import wait_for

BLOCK_PORTS, BLOCKS = 64, 4
SLAB_HEADER, RECORD = 4096, 64  # dataplane/nat/slab.cc, mapping.h
SUBSCRIBER, OTHER = "2001:db8:b:300::/56", "2001:db8:b:400::/56"


class Operator(crafted.LabTest):
    lab_options = {"extra_config": f"[pool]\nblock-size = {BLOCK_PORTS}\nport-range = 1024-{1023 + BLOCKS * BLOCK_PORTS}\n"
                                   f"max-blocks = 3\nquarantine = 0\n[log]\nevents-target = file:/dev/null\n",
                   "pool": "192.0.2.1/32"}

    def who(self, address, port, protocol="udp"):
        return self.lab.ctl_json(f"who {address}:{port} {protocol}")

    def events(self):
        return [row["event"] for row in self.lab.ctl_json("show events")]

    def alarms(self):
        return self.lab.ctl_json("show status")["alarms"]

    def clear(self, *subscribers):
        for subscriber in subscribers:
            self.lab.ctl(f"clear subscriber {subscriber}")
        wait_for("all blocks to be free", lambda: self.lab.ctl_json("show status")["port_blocks_free"] == BLOCKS)

    def setUp(self):
        super().setUp()
        self.clear(SUBSCRIBER, OTHER)

    def assertGone(self, endpoint):
        wait_for(f"{endpoint} to be nobody's", lambda: self.who(*endpoint)["state"] == "nobody")

    # --- who --------------------------------------------------------------------------------------------------------

    # Also shows LOG-010: the way from an outside port to its subscriber.
    def test_MGT_060_who_has_a_port(self):
        address, port = self.open_udp()
        answer = self.who(address, port)
        self.assertEqual({key: answer[key] for key in ("state", "subscriber", "b4", "inside", "life", "first_remote")},
                         {"state": "in use", "subscriber": SUBSCRIBER, "b4": B3, "inside": f"{HOME}:{self.port}",
                          "life": "implicit", "first_remote": f"{REMOTE}:53"})
        self.assertIn(answer["ends_in_s"], range(295, 303))
        other = self.who(address, port, "tcp")
        self.assertEqual((other["state"], other["block_of"]), ("nobody", SUBSCRIBER))

    def test_MGT_060_who_has_nothing(self):
        self.assertEqual(self.who("192.0.2.1", 1200), {"outside": "192.0.2.1:1200", "protocol": "udp", "state": "nobody",
                                                      "block_of": None})
        self.assertEqual(self.who("192.0.2.77", 1200)["state"], "not in the pool")
        for wrong in ("who 192.0.2.1 udp", "who 192.0.2.1:1200", "who 192.0.2.1:1200 sctp", "who"):
            with self.assertRaises(labs.LabError):
                self.lab.ctl(wrong)

    # --- clear ------------------------------------------------------------------------------------------------------

    def test_MGT_061_clear_one_mapping(self):
        first = self.open_udp()
        self.port = next(crafted.LabTest.ports)
        second = self.open_udp()
        self.assertIn("1 mappings ended, 0 of them", self.lab.ctl(f"clear mapping {first[0]}:{first[1]} udp"))
        self.assertGone(first)
        self.assertEqual(self.who(*second)["state"], "in use")
        self.assertIn("0 mappings ended", self.lab.ctl(f"clear mapping {first[0]}:{first[1]} udp"))

    def test_MGT_061_clear_an_address(self):
        outside = {self.open_udp(b4) for b4 in (B3, B4)}
        self.assertEqual(self.lab.ctl_json("clear address 192.0.2.1"),
                         {"cleared": "192.0.2.1", "mappings_ended": 2, "pcp_mappings_ended": 0, "static_mappings_kept": 0})
        for endpoint in outside:
            self.assertGone(endpoint)

    def test_MGT_061_clear_a_prefix_of_addresses(self):
        outside = {self.open_udp(b4) for b4 in (B3, B4)}
        with self.assertRaisesRegex(labs.LabError, "the pool has no address of 192.0.2.8/29"):
            self.lab.ctl("clear address 192.0.2.8/29")
        for wrong in ("clear address", "clear address 192.0.2.1/33", "clear address 192.0.2.1 192.0.2.2"):
            with self.assertRaisesRegex(labs.LabError, "usage: clear address"):
                self.lab.ctl(wrong)
        self.assertIn("192.0.2.0/29: 2 mappings ended, 0 of them", self.lab.ctl("clear address 192.0.2.0/29"))
        for endpoint in outside:
            self.assertGone(endpoint)

    # Also shows PCP-197: the client hears of it at once, by an announcement with a new epoch.
    def test_MGT_061_a_cleared_pcp_mapping_is_announced(self):
        self.access.send(IPv6(src=B3, dst=AFTR) / UDP(sport=40000, dport=pcp.PORT) /
                         Raw(pcp.map_request(B3, pcp.UDP, self.port, nonce=os.urandom(12), third_party=HOME)))
        granted = pcp.parse(bytes(self.assertCame(self.access, "towards the B4s")[UDP].payload))
        self.assertEqual(granted.result, pcp.SUCCESS)
        self.assertIn("1 of them made by PCP", self.lab.ctl(f"clear mapping {granted.outside}:{granted.outside_port} udp"))
        announced = pcp.parse(bytes(self.assertCame(self.access, "towards the B4s")[UDP].payload))
        self.assertEqual(announced.opcode, pcp.ANNOUNCE)

    # --- check ------------------------------------------------------------------------------------------------------

    def flip(self, outside, bit):
        """Changes the outside port of a record in the mapped file, behind the back of the running portoland."""
        wanted = socket.inet_aton(outside[0])
        for path in self.lab.directory.glob("state/mappings.*"):
            with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as slab:
                for at in range(SLAB_HEADER, len(slab) - RECORD, RECORD):
                    if slab[at + 20:at + 24] == wanted and slab[at + 26:at + 28] == outside[1].to_bytes(2, "big"):
                        slab[at + 27] ^= bit
                        return

    def check(self):
        said = self.lab.run("aftr", [self.lab.binaries / "portolanctl", "-s", self.lab.directory / "cli.sock", "-j", "check"],
                            check=False)
        return json.loads(said[:said.rindex("}") + 1])

    # Peers 9: what is there and what is booked are compared while traffic runs.
    def test_check_finds_a_planted_inconsistency(self):
        outside = self.open_udp()
        clean = self.check()
        self.assertEqual((clean["faults"], clean["findings"]), (0, []))
        self.assertGreater(clean["records"], 0)
        self.assertIn("0 faults in", self.lab.ctl("check"))
        self.flip(outside, 1)
        found = self.check()
        self.assertGreater(found["faults"], 0)
        self.assertTrue(any(f"{outside[0]}:{outside[1] ^ 1} udp" in finding for finding in found["findings"]), found)
        with self.assertRaises(labs.LabError) as caught:
            self.lab.ctl("check")
        self.assertIn("exit 1", str(caught.exception))
        self.flip((outside[0], outside[1] ^ 1), 1)
        self.assertEqual(self.check()["faults"], 0)
        self.assertTrue(any(event.startswith("check: ") for event in self.events()))

    # --- resources --------------------------------------------------------------------------------------------------

    def flood(self, b4, flows):
        for number in range(flows):
            self.access.send(encapsulated(IP(src=HOME, dst=REMOTE) / UDP(sport=1024 + number, dport=53) / Raw(b"flow"), b4))
            time.sleep(0.0005)  # or a full burst opens its share only

    # Peers 8: the pool's end is a state, told three times, and traffic that is there goes on.
    def test_CGN_022_the_pool_runs_out_and_recovers(self):
        address, port = self.open_udp(B4)
        before = len(self.events())
        self.flood(B3, 3 * BLOCK_PORTS)
        wait_for("the pool to be full", lambda: re.search(r"port blocks.* full", self.alarms() or ""))
        self.flood(B4, 3 * BLOCK_PORTS)  # refused, some hundred of them
        wait_for("refusals", lambda: "refused_pool_exhausted" in self.lab.ctl("show counters"))
        self.internet.send(IP(src=REMOTE, dst=address) / UDP(sport=53, dport=port) / Raw(b"still there"))
        got = self.access.receive(lambda packet: bytes(packet).endswith(b"still there"))  # not an ICMP for the refused
        self.assertEqual(got.dst, B4)
        time.sleep(3)
        said = [event for event in self.events()[before:] if event.startswith("port blocks")]
        self.assertEqual(sum("full" in event for event in said), 1, said)
        self.clear(SUBSCRIBER, OTHER)
        wait_for("the pool to be available again", lambda: "port blocks" not in (self.alarms() or ""), seconds=15)
        said = [event for event in self.events()[before:] if event.startswith("port blocks")]
        self.assertIn("available again", said[-1])
        self.assertLessEqual(len(said), 3, said)
        self.open_udp()

    # --- life -------------------------------------------------------------------------------------------------------

    def test_a_start_right_after_a_kill(self):
        outside = self.open_udp()
        portoland = self.lab.processes["portoland"]
        portoland.popen.send_signal(signal.SIGKILL)
        self.lab.start_aftr()  # without waiting for its end
        portoland.popen.wait()
        self.assertIn("mappings taken over", "\n".join(self.events()))
        self.assertEqual(self.who(*outside)["subscriber"], SUBSCRIBER)

    def test_a_second_portoland_is_refused(self):
        config = self.lab.directory / "portoland.conf"
        said = self.lab.run("aftr", [self.lab.binaries / "portoland", "-c", config], check=False)
        self.assertIn("cli.sock: another portoland answers there", said)
        self.assertNotIn("cli.socket: cli.socket", said)

    def test_idle_clients_do_not_lock_root_out(self):
        idle = []
        for _ in range(40):
            idle.append(socket.socket(socket.AF_UNIX))
            idle[-1].connect(str(self.lab.directory / "cli.sock"))
        self.assertIn("uptime_s", self.lab.ctl("show status"))
        for each in idle:
            each.close()


class Restarts(crafted.LabTest):
    def segment(self, outside, flags, payload=b"", inbound=False, seq=1000):
        """Of one TCP connection of a home with a server; outside: where its mapping is."""
        if inbound:
            return IP(src=REMOTE, dst=outside[0], ttl=20) / TCP(sport=80, dport=outside[1], flags=flags, seq=seq, ack=1) / Raw(payload)
        return IP(src=HOME, dst=REMOTE, ttl=20) / TCP(sport=self.port, dport=80, flags=flags, seq=seq, ack=1) / Raw(payload)

    def test_a_tcp_connection_goes_on_through_kills_with_other_numbers_of_workers(self):
        b4 = "2001:db8:b:2000::1"
        out = self.up(self.segment(None, "S"), b4)
        outside = out.src, out[TCP].sport
        self.down(self.segment(outside, "SA", inbound=True))
        self.access.send(encapsulated(self.segment(outside, "A"), b4))
        self.internet.receive(lambda packet: TCP in packet)
        configured = self.lab.workers
        for number, workers in enumerate((3, 2, configured)):
            self.lab.processes["portoland"].stop(signal.SIGKILL)
            self.lab.workers = workers
            self.lab.start_aftr()
            text = b"segment %d" % number
            got = self.down(self.segment(outside, "PA", text, inbound=True, seq=1001 + number))
            self.assertEqual((got.dst, got[TCP].dport, bytes(got).endswith(text)), (b4, self.port, True))
            self.assertChecksums(got)
            self.access.send(encapsulated(self.segment(outside, "PA", text, seq=1001 + number), b4))
            out = self.internet.receive(lambda packet: TCP in packet)  # not the error about a B4 that is not there
            self.assertIsNotNone(out, "the segment did not come out")
            self.assertEqual((out.src, out[TCP].sport), outside)
            self.assertChecksums(out)
            (row,) = self.lab.ctl_json(f"show mappings outside {outside[0]}:{outside[1]}")
            self.assertEqual(row["state"], "established")

    # After a kill, with whatever number of workers, every mapping is found from both sides.
    def test_CGN_015_another_number_of_workers_keeps_every_mapping(self):
        b4s = [f"2001:db8:b:{subscriber:x}00::1" for subscriber in range(0x10, 0x1a)]
        outside = {b4: self.open_udp(b4) for b4 in b4s}
        configured = self.lab.workers
        for workers in (3, 1, 2, configured):
            self.lab.processes["portoland"].stop(signal.SIGKILL)
            self.lab.workers = workers
            self.lab.start_aftr()
            for b4, (address, port) in outside.items():
                got = self.down(IP(src=REMOTE, dst=address) / UDP(sport=53, dport=port) / Raw(b4.encode()))
                self.assertEqual((got.dst, bytes(got).endswith(b4.encode())), (b4, True))
                self.access.send(encapsulated(self.udp(), b4))
                out = self.internet.receive(lambda packet: UDP in packet)  # not the error about a B4 that is not there
                self.assertEqual((out[IP].src, out[UDP].sport), (address, port))
            self.assertEqual(self.lab.ctl_json("check")["faults"], 0)


class Deterministic(crafted.LabTest):
    lab_options = {"extra_config": "[pool]\ndeterministic-for = 2001:db8:b::/48\n"}

    # Both directions of the mapping by the configuration alone agree with what packets get.
    def test_LOG_006_LOG_010_whose_ports_follow_from_who_he_is(self):
        for b4, subscriber in ((B3, SUBSCRIBER), (B4, OTHER)):
            address, port = self.open_udp(b4)
            his = self.lab.ctl_json(f"show range {subscriber}")
            self.assertEqual(his["outside_address"], address)
            self.assertIn(port, range(his["first_port"], his["last_port"] + 1))
            unused = his["first_port"] if port != his["first_port"] else his["last_port"]
            self.assertEqual(self.lab.ctl_json(f"who {address}:{unused} udp")["range_of"], subscriber)
        with self.assertRaises(labs.LabError):
            self.lab.ctl("show range 2001:db8:c::/56")


if __name__ == "__main__":
    crafted.main()
