"""What the tests with four workers on two cores share."""

import os

import lab as lab_module

CORES = sorted(os.sched_getaffinity(0))[:2]
# each core twice, also on a machine with one
FOUR = ", ".join(str(core) for core in sorted((CORES + CORES)[:2] * 2))
FOUR_WORKERS = ("cores = [1] ", f"cores = [{FOUR}] ")
SEVERAL = (
    FOUR_WORKERS,
    ("iface=client", "iface=client,qpairs=4"),
    ("iface=server", "iface=server,qpairs=4"),
)


class Workers:
    """Mixed into a PolluxCase."""

    def workers(self):
        return self.lab.show("workers")

    def created(self):
        return sum(worker["connections_created"] for worker in self.workers())

    def when_settled(self, *words):
        """A command that is refused while connections are still moving."""
        lab_module.wait_until(lambda: self.lab.ctl(*words, check=False).returncode == 0, f"{words} is refused")

    def check_steered(self):
        """Every packet got to its owner, and every connection was scheduled once."""
        workers = self.workers()
        self.assertGreater(sum(worker["handed_over"] for worker in workers), 0)
        drops = {row["reason"]: row["count"] for row in self.lab.show("drops")}
        self.assertEqual((drops["stray"], drops["internal"]), (0, 0))
        self.assertEqual([worker["connections_lost"] for worker in workers], [0] * len(workers))
