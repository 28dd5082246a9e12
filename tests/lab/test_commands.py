"""The commands against a running Pollux."""

import re
import socket
import stat
import unittest
from pathlib import Path

import base
import lab as lab_module
from lab import CLIENT, METHODS, VIP, config

SERVICE = ("tcp", f"{VIP}:80")
RS1 = "10.1.0.1:8080"


class Commands(base.PolluxCase):
    method = "nat"

    def setUp(self):
        super().setUp()
        self.lab.write_config(config("nat"))
        self.lab.ctl("reload")

    def refused(self, *words):
        done = self.lab.ctl(*words, check=False)
        self.assertNotEqual(done.returncode, 0, f"{words} was accepted")
        return done.stdout + done.stderr

    def test_scheduler_and_weights_change_while_it_runs(self):
        self.lab.ctl("service", "edit", *SERVICE, "--scheduler", "wrr")
        for number, weight in ((1, 3), (2, 2)):
            self.lab.ctl("destination", "edit", *SERVICE, f"10.1.0.{number}:8080", "--weight", weight)
        self.assertEqual(self.lab.who_answers(30), {"rs1": 15, "rs2": 10, "rs3": 5})
        self.lab.ctl("destination", "edit", *SERVICE, RS1, "--weight", 0)
        self.assertEqual(self.lab.who_answers(30), {"rs1": 0, "rs2": 20, "rs3": 10})

    def test_a_destination_is_deleted_and_added_while_it_runs(self):
        self.lab.ctl("destination", "delete", *SERVICE, RS1)
        self.assertEqual(self.lab.who_answers(10), {"rs1": 0, "rs2": 5, "rs3": 5})
        self.lab.ctl("destination", "add", *SERVICE, RS1, "--forward", "nat", "--weight", 1)
        self.assertEqual(self.lab.who_answers(30), {"rs1": 10, "rs2": 10, "rs3": 10})

    def test_a_service_is_added_and_deleted_while_it_runs(self):
        added = ("tcp", f"{VIP}:81")
        self.lab.ctl("service", "add", *added, "--scheduler", "wlc")
        self.lab.ctl("destination", "add", *added, "10.1.0.2:80", "--forward", "nat", "--weight", 1)
        self.assertEqual(self.lab.curl(f"http://{VIP}:81/"), "rs2\n")
        self.assertIn(f"{VIP}:81", self.lab.ctl("show", "services").stdout)
        self.lab.ctl("service", "delete", *added)
        self.assertNotIn(f"{VIP}:81", self.lab.ctl("show", "services").stdout)

    def test_what_is_not_there_cannot_be_changed(self):
        self.assertIn("10.1.0.9:8080", self.refused("destination", "edit", *SERVICE, "10.1.0.9:8080", "--weight", 1))
        self.assertIn(f"{VIP}:99", self.refused("service", "edit", "tcp", f"{VIP}:99", "--scheduler", "rr"))
        self.pollux_works()

    def test_every_show_prints_a_table_and_json(self):
        self.pollux_works()  # and now has connections and neighbours to show
        for what in ("services", "destinations", "connections", "ports", "workers", "drops", "neighbours", "routes"):
            with self.subTest(what):
                self.assertTrue(self.lab.ctl("show", what).stdout.strip())
                # neighbours and counters are told to the control thread once in a while
                lab_module.wait_until(lambda: self.lab.show(what), f"show {what} stays empty", 5)

    def test_an_open_connection_is_listed_with_its_state(self):
        with self.lab.inside("client"):
            connection = socket.create_connection((VIP, 80), 5)
        with connection:
            port = connection.getsockname()[1]
            lines = self.lab.ctl("show", "connections").stdout.splitlines()
            mine = [line for line in lines if f"{CLIENT}:{port}" in line]
            self.assertEqual(len(mine), 1, lines)
            self.assertRegex(mine[0], r"(?i)tcp.*ESTABLISHED|ESTABLISHED.*tcp")
            self.assertIn(f"{VIP}:80", mine[0])

    def test_a_second_pollux_on_the_same_socket_is_refused(self):
        argv = (lab_module.binary(), "--socket", self.lab.socket, "run", "--config", self.lab.config_file)
        second = self.lab.run("director", *argv, check=False, timeout=30)
        self.assertNotEqual(second.returncode, 0)
        self.assertIn(str(self.lab.socket), second.stdout + second.stderr)
        self.pollux_works()
        self.lab.ctl("show", "services")

    def test_the_socket_is_for_its_owner_only(self):
        self.assertEqual(stat.S_IMODE(self.lab.socket.stat().st_mode), 0o600)

    def test_a_wrong_file_changes_nothing_and_says_where_it_is_wrong(self):
        text = config("nat", ('scheduler = "rr"', 'schedulr = "rr"'))
        line = 1 + text[: text.index("schedulr")].count("\n")
        self.lab.write_config(text)
        for command in (("reload",), ("check", self.lab.config_file)):
            answer = self.refused(*command)
            for word in (str(self.lab.config_file), "schedulr", "scheduler"):
                self.assertIn(word, answer)
            self.assertRegex(answer, rf"\b{line}\b")
        self.pollux_works()

    def test_what_only_a_start_can_change_is_refused_whole(self):
        self.lab.write_config(
            config(
                "nat", ("capacity_per_worker = 100_000", "capacity_per_worker = 200_000"), ("weight = 1", "weight = 0")
            )
        )
        self.assertIn("restart needed", self.refused("reload"))
        self.assertEqual(self.lab.who_answers(3), {"rs1": 1, "rs2": 1, "rs3": 1})

    def test_reload_says_what_changed(self):
        self.lab.write_config(config("nat", ('address = "192.0.2.10:5353"', 'address = "192.0.2.10:5354"')))
        self.assertIn("192.0.2.10:5354", self.lab.ctl("reload").stdout)

    def test_sigterm_ends_it_and_removes_its_socket(self):
        director = self.lab.director
        self.lab.stop_pollux()
        self.assertEqual(director.returncode, 0)
        self.assertFalse(self.lab.socket.exists())
        self.set_up_lab()
        self.pollux_works()


class Start(base.LabCase):
    """What a start that cannot work says."""

    @classmethod
    def set_up_lab(cls):
        cls.lab.use("nat")

    def fails_with(self, pattern, *changes):
        self.lab.write_config(config("nat", *changes))
        argv = (lab_module.binary(), "--socket", self.lab.socket, "run", "--config", self.lab.config_file)
        done = self.lab.run("director", *argv, check=False, timeout=30)
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stdout + done.stderr, pattern)

    def test_a_device_that_is_not_there(self):
        self.fails_with("net_af_packet7", ('device = "net_af_packet1"', 'device = "net_af_packet7"'))

    def test_a_core_that_is_not_there(self):
        self.fails_with(r"(?i)core.*999|999.*core", ("cores = [1]", "cores = [999]"))

    def test_more_connections_than_memory(self):
        most = (1 << 28) - 1  # what the file allows
        kib = dict(re.findall(r"(MemAvailable|HugePages_Free|Hugepagesize): *(\d+)", Path("/proc/meminfo").read_text()))
        room = int(kib["MemAvailable"]) + int(kib.get("HugePages_Free", 0)) * int(kib.get("Hugepagesize", 0))
        if room * 1024 > most * 64:  # a connection takes at least that
            self.skipTest("this machine has room for as many connections as the file allows")
        self.fails_with("capacity_per_worker", ("capacity_per_worker = 100_000", f"capacity_per_worker = {most}"))


class Examples(unittest.TestCase):
    def test_the_documented_examples_pass_check(self):
        for method in METHODS:
            path = lab_module.ROOT / "config" / f"{method}.toml"
            with self.subTest(method):
                lab_module.output_of([str(lab_module.binary()), "check", str(path)])
