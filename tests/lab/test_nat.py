"""NAT: addresses and ports rewritten both ways; the director is the real servers' router."""

import base
import packets
from lab import CLIENT, DIRECTOR_CLIENT_SIDE, DIRECTOR_SERVER_SIDE, MACS, SERVERS, VIP
from methods import URL, Methods


class Nat(Methods, base.PolluxCase):
    method = "nat"
    port = 8080

    def at_the_server(self, ip, ttl, dont_fragment):
        self.assertIn(ip.destination, SERVERS.values())
        self.assertEqual((ip.source, ip.ttl, bool(ip.flags & packets.DF)), (CLIENT, ttl, dont_fragment))
        self.assertTrue(ip.checksum_ok())

    def test_the_vips_port_80_is_the_servers_port_8080(self):
        self.assertEqual(self.lab.curl(URL + "port"), "8080\n")
        self.assertEqual(self.lab.curl(URL + "client"), f"{CLIENT}\n")

    def test_a_reply_leaves_as_the_vips_with_one_hop_less(self):
        sock = self.udp_socket()
        with packets.Wire(self.lab, "client") as wire:
            sock.send(b"hello")
            frame = self.must_see(wire, lambda f: f.ip.protocol == packets.UDP and f.ip.source == VIP)
        self.assertEqual((frame.ip.ttl, frame.ip.sport, frame.source), (63, 5353, MACS["director", "client"]))
        self.assertTrue(frame.ip.checksum_ok() and frame.ip.header_ok)

    def test_a_server_reaches_the_clients_network_through_the_director(self):
        self.ping(CLIENT, node="rs1")
        with packets.Wire(self.lab, "client") as wire:
            self.lab.run("rs2", "ping", "-c", "1", "-t", "9", CLIENT)
            frame = self.must_see(wire, lambda f: f.ip.destination == CLIENT)
        self.assertEqual((frame.ip.source, frame.ip.ttl), (SERVERS["rs2"], 8))

    def test_transit_with_ttl_1_is_answered_by_the_near_side_of_the_director(self):
        out = self.lab.run("rs1", "ping", "-c", "1", "-W", "2", "-t", "1", CLIENT, check=False).stdout
        self.assertIn(f"From {DIRECTOR_SERVER_SIDE}", out)
        self.assertIn("Time to live exceeded", out)

    def test_the_client_reaches_a_server_by_its_own_address(self):
        self.assertEqual(self.lab.curl(f"http://{SERVERS['rs3']}/"), "rs3\n")


class NatOverASmallMtu(base.PolluxCase):
    """The server side takes 1400 bytes; the port keeps to it in software."""

    method = "nat"
    changes = (('device = "net_af_packet1"', 'device = "net_af_packet1"\nmtu = 1400'),)
    too_big, tcp_finds_the_mtu = Methods.too_big, Methods.tcp_finds_the_mtu

    def test_a_packet_too_big_for_the_server_side_brings_fragmentation_needed(self):
        self.too_big(1400)

    def test_tcp_finds_the_mtu_of_the_server_side(self):
        self.tcp_finds_the_mtu(1400)


class BadInput(base.PolluxCase):
    """What is broken is dropped, or passes unchanged as in IPVS; Pollux goes on."""

    method = "nat"

    def send(self, payload, kind=packets.ETH_IPV4):
        with packets.Wire(self.lab, "client") as wire:
            wire.send(packets.ethernet(MACS["director", "client"], MACS["client", "eth0"], kind, payload))

    def datagram(self, payload, **how):
        return packets.ipv4(CLIENT, VIP, packets.UDP, packets.udp(CLIENT, VIP, 40000, 5353, payload, **how))

    def bad_checksums_seen(self):
        return sum(self.counter(rs, "Udp", "InCsumErrors") for rs in SERVERS)

    def test_a_wrong_udp_checksum_passes_and_stays_wrong(self):
        before = self.bad_checksums_seen()
        self.send(self.datagram(b"wrong", wrong_by=1))
        base.lab_module.wait_until(lambda: self.bad_checksums_seen() == before + 1, "no server saw it")

    def test_what_is_not_a_sound_packet_goes_no_further(self):
        good = self.datagram(b"mark of this test")
        bad_header = good[:10] + b"\xde\xad" + good[12:]
        longer_than_the_frame = packets.ipv4(CLIENT, VIP, packets.UDP, b"\0" * 1400)[:60]
        no_ports = packets.ipv4(CLIENT, VIP, packets.UDP, b"\x9c\x40")
        with packets.Wire(self.lab, "switch", "director") as wire:
            for payload in (bad_header, longer_than_the_frame, no_ports, b"", b"\x45", b"\xff" * 60):
                self.send(payload)
            self.send(b"not IP", kind=0x88B5)  # IEEE 802, local experimental
            passed = [
                f
                for f in wire.frames(0.5)
                if f.source == MACS["director", "server"] and f.ip and f.ip.protocol == packets.UDP
            ]
        self.assertEqual(passed, [])
        self.pollux_works()

    def test_an_address_of_ours_without_a_service_does_no_harm(self):
        sock = self.udp_socket()
        sock.connect((DIRECTOR_CLIENT_SIDE, 9))
        sock.send(b"anyone?")
        self.pollux_works()
