"""ARP: who answers for an address, on which port, and how a new VIP is announced."""

import base
import packets
from lab import DIRECTOR_CLIENT_SIDE, DIRECTOR_SERVER_SIDE, MACS, VIP

NEW_VIP = "192.0.2.11"


class Arp(base.PolluxCase):
    method = "nat"

    def test_the_vip_answers_on_the_port_of_its_subnet_only(self):
        self.assertEqual(self.who_has(VIP), {MACS["director", "client"]})
        self.assertEqual(self.who_has(VIP, node="rs1"), set())

    def test_a_port_answers_for_its_own_address_only(self):
        self.assertEqual(self.who_has(DIRECTOR_CLIENT_SIDE), {MACS["director", "client"]})
        self.assertEqual(self.who_has(DIRECTOR_SERVER_SIDE, node="rs1"), {MACS["director", "server"]})
        self.assertEqual(self.who_has(DIRECTOR_SERVER_SIDE), set())
        self.assertEqual(self.who_has(DIRECTOR_CLIENT_SIDE, node="rs1"), set())

    def test_nobody_answers_for_an_address_without_a_service(self):
        self.assertEqual(self.who_has("192.0.2.99"), set())

    def test_a_new_vip_is_announced_and_answers_until_it_is_deleted(self):
        with packets.Wire(self.lab, "client") as near, packets.Wire(self.lab, "rs1") as far:
            self.lab.ctl("service", "add", "udp", f"{NEW_VIP}:53", "--scheduler", "rr")
            gratuitous = self.must_see(near, lambda f: f.arp.sender == f.arp.target == NEW_VIP)
            self.assertEqual(gratuitous.arp.sender_mac, MACS["director", "client"])
            self.assertEqual(gratuitous.destination, packets.BROADCAST)
            self.assertIsNone(far.wait_for(lambda f: f.arp.sender == NEW_VIP, 0.5), "only on the port of its subnet")
        self.assertEqual(self.who_has(NEW_VIP), {MACS["director", "client"]})
        self.lab.ctl("service", "delete", "udp", f"{NEW_VIP}:53")
        self.assertEqual(self.who_has(NEW_VIP), set())
        self.assertEqual(self.who_has(VIP), {MACS["director", "client"]})

    def test_the_vip_is_announced_at_the_start(self):
        with packets.Wire(self.lab, "client") as wire:
            self.start_afresh()
            self.must_see(wire, lambda f: f.arp.sender == f.arp.target == VIP)
