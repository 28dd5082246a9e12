"""Recordings of the kernel's IPVS, played through the whole of Pollux: its binary, DPDK's drivers, its socket.

The runner without DPDK (examples/ipvs_vectors) plays all of them and compares tables after each step; here it is what
leaves the ports, and the listings at the end. Not over af_packet: the kernel hands it reassembled fragments.
"""

import shlex
import time
import unittest

import base
import expected
import lab as lab_module
import packets
import recordings
from jumbo import grown

# How a recording is played. In lock-step: the next frame goes in when all that came of the last one has come out. At once
# is for what has one side only: the input is one burst after the other.
TAP = "lock-step over net_tap"
VETH = "lock-step over net_pcap on veths"
AT_ONCE = "at once, by net_pcap from and to files"

RECORDINGS = [
    ("mode-nat-tcp", TAP, "NAT and its replies"),
    ("mode-nat-udp", TAP, "NAT, also of datagrams without a checksum"),
    ("mode-nat-tcp6", TAP, "NAT of IPv6"),
    ("nat-portmap-tcp", TAP, "NAT to another port"),
    ("outbound-nat", TAP, "servers' own connections are routed"),
    ("mode-dr-tcp", AT_ONCE, "DR"),
    ("mode-dr-udp6", AT_ONCE, "DR of IPv6"),
    ("mode-tun-tcp", AT_ONCE, "IPIP"),
    ("mode-tun-tcp6-in-4", AT_ONCE, "IPv6 in IPv4"),
    ("mtu-nat-int1400", TAP, "fragmentation needed, and fragments of what may be fragmented"),
    ("mtu-tun-tcp", AT_ONCE, "fragmentation needed for the tunnel"),
    ("mtu-tun-pmtu-disc-0", AT_ONCE, "fragments of tunnel packets"),
    ("mtu-nat6-int1400", TAP, "packet too big"),
    ("ttl-dr", AT_ONCE, "time exceeded"),
    ("ttl-nat", TAP, "time exceeded, for either side"),
    ("frag-tcp-nat", TAP, "fragments in and out"),
    ("frag-udp-tun", AT_ONCE, "fragments in and out"),
    ("frag-udp6-dr", AT_ONCE, "fragments of IPv6 in and out"),
    ("sched-rr-udp-nat", TAP, "commands at run time"),
    ("order-mh-9servers", AT_ONCE, "260 connections in one go"),
    ("ops-rr-udp-nat", TAP, "each packet scheduled by itself"),
    ("mode-nat-sctp", TAP, "NAT of SCTP"),
    ("nat-portmap-sctp", TAP, "NAT of SCTP to another port: CRC32c made anew"),
    ("ip6ext-nat", TAP, "extension headers"),
    ("mode-tun-tcp6", AT_ONCE, "IPv6 in IPv6"),
    ("mode-tun-tcp4-in-6", AT_ONCE, "IPv4 in IPv6"),
    ("mode-gre-tcp6-in-4", AT_ONCE, "GRE"),
    ("mode-grecsum-tcp", AT_ONCE, "GRE with checksum"),
    ("mode-gue-udp", AT_ONCE, "GUE"),
    ("mode-guecsum-tcp4-in-6", AT_ONCE, "GUE with checksum"),
    ("icmp-nat-tcp4", TAP, "ICMP errors in both directions through NAT"),
    ("icmp-nat-tcp6", TAP, "ICMPv6 errors in both directions through NAT"),
    ("icmp-dr-tcp4", TAP, "ICMP errors with DR"),
    ("icmp-tun-tcp4", TAP, "ICMP errors about tunnel packets"),
    ("icmp-gue-tcp4", TAP, "ICMP errors about tunnel packets"),
    ("ttl-tun6", AT_ONCE, "time exceeded of IPv6"),
    ("fwmark-nat", TAP, "marks"),
    ("ftp-passive", TAP, "FTP's data connections"),
]
# none of the recordings has frames of more than 1514 bytes: these are made so
JUMBO = [
    ("mode-nat-tcp", VETH, "NAT and its replies"),
    ("mode-nat-udp", VETH, "NAT, also of datagrams without a checksum"),
    ("mode-nat-tcp6", VETH, "NAT of IPv6"),
    ("mode-dr-tcp", AT_ONCE, "DR"),
    ("mode-tun-tcp", AT_ONCE, "IPIP"),
]
# the kernel's counters in listings are up to two seconds old, so only those at the end are compared
STALE = ("stats",)


class RecordingCase(base.LabCase):
    @classmethod
    def set_up_lab(cls):
        """Only the director's node is used."""

    def start(self, config):
        (self.lab.dir / "pollux.log").unlink(missing_ok=True)
        self.addCleanup(self.lab.stop_pollux)
        self.lab.pollux(config)

    def ipvsadm(self, arguments):
        return self.lab.ctl("ipvsadm", *shlex.split(arguments), check=False)

    def listings(self, texts, but=()):
        """What Pollux prints for each listing of these that it has."""
        kinds = [kind for kind in texts if kind in expected.LISTINGS and kind not in but]
        return {kind: self.ipvsadm(expected.LISTINGS[kind]).stdout for kind in kinds}


class LockStep:
    """Mixed into a RecordingCase that says by what `device` a port is played."""

    def play(self, recording):
        devices = {port: self.device(port, number) for number, port in enumerate(recording.ports)}
        vdevs = [word for vdev in devices.values() for word in ("--vdev", vdev)]
        self.start(recording.config(vdevs, {port: vdev.partition(",")[0] for port, vdev in devices.items()}))
        # what is sent into a port may be longer than what the port sends, and here the kernel sends
        self.lab.ip("director", *(f"link set {port} mtu 9600" for port in recording.ports))
        self.lock_step(recording)

    def device(self, port, number):
        """EAL's words for the device behind a port; the kernel's end of it has the port's name."""
        raise NotImplementedError

    def lock_step(self, recording):
        for record in recording.setup:
            self.command(record)
        with Ends(self.lab, recording) as ends:
            begin = time.monotonic()
            for step in recording.steps:
                time.sleep(max(0, begin + step["t"] - time.monotonic()))
                try:
                    self.step(step, ends)
                except expected.Difference as difference:
                    place = f"step {step['n']} {step.get('note', '')}"
                    raise expected.Difference(f"{place}\n{difference}") from None
        expected.compare_listings(recording.final, self.listings(recording.final))

    def step(self, step, ends):
        match step["op"]:
            case "frame":
                ends.send(step["port"], bytes.fromhex(step["hex"]))
                expected.compare(step["out"], ends.came_of(step["port"]))
            case "ctl":
                self.command(step)
            case "snap":
                expected.compare_listings(step["snap"], self.listings(step["snap"], but=STALE))
            case "sleep":
                pass
            case other:
                self.fail(f"{other} is nothing this test can do")

    def command(self, record):
        done = self.ipvsadm(record["cmd"].removeprefix("ipvsadm "))
        recorded = (record.get("rc") or 0, record.get("stdout", ""), record.get("stderr", ""))
        self.assertEqual((done.returncode, done.stdout, done.stderr), recorded, record["cmd"])


class OverTap(LockStep, RecordingCase):
    def device(self, port, number):
        return f"net_tap{number},iface={port}"


class OverVeth(LockStep, RecordingCase):
    """By net_pcap, for what DPDK's net_tap cannot do: it takes no MTU above 1500."""

    def device(self, port, number):
        near = f"{port}-near"
        self.lab.ip("director", f"link add {port} type veth peer name {near} mtu 9600")
        self.addCleanup(self.lab.ip, "director", f"link del {port}")
        for end in (port, near):
            self.lab.run("director", "ethtool", "-K", end, *lab_module.OFFLOADS)
            self.lab.ip("director", f"link set {end} up")
        return f"net_pcap{number},rx_iface_in={near},tx_iface={near}"


class Ends:
    """The kernel's ends of the director's ports. What has come out is known to be all by asking for an address by ARP:
    the answer leaves behind it."""

    def __init__(self, lab, recording):
        self.wires = {port: packets.Wire(lab, "director", port) for port in recording.ports}
        ports = recording.topology["ports"]
        self.macs = {port: ports[port]["mac"] for port in recording.ports}
        self.addresses = {port: ports[port]["addrs"][0].partition("/")[0] for port in recording.ports}
        self.asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for wire in self.wires.values():
            wire.sock.close()

    def send(self, port, frame):
        self.wires[port].send(frame)

    def came_of(self, port):
        """All frames by port since the last call, the last one sent being for this port."""
        first = self.until_answered(self.ask(port))
        # the burst it came in with has been dealt with, but the answer may have overtaken IPv6 within the burst
        questions = [self.ask(each) for each in self.wires]
        came = {question[0]: self.until_answered(question) for question in questions}
        return came | {port: first + came[port]}

    def ask(self, port):
        """Asks for the port's address as nobody (RFC 5227 section 2.1.1), so that nobody is learned."""
        self.asked += 1
        asker = packets.mac_text(b"\x02\x5e" + self.asked.to_bytes(4))
        request = packets.arp(1, asker, "0.0.0.0", "00:00:00:00:00:00", self.addresses[port])
        self.send(port, packets.ethernet(self.macs[port], asker, packets.ETH_ARP, request))
        return port, packets.mac_bytes(asker)

    def until_answered(self, question):
        port, asker = question
        frames = []
        for data, _ in self.wires[port].unread(5):
            if data[:6] == asker:
                return frames
            frames.append(data)
        raise expected.Difference(f"the director no longer answers ARP on port {port}")


class AtOnce(RecordingCase):
    def play(self, recording):
        devices = {port: f"net_pcap{number}" for number, port in enumerate(recording.ports)}
        vdevs = []
        for port, device in devices.items():
            frames = [bytes.fromhex(step["hex"]) for step in recording.steps if step.get("port") == port]
            self.file(port, "in").write_bytes(packets.pcap(frames))
            files = f"rx_pcap={self.file(port, 'in')},tx_pcap={self.file(port, 'out')}"
            vdevs += ["--vdev", f"{device},{files}"]
        self.start(recording.config(vdevs, devices, with_services=True))
        frames = [step for step in recording.steps if step["op"] == "frame"]
        lab_module.wait_until(lambda: self.received() == len(frames), "not all of the input was read")
        self.lab.show("connections")  # the worker answers when it has done with what it has received
        listings = self.listings(recording.final)
        self.lab.stop_pollux()
        came = {port: packets.read_pcap(self.file(port, "out").read_bytes()) for port in recording.ports}
        expected.compare([output for step in frames for output in step["out"]], came)
        expected.compare_listings(recording.final, listings)

    def file(self, port, way):
        return self.lab.dir / f"{port}-{way}.pcap"

    def received(self):
        return sum(port["rx_packets"] for port in self.lab.show("ports"))


class Comparison(unittest.TestCase):
    """A difference is seen, wherever it is, and what is not specified is not."""

    def setUp(self):
        """A step with a frame whose checksums are masked, as it would come from a director."""
        frames = (step for step in recordings.load("mode-tun-tcp")["steps"] if step["op"] == "frame")
        step = next(step for step in frames if step["out"][0].get("mask"))
        self.outputs = step["out"]
        self.frame = bytes.fromhex(self.outputs[0]["hex"])

    def compare(self, *frames, port="int"):
        expected.compare(self.outputs, {"ext": [], "int": [], "sync": []} | {port: list(frames)})

    def differs(self, pattern, *frames, port="int"):
        with self.assertRaisesRegex(expected.Difference, pattern):
            self.compare(*frames, port=port)

    def changed(self, at):
        return self.frame[:at] + bytes([self.frame[at] ^ 1]) + self.frame[at + 1 :]

    def test_the_same_frame_is_no_difference_and_arp_beside_it_neither(self):
        arp = packets.arp(1, "02:00:00:00:00:01", "192.0.2.1", "00:00:00:00:00:00", "192.0.2.2")
        arp = packets.ethernet(packets.BROADCAST, "02:00:00:00:00:01", packets.ETH_ARP, arp)
        self.compare(arp, self.frame, arp)

    def test_a_frame_missing_too_many_or_on_another_port(self):
        self.differs("nothing came")
        self.differs("too many", self.frame, self.frame)
        self.differs("too many", self.frame, port="ext")

    def test_a_frame_shorter_longer_or_with_another_byte(self):
        self.differs("the first at offset", self.frame[:-1])
        self.differs("the first at offset", self.frame + b"x")
        self.differs("offset 0:", self.changed(0))

    def test_what_is_masked_may_differ_but_its_checksum_must_be_right(self):
        at, _, _ = next(mask for mask in self.outputs[0]["mask"] if mask[2] == "ip-id")
        id, checksum = (at, at + 2), (24, 26)
        self.differs("ip-checksum", self.changed(at))
        other = bytearray(self.frame)
        other[slice(*id)], other[slice(*checksum)] = b"\x12\x34", b"\0\0"
        other[slice(*checksum)] = packets.checksum(bytes(other[14:34])).to_bytes(2)
        self.compare(bytes(other))


CASES = {TAP: OverTap, VETH: OverVeth, AT_ONCE: AtOnce}


def add_tests(table, suffix="", change=lambda vector: vector):
    """A test for each recording of a table."""
    for name, how, shows in table:

        def test(self, name=name):
            self.play(recordings.Recording(change(recordings.load(name))))

        test.__doc__ = f"{name}{suffix}: {shows}"
        setattr(CASES[how], f"test_{name}{suffix}".replace("-", "_"), test)


add_tests(RECORDINGS)
add_tests(JUMBO, "-jumbo", grown)


if __name__ == "__main__":
    unittest.main()
