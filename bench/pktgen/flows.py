#!/usr/bin/python3
"""Makes pcaps of many flows for Pktgen-DPDK to replay: flows.py upstream|downstream FILE [options].

`upstream` are UDP packets of inside hosts behind B4s in their softwires; `downstream` packets from the internet to outside
endpoints that are open. Those come from the device: `portolanctl -j show mappings` as --mappings FILE. The addresses are
those of bench/generator/addresses.h. The first frame of each is the gateway saying where it is, for the device forwards
nothing before it knows and Pktgen answers no neighbour solicitation.
"""

import argparse
import ipaddress
import json
import random
import sys

from scapy.all import ARP, IP, UDP, Ether, ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6, PcapWriter, Raw

AFTR = "2001:2:0:a::1"
ACCESS, ACCESS_GATEWAY = "2001:2:0:b::1", "2001:2:0:b::2"
INTERNET, INTERNET_GATEWAY = "198.19.255.1", "198.19.255.254"
B4_FIRST = int(ipaddress.IPv6Address("2001:2:0:c::1"))
REMOTES = ipaddress.IPv4Network("198.19.128.0/18")
HEADERS_BYTES, FCS_BYTES = 14 + 20 + 8, 4


def softwire(number, inside):
    b4 = ipaddress.IPv6Address(B4_FIRST + (number << 32))
    return IPv6(src=str(b4), dst=AFTR, hlim=64, nh=4) / inside


def payload(frame_bytes):
    return Raw(b"\x5a" * (frame_bytes - HEADERS_BYTES - FCS_BYTES))


def gateway(options):
    if options.direction == "downstream":
        return ARP(op="is-at", hwsrc=options.source_mac, psrc=INTERNET_GATEWAY, hwdst=options.device_mac, pdst=INTERNET)
    said = ICMPv6ND_NA(tgt=ACCESS_GATEWAY, R=1, S=1, O=1) / ICMPv6NDOptDstLLAddr(lladdr=options.source_mac)
    return IPv6(src=ACCESS_GATEWAY, dst=ACCESS, hlim=255) / said


def upstream(options, dice):
    for number in range(options.flows):
        remote = str(REMOTES[dice.randrange(REMOTES.num_addresses)])
        host = f"10.0.0.{1 + number % options.hosts}"
        # RFC 4814 §4.5; a host's ports differ from each other by its flow's number
        inner = IP(src=host, dst=remote, flags="DF") / UDP(sport=1024 + (number * 7919) % 64512, dport=dice.randrange(1, 49152))
        yield softwire(number // options.flows_per_b4, inner / payload(options.frame_bytes))


def downstream(options, dice):
    with open(options.mappings) as file:
        rows = json.load(file)
    outside = [row["outside"].rsplit(":", 1) for row in rows if row.get("protocol") == "udp"][:options.flows]
    if not outside:
        sys.exit(f"{options.mappings}: no UDP mapping in it; send the upstream flows first")
    for address, port in outside:
        remote = str(REMOTES[dice.randrange(REMOTES.num_addresses)])
        packet = IP(src=remote, dst=address, flags="DF") / UDP(sport=dice.randrange(1, 49152), dport=int(port))
        yield packet / payload(options.frame_bytes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("direction", choices=("upstream", "downstream"))
    parser.add_argument("file")
    parser.add_argument("--flows", type=int, default=1000)
    parser.add_argument("--flows-per-b4", type=int, default=256)
    parser.add_argument("--hosts", type=int, default=4, help="behind each B4")
    parser.add_argument("--frame-bytes", type=int, default=64, help="of the IPv4 side, FCS included")
    parser.add_argument("--mappings", help="for downstream: what 'portolanctl -j show mappings' said")
    parser.add_argument("--source-mac", default="02:00:00:00:00:01")
    parser.add_argument("--device-mac", default="02:00:00:00:00:02", help="of portoland's port ('show interfaces')")
    parser.add_argument("--seed", type=int, default=4814)
    options = parser.parse_args()
    if options.direction == "downstream" and not options.mappings:
        parser.error("downstream needs --mappings")
    make = upstream if options.direction == "upstream" else downstream
    ethernet = Ether(src=options.source_mac, dst=options.device_mac)
    with PcapWriter(options.file, linktype=1) as writer:
        writer.write(ethernet / gateway(options))
        for packet in make(options, random.Random(options.seed)):
            writer.write(ethernet / packet)


if __name__ == "__main__":
    main()
