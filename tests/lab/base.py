"""What every lab test starts from: a lab of its class's own, taken down also when a test fails."""

import json
import socket
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "scripts"))

import lab as lab_module  # noqa: E402
import packets  # noqa: E402
from lab import Lab, config  # noqa: E402

lab_module.exit_on_signals()
LOAD = Path(__file__).resolve().parent / "load.py"


class LabCase(unittest.TestCase):
    """One lab a class; a subclass says in `set_up_lab` what stands in it."""

    @classmethod
    def setUpClass(cls):
        cls.lab = cls.enterClassContext(Lab())
        cls.set_up_lab()

    @classmethod
    def set_up_lab(cls):
        raise NotImplementedError

    def load(self, url, seconds, threads=4):
        """Starts requests from the client, each on a new connection; `result()` of what it gives waits for the end."""
        return Load(self.lab, url, seconds, threads)

    def must_see(self, wire, wanted, seconds=3):
        """The first frame on the wire that `wanted` likes; the test fails when none comes."""
        frame = wire.wait_for(wanted, seconds)
        self.assertIsNotNone(frame, "the awaited frame did not come")
        return frame

    def counter(self, node, protocol, name):
        """A counter of the node's kernel, from /proc/net/snmp."""
        with self.lab.inside(node):
            lines = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
        names, values = (line for line in lines if line[0] == protocol + ":")
        return int(values[names.index(name)])

    def checksum_errors(self):
        """Every bad checksum that a receiver's kernel has seen anywhere in the lab."""
        found = {}
        for node in ("client", *lab_module.SERVERS):
            for protocol, name in (
                ("Ip", "InHdrErrors"),
                ("Icmp", "InCsumErrors"),
                ("Tcp", "InCsumErrors"),
                ("Udp", "InCsumErrors"),
            ):
                if count := self.counter(node, protocol, name):
                    found[node, protocol] = count
        return found


class Load:
    def __init__(self, lab, url, seconds, threads):
        argv = lab.command("client", sys.executable, LOAD, url, seconds, threads)
        self.child = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)

    def result(self):
        out, _ = self.child.communicate()
        return json.loads(out)


class PolluxCase(LabCase):
    """A lab with Pollux running from config/METHOD.toml, `changes` applied."""

    method = "nat"
    changes = ()

    @classmethod
    def set_up_lab(cls):
        cls.lab.use(cls.method)
        cls.lab.pollux(config(cls.method, *cls.changes))

    def setUp(self):
        """A Pollux that another test has lost is started again; losing it never goes unseen."""
        if self.lab.director is None or self.lab.director.poll() is not None:
            self.set_up_lab()
        self.addCleanup(self.still_runs)

    def start_afresh(self):
        """A director without a past: no connections, no neighbours."""
        self.lab.stop_pollux()
        self.set_up_lab()

    def still_runs(self):
        self.assertIsNotNone(self.lab.director, "pollux was left stopped")
        self.assertIsNone(self.lab.director.poll(), "pollux has ended")

    def pollux_works(self):
        self.assertEqual(sum(self.lab.who_answers(3).values()), 3)

    def ping(self, address, *options, node="client"):
        out = self.lab.run(node, "ping", "-c", "3", "-i", "0.2", "-W", "2", *options, address, check=False).stdout
        self.assertIn(" 0% packet loss", out)

    def udp_socket(self, ttl=64, dont_fragment=False):
        """A datagram socket of the client's, towards the VIP."""
        ip_mtu_discover, never, probe = 10, 0, 3  # linux/in.h; probe: DF set, whatever the kernel knows of the path
        with self.lab.inside("client"):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
        sock.setsockopt(socket.IPPROTO_IP, ip_mtu_discover, probe if dont_fragment else never)
        sock.settimeout(3)
        sock.connect((lab_module.VIP, 5353))
        return sock

    def who_has(self, address, node="client", device="eth0", seconds=1.0):
        """Asks by ARP and gives the MAC addresses of all who answer."""
        asker = {"client": lab_module.CLIENT, "rs1": lab_module.SERVERS["rs1"]}[node]
        mac = lab_module.MACS[node, device]
        request = packets.arp(1, mac, asker, "00:00:00:00:00:00", address)
        with packets.Wire(self.lab, node, device) as wire:
            wire.send(packets.ethernet(packets.BROADCAST, mac, packets.ETH_ARP, request))
            replies = [f.arp for f in wire.frames(seconds) if f.arp and f.arp.operation == 2]
        return {reply.sender_mac for reply in replies if reply.sender == address}

    def run(self, result=None):
        """A failed test shows the end of what Pollux said."""
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before and self.lab.director is not None:
            print(f"--- pollux in {self.id()}:\n{self.lab.pollux_log()[-2000:]}", file=sys.stderr)
