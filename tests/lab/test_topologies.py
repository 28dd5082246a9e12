"""Four workers where servers are reached in other ways than by one port of their own and by one method."""

import base
import lab as lab_module
from lab import AROUND, CLIENT, DIRECTOR_CLIENT_SIDE, DIRECTOR_SERVER_SIDE, SERVERS, VIP
from methods import URL, Methods
from workers import FOUR_WORKERS, SEVERAL, Workers


class Topology(Workers, base.PolluxCase):
    tearDown = Methods.tearDown

    @classmethod
    def set_up_lab(cls):
        cls.lab.use(cls.method)
        cls.rewire()
        cls.lab.pollux(lab_module.config(cls.method, *cls.changes))

    @classmethod
    def rewire(cls):
        """From what the method's lab is to the topology."""
        raise NotImplementedError

    def test_every_connection_is_scheduled_once_and_answered(self):
        before = self.created()
        answers = self.lab.who_answers(60)
        self.assertEqual(sum(answers.values()), 60)
        self.assertGreater(min(answers.values()), 0, answers)
        self.assertEqual(self.created() - before, 60)
        self.assertGreater(min(worker["connections_created"] for worker in self.workers()), 0)
        self.check_steered()

    def test_requests_go_on_while_slots_move(self):
        load = self.load(URL, seconds=3)
        for words in (("--from", 1), (), ("--slots", "0-63", "--to", 2), ()):
            self.when_settled("workers", "rebalance", *words)
        came = load.result()
        self.assertEqual((came["failed"], came["errors"]), (0, {}))
        self.assertEqual(set(came["answers"]), set(SERVERS))
        self.check_steered()


class OneArm(Topology):
    """Clients and servers behind one port: client and director are hosts of the servers' network."""

    method = "nat"
    changes = (
        FOUR_WORKERS,
        ("iface=server", "iface=server,qpairs=4"),
        ('    "--vdev", "net_af_packet0,iface=client",\n', ""),
        ('[[port]]\nname = "client"\ndevice = "net_af_packet0"\naddresses = ["192.0.2.254/24"]\n', ""),
        ("[[port]]", f'[[route]]\nprefix = "192.0.2.0/24"\nvia = "{AROUND}"\n\n[[port]]'),
    )

    @classmethod
    def rewire(cls):
        cls.lab.ip(
            "client",
            f"route del 10.1.0.0/24 via {DIRECTOR_CLIENT_SIDE}",
            "link set eth1 up",
            f"route replace {VIP}/32 via {DIRECTOR_SERVER_SIDE} dev eth1 src {CLIENT}",
        )


THIRD_PORT = '[[port]]\nname = "third"\ndevice = "net_af_packet2"\naddresses = ["10.2.0.254/24"]\n'


class ThreePorts(Topology):
    """One of the servers is behind a port of its own."""

    method = "nat"
    changes = (
        *SEVERAL,
        ('server,qpairs=4",\n', 'server,qpairs=4",\n    "--vdev", "net_af_packet2,iface=third,qpairs=4",\n'),
        ('[[port]]\nname = "server"', f'{THIRD_PORT}\n[[port]]\nname = "server"'),
        ("10.1.0.3:", "10.2.0.3:"),
    )

    @classmethod
    def rewire(cls):
        director, rs3 = cls.lab.ns("director"), cls.lab.ns("rs3")
        if cls.lab.run("rs3", "ip", "link", "show", "eth1", check=False).returncode != 0:
            cable = f"ip link add eth1 netns {rs3} type veth peer name third netns {director}"
            lab_module.output_of(cable.split())
            for node, device in (("rs3", "eth1"), ("director", "third")):
                cls.lab.run(node, "ethtool", "-K", device, *lab_module.OFFLOADS)
                cls.lab.ip(node, f"link set {device} up")
            cls.lab.ip("rs3", "address add 10.2.0.3/24 dev eth1")
        cls.lab.ip("rs3", "route replace default via 10.2.0.254")


def change_of_method(rs, method):
    for port in (80, 5353):
        destination = f'address = "{SERVERS[rs]}:{port}"\nforward = '
        yield f'{destination}"tun"', f'{destination}"{method}"'


class MixedMethods(Topology):
    """A service with a server of each method."""

    method = "tun"
    changes = (
        *SEVERAL,
        *change_of_method("rs1", "nat"),
        *change_of_method("rs2", "dr"),
    )

    @classmethod
    def rewire(cls):
        cls.lab.ip("rs1", f"route replace default via {DIRECTOR_SERVER_SIDE}")


del Topology  # it names no method
