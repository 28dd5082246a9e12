#!/usr/bin/env python3
"""The demo that demo.sh runs: round robin, weights changed live, a server taken out and back, by every method."""

import argparse
import shlex
import sys

import lab as lab_module
from lab import METHODS, SERVERS, VIP, Lab, LabError, config

SERVICE = ("tcp", f"{VIP}:80")
REQUESTS = 30
CONNECTIONS_SHOWN = 5
TITLES = {
    "nat": "NAT: addresses and ports rewritten, replies come back through the director",
    "dr": "DR: only MAC addresses change, replies go straight to the client",
    "tun": "TUN: requests inside IPIP, replies go straight to the client",
}
NAT_PORT = 8080  # config/nat.toml maps the VIP's port 80 to it


class Demo:
    def __init__(self, lab, colour):
        self.lab = lab
        self.bold, self.plain = ("\033[1m", "\033[0m") if colour else ("", "")
        self.results = []

    def play(self, method):
        print(f"\n{self.bold}== {TITLES[method]}{self.plain}")
        self.start(method)
        destinations = {rs: f"{ip}:{NAT_PORT if method == 'nat' else 80}" for rs, ip in SERVERS.items()}
        self.requests(method, "rr", (10, 10, 10))
        self.pollux("show", "services")
        self.pollux("show", "connections", lines=CONNECTIONS_SHOWN)
        print("\n  Live: the scheduler becomes wrr, the weights 3:2:1")
        self.pollux("service", "edit", *SERVICE, "--scheduler", "wrr")
        for rs, weight in (("rs1", 3), ("rs2", 2)):
            self.weight(destinations[rs], weight)
        self.requests(method, "wrr 3:2:1", (15, 10, 5))
        print("\n  rs1 is taken out: weight 0, no new connections")
        self.weight(destinations["rs1"], 0)
        self.requests(method, "rs1 out", (0, 20, 10))
        print("\n  ... and back")
        self.weight(destinations["rs1"], 3)
        self.requests(method, "rs1 back", (15, 10, 5))

    def start(self, method):
        self.lab.stop_pollux()
        self.lab.use(method)
        self.lab.pollux(config(method))

    def weight(self, destination, weight):
        self.pollux("destination", "edit", *SERVICE, destination, "--weight", weight)

    def pollux(self, *words, lines=None):
        """Runs a command of pollux and shows it with what it prints."""
        print(f"  $ pollux {shlex.join(map(str, words))}")
        out = self.lab.ctl(*words).stdout.rstrip().splitlines()
        shown = out if lines is None else out[: lines + 1]
        for line in shown:
            print(f"    {line}")
        if len(shown) < len(out):
            print(f"    ... and {len(out) - len(shown)} more")

    def requests(self, method, what, expected):
        """30 requests, each a connection of its own; wrr's cycle is 6 (or 3) long, so every 30 in a row are alike."""
        try:
            got = tuple(self.lab.who_answers(REQUESTS).values())
        except LabError as error:
            print(error)
            got = (0, 0, 0)
        good = got == expected
        self.results.append((method, what, got, expected, good))
        who = "   ".join(f"{rs} {count:2}" for rs, count in zip(SERVERS, got))
        verdict = "as it must be" if good else f"WRONG, must be {expected}"
        print(f"  $ curl http://{VIP}/   {REQUESTS} times:   {self.bold}{who}{self.plain}   ({verdict})")

    def summary(self):
        print(f"\n{self.bold}== Summary{self.plain}   (requests answered by rs1/rs2/rs3)")
        for method, what, got, expected, good in self.results:
            numbers = "/".join(map(str, got))
            must = "" if good else f"   must be {'/'.join(map(str, expected))}"
            print(f"  {'ok   ' if good else 'WRONG'} {method:4} {what:10} {numbers}{must}")
        return all(good for *_, good in self.results)

    def keep(self):
        self.lab.keep()
        client = f"ip netns exec {self.lab.ns('client')}"
        ctl = shlex.join(self.lab.ctl_command())
        print(f"""
{self.bold}== The lab {self.lab.prefix} stays up, with {self.lab.method} running{self.plain}
  requests     {client} curl http://{VIP}/
  load         {client} wrk -c 100 -d 5 http://{VIP}/
  look         {ctl} show services        (also: connections, ports, workers, drops, neighbours, routes)
  change       {ctl} destination edit {" ".join(SERVICE)} ADDRESS:PORT --weight 2
  edit, then   {self.lab.config_file}
  reload       {ctl} reload
  see packets  ip netns exec {self.lab.ns("rs1")} tcpdump -ni eth0
  the end      {lab_module.__file__} down {self.lab.prefix}""")


def main():
    parser = argparse.ArgumentParser(prog="demo.sh", description=__doc__)
    parser.add_argument("methods", nargs="*", metavar="nat|dr|tun", help="which forwarding methods (default: all)")
    parser.add_argument("--keep", action="store_true", help="leave the lab up at the end and say what to type")
    words = parser.parse_args()
    if unknown := set(words.methods) - set(METHODS):
        parser.error(f"no forwarding method {unknown.pop()}; there are: {' '.join(METHODS)}")
    sys.stdout.reconfigure(line_buffering=True)
    lab_module.exit_on_signals()
    with Lab() as lab:
        demo = Demo(lab, sys.stdout.isatty())
        for method in words.methods or METHODS:
            demo.play(method)
        good = demo.summary()
        if words.keep:
            demo.keep()
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    try:
        main()
    except LabError as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
