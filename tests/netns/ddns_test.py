#!/usr/bin/python3
"""Names for homes with the clients people have: ddclient and inadyn from Debian through the softwire, against a DDNS
server that believes nobody but the AFTR; and what a DDNS server that is killed has promised."""

import json
import signal
import threading
import unittest

import crafted
import demo
import lab as labs
from lab import SERVERS, wait_for


class Ddns(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        options = crafted.LabTest
        cls.lab = cls.enterClassContext(labs.Lab(options.binaries, options.device, options.workers))
        cls.story = demo.Demo(cls.lab)
        cls.lab.start_page("visitor", "visitor-page", SERVERS["visitor"], 80, "A server on the Internet")
        cls.story.start_ddnsd()

    def outside_of(self, home):
        """The outside address that home has, as its own programs learn it (DYN-016)."""
        return self.lab.run(home, "curl -s http://ddns.example/checkip").strip()

    def ddnsd(self, *words):
        return labs.run([*self.story.ddnsd, *words])

    def update(self, home, query):
        return self.story.curl(home, f"http://ddns.example/nic/update?{query}", "-u", f"{home}:the-long-secret-of-{home}")

    def test_show_feed_says_that_the_ddns_server_reads_it(self):
        self.story.map("home1", 9300)
        wait_for("the reader to know all", lambda: [(row["reader"], row["gets"], row["behind"])
                                                    for row in self.lab.ctl_json("show feed")]
                 == [("a program on this machine", "live", 0)])

    # Also shows DYN-012, DYN-016.
    def test_DYN_008_ddclient(self):
        outside = self.story.map("home1", 9000) and self.outside_of("home1")
        config = self.story.write("ddclient.conf", f"""\
daemon=0
ssl=no
use=web, web=http://ddns.example/checkip
protocol=dyndns2
server=ddns.example
login=home1
password=the-long-secret-of-home1
home1.example
""")
        config.chmod(0o600)
        text = self.lab.run("home1", ["ddclient", "-daemon=0", "-foreground", "-verbose", "-file", str(config), "-cache",
                                      str(self.lab.directory / "ddclient.cache")], timeout=60)
        self.assertIn(f"RECEIVE:  good {outside}", text)
        wait_for("the address in the DNS", lambda: self.lab.dig("A", "direct.home1.example") == outside)

    # Also shows DYN-001, DYN-006.
    def test_DYN_007_inadyn(self):
        outside = self.story.map("home2", 9000) and self.outside_of("home2")
        config = self.story.write("inadyn.conf", """\
custom portolan {
  username = home2
  password = the-long-secret-of-home2
  ssl = false
  checkip-server = ddns.example
  checkip-path = /checkip
  checkip-ssl = false
  ddns-server = ddns.example
  ddns-path = "/nic/update?hostname=%h&myip=%i"
  hostname = home2.example
}
""")
        config.chmod(0o600)
        text = self.lab.run("home2", ["inadyn", "-n", "-1", "-C", "-l", "debug", "-f", str(config), "--cache-dir",
                                      str(self.lab.directory), "-P", str(self.lab.directory / "inadyn.pid")], timeout=60)
        wait_for("the address in the DNS", lambda: self.lab.dig("A", "direct.home2.example") == outside)
        self.assertNotIn("rror", "".join(line for line in text.splitlines() if "home2.example" in line))

    # Also shows DYN-020.
    def test_DDN_016_an_address_is_registered_only_by_one_who_has_a_mapping_there(self):
        self.story.map("home1", 9001)
        other = "192.0.2.14" if self.outside_of("home1") != "192.0.2.14" else "192.0.2.13"
        self.assertEqual(self.update("home1", f"hostname=home1.example&myip={other}"), "dnserr\n")

    def test_DDN_019_a_name_follows_its_mapping_while_the_server_is_dead_and_after(self):
        """Killed with a name in place; the mapping moves meanwhile; the next start finds out and puts it right."""
        self.ddnsd("name", "add", "follow.example", "home1")
        self.ddnsd("name", "follow", "follow.example", self.story.subscriber("home1"), "tcp", "9100", "web")
        port = self.story.map("home1", 9100)
        wait_for("the name", lambda: self.story.location("follow.example")[2] == port)
        self.lab.processes["portolan-ddnsd"].stop(signal.SIGKILL)
        self.lab.ctl(f"clear subscriber {self.story.subscriber('home1')}")
        moved = self.story.map("home1", 9100)
        self.assertNotEqual(moved, port)
        self.start_again()
        wait_for("the name at its new port", lambda: self.story.location("follow.example")[2] == moved)
        wait_for("the DNS", lambda: self.lab.dig("SRV", "_http._tcp.follow.example") == f"0 0 {moved} direct.follow.example.")

    def test_UPT_012_no_acknowledged_update_is_lost_to_a_kill(self):
        """The server is killed under updates, six times; what it had acknowledged is there each time."""
        acknowledged, stop = {}, threading.Event()
        ports = [self.story.map("home2", 9200 + number) for number in range(8)]
        address = self.outside_of("home2")

        def send():
            turn = 0
            while not stop.is_set():
                turn += 1
                service, port = f"s{turn % 8}", ports[(turn // 8 + turn) % 8]
                try:
                    answer = self.update("home2", f"hostname=home2.example&myip={address}&port={port}&service={service}")
                except labs.LabError:
                    stop.wait(0.05)  # it is dead just now
                    acknowledged.pop(service, None)  # perhaps written, perhaps not
                    continue
                if answer.startswith(("good", "nochg")):
                    acknowledged[service] = port

        sender = threading.Thread(target=send)
        sender.start()
        try:
            for _ in range(6):
                wait_for("updates", lambda: len(acknowledged) > 3)
                self.lab.processes["portolan-ddnsd"].stop(signal.SIGKILL)
                self.start_again()
            wait_for("updates", lambda: len(acknowledged) > 3)
        finally:
            stop.set()
            sender.join()
        self.assertGreater(len(acknowledged), 3)
        services = json.loads(self.story.curl("home2", "http://ddns.example/api/v1/names/home2.example", "-H",
                                              "Authorization: Bearer home2:the-long-secret-of-home2"))["services"]
        there = {each["id"]: each["port"] for each in services}
        self.assertEqual(there, {**there, **acknowledged})

    def start_again(self):
        self.lab.start("ddns", "portolan-ddnsd", self.story.ddnsd)
        self.lab.wait_ready("portolan-ddnsd", lambda: self.story.curl("ddns", f"http://{SERVERS['ddns']}/"))


if __name__ == "__main__":
    crafted.main()
