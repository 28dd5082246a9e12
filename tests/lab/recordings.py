"""A recording of the kernel's IPVS (tests/vectors, format ipvs-ref/1), said in Pollux's words."""

import ipaddress
import json
import shlex

from lab import ROOT

VECTORS = ROOT / "tests" / "vectors"
# of the recorded kernel's connection table: listings show it
TABLE_SIZE = 4096
# sysctls without a key: the director has no connection tracking of netfilter's to keep or to do without
NO_KEY = ("conntrack",)
PROTOCOLS = {"-t": "tcp", "-u": "udp", "--sctp-service": "sctp"}
CHECKSUMS = {"--tun-nocsum": "none", "--tun-csum": "full", "--tun-remcsum": "remote"}
FORWARD = {"-m": "nat", "-g": "dr", "-i": "tun"}


class Recording:
    def __init__(self, vector):
        self.name = vector["name"]
        self.topology = vector["topology"]
        self.ports = sorted(self.topology["ports"])
        self.sysctl = vector["sysctl"]
        self.marks = vector.get("fwmark_rules", [])
        self.setup = [record for record in vector["setup"] if record["cmd"].startswith("ipvsadm ")]
        self.steps = vector["steps"]
        self.final = vector["final"]

    def config(self, eal_args, devices, with_services=False):
        """Pollux's configuration for the recorded surroundings; `devices` are EAL's names by port."""
        parts = [
            table("[dpdk]", eal_args=["--no-huge", "--no-pci", *eal_args]),
            table("[workers]", idle="sleep"),
            table("[connections]", capacity_per_worker=TABLE_SIZE),
            table("[ip]", forward=True, icmp_errors_per_s=0),
            table("[ipvs]", **self._settings()),
            *(self._port(name, devices[name]) for name in self.ports),
            *(self._route(route) for route in self.topology["routes"]),
            *(table("[[neighbour]]", port=n["port"], address=n["ip"], mac=n["mac"]) for n in self.topology["neigh"]),
            *(mark(rule, port) for rule in self.marks for port in rule["dport"]),
        ]
        if with_services:
            parts += [entry(record["cmd"]) for record in self.setup]
        return "\n".join(parts)

    def _settings(self):
        named = {key.removeprefix("net.ipv4.vs."): value for key, value in self.sysctl.items()}
        return {key: value for key, value in named.items() if key not in NO_KEY}

    def _port(self, name, device):
        port = self.topology["ports"][name]
        virtual = [network(address) for address, on in self.topology["local"].items() if on == name]
        addresses = [*port["addrs"], *virtual]
        return table("[[port]]", name=name, device=device, mac=port["mac"], mtu=port["mtu"], addresses=addresses)

    def _route(self, route):
        via = {"via": route["via"]} if route.get("via") else {}
        return table("[[route]]", prefix=route["dst"], port=route["port"], **via)


def load(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def network(address):
    return f"{address}/{ipaddress.ip_address(address).max_prefixlen}"


def mark(rule, port):
    keys = {"protocol": rule["l4"], "destination": rule["dst"], "destination_port": port}
    return table("[[mark]]", mark=rule["mark"], port="ext", **keys)


def entry(command):
    """What a command adds, as the file has it."""
    words = shlex.split(command)[1:]
    given = {word: words[at + 1] for at, word in enumerate(words[:-1])}
    if "-A" in words:
        protocol, address = next((PROTOCOLS[word], given[word]) for word in words if word in PROTOCOLS)
        flags = {"scheduler_flags": given["-b"].split(",")} if "-b" in given else {}
        return table("[[service]]", protocol=protocol, address=address, scheduler=given["-s"], **flags)
    keys = {"forward": next(FORWARD[word] for word in words if word in FORWARD), "weight": int(given["-w"])}
    keys |= {"tunnel": given["--tun-type"]} if "--tun-type" in given else {}
    keys |= {"tunnel_port": int(given["--tun-port"])} if "--tun-port" in given else {}
    keys |= next(({"tunnel_checksum": CHECKSUMS[word]} for word in words if word in CHECKSUMS), {})
    return table("[[service.destination]]", address=given["-r"], **keys)


def table(heading, **keys):
    """A table of a TOML file; its strings, numbers and lists are written as in JSON."""
    return "\n".join([heading, *(f"{key} = {json.dumps(value)}" for key, value in keys.items()), ""])
