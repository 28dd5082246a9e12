"""Four workers on two cores, each port with four pairs of queues over which the kernel spreads packets as it likes: the
same results as with one worker."""

import pathlib
import re
import time

import base
import lab as lab_module
from methods import URL, Download, Methods
from workers import FOUR_WORKERS, SEVERAL, Workers

# a port with fewer queues than workers is polled by some and served by all
FEW_QUEUES = (
    FOUR_WORKERS,
    ("iface=client", "iface=client,qpairs=2"),
)


class Several(Workers, base.PolluxCase):
    changes = SEVERAL

    # of what holds for every method, what does not count on which server a turn falls
    port = Methods.port
    tearDown = Methods.tearDown
    destination = Methods.destination
    reload = Methods.reload
    test_a_200_mb_download_arrives_whole = Methods.test_a_200_mb_download_arrives_whole
    test_500_concurrent_connections_all_get_their_answers = Methods.test_500_concurrent_connections_all_get_their_answers
    test_the_vip_and_the_ports_own_addresses_answer_ping = Methods.test_the_vip_and_the_ports_own_addresses_answer_ping
    test_the_first_connection_waits_for_arp_and_loses_no_syn = (
        Methods.test_the_first_connection_waits_for_arp_and_loses_no_syn
    )
    test_reloads_under_load_fail_no_request = Methods.test_reloads_under_load_fail_no_request
    test_ttl_1_is_answered_with_time_exceeded = Methods.test_ttl_1_is_answered_with_time_exceeded

    def persist(self, *changes):
        """The TCP service persistent, by a reload."""
        self.addCleanup(self.reload)
        self.reload(("scheduler = \"rr\"\n\n# NAT", "scheduler = \"rr\"\npersistence_timeout_s = 60\n\n# NAT"), *changes)

    def several_downloads(self, count):
        self.lab.big_file()
        downloads = [Download(self) for _ in range(count)]
        lab_module.wait_until(lambda: all(download.begun() for download in downloads), "a download did not start")
        return downloads

    def test_every_worker_has_connections_and_the_listing_shows_all(self):
        self.start_afresh()
        self.lab.who_answers(60)
        workers = self.workers()
        self.assertEqual(len(workers), 4)
        self.assertEqual(sum(worker["slots"] for worker in workers), 128)
        self.assertGreater(min(worker["connections_created"] for worker in workers), 0)
        self.assertEqual(self.created(), 60)
        self.assertEqual(len(self.lab.show("connections")), sum(worker["connections"] for worker in workers))
        self.check_steered()

    def test_slots_are_taken_off_a_worker_and_back_while_downloads_go_on(self):
        downloads = self.several_downloads(6)
        before = self.created()
        for words in (("--from", 1), (), ("--slots", "0-63", "--to", 2), ()):
            self.when_settled("workers", "rebalance", *words)
            time.sleep(0.3)
            if words == ("--from", 1):
                self.assertEqual(self.workers()[1]["slots"], 0)
        self.assertEqual([download.sum() for download in downloads], [self.lab.big_file()] * 6)
        self.assertEqual(self.created(), before, "none was scheduled again")
        self.check_steered()

    def test_requests_go_on_while_slots_move(self):
        load = self.load(URL, seconds=6)
        for worker in (0, 1, 2, 3):
            self.when_settled("workers", "rebalance", "--from", worker)
            time.sleep(0.5)
            self.when_settled("workers", "rebalance")
            time.sleep(0.5)
        came = load.result()
        self.assertEqual((came["failed"], came["errors"]), (0, {}))
        self.check_steered()


class SeveralNat(Several):
    method = "nat"
    port = 8080

    def test_persistence_is_switched_on_while_500_connections_are_open(self):
        downloads = self.several_downloads(4)
        wrk = self.lab.start("client", "wrk", "-t2", "-c500", "-d6s", "--timeout", "10s", URL, log="wrk.log")
        self.addCleanup(lab_module.stop, wrk)
        time.sleep(1)
        self.persist()
        time.sleep(1)
        self.assertEqual(len([count for count in self.lab.who_answers(12).values() if count]), 1, "one server a client")
        self.when_settled("workers", "rebalance", "--from", 2)
        self.assertEqual(wrk.wait(30), 0)
        said = (self.lab.dir / "wrk.log").read_text()
        self.assertNotIn("Socket errors", said)
        self.assertNotIn("Non-2xx", said)
        self.assertGreater(int(re.search(r"(\d+) requests in", said).group(1)), 500, said)
        self.assertEqual([download.sum() for download in downloads], [self.lab.big_file()] * 4)
        self.when_settled("workers", "rebalance")
        self.check_steered()

    def test_it_is_killed_and_restarted_ten_times_without_a_leak(self):
        def free_huge_pages():
            fields = dict(re.findall(r"(HugePages_\w+):\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()))
            return fields["HugePages_Free"], fields["HugePages_Total"]

        before = free_huge_pages()
        for _ in range(10):
            self.assertEqual(sum(self.lab.who_answers(6).values()), 6)
            self.lab.director.kill()
            self.lab.director.wait()
            self.lab.stop_pollux()
            self.set_up_lab()
        self.assertEqual(free_huge_pages(), before)
        self.pollux_works()


class SeveralDr(Several):
    method = "dr"


class SeveralTun(Several):
    method = "tun"


class FewQueues(base.PolluxCase):
    """Two queues of the client's port and one of the servers' for four workers."""

    method = "nat"
    changes = FEW_QUEUES
    tearDown = Methods.tearDown
    test_a_200_mb_download_arrives_whole = Methods.test_a_200_mb_download_arrives_whole
    test_500_concurrent_connections_all_get_their_answers = Methods.test_500_concurrent_connections_all_get_their_answers

    def test_every_worker_serves_although_only_some_poll(self):
        self.lab.who_answers(60)
        workers = self.lab.show("workers")
        self.assertGreater(min(worker["connections_created"] for worker in workers), 0)
        polls = [worker["received"] > 0 for worker in workers]
        self.assertEqual(polls, [True, True, False, False], "two queues of one port, and the other's with the second")


del Several  # it names no method
