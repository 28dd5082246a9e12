"""A port on a VLAN: what is not tagged so is not for it, and all that it sends is. Not every kernel has 802.1Q
interfaces, so the client here is played frame by frame."""

import base
import packets
from lab import CLIENT, MACS, VIP
from workers import SEVERAL, Workers

VLAN = 100
MINE, DIRECTORS = MACS["client", "eth0"], MACS["director", "client"]


class Vlan(base.PolluxCase):
    method = "nat"
    changes = (('device = "net_af_packet0"', f'device = "net_af_packet0"\nvlan = {VLAN}'),)

    def vlans_that_answer_arp(self, vlan):
        request = packets.arp(1, MINE, CLIENT, "00:00:00:00:00:00", VIP)
        with packets.Wire(self.lab, "client") as wire:
            wire.send(packets.ethernet(packets.BROADCAST, MINE, packets.ETH_ARP, request, vlan))
            return [f.vlan for f in wire.frames(1) if f.arp and f.arp.operation == 2 and f.arp.sender == VIP]

    def test_only_the_ports_vlan_is_answered_and_with_its_tag(self):
        self.assertEqual(self.vlans_that_answer_arp(VLAN), [VLAN])
        self.assertEqual(self.vlans_that_answer_arp(None), [])
        self.assertEqual(self.vlans_that_answer_arp(VLAN + 1), [])

    def test_a_request_on_the_vlan_is_answered_on_the_vlan(self):
        with packets.Wire(self.lab, "client") as wire:
            self.ask(wire, 40000)

    def ask(self, wire, port):
        datagram = packets.udp(CLIENT, VIP, port, 5353, b"tagged")
        request = packets.ipv4(CLIENT, VIP, packets.UDP, datagram)
        wire.send(packets.ethernet(DIRECTORS, MINE, packets.ETH_IPV4, request, VLAN))
        answer = self.wait_answering_arp(wire, lambda f: f.ip and f.ip.source == VIP and f.ip.dport == port)
        self.assertIsNotNone(answer, "no answer came")
        self.assertEqual((answer.vlan, answer.destination), (VLAN, MINE))
        self.assertRegex(answer.ip.data, b"rs[123]:tagged")
        self.assertTrue(answer.ip.checksum_ok())

    def wait_answering_arp(self, wire, wanted):
        for frame in wire.frames(5):
            if wanted(frame):
                return frame
            if frame.arp and frame.arp.operation == 1 and frame.arp.target == CLIENT:
                self.assertEqual(frame.vlan, VLAN)
                reply = packets.arp(2, MINE, CLIENT, frame.arp.sender_mac, frame.arp.sender)
                wire.send(packets.ethernet(frame.source, MINE, packets.ETH_ARP, reply, VLAN))
        return None


class VlanOfSeveralWorkers(Workers, Vlan):
    changes = (*Vlan.changes, *SEVERAL)

    def test_every_client_is_answered_through_whichever_worker(self):
        before = self.created()
        with packets.Wire(self.lab, "client") as wire:
            # far apart: neighbouring ports are often of one worker
            for port in range(20500, 60500, 1000):
                self.ask(wire, port)
        self.assertEqual(self.created() - before, 40)
        self.assertGreater(min(worker["connections_created"] for worker in self.workers()), 0)
        self.check_steered()
