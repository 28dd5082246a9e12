"""Frames made and read by hand, for what ordinary programs cannot send or do not show."""

import contextlib
import select
import socket
import struct
import time

ETH_IPV4, ETH_ARP, ETH_VLAN = 0x0800, 0x0806, 0x8100
ICMP, IPIP, TCP, UDP = 1, 4, 6, 17
BROADCAST = "ff:ff:ff:ff:ff:ff"
DF = 0x4000
SOL_PACKET, PACKET_AUXDATA = 263, 8  # linux/if_packet.h
TP_STATUS_CSUMNOTREADY, TP_STATUS_VLAN_VALID = 1 << 3, 1 << 4


def mac_bytes(mac):
    return bytes.fromhex(mac.replace(":", ""))


def mac_text(data):
    return data.hex(":")


def checksum(data):
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ethernet(destination, source, kind, payload, vlan=None):
    tag = b"" if vlan is None else struct.pack("!HH", ETH_VLAN, vlan)
    return mac_bytes(destination) + mac_bytes(source) + tag + struct.pack("!H", kind) + payload


def arp(operation, sender_mac, sender_ip, target_mac, target_ip):
    return (
        struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, operation)
        + mac_bytes(sender_mac)
        + socket.inet_aton(sender_ip)
        + mac_bytes(target_mac)
        + socket.inet_aton(target_ip)
    )


def ipv4(source, destination, protocol, payload, ttl=64, flags=DF, id=1, tos=0):
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x45, tos, 20 + len(payload), id, flags, ttl, protocol, 0,
        socket.inet_aton(source), socket.inet_aton(destination),
    )  # fmt: skip
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def _pseudo(source, destination, protocol, length):
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!BBH", 0, protocol, length)


def udp(source, destination, sport, dport, payload, wrong_by=0):
    """`wrong_by` is added to the right checksum."""
    length = 8 + len(payload)
    datagram = struct.pack("!HHHH", sport, dport, length, 0) + payload
    total = checksum(_pseudo(source, destination, UDP, length) + datagram) or 0xFFFF
    return datagram[:6] + struct.pack("!H", (total + wrong_by) & 0xFFFF) + payload


def tcp(source, destination, sport, dport, flags, payload=b"", sequence=1, acknowledged=0):
    header = struct.pack("!HHIIBBHHH", sport, dport, sequence, acknowledged, 5 << 4, flags, 0xFFFF, 0, 0)
    total = checksum(_pseudo(source, destination, TCP, len(header) + len(payload)) + header + payload)
    return header[:16] + struct.pack("!H", total) + header[18:] + payload


def pcap(frames):
    """A capture file (pcap-savefile(5)) of Ethernet frames, all at one time."""
    file = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    return file + b"".join(struct.pack("=IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames)


def read_pcap(file):
    """The frames of a capture file as this machine writes it."""
    frames, at = [], 24
    while at < len(file):
        kept, length = struct.unpack_from("=II", file, at + 8)
        assert kept == length, "the capture has cut a frame"
        frames.append(file[at + 16 : at + 16 + kept])
        at += 16 + kept
    return frames


def finished(frame):
    """A UDP datagram in IPv4, in a frame whose checksum has only the pseudo-header in it, as the device would send it."""
    start, end = 14 + (frame[14] & 15) * 4, 14 + int.from_bytes(frame[16:18])
    total = checksum(frame[start:end]) or 0xFFFF
    return frame[: start + 6] + struct.pack("!H", total) + frame[start + 8 :]


def icmp_echo(id, sequence, payload=b"pollux"):
    message = struct.pack("!BBHHH", 8, 0, 0, id, sequence) + payload
    return message[:2] + struct.pack("!H", checksum(message)) + message[4:]


class Frame:
    """A received frame, read as far as it goes."""

    def __init__(self, data, vlan=None):
        self.data, self.vlan = data, vlan
        self.destination, self.source = mac_text(data[:6]), mac_text(data[6:12])
        (self.kind,) = struct.unpack("!H", data[12:14])
        self.payload = data[14:]
        if self.kind == ETH_VLAN:
            self.vlan, self.kind = struct.unpack("!HH", data[14:18])
            self.payload = data[18:]
        self.ip = Ip(self.payload) if self.kind == ETH_IPV4 else None
        self.arp = Arp(self.payload) if self.kind == ETH_ARP else None


class Arp:
    def __init__(self, data):
        (self.operation,) = struct.unpack("!H", data[6:8])
        self.sender_mac, self.sender = mac_text(data[8:14]), socket.inet_ntoa(data[14:18])
        self.target = socket.inet_ntoa(data[24:28])


class Ip:
    def __init__(self, data):
        header = (data[0] & 0xF) * 4
        self.tos, self.length, self.id, self.flags, self.ttl, self.protocol = struct.unpack("!xBHHHBB", data[:10])
        self.source, self.destination = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
        self.header_ok = checksum(data[:header]) == 0
        self.bytes = data[: self.length]
        self.payload = data[header : self.length]
        self.inner = Ip(self.payload) if self.protocol == IPIP else None
        if self.protocol in (TCP, UDP):
            self.sport, self.dport = struct.unpack("!HH", self.payload[:4])
        if self.protocol == UDP:
            self.data = self.payload[8:]
        if self.protocol == ICMP:
            self.type, self.code, _, self.icmp_id, self.icmp_sequence = struct.unpack("!BBHHH", self.payload[:8])
            self.icmp_ok = checksum(self.payload) == 0
            self.next_hop_mtu = self.icmp_sequence  # of type 3 code 4, RFC 1191 section 4
            self.icmp_payload = self.payload[8:]

    def checksum_ok(self):
        """Whether the TCP or UDP checksum is right."""
        pseudo = _pseudo(self.source, self.destination, self.protocol, len(self.payload))
        return checksum(pseudo + self.payload) == 0


class Wire:
    """A device of a node, for sending frames and seeing all that arrive or leave there."""

    def __init__(self, lab, node, device="eth0"):
        with lab.inside(node):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL
            self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.sock.bind((device, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, frame):
        self.sock.send(frame)

    def frames(self, seconds):
        """Frames as they come, for that long."""
        for data, control in self.unread(seconds):
            yield Frame(data, vlan_of(control))

    def unread(self, seconds):
        """The bytes of frames as they come, for that long, and what the kernel says beside them."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self.sock], [], [], left)[0]:
                data, control, _, _ = self.sock.recvmsg(65536, 256)
                yield data, control

    def wait_for(self, wanted, seconds=3):
        """The first frame that `wanted` likes, or None."""
        for frame in self.frames(seconds):
            with contextlib.suppress(AttributeError):  # it asked an ARP frame for its TTL, or the like
                if wanted(frame):
                    return frame
        return None


def vlan_of(control):
    """The kernel takes a tag out of the frame and hands it over beside it."""
    status, tci = _auxiliary(control)
    return tci & 0xFFF if status & TP_STATUS_VLAN_VALID else None


def lacks_checksum(control):
    """Whether the sender has left the rest of the checksum to the device, as a tap of a virtual machine's allows."""
    return bool(_auxiliary(control)[0] & TP_STATUS_CSUMNOTREADY)


def _auxiliary(control):
    for level, kind, data in control:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", data[:20])
            return status, tci
    return 0, 0
