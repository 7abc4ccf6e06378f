"""A gateway that speaks NAT-PMP alone, written from RFC 6886: an independent check of the client."""

import itertools
import select
import socket
import struct
import threading
import time

ADDRESS, MAP_UDP, MAP_TCP = 0, 1, 2
ANNOUNCEMENTS = 5350


class Gateway:
    """Answers at a port of `host`, in the namespace of `home`. PCP is told the version (§3.5). Requests of version 0 go on
    to `upstream` (address and port) and answers come back, announcements too; without one there is a table here."""

    def __init__(self, lab, home, host, upstream=None):
        with lab.inside(home):
            self.front, self.back, self.heard = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3))
        self.front.bind((host, 0))
        self.back.bind((host, 0))
        self.heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if upstream:
            self.heard.bind((host, ANNOUNCEMENTS))
        self.port = self.front.getsockname()[1]
        self.upstream = upstream
        self.client = None
        self.requests = []  # as they came, PCP's too
        self.mappings = {}  # opcode, inside port: outside port
        self.reboot("203.0.113.7", 40_000)
        self.ends, self.end = socket.socketpair()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def reboot(self, address, first_port, uptime=0):
        """Another outside address, nothing mapped, the epoch anew."""
        self.address, self.next_port, self.began = address, first_port, time.monotonic() - uptime
        self.mappings.clear()

    def asked(self):
        """The requests, those that were only repeated counted once."""
        return [request for request, _ in itertools.groupby(self.requests)]

    def epoch(self):
        return int(time.monotonic() - self.began)

    def address_response(self):
        return struct.pack("!BBHI4s", 0, 128 + ADDRESS, 0, self.epoch(), socket.inet_aton(self.address))

    def announce(self):
        """§3.2.1; the client, in this namespace too, listens at every address."""
        self.front.sendto(self.address_response(), ("127.0.0.1", ANNOUNCEMENTS))

    def answer(self, request):
        version, opcode = request[0], request[1]
        if version != 0:
            return struct.pack("!BBHI", 0, 0, 1, self.epoch())
        if opcode == ADDRESS:
            return self.address_response()
        if opcode not in (MAP_UDP, MAP_TCP):
            return struct.pack("!BBHI", 0, opcode | 128, 5, self.epoch()) + request[8:]
        reserved, inside, suggested, lifetime = struct.unpack("!HHHI", request[2:12])
        if lifetime == 0:
            self.mappings.pop((opcode, inside), None)
            return struct.pack("!BBHIHHI", 0, opcode | 128, 0, self.epoch(), inside, 0, 0)
        if (opcode, inside) not in self.mappings:
            self.mappings[opcode, inside] = self.next_port
            self.next_port += 1
        return struct.pack("!BBHIHHI", 0, opcode | 128, 0, self.epoch(), inside, self.mappings[opcode, inside], lifetime)

    def run(self):
        while True:
            ready = select.select([self.front, self.back, self.heard, self.ends], [], [])[0]
            if self.ends in ready:
                return
            if self.front in ready:
                request, self.client = self.front.recvfrom(2048)
                self.requests.append(request)
                if self.upstream and request[0] == 0:
                    self.back.sendto(request, self.upstream)
                else:
                    self.front.sendto(self.answer(request), self.client)
            if self.back in ready and (answer := self.back.recv(2048)) and self.client:
                self.front.sendto(answer, self.client)
            if self.heard in ready and (announced := self.heard.recv(2048))[0] == 0:
                self.front.sendto(announced, ("127.0.0.1", ANNOUNCEMENTS))

    def close(self):
        self.end.close()
        self.thread.join()
        for each in (self.front, self.back, self.heard, self.ends):
            each.close()
