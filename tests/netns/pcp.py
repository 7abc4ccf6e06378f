"""PCP (RFC 6887) as a client sees it, written from the RFC's figures alone: an independent check of the server."""

import dataclasses
import ipaddress
import os
import struct

PORT = 5351
ANNOUNCE, MAP, PEER = 0, 1, 2
SUCCESS, NOT_AUTHORIZED, UNSUPP_OPTION, ADDRESS_MISMATCH = 0, 2, 5, 12
THIRD_PARTY, FILTER, DESCRIPTION, PORT_SET = 1, 3, 128, 130
TCP, UDP = 6, 17


def address_field(address):
    """16 octets; IPv4 as an IPv4-mapped address (§5)."""
    parsed = ipaddress.ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


def option(code, data):
    return struct.pack("!BBH", code, 0, len(data)) + data + bytes(-len(data) % 4)


def request(opcode, client, lifetime=0, body=b""):
    return struct.pack("!BBHI16s", 2, opcode, 0, lifetime, address_field(client)) + body


def map_request(client, protocol, inside_port, lifetime=3600, nonce=None, suggested=("0.0.0.0", 0), third_party=None,
                options=()):
    body = struct.pack("!12sB3xHH16s", nonce or os.urandom(12), protocol, inside_port, suggested[1],
                       address_field(suggested[0]))
    if third_party:
        body += option(THIRD_PARTY, address_field(third_party))
    return request(MAP, client, lifetime, body + b"".join(options))


def peer_request(client, protocol, inside_port, remote, lifetime=3600, nonce=None, suggested=("0.0.0.0", 0)):
    """§12.1; `remote`: address and port."""
    return request(PEER, client, lifetime,
                   struct.pack("!12sB3xHH16sH2x16s", nonce or os.urandom(12), protocol, inside_port, suggested[1],
                               address_field(suggested[0]), remote[1], address_field(remote[0])))


def filter_option(remote, prefix_length, port=0):
    """§13.3; the length is that of the IPv4 prefix."""
    return option(FILTER, struct.pack("!BBH16s", 0, 96 + prefix_length, port, address_field(remote)))


def port_set_option(size, first, parity=0):
    """RFC 7753 §4.1."""
    return option(PORT_SET, struct.pack("!HHB", size, first, parity))


@dataclasses.dataclass
class Response:
    opcode: int
    result: int
    lifetime: int
    epoch: int
    nonce: bytes = b""
    protocol: int = 0
    inside_port: int = 0
    outside_port: int = 0
    outside: str = ""
    options: dict = dataclasses.field(default_factory=dict)


def parse(data):
    """A response; ValueError if it is none (§7.2, §11.1)."""
    if len(data) < 24 or len(data) % 4 or len(data) > 1100:
        raise ValueError(f"{len(data)} octets")
    version, opcode, reserved, result, lifetime, epoch = struct.unpack("!BBBBII", data[:12])
    if version != 2 or not opcode & 0x80 or reserved:
        raise ValueError(f"version {version}, opcode {opcode:#x}, reserved {reserved}")
    response = Response(opcode & 0x7f, result, lifetime, epoch)
    if response.opcode in (MAP, PEER) and len(data) >= 60:
        fields = struct.unpack("!12sB3xHH16s", data[24:60])
        response.nonce, response.protocol, response.inside_port, response.outside_port = fields[:4]
        outside = ipaddress.IPv6Address(fields[4])
        response.outside = str(outside.ipv4_mapped or outside)
        rest = data[60 if response.opcode == MAP else 80:]
        while rest:
            code, _, length = struct.unpack("!BBH", rest[:4])
            response.options.setdefault(code, []).append(rest[4:4 + length])
            rest = rest[4 + (length + 3) // 4 * 4:]
    return response
