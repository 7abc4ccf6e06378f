#!/usr/bin/python3
"""A VLAN switch in user space, for kernels without 802.1Q: joins untagged interfaces with VLANs of trunks.

    tagger.py TRUNK VLAN PORT [TRUNK VLAN PORT]…     (VLAN 0: untagged on the trunk too)
"""

import select
import socket
import struct
import sys

SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID = 0x10
AUXDATA = struct.Struct("=IIIHHHH")  # tpacket_auxdata: status, len, snaplen, mac, net, vlan_tci, vlan_tpid
ETH_P_ALL, TAG = 3, 0x8100


def packet_socket(interface):
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    made.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    made.bind((interface, 0))
    return made


def receive(from_socket):
    """A frame without its tag, and the tag's VLAN; the kernel hands the tag over beside the frame."""
    frame, ancillary, _, _ = from_socket.recvmsg(65536, socket.CMSG_SPACE(AUXDATA.size))
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, *_, control, _ = AUXDATA.unpack(data[:AUXDATA.size])
            return frame, control & 0xfff if status & TP_STATUS_VLAN_VALID else 0
    return frame, 0


def tagged(frame, vlan):
    return frame if vlan == 0 else frame[:12] + struct.pack("!HH", TAG, vlan) + frame[12:]


def main(words):
    sockets = {}
    to_trunk, to_ports = {}, {}  # socket -> (socket, VLAN); (socket, VLAN) -> [socket]
    for trunk, vlan, port in zip(words[0::3], words[1::3], words[2::3]):
        for name in (trunk, port):
            if name not in sockets:
                sockets[name] = packet_socket(name)
        to_trunk[sockets[port]] = (sockets[trunk], int(vlan))
        to_ports.setdefault((sockets[trunk], int(vlan)), []).append(sockets[port])
    print("ready", flush=True)
    while True:
        for ready in select.select(list(sockets.values()), [], [])[0]:
            frame, vlan = receive(ready)
            if ready in to_trunk:
                trunk, vlan = to_trunk[ready]
                trunk.send(tagged(frame, vlan))
            for port in to_ports.get((ready, vlan), []):
                port.send(frame)


if __name__ == "__main__":
    main(sys.argv[1:])
