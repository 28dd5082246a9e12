"""TUN: the client's packet travels inside IPIP."""

import base
import packets
from lab import CLIENT, DIRECTOR_SERVER_SIDE, SERVERS, VIP
from methods import Methods


class Tun(Methods, base.PolluxCase):
    method = "tun"

    def at_the_server(self, ip, ttl, dont_fragment):
        self.assertEqual((ip.protocol, ip.source, ip.ttl), (packets.IPIP, DIRECTOR_SERVER_SIDE, ttl))
        self.assertIn(ip.destination, SERVERS.values())
        self.assertEqual(bool(ip.flags & packets.DF), dont_fragment, "the outer DF is the inner one")
        inner = ip.inner
        self.assertEqual((inner.source, inner.destination, inner.ttl), (CLIENT, VIP, ttl))
        self.assertEqual((inner.dport, bool(inner.flags & packets.DF)), (5353, dont_fragment))
        self.assertTrue(inner.header_ok and inner.checksum_ok())

    def test_a_packet_that_does_not_fit_into_the_tunnel_brings_fragmentation_needed(self):
        self.too_big(1480)

    def test_tcp_finds_the_mtu_of_the_tunnel(self):
        self.tcp_finds_the_mtu(1480)
