"""Ports that offload checksums: net_tap does it in its driver, where af_packet cannot. Both sides are played frame by frame."""

import base
import packets
from lab import CLIENT, VIP

CLIENTS, SERVERS = "02:00:00:00:00:aa", "02:00:00:00:00:bb"
DIRECTORS = {"tap0": "02:00:00:00:00:01", "tap1": "02:00:00:00:00:02"}
SERVER = "10.1.0.1"
CONFIG = f"""
[dpdk]
eal_args = ["--no-huge", "--no-pci", "--vdev", "net_tap0,iface=tap0", "--vdev", "net_tap1,iface=tap1"]
[workers]
idle = "sleep"
[connections]
capacity_per_worker = 1000
[[port]]
name = "client"
device = "net_tap0"
mac = "{DIRECTORS["tap0"]}"
addresses = ["192.0.2.254/24"]
[[port]]
name = "server"
device = "net_tap1"
mac = "{DIRECTORS["tap1"]}"
addresses = ["10.1.0.254/24"]
[[neighbour]]
port = "client"
address = "{CLIENT}"
mac = "{CLIENTS}"
[[neighbour]]
port = "server"
address = "{SERVER}"
mac = "{SERVERS}"
[[service]]
protocol = "udp"
address = "{VIP}:5353"
[[service.destination]]
address = "{SERVER}:5300"
forward = "nat"
"""


class Tap(base.PolluxCase):
    @classmethod
    def set_up_lab(cls):
        cls.lab.pollux(CONFIG)

    def datagram(self, source, destination, sport, dport, payload, with_checksum):
        datagram = packets.udp(source, destination, sport, dport, payload)
        if not with_checksum:
            datagram = datagram[:6] + b"\0\0" + datagram[8:]
        return packets.ipv4(source, destination, packets.UDP, datagram)

    def relay(self, into, mac, packet, out_of):
        with packets.Wire(self.lab, "director", into) as near, packets.Wire(self.lab, "director", out_of) as far:
            near.send(packets.ethernet(DIRECTORS[into], mac, packets.ETH_IPV4, packet))
            return self.must_see(far, lambda f: f.ip and f.ip.protocol == packets.UDP)

    def test_a_datagram_without_checksum_gets_one_from_the_port_there_and_back(self):
        for with_checksum in (False, True):
            for payload in (b"", b"odd", b"x" * 1400):
                there = self.datagram(CLIENT, VIP, 40000, 5353, payload, with_checksum)
                seen = self.relay("tap0", CLIENTS, there, "tap1")
                self.assertEqual((seen.ip.destination, seen.ip.dport, seen.ip.data), (SERVER, 5300, payload))
                self.assertNotEqual(seen.ip.payload[6:8], b"\0\0")
                self.assertTrue(seen.ip.checksum_ok())
                back = self.datagram(SERVER, CLIENT, 5300, 40000, payload, with_checksum)
                seen = self.relay("tap1", SERVERS, back, "tap0")
                self.assertEqual((seen.ip.source, seen.ip.sport, seen.ip.data), (VIP, 5353, payload))
                self.assertNotEqual(seen.ip.payload[6:8], b"\0\0")
                self.assertTrue(seen.ip.checksum_ok())

    def test_a_wrong_checksum_is_not_made_right_by_the_offload(self):
        datagram = packets.udp(CLIENT, VIP, 40001, 5353, b"spoilt", wrong_by=1)
        seen = self.relay("tap0", CLIENTS, packets.ipv4(CLIENT, VIP, packets.UDP, datagram), "tap1")
        self.assertFalse(seen.ip.checksum_ok())
