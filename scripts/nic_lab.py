#!/usr/bin/env python3
"""The NIC lab: Pollux in a QEMU guest, on NICs that QEMU emulates; this program plays everybody else, frame by frame.

      this program, in a namespace              the guest, no kernel driver for any NIC
    192.0.2.0/24 ── tap client0 ─── NIC 0000:00:10.0 ──┐
                                                       Pollux     one pair of NICs a driver, one pair after the other
    10.1.0.0/24 ─── tap server0 ─── NIC 0000:00:11.0 ──┘

Both networks have clients and real servers, and there are virtual services towards both, so that every NIC receives
and sends the frames of every forwarding method. What Pollux sends is compared, byte by byte, with what was made here
from scratch. scripts/nic-lab.sh builds the guest and calls this.

    nic_lab.py --kernel FILE --initramfs FILE --logs FOLDER [DRIVER ...]
"""

import argparse
import base64
import contextlib
import json
import shutil
import socket
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "lab"))

import lab as lab_module  # noqa: E402
import packets  # noqa: E402
from lab import Lab, LabError, wait_until  # noqa: E402

NODE = "nics"
METHODS = ("nat", "dr", "tun")
# a loaded machine emulates slowly
BOOT_S, COMMAND_S, FRAME_S = 400, 120, 60
HUGE_PAGES, FREE_PAGES = 96, "/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages"
SYN, ACK, PSH, SYN_ACK = 0x02, 0x10, 0x08, 0x12
# of clients
FIRST_PORT = 40000


@dataclass(frozen=True)
class Driver:
    """A model of QEMU's, and the DPDK driver that takes it."""

    model: str
    dpdk: str
    options: tuple = ()
    queues: int = 1
    # the largest MTU that is tried
    jumbo: int = 4000
    # what is said of a port with a worker a queue
    steering: str = "one worker"


VIRTIO = ("disable-legacy=on", "iommu_platform=on", "ats=on")
# a vector a queue, and one each for the configuration and the control queue
TWO_QUEUES = (*VIRTIO, "mq=on", "vectors=6")
DRIVERS = {
    "e1000": Driver("e1000", "net_e1000_em"),
    "e1000e": Driver("e1000e", "net_e1000_em"),
    # DPDK's driver asks for one buffer a frame, and QEMU keeps to that
    "vmxnet3": Driver("vmxnet3", "net_vmxnet3", jumbo=1900),
    "virtio": Driver("virtio-net-pci", "net_virtio", VIRTIO),
    "virtio-mq": Driver("virtio-net-pci", "net_virtio", TWO_QUEUES, 2, steering="software hand-off"),
    "virtio-rss": Driver("virtio-net-pci", "net_virtio", (*TWO_QUEUES, "rss=on"), 2, steering="aligned"),
}
SIDES = ("client", "server")
FIRST_SLOT = 0x10


@dataclass(frozen=True)
class Setup:
    """How the ports are configured."""

    name: str
    mtu: int = 1500
    vlans: tuple = (None, None)
    macs: tuple = (None, None)
    # the NIC of each side
    nics: tuple = (0, 1)
    workers: int = 1
    # the sides that have clients
    clients: tuple = (0, 1)
    # connections of each method, besides those whose packets are of all kinds
    more: int = 0


def setups(driver):
    mtu, vlans, macs = driver.jumbo, (100, 200), ("02:00:00:00:cc:00", "02:00:00:00:cc:01")
    yield Setup("plain")
    yield Setup(f"VLANs, own MACs, MTU {mtu}", mtu, vlans, macs)
    if driver.queues == 1:
        # of two MAC addresses the NIC can have one: it has to receive everything
        yield Setup("one arm, VLANs, own MACs", vlans=vlans, macs=macs, nics=(0, 0))
    else:
        # with clients on both sides, nothing that a port hashes would do for all that comes
        for side in (0, 1):
            yield Setup(f"two workers, clients on NIC {side}", workers=2, clients=(side,), more=16)


class Failed(Exception):
    """What was expected of Pollux did not happen; the message says what."""


# -- who is who --------------------------------------------------------------------------------------------------------


def network(side, host):
    return f"{('192.0.2', '10.1.0')[side]}.{host}"


def director(side):
    return network(side, 254)


def client(side):
    return network(side, 1)


def server(side):
    return network(side, 2)


def vip(side, method):
    return network(side, 10 + METHODS.index(method))


def nic_mac(number, side):
    return f"52:54:00:00:{number:02x}:{side:02x}"


def pci(number, side):
    return f"0000:00:{FIRST_SLOT + 2 * number + side:02x}.0"


def configuration(number, setup):
    """What stands in the guest's pollux.toml for the NICs of the driver with that number."""
    text = f'[dpdk]\neal_args = ["-a", "{pci(number, 0)}", "-a", "{pci(number, 1)}"]\n'
    text += f'[workers]\ncores = {list(range(setup.workers))}\nidle = "sleep"\n'
    text += "[connections]\ncapacity_per_worker = 10000\n"
    for side, name in enumerate(SIDES):
        device = pci(number, setup.nics[side])
        text += f'[[port]]\nname = "{name}"\ndevice = "{device}"\naddresses = ["{director(side)}/24"]\n'
        text += f"mtu = {setup.mtu}\n"
        text += f"vlan = {setup.vlans[side]}\n" if setup.vlans[side] else ""
        text += f'mac = "{setup.macs[side]}"\n' if setup.macs[side] else ""
    for side in setup.clients:
        for method in METHODS:
            mapped = {"nat": (8080, 5300)}.get(method, (80, 53))
            for protocol, port, real in zip(("tcp", "udp"), (80, 53), mapped):
                text += f'[[service]]\nprotocol = "{protocol}"\naddress = "{vip(side, method)}:{port}"\n'
                text += f'[[service.destination]]\naddress = "{server(1 - side)}:{real}"\nforward = "{method}"\n'
    return text


# -- the guest ---------------------------------------------------------------------------------------------------------


class NicLab(Lab):
    """A namespace with two tap devices a driver, and QEMU in it; Lab's guard takes it down in any case."""

    def __init__(self, names, kernel, initramfs):
        self.names, self.kernel, self.initramfs = names, kernel, initramfs
        super().__init__()

    def _build(self):
        lab_module.output_of(["ip", "netns", "add", self.ns(NODE)])
        self.sysctl(NODE, net__ipv6__conf__all__disable_ipv6=1, net__ipv6__conf__default__disable_ipv6=1)
        for number, name in enumerate(self.names):
            kind = "tap multi_queue" if DRIVERS[name].queues > 1 else "tap"
            for side in SIDES:
                tap = f"{side}{number}"
                self.ip(NODE, f"tuntap add dev {tap} mode {kind}", f"link set {tap} up mtu 9000")

    def _start_services(self):
        self.start(NODE, *self._command(), log="qemu.log")
        self.line = socket.socket(socket.AF_UNIX)
        wait_until(self._is_connected, "QEMU did not start", COMMAND_S, self._logs)
        self.answers = self.line.makefile("rb")
        self.line.settimeout(BOOT_S)
        with contextlib.suppress(OSError):
            if self.answers.readline() == b"ready\n":
                self.line.settimeout(COMMAND_S)
                return
        raise LabError(f"the guest did not come up\n{self._logs()}")

    def _is_connected(self):
        return self.line.connect_ex(str(self.dir / "guest.sock")) == 0

    def _logs(self):
        return "".join(log.read_text(errors="replace")[-4000:] for log in self.dir.glob("*.log"))

    def _command(self):
        yield from "qemu-system-x86_64 -accel tcg -cpu max -smp 2 -m 640".split()
        yield from "-nodefaults -no-user-config -display none -no-reboot".split()
        yield from "-M q35,kernel-irqchip=split -device intel-iommu,intremap=on,device-iotlb=on".split()
        yield from ("-kernel", self.kernel, "-initrd", self.initramfs, "-append")
        # a processor that is not always there must not be taken for a broken timer
        yield "console=ttyS0 quiet panic=-1 intel_iommu=on iommu=pt no_timer_check tsc=reliable mitigations=off nokaslr"
        yield from ("-serial", f"file:{self.dir / 'console.log'}")
        yield from ("-serial", f"unix:{self.dir / 'guest.sock'},server=on,wait=off")
        for number, name in enumerate(self.names):
            driver = DRIVERS[name]
            for side, tap in enumerate(SIDES):
                tap += str(number)
                queues = f",queues={driver.queues}" if driver.queues > 1 else ""
                yield from ("-netdev", f"tap,id={tap},ifname={tap},script=no,downscript=no,vhost=off{queues}")
                place = f"netdev={tap},mac={nic_mac(number, side)},addr={pci(number, side)[8:10]}"
                # without its boot program, which takes time
                yield from ("-device", ",".join([driver.model, place, "romfile=", *driver.options]))

    def guest(self, *lines, check=True):
        """Runs shell commands in the guest, and gives what they print."""
        command = " && ".join(lines)
        try:
            self.line.sendall(command.encode() + b"\n")
            code, length = map(int, self.answers.readline().split())
            text = self.answers.read(length).decode(errors="replace")
        except (OSError, ValueError):
            raise LabError(f"the guest does not answer to: {command[:200]}") from None
        if check and code != 0:
            raise LabError(f"in the guest: {command[:200]}: exit {code}\n{text}")
        return text if check else (code, text)

    @contextlib.contextmanager
    def logs_kept_on_failure(self, folder):
        try:
            yield
        except LabError:
            with contextlib.suppress(LabError):
                (self.dir / "dmesg.log").write_text(self.guest("dmesg"))
            kept = [shutil.copy(file, folder) for file in self.dir.glob("*.log")]
            say(f"logs: {' '.join(map(str, kept))}")
            raise

    def put(self, path, text):
        """Writes a file in the guest."""
        self.guest(f"echo {base64.b64encode(text.encode()).decode()} | base64 -d >{path}")


# -- Pollux in the guest -----------------------------------------------------------------------------------------------


class Pollux:
    """Pollux in the guest, on the two NICs of one driver; use it as a context manager."""

    def __init__(self, lab, number, setup):
        self.lab, self.number, self.setup = lab, number, setup

    def __enter__(self):
        self.lab.put("/tmp/pollux.toml", configuration(self.number, self.setup))
        command = "pollux run --config /tmp/pollux.toml >/tmp/pollux.log 2>&1"
        self.lab.guest("rm -f /tmp/ended", f"({command}; echo $? >/tmp/ended) &")
        try:
            wait_until(self._links_are_up, "the links did not come up", COMMAND_S)
        except LabError as error:
            raise Failed(f"{error}{self.log()}") from None
        return self

    def __exit__(self, kind, *_):
        if kind is Failed:
            report = self.lab.guest("pollux show ports; pollux show drops; cat /tmp/pollux.log", check=False)[1]
            (self.lab.dir / f"{self.lab.names[self.number]}.log").write_text(report)
        code = self._stop()
        if kind is None and code != 0:
            raise Failed(f"pollux ended with exit code {code}\n{self.log()}")

    def _stop(self):
        """Its exit code."""
        wait = "for i in $(seq 300); do [ -s /tmp/ended ] && break; sleep 0.1; done"
        code, text = self.lab.guest(f"kill $(pidof pollux); {wait}; cat /tmp/ended", check=False)
        return int(text.split()[-1]) if code == 0 else -1

    def _links_are_up(self):
        code, text = self.lab.guest("[ ! -e /tmp/ended ]", "pollux show ports --json", check=False)
        if code != 0 and self.lab.guest("[ -e /tmp/ended ]", check=False)[0] == 0:
            raise Failed(f"pollux did not start\n{self.log()}")
        return code == 0 and all(port["link_up"] for port in json.loads(text))

    def looks_right(self, connections):
        """What Pollux says of its ports, workers and drops, now that the frames of so many connections are through."""
        driver = DRIVERS[self.lab.names[self.number]]
        for side, port in enumerate(json.loads(self.show("ports", "--json"))):
            if port["driver"] != driver.dpdk or not port["rx_packets"] or not port["tx_packets"]:
                raise Failed(f"not a port of {driver.dpdk} with traffic: {port}")
            if any(port[count] for count in ("rx_missed", "rx_errors", "tx_errors")):
                raise Failed(f"the port has lost frames: {port}")
            want = driver.steering if self.setup.workers > 1 else "one worker"
            # without RSS, the kernel's tap has answers come by the queue that their requests left by
            by_chance = want == "software hand-off" and side not in self.setup.clients
            if port["steering"] != want and not by_chance:
                raise Failed(f"the port's steering is not {want}: {port}")
        workers = json.loads(self.show("workers", "--json"))
        if sum(worker["connections_created"] for worker in workers) != connections:
            raise Failed(f"{connections} connections were not scheduled once each: {workers}")
        drops = {row["reason"]: row["count"] for row in json.loads(self.show("drops", "--json")) if row["count"]}
        if drops:
            raise Failed(f"Pollux has dropped packets: {drops}")

    def show(self, *what):
        return self.lab.guest("pollux show " + " ".join(what))

    def log(self):
        return self.lab.guest("cat /tmp/pollux.log", check=False)[1]


# -- everybody else ----------------------------------------------------------------------------------------------------


class Side:
    """All clients and real servers of one side, behind a tap that the other side may share."""

    MACS = ("02:00:00:00:aa:00", "02:00:00:00:aa:01")

    def __init__(self, lab, number, side, setup):
        self.side, self.mac, self.vlan = side, self.MACS[side], setup.vlans[side]
        self.others_vlan = setup.vlans[1 - side] if setup.nics == (0, 0) else self.vlan
        self.director = setup.macs[side] or nic_mac(number, side)
        self.wire = packets.Wire(lab, NODE, f"{SIDES[setup.nics[side]]}{number}")

    def send(self, packet, kind=packets.ETH_IPV4, to=None):
        self.wire.send(packets.ethernet(to or self.director, self.mac, kind, packet, self.vlan))

    def frames(self):
        """What comes from Pollux, with questions about us answered."""
        for data, control in self.wire.unread(FRAME_S):
            data = packets.finished(data) if packets.lacks_checksum(control) else data
            frame = packets.Frame(data, packets.vlan_of(control))
            if frame.source in self.MACS or frame.vlan == self.others_vlan != self.vlan:
                continue
            if frame.vlan != self.vlan or frame.source != self.director:
                raise Failed(f"on VLAN {frame.vlan} from {frame.source} came {frame.data.hex()}")
            if frame.arp and frame.arp.operation == 1 and frame.arp.target in (client(self.side), server(self.side)):
                reply = packets.arp(2, self.mac, frame.arp.target, frame.arp.sender_mac, frame.arp.sender)
                self.send(reply, packets.ETH_ARP, frame.source)
            else:
                yield frame

    def ask_arp(self, address):
        """The MAC address that answers for an address."""
        request = packets.arp(1, self.mac, client(self.side), "00:00:00:00:00:00", address)
        self.send(request, packets.ETH_ARP, packets.BROADCAST)
        for frame in self.frames():
            if frame.arp and frame.arp.operation == 2 and frame.arp.sender == address:
                return frame.arp.sender_mac
        raise Failed(f"nobody answers ARP for {address}")

    def must_get(self, packet, what):
        """The next IPv4 frame must be this packet, for us; a tunnel's identification is taken as it came."""
        frame = next((frame for frame in self.frames() if frame.ip), None)
        if frame is None:
            raise Failed(f"{what}: nothing came within {FRAME_S} seconds")
        came, padding = frame.payload[: frame.ip.length], frame.payload[frame.ip.length :]
        wanted = packet(frame.ip.id) if callable(packet) else packet
        if came != wanted or any(padding) or padding and len(frame.data) > 60:
            raise Failed(f"{what}: expected\n{wanted.hex()}\ncame\n{frame.payload.hex()}")
        if frame.destination != self.mac:
            raise Failed(f"{what}: came for {frame.destination}, not {self.mac}")


class Exchange:
    """One forwarding method, with clients on one side and real servers on the other."""

    def __init__(self, sides, method, client_side, setup):
        self.near, self.far, self.method, self.setup = sides[client_side], sides[1 - client_side], method, setup
        self.client, self.vip, self.server = client(client_side), vip(client_side, method), server(1 - client_side)
        self.outer = director(1 - client_side)
        self.connections = 0
        self.room = setup.mtu - 20 - (20 if method == "tun" else 0)

    def play(self):
        for address in (self.vip, director(self.near.side)):
            if (mac := self.near.ask_arp(address)) != self.near.director:
                raise Failed(f"ARP for {address} is answered with {mac}, not {self.near.director}")
        for make in (tcp, udp, udp_without_checksum):
            most = bytes(i * 7 % 251 for i in range(self.room - make.header))
            self.connect(make, b"", b"odd", b"x" * 1000, most)
        for _ in range(self.setup.more):
            self.connect(tcp, b"")

    def connect(self, make, *payloads):
        """A connection of its own, and its packets."""
        port = FIRST_PORT + self.connections
        self.connections += 1
        for payload in payloads:
            self.there(port, make, payload)
            if self.method == "nat":
                self.back(port, make, payload)

    def there(self, port, make, payload):
        what = f"{self.method}: {make.__name__} with {len(payload)} bytes to the server"
        sent = make(self.client, self.vip, port, make.virtual, payload)
        self.near.send(packets.ipv4(self.client, self.vip, make.protocol, sent))
        to, at = (self.server, make.real) if self.method == "nat" else (self.vip, make.virtual)
        # NAT has the port make checksums that are missing
        make_there = udp if self.method == "nat" and make.protocol == packets.UDP else make
        inner = packets.ipv4(self.client, to, make.protocol, make_there(self.client, to, port, at, payload), ttl=63)
        self.far.must_get(self.in_tunnel(inner) if self.method == "tun" else inner, what)

    def in_tunnel(self, inner):
        return lambda id: packets.ipv4(self.outer, self.server, packets.IPIP, inner, ttl=63, id=id)

    def back(self, port, make, payload):
        what = f"{self.method}: {make.__name__} with {len(payload)} bytes back to the client"
        sent = make(self.server, self.client, make.real, port, payload)
        self.far.send(packets.ipv4(self.server, self.client, make.protocol, sent))
        make_back = udp if make.protocol == packets.UDP else make
        made = make_back(self.vip, self.client, make.virtual, port, payload)
        self.near.must_get(packets.ipv4(self.vip, self.client, make.protocol, made, ttl=63), what)


def tcp(source, destination, sport, dport, payload):
    """A segment: of a handshake when it carries nothing."""
    from_client = sport >= FIRST_PORT
    flags = ACK | PSH if payload else SYN if from_client else SYN_ACK
    return packets.tcp(source, destination, sport, dport, flags, payload)


def udp(source, destination, sport, dport, payload):
    return packets.udp(source, destination, sport, dport, payload)


def udp_without_checksum(source, destination, sport, dport, payload):
    datagram = udp(source, destination, sport, dport, payload)
    return datagram[:6] + bytes(2) + datagram[8:]


tcp.protocol, tcp.header, tcp.virtual, tcp.real = packets.TCP, 20, 80, 8080
for make in (udp, udp_without_checksum):
    make.protocol, make.header, make.virtual, make.real = packets.UDP, 8, 53, 5300


# -- the program -------------------------------------------------------------------------------------------------------


def run(lab, number, name, setup):
    """Plays all methods on a driver's NICs. True: none failed."""
    line = f"{name:12}{setup.name:32}"
    try:
        with Pollux(lab, number, setup) as pollux, contextlib.ExitStack() as wires:
            sides = [Side(lab, number, side, setup) for side in (0, 1)]
            for side in sides:
                wires.enter_context(side.wire)
            connections = 0
            for method in METHODS:
                for side in setup.clients:
                    exchange = Exchange(sides, method, side, setup)
                    exchange.play()
                    connections += exchange.connections
                print(f"{line}{method:5}ok", flush=True)
            pollux.looks_right(connections)
            if setup.name == "plain" or setup.workers > 1:
                print(pollux.show("ports"), flush=True)
    except Failed as error:
        print(f"{line}failed: {error}", flush=True)
        return False
    return True


def run_all(lab, names):
    say("the guest is up")
    nics = [pci(number, side) for number in range(len(names)) for side in (0, 1)]
    lab.guest(f"hugepages.sh {HUGE_PAGES}", f"bind-nic.sh bind {' '.join(nics)}")
    results = [run(lab, number, name, setup) for number, name in enumerate(names) for setup in setups(DRIVERS[name])]
    lab.guest(f"bind-nic.sh back {nics[0]}", f"[ $(cat {FREE_PAGES}) = {HUGE_PAGES} ]")
    return all(results)


def say(text):
    print(f"==> {text}", file=sys.stderr, flush=True)


def arguments():
    words = argparse.ArgumentParser()
    words.add_argument("--list", action="store_true")
    for name in ("kernel", "initramfs", "logs"):
        words.add_argument(f"--{name}", type=Path)
    words.add_argument("drivers", nargs="*", metavar="DRIVER")
    words = words.parse_args()
    if words.list:
        print("\n".join(DRIVERS))
        sys.exit()
    return words


def main():
    words = arguments()
    names = words.drivers or list(DRIVERS)
    lab_module.exit_on_signals()
    with NicLab(names, words.kernel, words.initramfs) as lab, lab.logs_kept_on_failure(words.logs):
        if not run_all(lab, names):
            raise LabError("not all is well")
    say("all NICs passed")


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"nic-lab: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
