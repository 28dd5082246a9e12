"""What holds for every forwarding method; test_nat.py, test_dr.py and test_tun.py each run all of it."""

import hashlib
import re
import signal
import threading

import lab as lab_module
import packets
from lab import CLIENT, DIRECTOR_CLIENT_SIDE, SERVERS, VIP, config

URL = f"http://{VIP}/"
# a request so long that its first segment is as large as a segment can be
LONG_HEADERS = [word for i in range(6) for word in ("-H", f"X-Filler-{i}: {'x' * 1000}")]


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

    def config_without(self, rs):
        return config(self.method, *self.changes, (self.destination(rs), ""))

    def test_a_200_mb_download_arrives_whole(self):
        want = self.lab.big_file()
        self.assertEqual(self.lab.download(URL + "big"), want)

    def test_500_concurrent_connections_all_get_their_answers(self):
        out = self.lab.run("client", "wrk", "-t2", "-c500", "-d5s", "--timeout", "10s", URL).stdout
        self.assertNotIn("Socket errors", out)
        self.assertNotIn("Non-2xx", out)
        self.assertGreater(int(re.search(r"(\d+) requests in", out).group(1)), 500, out)

    def test_round_robin_gives_every_server_the_same(self):
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
        self.lab.stop_pollux()
        self.set_up_lab()
        seconds = float(self.lab.curl(URL, "-o", "/dev/null", "-w", "%{time_total}"))
        self.assertLess(seconds, 0.9, "a lost SYN is sent again after a second")

    def test_reloads_under_load_fail_no_request(self):
        load = self.load(URL, seconds=5)
        self.lab.write_config(self.config_without("rs3"))
        self.lab.director.send_signal(signal.SIGHUP)
        lab_module.wait_until(lambda: self.lab.who_answers(6)["rs3"] == 0, "SIGHUP did not take rs3 out")
        self.lab.write_config(config(self.method, *self.changes))
        self.lab.ctl("reload")
        lab_module.wait_until(lambda: self.lab.who_answers(6)["rs3"] > 0, "reload did not bring rs3 back")
        for weight in (2, 3, 1):
            changed = (self.destination("rs1"), self.destination("rs1", weight))
            self.lab.write_config(config(self.method, *self.changes, changed))
            self.lab.ctl("reload")
        came = load.result()
        self.assertEqual((came["failed"], came["errors"]), (0, {}))
        self.assertEqual(set(came["answers"]), set(SERVERS))

    def test_a_download_goes_on_while_its_server_is_taken_out(self):
        want = self.lab.big_file()
        self.addCleanup(self.lab.ctl, "reload")
        self.addCleanup(self.lab.write_config, config(self.method, *self.changes))
        got = []
        downloads = [threading.Thread(target=lambda: got.append(self.slow_download())) for _ in range(3)]
        for thread in downloads:  # one on each server
            thread.start()
        lab_module.wait_until(lambda: self.open_downloads() == 3, "the downloads did not start")
        self.lab.write_config(self.config_without("rs2"))
        self.lab.ctl("reload")
        self.assertEqual(self.lab.who_answers(6)["rs2"], 0)
        for thread in downloads:
            thread.join()
        self.assertEqual(got, [want] * 3)

    def slow_download(self):
        curl = self.lab.command("client", "curl", "-sS", "--limit-rate", "60M", "--max-time", "60", URL + "big")
        return hashlib.sha256(lab_module.output_of(curl)).hexdigest()

    def open_downloads(self):
        return len(self.lab.run("client", "ss", "-Htn", "state", "established", "dst", VIP).stdout.splitlines())

    def test_ttl_1_is_answered_with_time_exceeded(self):
        sock = self.udp_socket(ttl=1)
        with packets.Wire(self.lab, "client") as wire:
            sock.send(b"short-lived")
            frame = self.must_see(wire, lambda f: f.ip.protocol == packets.ICMP and f.ip.destination == CLIENT)
        self.assertEqual((frame.ip.type, frame.ip.code, frame.ip.source), (11, 0, DIRECTOR_CLIENT_SIDE))
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
        self.assertEqual(frame.ip.source, DIRECTOR_CLIENT_SIDE)
        self.assertEqual(packets.Ip(frame.ip.icmp_payload).destination, VIP)
        sock = self.udp_socket(dont_fragment=True)
        sock.send(b"x" * (mtu - 28))
        self.assertEqual(len(sock.recv(2000)), mtu - 28 + len("rs1:"))

    def tcp_finds_the_mtu(self, mtu):
        self.assertIn(self.lab.curl(URL, *LONG_HEADERS).strip(), SERVERS)
        self.assertIn(f"mtu {mtu}", self.lab.run("client", "ip", "route", "get", VIP).stdout)
