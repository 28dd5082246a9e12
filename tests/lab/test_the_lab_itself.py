"""The lab without Pollux: what the other tests rely on, with the kernel as director."""

import os
import re
import signal
import subprocess
import sys
import unittest
from pathlib import Path

import base
import lab as lab_module
import packets
from lab import CLIENT, MACS, SERVERS, VIP


class KernelAsRouter(base.LabCase):
    @classmethod
    def set_up_lab(cls):
        cls.lab.use("nat")
        cls.lab.kernel_director()

    def test_every_server_answers_http_and_udp_with_its_name(self):
        for rs, address in SERVERS.items():
            self.assertEqual(self.lab.curl(f"http://{address}/"), f"{rs}\n")
            self.assertEqual(self.lab.curl(f"http://{address}:8080/port"), "8080\n")
            self.assertEqual(self.lab.udp_ask(address, b"hello"), f"{rs}:hello".encode())

    def test_a_big_download_arrives_whole_in_frames_of_wire_size(self):
        want = self.lab.big_file()
        with packets.Wire(self.lab, "client") as wire:
            self.assertEqual(self.lab.download(f"http://{SERVERS['rs1']}/big"), want)
            sizes = {len(frame.data) for frame in wire.frames(0.2)}
        self.assertLessEqual(max(sizes), 14 + 1500)
        self.assertEqual(self.checksum_errors(), {})

    def test_a_wrong_checksum_is_seen_by_the_receiver(self):
        before = self.counter("rs2", "Udp", "InCsumErrors")
        datagram = packets.udp(CLIENT, SERVERS["rs2"], 40000, 5353, b"wrong", wrong_by=1)
        with packets.Wire(self.lab, "client") as wire:
            wire.send(
                packets.ethernet(
                    MACS["director", "client"],
                    MACS["client", "eth0"],
                    packets.ETH_IPV4,
                    packets.ipv4(CLIENT, SERVERS["rs2"], packets.UDP, datagram),
                )
            )
            lab_module.wait_until(lambda: self.counter("rs2", "Udp", "InCsumErrors") == before + 1, "not counted")

    def test_a_vlan_tag_put_into_a_frame_arrives_beside_it(self):
        with packets.Wire(self.lab, "client") as near, packets.Wire(self.lab, "director", "client") as far:
            near.send(packets.ethernet(MACS["director", "client"], MACS["client", "eth0"], 0x88B5, b"tagged", 100))
            frame = self.must_see(far, lambda f: f.kind == 0x88B5)
        self.assertEqual((frame.vlan, frame.payload[:6]), (100, b"tagged"))

    def test_the_load_program_counts_answers_and_failures(self):
        good = self.load(f"http://{SERVERS['rs3']}/", seconds=1).result()
        self.assertEqual((good["failed"], good["answers"]), (0, {"rs3": good["done"]}))
        self.assertGreater(good["done"], 50)
        bad = self.load(f"http://{SERVERS['rs3']}:81/", seconds=1).result()
        self.assertEqual(bad["done"], 0)
        self.assertGreater(bad["failed"], 0)


class AroundTheDirector(base.LabCase):
    """DR and TUN servers, fed by hand."""

    @classmethod
    def set_up_lab(cls):
        cls.lab.use("dr")

    def ask(self, frame):
        """Sends a frame into the server side from the director's end and waits for the answer at the client."""
        with packets.Wire(self.lab, "director", "server") as wire, packets.Wire(self.lab, "client", "eth1") as leg:
            wire.send(frame)
            return self.must_see(leg, lambda f: f.ip.source == VIP)

    def test_a_dr_server_answers_from_the_vip_around_the_director(self):
        self.lab.use("dr")
        inner = packets.ipv4(CLIENT, VIP, packets.UDP, packets.udp(CLIENT, VIP, 40001, 5353, b"dr"))
        answer = self.ask(packets.ethernet(MACS["rs2", "eth0"], MACS["director", "server"], packets.ETH_IPV4, inner))
        self.assertEqual((answer.ip.source, answer.ip.destination, answer.ip.data), (VIP, CLIENT, b"rs2:dr"))
        self.assertTrue(answer.ip.checksum_ok())

    def test_a_tun_server_decapsulates_and_answers_from_the_vip(self):
        self.lab.use("tun")
        inner = packets.ipv4(CLIENT, VIP, packets.UDP, packets.udp(CLIENT, VIP, 40002, 5353, b"tun"))
        outer = packets.ipv4("10.1.0.254", SERVERS["rs3"], packets.IPIP, inner)
        answer = self.ask(packets.ethernet(MACS["rs3", "eth0"], MACS["director", "server"], packets.ETH_IPV4, outer))
        self.assertEqual((answer.ip.source, answer.ip.destination, answer.ip.data), (VIP, CLIENT, b"rs3:tun"))

    def test_no_server_answers_arp_for_the_vip(self):
        for method in ("dr", "tun"):
            self.lab.use(method)
            with packets.Wire(self.lab, "director", "server") as wire:
                for address, answered in ((VIP, False), (SERVERS["rs1"], True)):
                    mac = MACS["director", "server"]
                    request = packets.arp(1, mac, "10.1.0.254", "00:00:00:00:00:00", address)
                    wire.send(packets.ethernet(packets.BROADCAST, mac, packets.ETH_ARP, request))
                    reply = wire.wait_for(lambda f: f.arp.operation == 2 and f.arp.sender == address, 0.5)
                    self.assertEqual(reply is not None, answered, f"{method}: {address}")

    def test_the_directors_kernel_is_silent(self):
        with packets.Wire(self.lab, "client") as wire:
            for address in (VIP, lab_module.DIRECTOR_CLIENT_SIDE):
                mac = MACS["client", "eth0"]
                request = packets.arp(1, mac, CLIENT, "00:00:00:00:00:00", address)
                wire.send(packets.ethernet(packets.BROADCAST, mac, packets.ETH_ARP, request))
            answer = wire.wait_for(lambda f: f.source == MACS["director", "client"], 0.5)
            self.assertIsNone(answer)


class Cleanup(unittest.TestCase):
    """However its owner ends, a lab leaves nothing."""

    def start_a_lab(self):
        owner = subprocess.Popen(
            [sys.executable, lab_module.__file__, "up", "tun", "--kernel"], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(owner.stdout.close)
        self.addCleanup(owner.wait)
        self.addCleanup(owner.kill)
        prefix = re.search(r"plx\w+", owner.stdout.readline()).group()
        self.assertEqual(len(self.remains(prefix)), len(lab_module.NODES) + 1)
        return owner, prefix

    def remains(self, prefix):
        namespaces = [name for name in os.listdir("/run/netns") if name.startswith(prefix + "-")]
        return namespaces + [str(path) for path in [Path("/tmp", prefix)] if path.exists()]

    def ended_by(self, number):
        owner, prefix = self.start_a_lab()
        inodes = {os.stat(f"/run/netns/{prefix}-{node}").st_ino for node in lab_module.NODES}
        self.assertTrue(lab_module._processes_in(inodes))
        other, other_prefix = self.start_a_lab()
        owner.send_signal(number)
        owner.wait(20)
        lab_module.wait_until(lambda: not self.remains(prefix), f"{prefix} left something", 20)
        self.assertEqual(lab_module._processes_in(inodes), set())
        self.assertEqual(len(self.remains(other_prefix)), len(lab_module.NODES) + 1, "the lab beside it stays")
        other.terminate()
        other.wait(20)
        self.assertEqual(self.remains(other_prefix), [])

    def test_ctrl_c_cleans_up(self):
        self.ended_by(signal.SIGINT)

    def test_sigterm_cleans_up(self):
        self.ended_by(signal.SIGTERM)

    def test_kill_9_cleans_up(self):
        self.ended_by(signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
