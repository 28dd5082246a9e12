"""What holds for every forwarding method; test_nat.py, test_dr.py and test_tun.py each run all of it."""

import hashlib
import re
import signal
import tempfile
import time
from pathlib import Path

import lab as lab_module
import packets
from lab import CLIENT, DIRECTOR_CLIENT_SIDE, SERVERS, VIP, config

URL = f"http://{VIP}/"
# a request so long that its first segment is as large as a segment can be
LONG_HEADERS = [word for i in range(6) for word in ("-H", f"X-Filler-{i}: {'x' * 1000}")]


class Download:
    """A download of the big file by the client, slow enough to do something meanwhile."""

    def __init__(self, case):
        self.path = Path(tempfile.mkstemp(dir=case.lab.dir)[1])
        argv = ["curl", "-sS", "--fail", "--limit-rate", "60M", "--max-time", "60", "-o", self.path, URL + "big"]
        self.child = case.lab.start("client", *argv, log="downloads.log")
        case.addCleanup(self.path.unlink)
        case.addCleanup(lab_module.stop, self.child)

    def begun(self):
        return self.path.stat().st_size > 0

    def running(self):
        return self.child.poll() is None

    def sum(self):
        self.child.wait(60)
        with open(self.path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


class Methods:
    """Mixed into a PolluxCase that names its `method`."""

    port = 80  # the real servers' port for the VIP's port 80

    def tearDown(self):
        """Receivers verify every checksum, as nothing is offloaded; none may ever be wrong."""
        self.assertEqual(self.checksum_errors(), {})

    def destination(self, rs, weight=1):
        """A destination as it stands in config/METHOD.toml."""
        address = f"{SERVERS[rs]}:{self.port}"
        return f'[[service.destination]]\naddress = "{address}"\nforward = "{self.method}"\nweight = {weight}\n'

    def test_a_200_mb_download_arrives_whole(self):
        want = self.lab.big_file()
        self.assertEqual(self.lab.download(URL + "big"), want)

    def test_500_concurrent_connections_all_get_their_answers(self):
        out = self.lab.run("client", "wrk", "-t2", "-c500", "-d5s", "--timeout", "10s", URL).stdout
        self.assertNotIn("Socket errors", out)
        self.assertNotIn("Non-2xx", out)
        self.assertGreater(int(re.search(r"(\d+) requests in", out).group(1)), 500, out)

    def test_round_robin_gives_every_server_the_same(self):
        self.start_afresh()
        self.assertEqual(self.lab.who_answers(30), {"rs1": 10, "rs2": 10, "rs3": 10})

    def test_every_udp_client_is_answered_by_a_server_and_goes_on_with_it(self):
        names = []
        for _ in range(9):
            sock = self.udp_socket()
            answers = set()
            for payload in (b"one", b"two", b"three"):
                sock.send(payload)
                name, _, echo = sock.recv(2000).partition(b":")
                self.assertEqual(echo, payload)
                answers.add(name.decode())
            self.assertEqual(len(answers), 1)
            names += answers
        self.assertEqual({rs: names.count(rs) for rs in SERVERS}, {"rs1": 3, "rs2": 3, "rs3": 3})

    def test_the_vip_and_the_ports_own_addresses_answer_ping(self):
        self.ping(VIP)
        self.ping(VIP, "-s", "1400")
        self.ping(DIRECTOR_CLIENT_SIDE)
        self.ping(lab_module.DIRECTOR_SERVER_SIDE, node="rs1")

    def test_the_first_connection_waits_for_arp_and_loses_no_syn(self):
        self.start_afresh()
        seconds = float(self.lab.curl(URL, "-o", "/dev/null", "-w", "%{time_total}"))
        self.assertLess(seconds, 0.9, "a lost SYN is sent again after a second")

    def test_reloads_under_load_fail_no_request(self):
        """rs3 goes as an operator takes it out, drained first: what is removed in mid-connection is cut off, as in IPVS."""
        self.addCleanup(self.reload)
        load = self.load(URL, seconds=6)
        self.reload((self.destination("rs3"), self.destination("rs3", weight=0)), by_signal=True)
        lab_module.wait_until(lambda: self.lab.who_answers(6)["rs3"] == 0, "SIGHUP did not quiesce rs3")
        time.sleep(0.5)  # what is still under way there ends
        self.reload((self.destination("rs3"), ""))
        self.assertEqual(self.lab.who_answers(6)["rs3"], 0)
        self.reload()
        # the load takes turns too: a few requests may all be the others' by chance
        lab_module.wait_until(lambda: self.lab.who_answers(12)["rs3"] > 0, "rs3 did not come back")
        for weight in (2, 3):
            self.reload((self.destination("rs1"), self.destination("rs1", weight)))
        self.reload(('scheduler = "rr"', 'scheduler = "wlc"'))
        came = load.result()
        self.assertEqual((came["failed"], came["errors"]), (0, {}))
        self.assertEqual(set(came["answers"]), set(SERVERS))

    def test_downloads_go_on_while_their_server_is_quiesced(self):
        downloads = self.slow_downloads()
        self.reload((self.destination("rs2"), self.destination("rs2", weight=0)))
        self.assertEqual(self.lab.who_answers(6)["rs2"], 0)
        self.assertEqual([download.sum() for download in downloads], [self.lab.big_file()] * 3)

    def test_downloads_go_on_while_another_server_is_removed(self):
        downloads = self.slow_downloads()
        self.reload((self.destination("rs2"), ""))
        self.assertEqual(self.lab.who_answers(6)["rs2"], 0)
        lab_module.wait_until(lambda: sum(d.running() for d in downloads) == 1, "the other two did not end", 30)
        self.assertEqual([d.sum() for d in downloads if not d.running()], [self.lab.big_file()] * 2)

    def reload(self, *changes, by_signal=False):
        """Gives the director its configuration with the changes."""
        self.lab.write_config(config(self.method, *self.changes, *changes))
        if by_signal:
            self.lab.director.send_signal(signal.SIGHUP)
        else:
            self.lab.ctl("reload")

    def slow_downloads(self):
        """Three downloads of some seconds, under way, one from each server."""
        self.addCleanup(self.reload)
        self.lab.big_file()
        downloads = [Download(self) for _ in SERVERS]
        lab_module.wait_until(lambda: all(download.begun() for download in downloads), "a download did not start")
        return downloads

    def test_ttl_1_is_answered_with_time_exceeded(self):
        sock = self.udp_socket(ttl=1)
        with packets.Wire(self.lab, "client") as wire:
            sock.send(b"short-lived")
            frame = self.must_see(wire, lambda f: f.ip.protocol == packets.ICMP and f.ip.destination == CLIENT)
        # from the VIP, as the kernel does: it is an address of the director's
        self.assertEqual((frame.ip.type, frame.ip.code, frame.ip.source), (11, 0, VIP))
        self.assertTrue(frame.ip.icmp_ok and frame.ip.header_ok)
        about = packets.Ip(frame.ip.icmp_payload)
        self.assertEqual((about.destination, about.sport, about.dport), (VIP, sock.getsockname()[1], 5353))

    def test_the_ttl_is_one_less_at_the_server(self):
        for dont_fragment in (True, False):
            sock = self.udp_socket(ttl=33, dont_fragment=dont_fragment)
            with packets.Wire(self.lab, "switch", "director") as wire:
                sock.send(b"counted")
                frame = self.must_see(wire, lambda f: b"counted" in f.data)
            self.assertIn(sock.recv(100), [f"{rs}:counted".encode() for rs in SERVERS])
            self.assertTrue(frame.ip.header_ok)
            self.at_the_server(frame.ip, ttl=32, dont_fragment=dont_fragment)

    def at_the_server(self, ip, ttl, dont_fragment):
        raise NotImplementedError

    def too_big(self, mtu):
        """A datagram with DF that is one byte too long, and one that just fits."""
        sock = self.udp_socket(dont_fragment=True)
        with packets.Wire(self.lab, "client") as wire:
            sock.send(b"x" * (mtu - 28 + 1))
            frame = self.must_see(wire, lambda f: f.ip.protocol == packets.ICMP and f.ip.destination == CLIENT)
        self.assertEqual((frame.ip.type, frame.ip.code, frame.ip.next_hop_mtu), (3, 4, mtu))
        self.assertTrue(frame.ip.icmp_ok and frame.ip.header_ok)
        self.assertEqual(frame.ip.source, VIP)
        self.assertEqual(packets.Ip(frame.ip.icmp_payload).destination, VIP)
        sock = self.udp_socket(dont_fragment=True)
        sock.send(b"x" * (mtu - 28))
        self.assertEqual(len(sock.recv(2000)), mtu - 28 + len("rs1:"))

    def tcp_finds_the_mtu(self, mtu):
        self.assertIn(self.lab.curl(URL, *LONG_HEADERS).strip(), SERVERS)
        self.assertIn(f"mtu {mtu}", self.lab.run("client", "ip", "route", "get", VIP).stdout)
