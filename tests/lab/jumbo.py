"""Jumbo frames out of a recording that has none.

Every long packet gets the same bytes more in what goes in and in what comes out, and all ports the MTU for it: a
director does the same with a packet however long it is. Checksums are carried forward and not made anew, so that a
wrong one stays wrong, in both.
"""

import copy
import struct

import packets
from packets import TCP, UDP

MTU = 9000
# more than three segments of a packet buffer; with the longest of the recordings and a tunnel's header it still fits
MORE = bytes(at * 7 % 256 for at in range(7500))
LONG = 1000
IPV6 = 41
IP_HEADERS = {packets.ETH_IPV4: packets.IPIP, 0x86DD: IPV6}


def grown(vector):
    """The recording with its long packets as jumbo frames."""
    vector = copy.deepcopy(vector)
    for port in vector["topology"]["ports"].values():
        port["mtu"] = MTU
    for step in vector["steps"]:
        for frame in [step, *step.get("out", [])] if step["op"] == "frame" else []:
            frame["hex"] = grown_frame(bytes.fromhex(frame["hex"])).hex()
    del vector["final"]["stats"]  # counts bytes
    return vector


def grown_frame(frame):
    protocol = IP_HEADERS.get(int.from_bytes(frame[12:14]))
    return frame if protocol is None or len(frame) < LONG else frame[:14] + grown_packet(protocol, frame[14:])


def grown_packet(protocol, packet):
    """`protocol`: what begins here, as IP numbers it."""
    if protocol == packets.IPIP:
        header = (packet[0] & 15) * 4
        checksum = carried(packet[10:12], packet[2:4], longer(packet[2:4]))
        start = packet[:2] + longer(packet[2:4]) + packet[4:10] + checksum + packet[12:header]
        return start + grown_packet(packet[9], packet[header:])
    if protocol == IPV6:
        return packet[:4] + longer(packet[4:6]) + packet[6:40] + grown_packet(packet[6], packet[40:])
    length = len(packet).to_bytes(2)  # as the pseudo-header has it
    if protocol == TCP:
        header = (packet[12] >> 4) * 4
        checksum = carried(packet[16:18], length, longer(length) + MORE)
        return packet[:16] + checksum + packet[18:header] + MORE + packet[header:]
    assert protocol == UDP, f"no jumbo frames of protocol {protocol}"
    # the length stands in the pseudo-header and in the header; a checksum of 0 is none
    checksum = carried(packet[6:8], length * 2, longer(length) * 2 + MORE) if any(packet[6:8]) else packet[6:8]
    return packet[:4] + longer(packet[4:6]) + checksum + MORE + packet[8:]


def longer(length):
    return (int.from_bytes(length) + len(MORE)).to_bytes(2)


def carried(checksum, old, new):
    """A checksum after `new` has come in the place of `old`. RFC 1624, equation 3."""
    (sum,) = struct.unpack("!H", checksum)
    total = (~sum & 0xFFFF) + packets.checksum(old) + (~packets.checksum(new) & 0xFFFF)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2)
