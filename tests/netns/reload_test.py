#!/usr/bin/python3
"""A changed configuration taken over by a running portoland: whole or not at all, and no packet notices."""

import select
import signal
import socket
import struct
import threading
import time

import crafted
import lab as labs
from lab import B4_ADDRESSES, SERVERS, wait_for

RELOADS = 50
PACKETS_PER_SECOND = 500
SUBSCRIBER = B4_ADDRESSES["b4-1"][:-1] + "/56"


class Echo:
    """Numbered datagrams from a home to a server that sends them back, and a count of those that came."""

    def __init__(self, lab, home="home1", port=7007):
        self.address, self.sent, self.came = (SERVERS["visitor"], port), 0, set()
        self.server, self.client = (self._socket(lab, host) for host in ("visitor", home))
        self.server.bind(self.address)
        self.stop = threading.Event()
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self._serve, self._hear, self._send)]

    @staticmethod
    def _socket(lab, host):
        with lab.inside(host):
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return made

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        wait_for("the first datagram to come back", lambda: self.came)
        return self

    def __exit__(self, *_):
        self.stop.set()
        time.sleep(0.5)
        for thread in self.threads:
            thread.join(2)
        self.server.close()
        self.client.close()

    def _serve(self):
        while not self.stop.is_set() or select.select([self.server], [], [], 0.3)[0]:
            if select.select([self.server], [], [], 0.1)[0]:
                self.server.sendto(*self.server.recvfrom(2048))

    def _hear(self):
        while not self.stop.is_set() or select.select([self.client], [], [], 0.3)[0]:
            if select.select([self.client], [], [], 0.1)[0]:
                self.came.add(struct.unpack("!Q", self.client.recv(2048)[:8])[0])

    def _send(self):
        while not self.stop.wait(1 / PACKETS_PER_SECOND):
            self.client.sendto(struct.pack("!Q", self.sent) + bytes(100), self.address)
            self.sent += 1

    def lost(self):
        return sorted(set(range(self.sent)) - self.came)


class Reload(crafted.LabTest):
    def configure(self, extra="", **replaced):
        """Writes the file; `replaced` lines of the lab's, `extra` sections after them."""
        text = self.lab.aftr_config()
        for key, value in replaced.items():
            key = key.replace("_", "-")
            lines = [line if not line.startswith(f"{key} = ") else f"{key} = {value}" for line in text.splitlines()]
            text = "\n".join(lines) + "\n"
        (self.lab.directory / "portoland.conf").write_text(text + extra)

    def reload(self):
        return {row["setting"]: (row["was"], row["is"]) for row in self.lab.ctl_json("reload")}

    def refused(self):
        with self.assertRaises(labs.LabError) as caught:
            self.lab.ctl("reload")
        return str(caught.exception)

    def setting(self, name):
        return [row["value"] for row in self.lab.ctl_json("show config") if row["setting"] == name]

    def log(self):
        return self.lab.processes["portoland"].log.read_text(errors="replace")

    def events(self):
        return [row["event"] for row in self.lab.ctl_json("show events")]

    def setUp(self):
        super().setUp()
        self.configure()
        self.reload()

    # --- tests ------------------------------------------------------------------------------------------------------

    def test_nothing_has_changed(self):
        self.assertIn("nothing has changed", self.lab.ctl("reload"))
        self.assertEqual(self.lab.ctl_json("reload"), [])

    def test_a_change_is_said_with_old_and_new_and_shown(self):
        self.configure("[nat]\nudp-timeout = 150\n[softwire]\nallowed-prefix = 2001:db8:b::/48\n")
        self.assertEqual(self.reload(), {"nat.udp-timeout": ("300s", "150s"),
                                         "softwire.allowed-prefix": ("::/0", "2001:db8:b::/48")})
        self.assertEqual(self.setting("nat.udp-timeout"), ["150s"])
        self.assertIn("reload: nat.udp-timeout: 300s -> 150s", self.log())
        self.assertIn("reload: 2 settings changed", self.events())
        self.assertIn("nothing has changed", self.lab.ctl("reload"))

    def test_a_hangup_reloads_too(self):
        self.configure("[nat]\nicmp-timeout = 61\n")
        self.lab.processes["portoland"].popen.send_signal(signal.SIGHUP)
        wait_for("the reload", lambda: self.setting("nat.icmp-timeout") == ["61s"])

    def test_the_new_rules_hold_at_once(self):
        self.open_udp()
        self.configure("[softwire]\nallowed-prefix = 2001:db8:b:100::/56\n")
        self.reload()
        refused = self.lab.ctl_json("show counters")
        self.access.send(crafted.encapsulated(self.udp(), crafted.B3))
        wait_for("the packet to be refused", lambda: self.lab.ctl_json("show counters") != refused)
        self.assertIn("drop_outer_source_refused", self.lab.ctl("show counters"))
        self.configure()
        self.reload()
        self.up(self.udp())

    def test_a_bad_file_is_refused_whole_with_every_error(self):
        self.configure("[nat]\nudp-timeout = 150\ntcp-established = 1\nhairpinnning = on\n[pool]\nblock-size = 300\n")
        said = self.refused()
        for name in ("nat.tcp-established", "nat.hairpinnning", "pool.block-size"):
            self.assertIn(name, said)
        self.assertIn("nothing was changed", said)
        self.assertEqual(self.setting("nat.udp-timeout"), ["300s"])
        self.assertIn("nat.hairpinnning", self.log())

    def test_what_needs_a_restart_is_refused_whole_and_named(self):
        self.configure("[nat]\nudp-timeout = 150\n", max_mappings=200000, max_subscribers=2000)
        said = self.refused()
        self.assertIn("dataplane.max-mappings: 100000 -> 200000 needs a restart", said)
        self.assertIn("dataplane.max-subscribers: 1000 -> 2000 needs a restart", said)
        self.assertEqual(self.setting("nat.udp-timeout"), ["300s"])
        self.assertIn(":4: dataplane.max-mappings", said, "its line")

    def test_the_file_is_gone(self):
        (self.lab.directory / "portoland.conf").unlink()
        self.assertIn("cannot be read", self.refused())

    # Peers 26 and 27: a reload needs no restart, drops nothing and takes effect.
    # Also shows CGN-008.
    def test_MGT_061_reloads_under_traffic_lose_no_packet(self):
        with Echo(self.lab) as echo:
            for number in range(RELOADS):
                self.configure(f"[nat]\nudp-timeout = {300 + number % 7}\nhairpinning = {'on' if number % 2 else 'off'}\n"
                               f"[softwire]\nallowed-prefix = 2001:db8:{'b' if number % 2 else '0'}::/{48 if number % 2 else 32}\n"
                               f"mtu = {1500 - number % 3}\n[pool]\nmax-blocks = {1 + number % 8}\n"
                               f"[pcp]\nmax-mappings-per-subscriber = {1 + number}\n")
                self.reload()
                if number % 10 == 9:
                    self.configure("[nat]\nudp-timeout = 1\n")
                    self.refused()
        self.assertGreater(echo.sent, RELOADS)
        self.assertEqual(echo.lost(), [])

    # --- pools ------------------------------------------------------------------------------------------------------

    def pools(self, *prefixes, drain=()):
        """The lab's pool, or these prefixes instead."""
        text = self.lab.aftr_config().replace(f"prefix = {self.lab.pool}\n", "".join(f"prefix = {each}\n" for each in prefixes))
        text += "[pool]\n" + "".join(f"drain = {each}\n" for each in drain)
        (self.lab.directory / "portoland.conf").write_text(text)
        return self.reload()

    def counter(self, name):
        return {row["counter"]: row["value"] for row in self.lab.ctl_json("show counters all")}[name]

    def test_MGT_061_pools_added_and_removed_under_traffic(self):
        """The flow's own address stays, others come and go: nothing of it is lost."""
        outside = "192.0.2.0/29"
        self.pools(outside)
        self.lab.ctl(f"clear subscriber {SUBSCRIBER}")
        with Echo(self.lab, port=7009) as echo:
            for number in range(RELOADS):
                self.pools(outside, *(["192.0.2.8/30"] if number % 2 else []), *(["192.0.2.12/32"] if number % 3 else []),
                           drain=["192.0.2.0/31"] if number % 5 == 0 else [])
        self.assertGreater(echo.sent, RELOADS)
        self.assertEqual(echo.lost(), [])

    def test_MGT_061_a_removed_pools_mappings_end_and_are_counted(self):
        self.pools("192.0.2.0/29")
        for b4 in (crafted.B3, crafted.B4):
            self.open_udp(b4)
        before = self.counter("mappings_swept")
        live = self.lab.ctl_json("show status")["mappings"]
        self.pools("192.0.2.8/29")
        wait_for("the end to be said", lambda: any("mappings ended, for the pool no longer has their outside address" in event
                                                   for event in self.events()))
        self.assertGreaterEqual(self.counter("mappings_swept") - before, 2)
        self.assertLessEqual(self.counter("mappings_swept") - before, live)
        address, _ = self.open_udp()
        self.assertIn(address, [f"192.0.2.{host}" for host in range(8, 16)])

    def test_MGT_061_a_draining_pool_gives_no_new_mappings_and_keeps_the_old(self):
        self.pools("192.0.2.0/29")
        self.lab.ctl("clear subscriber 2001:db8:b:300::/56")
        address, port = self.open_udp()
        self.pools("192.0.2.0/29", "192.0.2.8/29", drain=["192.0.2.0/29"])
        got = self.down(crafted.IP(src=crafted.REMOTE, dst=address) / crafted.UDP(sport=53, dport=port) / crafted.Raw(b"old"))
        self.assertEqual((got.dst, got[crafted.UDP].dport), (crafted.B3, self.port))
        self.assertEqual(self.open_udp(), (address, port), "the same mapping")
        self.port = next(crafted.LabTest.ports)
        self.assertIn(self.open_udp()[0], [f"192.0.2.{host}" for host in range(8, 16)])

    # --- static mappings --------------------------------------------------------------------------------------------

    STATIC_B4 = "2001:db8:b:500::1"

    def static(self, port, inside=80):
        return f"static-mapping = {self.STATIC_B4} {crafted.HOME}:{inside} 192.0.2.3:{port} tcp\n"

    def syn(self, port):
        return crafted.IP(src=crafted.REMOTE, dst="192.0.2.3", ttl=20) / \
            crafted.TCP(sport=next(crafted.LabTest.ports), dport=port, flags="S", seq=7)

    def assert_static(self, port, inside=80):
        """A visitor's SYN reaches the host behind the B4 that has sent nothing yet, and the answer leaves through it."""
        syn = self.syn(port)
        got = self.down(syn)
        self.assertEqual((got.dst, got[crafted.IP].dst, got[crafted.TCP].dport), (self.STATIC_B4, crafted.HOME, inside))
        self.assertChecksums(got)
        answer = crafted.IP(src=crafted.HOME, dst=crafted.REMOTE, ttl=20) / \
            crafted.TCP(sport=inside, dport=syn[crafted.TCP].sport, flags="SA", seq=9, ack=8)
        self.access.send(crafted.encapsulated(answer, self.STATIC_B4))
        out = self.internet.receive(lambda packet: crafted.TCP in packet)  # not the error about a B4 that is not there
        self.assertIsNotNone(out, "the answer did not come out")
        self.assertEqual((out.src, out[crafted.TCP].sport, out[crafted.TCP].dport),
                         ("192.0.2.3", port, syn[crafted.TCP].sport))
        self.assertChecksums(out)

    def assert_closed(self, port):
        dropped = self.counter("drop_no_mapping")
        self.internet.send(self.syn(port))
        wait_for("the connection attempt to be dropped", lambda: self.counter("drop_no_mapping") > dropped)

    def test_static_mappings_are_added_changed_and_removed_while_it_runs(self):
        self.assert_closed(8080)
        self.configure("[nat]\n" + self.static(8080))
        self.reload()
        self.assert_static(8080)
        (row,) = [row for row in self.lab.ctl_json("show mappings outside 192.0.2.3:8080") if row["protocol"] == "tcp"]
        self.assertEqual((row["life"], row["ends_in_s"]), ("static", None))
        self.assertIn("1 static ones stay", self.lab.ctl("clear subscriber 2001:db8:b:500::/56"))
        self.assertIn("1 static ones stay", self.lab.ctl("clear mapping 192.0.2.3:8080 tcp"))
        self.assert_static(8080)
        self.configure("[nat]\n" + self.static(8081) + self.static(8082, 81))
        self.reload()
        self.assert_static(8081)
        self.assert_static(8082, 81)
        self.assert_closed(8080)
        self.configure("[nat]\n" + self.static(9, 80))
        self.assertIn("nat.static-mapping: port 9 is in no port block", self.refused())
        self.assert_static(8081)
        self.configure()
        self.reload()
        for port in (8081, 8082):
            self.assert_closed(port)
        self.assertEqual(self.lab.ctl_json("check")["faults"], 0)

    def test_static_mappings_survive_a_kill_and_a_file_changed_meanwhile(self):
        self.lab.extra_config = "[nat]\n" + self.static(8090) + self.static(8091, 81)
        self.addCleanup(lambda: setattr(self.lab, "extra_config", ""))
        for workers in (2, 1, self.lab.workers):
            self.lab.processes["portoland"].stop(signal.SIGKILL)
            self.lab.workers = workers
            self.lab.start_aftr()
            self.assert_static(8090)
            self.assert_static(8091, 81)
        self.lab.processes["portoland"].stop(signal.SIGKILL)
        self.lab.extra_config = "[nat]\n" + self.static(8090) + self.static(8092, 82)
        self.lab.start_aftr()
        self.assert_static(8090)
        self.assert_static(8092, 82)
        self.assert_closed(8091)
        self.assertEqual(self.lab.ctl_json("check")["faults"], 0)

    def test_more_addresses_than_room_are_refused(self):
        with self.assertRaises(labs.LabError) as caught:
            self.pools("192.0.2.0/28", "10.99.0.0/20")
        self.assertIn("pool.prefix: more addresses", str(caught.exception))

    # --- filtering and unsolicited connection attempts, on real packets ------------------------------------------------

    def from_remote(self, outside, source, sport, payload=b"in"):
        return crafted.IP(src=source, dst=outside[0], ttl=20) / crafted.UDP(sport=sport, dport=outside[1]) / crafted.Raw(payload)

    def assert_filtered(self, packet):
        before = self.counter("drop_filtered")
        self.internet.send(packet)
        wait_for("the packet to be filtered", lambda: self.counter("drop_filtered") == before + 1)

    def test_UDP_016_filtering_by_address_and_by_port(self):
        modes = {"endpoint-independent": (True, True), "address-dependent": (True, False),
                 "address-and-port-dependent": (False, False)}  # let in: another port of the remote, another remote
        for mode, (other_port, other_remote) in modes.items():
            self.port = next(crafted.LabTest.ports)
            self.configure(f"[nat]\nfiltering = {mode}\n")
            self.reload()
            outside = self.open_udp(crafted.B4)
            for source, sport, passes in ((crafted.REMOTE, 53, True), (crafted.REMOTE, 54, other_port),
                                          (crafted.REMOTE_2, 53, other_remote)):
                packet = self.from_remote(outside, source, sport)
                if passes:
                    got = self.down(packet)
                    self.assertEqual((got.dst, got[crafted.IP].src, got[crafted.UDP].sport), (crafted.B4, source, sport), mode)
                else:
                    self.assert_filtered(packet)
            self.up(self.udp(destination=crafted.REMOTE_2), crafted.B4)  # now it has been spoken to
            self.down(self.from_remote(outside, crafted.REMOTE_2, 53))

    def test_CGN_011_a_limit_of_sessions_refuses_the_next_remote_and_no_other(self):
        self.configure("[nat]\nmax-sessions-per-subscriber = 2\n")
        self.reload()
        b4 = "2001:db8:b:600::1"
        outside = self.open_udp(b4)
        self.up(self.udp(destination=crafted.REMOTE_2), b4)
        refused = self.counter("punt_no_resources")
        self.access.send(crafted.encapsulated(self.udp(destination="198.18.0.30"), b4))
        wait_for("the third remote to be refused", lambda: self.counter("punt_no_resources") > refused)
        error = self.access.receive(lambda packet: crafted.ICMP in packet)
        self.assertEqual((error[crafted.ICMP].type, error[crafted.ICMP].code), (3, 1))
        self.up(self.udp(), b4)
        self.down(self.from_remote(outside, crafted.REMOTE_2, 53))

    def test_TCP_005_a_connection_attempt_for_nobody_waits_six_seconds_for_the_inside(self):
        self.configure("[nat]\nunsolicited-syn = icmp-after-6s\n")
        self.reload()
        syn = self.syn(9999)
        self.internet.send(syn)
        sent_at = time.monotonic()
        error = self.internet.receive(lambda packet: crafted.ICMP in packet, seconds=15)
        self.assertIsNotNone(error, "no answer to the connection attempt")
        self.assertGreaterEqual(time.monotonic() - sent_at, 6)
        self.assertEqual((error[crafted.ICMP].type, error[crafted.ICMP].code, error.dst), (3, 3, crafted.REMOTE))

    # --- records ----------------------------------------------------------------------------------------------------

    def records(self, path):
        return [line for line in path.read_text().splitlines() if f"subscriber={SUBSCRIBER}" in line]

    def echo_once(self, count):
        """That many flows of home 1, each its own mapping."""
        with self.lab.inside("home1"):
            for _ in range(count):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as flow:
                    flow.sendto(b"hello", (SERVERS["visitor"], 9))
                time.sleep(0.002)  # or a full burst opens its share only

    def forget_home(self, extra=""):
        """A configuration under which a cleared subscriber is gone at once, and home 1 cleared."""
        self.configure("[pool]\nquarantine = 0\n" + extra)
        self.reload()
        self.lab.ctl(f"clear subscriber {SUBSCRIBER}")
        wait_for("home 1 to be forgotten", lambda: SUBSCRIBER not in self.lab.ctl("show subscribers"))

    # Also shows DSL-064.
    def test_LOG_011_LOG_012_one_record_a_block(self):
        path = self.lab.directory / "events.log"
        self.forget_home(f"[log]\nevents-target = file:{path}\n")
        before = len(self.records(path))
        self.echo_once(200)
        wait_for("a record", lambda: len(self.records(path)) > before)
        (row,) = [row for row in self.lab.ctl_json("show subscribers") if row["subscriber"] == SUBSCRIBER]
        self.assertEqual(len(self.records(path)), before + 1)
        record = self.records(path)[-1]
        for field in ("block-allocated", f"outside={row['outside_address']}", f"ports={row['port_blocks']}"):
            self.assertIn(field, record)
        self.echo_once(100)
        wait_for("the second block's record", lambda: len(self.records(path)) == before + 2)
        self.lab.ctl(f"clear subscriber {SUBSCRIBER}")
        wait_for("both to be given back", lambda: len(self.records(path)) == before + 4)
        self.assertTrue(all("block-released" in record for record in self.records(path)[-2:]))

    def test_LOG_016_a_full_disk_is_said_and_traffic_goes_on(self):
        self.forget_home("[log]\nevents-target = file:/dev/full\n")
        with Echo(self.lab, port=7008) as echo:
            wait_for("the sink's failure to be said", lambda: any("/dev/full takes no records: No space" in event
                                                                  for event in self.events()))
            time.sleep(2)
        self.assertEqual(echo.lost(), [])
        self.assertEqual(sum("/dev/full takes no records" in event for event in self.events()), 1)
        counters = {row["counter"]: row["value"] for row in self.lab.ctl_json("show counters all")}
        self.assertGreater(counters["records_waiting"], 0)
        path = self.lab.directory / "later.log"
        self.configure(f"[log]\nevents-target = file:{path}\n")
        self.reload()
        wait_for("what waited to be written", lambda: path.exists() and self.records(path))

    def test_a_sink_that_cannot_be_opened_is_refused(self):
        self.configure("[log]\nevents-target = file:/nonexistent/events.log\n")
        self.assertIn("log.events-target", self.refused())


if __name__ == "__main__":
    crafted.main()
