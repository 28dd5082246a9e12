"""DR: only the MAC addresses change."""

import base
import packets
from lab import CLIENT, MACS, VIP, config
from methods import URL, Methods


class Dr(Methods, base.PolluxCase):
    method = "dr"

    def at_the_server(self, ip, ttl, dont_fragment):
        self.assertEqual((ip.source, ip.destination, ip.ttl), (CLIENT, VIP, ttl))
        self.assertEqual((ip.dport, bool(ip.flags & packets.DF)), (5353, dont_fragment))
        self.assertTrue(ip.checksum_ok())

    def test_replies_go_around_the_director(self):
        with packets.Wire(self.lab, "client") as near, packets.Wire(self.lab, "client", "eth1") as around:
            self.assertEqual(self.lab.curl(URL + "client"), f"{CLIENT}\n")
            self.must_see(around, lambda f: f.ip.source == VIP)
            self.assertIsNone(near.wait_for(lambda f: f.ip.source == VIP, 0.5))

    def test_the_frame_carries_the_servers_mac_address(self):
        with packets.Wire(self.lab, "switch", "director") as wire:
            answer = self.lab.udp_ask(VIP, b"who").split(b":")[0].decode()
            frame = self.must_see(wire, lambda f: f.ip.protocol == packets.UDP)
        self.assertEqual((frame.source, frame.destination), (MACS["director", "server"], MACS[answer, "eth0"]))

    def test_a_port_mapping_is_refused_by_check_with_the_reason(self):
        self.lab.write_config(config("dr", ('address = "10.1.0.2:80"', 'address = "10.1.0.2:8080"')))
        refused = self.lab.ctl("check", self.lab.config_file, check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertRegex(refused.stdout + refused.stderr, r"port 8080 .*\bdr\b")


class DrOverASmallMtu(base.PolluxCase):
    method = "dr"
    changes = (('device = "net_af_packet1"', 'device = "net_af_packet1"\nmtu = 1400'),)
    too_big, tcp_finds_the_mtu = Methods.too_big, Methods.tcp_finds_the_mtu

    def test_a_packet_too_big_for_the_server_side_brings_fragmentation_needed(self):
        self.too_big(1400)

    def test_tcp_finds_the_mtu_of_the_server_side(self):
        self.tcp_finds_the_mtu(1400)
