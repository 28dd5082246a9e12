#!/usr/bin/env python3
"""The lab: a client, a director and three real servers in network namespaces, for the demo and the tests.

              client side 192.0.2.0/24                 server side 10.1.0.0/24
    client ─────────────────────────── director ─────────────── switch ─┬─ rs1  10.1.0.1
    192.0.2.1              192.0.2.254    │    10.1.0.254       (bridge) ├─ rs2  10.1.0.2
       │                         VIP 192.0.2.10                     │   └─ rs3  10.1.0.3
       └───────────── DR, TUN: replies go around the director ──────┘

The director's two veth ends carry no address: Pollux drives them through af_packet, and the kernel there stays
silent. With NAT the servers' gateway is the director; with DR and TUN it is 10.1.0.253, the client's second leg.
All offloads are off, so what a receiver sees has its size on the wire and its real checksum.

A Lab owns everything that carries its prefix (namespaces, the folder /tmp/PREFIX) and every process in those
namespaces, and nothing else; two labs can stand side by side. A guard process watches the owner through a pipe
and takes the lab down when the owner ends in whatever way, kill -9 included.

    lab.py up [nat|dr|tun] [--kernel]   a lab to look around in, until Ctrl-C (--kernel: the director is a plain router)
    lab.py down PREFIX                  takes down a lab that was left up by demo.sh --keep
"""

import atexit
import contextlib
import ctypes
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "scripts" / "lab_programs.py"

VIP = "192.0.2.10"
CLIENT = "192.0.2.1"
DIRECTOR_CLIENT_SIDE = "192.0.2.254"
DIRECTOR_SERVER_SIDE = "10.1.0.254"
AROUND = "10.1.0.253"  # the client's second leg, gateway of DR and TUN servers
SERVERS = {"rs1": "10.1.0.1", "rs2": "10.1.0.2", "rs3": "10.1.0.3"}
METHODS = ("nat", "dr", "tun")
NODES = ("client", "director", "switch", *SERVERS)
BIG_FILE_BYTES = 200_000_000

# (node, device, MAC, peer node, peer device, peer MAC); fixed addresses make captures readable
CABLES = [
    ("client", "eth0", "02:00:00:00:02:01", "director", "client", "02:00:00:00:02:fe"),
    ("switch", "director", "02:00:00:00:10:fe", "director", "server", "02:00:00:00:01:fe"),
    ("switch", "around", "02:00:00:00:10:fd", "client", "eth1", "02:00:00:00:01:fd"),
    *(("switch", rs, f"02:00:00:00:10:0{i}", rs, "eth0", f"02:00:00:00:01:0{i}") for i, rs in enumerate(SERVERS, 1)),
]
MACS = {(n, d): m for n, d, m, *_ in CABLES} | {(n, d): m for *_, n, d, m in CABLES}
OFFLOADS = "tx off rx off sg off tso off gso off gro off".split()

NGINX_CONF = """
user root;
daemon off;
master_process off;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type text/plain;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    large_client_header_buffers 4 16k;
    server {{
        listen 80;
        listen 8080;
        location = / {{ return 200 "{name}\\n"; }}
        location = /port {{ return 200 "$server_port\\n"; }}
        location = /client {{ return 200 "$remote_addr\\n"; }}
        location = /big {{ alias {big}; }}
    }}
}}
"""


class LabError(Exception):
    """Something the lab needs did not happen; the message says what."""


class Lab:
    """One lab; use it as a context manager. Bring it up, choose a method, start Pollux (or `kernel_director`)."""

    def __init__(self):
        self.prefix, self.dir = _claim()
        self.socket = self.dir / "pollux.sock"
        self.method = None
        self.director = None
        self._kept = False
        self._decapsulators = []
        self._children = []
        self._checksum = None
        self._guard = subprocess.Popen(
            [sys.executable, __file__, "guard", self.prefix],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal must not reach it
        )
        atexit.register(self.close)  # where no one unwinds: unittest leaves its classes as they are after Ctrl-C

    def __enter__(self):
        try:
            self._build()
            self._start_services()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Takes everything down, by way of the guard; safe to call twice."""
        if self._kept:
            return
        with _undisturbed():
            self._guard.stdin.close()
            try:
                self._guard.wait(30)
            except subprocess.TimeoutExpired:
                self._guard.kill()
            take_down(self.prefix)  # finds nothing left, unless the guard itself was killed
            for child in self._children:
                child.wait()

    def keep(self):
        """Leaves the lab up after this process; `lab.py down PREFIX` ends it."""
        self._kept = True
        self._guard.stdin.write(b"keep\n")
        self._guard.stdin.close()
        self._guard.wait(5)

    # -- nodes ---------------------------------------------------------------------------------------------------

    def ns(self, node):
        return f"{self.prefix}-{node}"

    def command(self, node, *argv):
        return ["ip", "netns", "exec", self.ns(node), *map(str, argv)]

    def run(self, node, *argv, check=True, timeout=60, input=None):
        """Runs a command in a node to its end; gives its CompletedProcess with text output."""
        done = subprocess.run(
            self.command(node, *argv),
            stdin=subprocess.DEVNULL if input is None else None,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            timeout=timeout,
            input=input,
        )
        if check and done.returncode != 0:
            raise LabError(f"in {node}: {_text(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def start(self, node, *argv, log):
        """Starts a long-running command in a node, its output in the lab's folder under the name `log`."""
        with open(self.dir / log, "ab") as out:
            child = subprocess.Popen(
                self.command(node, *argv),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=os.environ | {"RUNTIME_DIRECTORY": str(self.dir)},  # where EAL keeps its files
            )
        self._children.append(child)
        return child

    @contextlib.contextmanager
    def inside(self, node):
        """The calling thread works in a node's network: sockets made here stay there."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.ns(node)}", "rb") as there:
            _setns(there)
            try:
                yield
            finally:
                _setns(home)

    def sysctl(self, node, **values):
        """sysctl(node, net__ipv4__ip_forward=1): keys with dots written as two underscores."""
        with self.inside(node):
            for key, value in values.items():
                Path("/proc/sys", *key.split("__")).write_text(str(value))

    def ip(self, node, *lines):
        """Runs `ip` commands in a node, one a line."""
        done = subprocess.run(
            ["ip", "-n", self.ns(node), "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True
        )
        if done.returncode != 0:
            raise LabError(f"in {node}: {done.stderr}")

    # -- building ------------------------------------------------------------------------------------------------

    def _build(self):
        for node in NODES:
            _sh("ip", "netns", "add", self.ns(node))
            self.sysctl(
                node,
                net__ipv6__conf__all__disable_ipv6=1,
                net__ipv6__conf__default__disable_ipv6=1,
                net__ipv4__conf__all__rp_filter=0,  # replies of DR and TUN come in by another way than requests go out
                net__ipv4__conf__default__rp_filter=0,
                net__ipv4__ip_forward=0,
            )
            self.ip(node, "link set lo up")
        self.ip("switch", "link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0", "link set br0 up")
        for node, dev, mac, peer, peer_dev, peer_mac in CABLES:
            _sh(
                *f"ip link add {dev} address {mac} netns {self.ns(node)} type veth".split(),
                *f"peer name {peer_dev} address {peer_mac} netns {self.ns(peer)}".split(),
            )
            for n, d in ((node, dev), (peer, peer_dev)):
                self.run(n, "ethtool", "-K", d, *OFFLOADS)
                self.ip(n, *([f"link set {d} master br0"] if n == "switch" else []), f"link set {d} up")
        # the client answers ARP on a leg only for that leg's address
        self.sysctl("client", net__ipv4__conf__all__arp_ignore=1, net__ipv4__conf__all__arp_announce=2)
        # many ports, so that one comes round again late: the director remembers connections for minutes, and the kernel
        # uses about one port in eight before it comes round
        self.sysctl("client", net__ipv4__ip_local_port_range="10000 65535")
        self.ip(
            "client", f"address add {CLIENT}/24 dev eth0", f"address add {AROUND}/24 dev eth1", "link set eth1 down"
        )
        for rs, address in SERVERS.items():
            self.ip(rs, f"address add {address}/24 dev eth0")

    def _start_services(self):
        for rs in SERVERS:
            folder = self.dir / rs
            folder.mkdir()
            conf = folder / "nginx.conf"
            conf.write_text(NGINX_CONF.format(dir=folder, name=rs, big=self.dir / "big"))
            self.start(rs, "nginx", "-p", folder, "-c", conf, log=f"{rs}/nginx.log")
            self.start(rs, sys.executable, PROGRAMS, "udp-echo", rs, "5353", log=f"{rs}/udp-echo.log")
        for rs in SERVERS:
            wait_until(lambda: self._listens(rs), f"{rs} did not start its services: see {self.dir / rs}")

    def _listens(self, rs):
        with self.inside(rs):
            return {80, 8080} <= _ports("tcp") and 5353 in _ports("udp")

    def big_file(self):
        """Makes the file behind /big, the same in every lab, and gives its SHA-256."""
        if self._checksum is None:
            numbers, digest = random.Random(1), hashlib.sha256()
            with open(self.dir / "big.part", "wb") as file:
                for _ in range(BIG_FILE_BYTES // 1_000_000):
                    block = numbers.randbytes(1_000_000)
                    digest.update(block)
                    file.write(block)
            os.rename(self.dir / "big.part", self.dir / "big")
            self._checksum = digest.hexdigest()
        return self._checksum

    # -- forwarding methods --------------------------------------------------------------------------------------

    def use(self, method):
        """Sets servers and client up for nat, dr or tun, from whatever they were set up for."""
        if self.method in ("dr", "tun"):
            self._forget_vip()
        around = method != "nat"
        gateway = AROUND if around else DIRECTOR_SERVER_SIDE
        for rs in SERVERS:
            self.ip(rs, f"route replace default via {gateway}")
            if around:
                # the VIP is on every server: only the director may answer ARP for it, and no server may speak from it
                self.sysctl(rs, net__ipv4__conf__all__arp_ignore=1, net__ipv4__conf__all__arp_announce=2)
                self.ip(rs, f"address add {VIP}/32 dev lo")
            if method == "tun":
                self._decapsulate(rs)
        # to the servers by way of the director, or by the second leg
        self.ip("client", "link set eth1 up" if around else "link set eth1 down")
        if not around:
            self.ip("client", f"route replace 10.1.0.0/24 via {DIRECTOR_CLIENT_SIDE}")
        self.method = method

    def _forget_vip(self):
        for child in self._decapsulators:
            stop(child)
        self._decapsulators.clear()
        for rs in SERVERS:
            self.ip(rs, f"address del {VIP}/32 dev lo")
            if self.method == "tun":
                self.ip(rs, "link del decap")
            self.sysctl(rs, net__ipv4__conf__all__arp_ignore=0, net__ipv4__conf__all__arp_announce=0)

    def _decapsulate(self, rs):
        """The kernel's own ipip where it has it, else a small program on a tun device."""
        ipip = f"ip -n {self.ns(rs)} link add decap type ipip local {SERVERS[rs]} remote any".split()
        if subprocess.run(ipip, capture_output=True).returncode == 0:
            self.ip(rs, "link set decap up")
            return
        self.ip(rs, "tuntap add dev decap mode tun", "link set decap up")
        child = self.start(rs, sys.executable, PROGRAMS, "decap", "decap", SERVERS[rs], log=f"{rs}/decap.log")
        self._decapsulators.append(child)
        wait_until(lambda: self._has_raw_socket(rs), f"{rs}: the decapsulator did not start: see {self.dir / rs}")

    def _has_raw_socket(self, rs):
        with self.inside(rs):
            return bool(_ports("raw"))

    # -- the director --------------------------------------------------------------------------------------------

    def kernel_director(self):
        """Plain kernel routing in place of Pollux: what proves the lab itself."""
        self.ip(
            "director",
            f"address add {DIRECTOR_CLIENT_SIDE}/24 dev client",
            f"address add {DIRECTOR_SERVER_SIDE}/24 dev server",
        )
        self.sysctl("director", net__ipv4__ip_forward=1)

    def pollux(self, config):
        """Starts Pollux with a configuration (its text) and waits until it answers on its socket."""
        self.write_config(config)
        self.director = self.start(
            "director", binary(), "--socket", self.socket, "run", "--config", self.config_file, log="pollux.log"
        )
        wait_until(self._pollux_answers, "pollux does not answer on its socket", 30, self.pollux_log)

    @property
    def config_file(self):
        return self.dir / "pollux.toml"

    def write_config(self, config):
        self.config_file.write_text(config)

    def pollux_log(self):
        return (self.dir / "pollux.log").read_text()

    def _pollux_answers(self):
        if self.director.poll() is not None:
            raise LabError(f"pollux ended with exit code {self.director.returncode}:\n{self.pollux_log()}")
        return self.ctl("show", "ports", check=False).returncode == 0

    def ctl_command(self, *words):
        return [str(binary()), "--socket", str(self.socket), *map(str, words)]

    def ctl(self, *words, check=True):
        """Runs a pollux command against the running director."""
        done = subprocess.run(self.ctl_command(*words), capture_output=True, text=True, timeout=30)
        if check and done.returncode != 0:
            raise LabError(f"pollux {' '.join(map(str, words))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def show(self, what):
        return json.loads(self.ctl("show", what, "--json").stdout)

    def stop_pollux(self):
        if self.director is not None:
            stop(self.director)
            self.director = None

    # -- traffic -------------------------------------------------------------------------------------------------

    def curl(self, url, *options, node="client", timeout=60):
        return self.run(node, "curl", "-sS", "--fail", "--max-time", timeout, *options, url, timeout=timeout + 5).stdout

    def download(self, url, node="client"):
        """Fetches a URL and gives the SHA-256 of what came."""
        out = self.run(node, "sh", "-c", 'curl -sS --fail --max-time 120 "$1" | sha256sum', "sh", url, timeout=130)
        return out.stdout.split()[0]

    def udp_ask(self, address, payload, port=5353, node="client", seconds=3):
        """Sends one datagram and gives the answer."""
        with self.inside(node):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sock:
            sock.settimeout(seconds)
            sock.connect((address, port))
            sock.send(payload)
            return sock.recv(65535)

    def who_answers(self, requests=30, url=f"http://{VIP}/"):
        """Makes that many requests, each on a connection of its own; how many each server answered."""
        loop = 'for i in $(seq "$1"); do curl -sS --fail --max-time 5 "$2" || exit 1; done'
        answers = self.run("client", "sh", "-c", loop, "sh", requests, url, timeout=6 * requests).stdout.split()
        return {rs: answers.count(rs) for rs in SERVERS}


# -- what needs no lab -------------------------------------------------------------------------------------------------


def binary():
    """The pollux to run: $POLLUX, or what cargo built last for labs."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = Path(os.environ.get("POLLUX", target / "lab" / "pollux"))
    if not path.exists():
        raise LabError(f"{path} is not there; build it with: cargo build --profile lab")
    return path


def config(method, *changes):
    """The documented example config/METHOD.toml, with (old, new) texts replaced; each must be there."""
    text = (ROOT / "config" / f"{method}.toml").read_text()
    for old, new in changes:
        if old not in text:
            raise LabError(f"config/{method}.toml no longer has: {old}")
        text = text.replace(old, new)
    usable = os.sched_getaffinity(0)
    return text if 1 in usable else text.replace("cores = [1]", f"cores = [{min(usable)}]")


def wait_until(condition, complaint, seconds=10, details=lambda: ""):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise LabError(f"{complaint}\n{details()}")
        time.sleep(0.02)


def stop(child, seconds=10):
    """Ends a process that `start` gave, gently first."""
    child.terminate()
    try:
        return child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


def exit_on_signals():
    """SIGTERM and SIGHUP unwind like Ctrl-C does, so that `with Lab()` cleans up (unittest swallows SystemExit)."""

    def unwind(*_):
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, unwind)


def take_down(prefix):
    """Removes a lab: its processes, its namespaces (and with them every device), its folder."""
    assert re.fullmatch(r"plx[0-9]+[a-z]?", prefix)
    names = [name for name in os.listdir("/run/netns") if name.startswith(prefix + "-")] if _has_netns() else []
    inodes = {os.stat(f"/run/netns/{name}").st_ino for name in names}
    for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
        _signal_until_gone(inodes, number, seconds)
    for name in names:
        subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
    _signal_until_gone(inodes, signal.SIGKILL, 5)  # who slipped in before the names were gone
    shutil.rmtree(f"/tmp/{prefix}", ignore_errors=True)
    return names


def _signal_until_gone(inodes, number, seconds):
    end = time.monotonic() + seconds
    signalled = set()
    while time.monotonic() < end and (pids := _processes_in(inodes)):
        for pid in pids - signalled:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        signalled |= pids
        time.sleep(0.02)


def _processes_in(inodes):
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")) if inodes else ():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino in inodes and int(pid) != os.getpid():
                found.add(int(pid))
    return found


def _has_netns():
    return os.path.isdir("/run/netns")


def _claim():
    """A prefix of our own: the folder of that name is made here and by nobody else."""
    for letter in ("", *"abcdefghijklmnopqrstuvwxyz"):
        prefix = f"plx{os.getpid()}{letter}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"/tmp/{prefix}", 0o700)
            return prefix, Path("/tmp", prefix)
    raise LabError(f"/tmp/plx{os.getpid()}… are all taken: remove what old labs left there")


def _guard(prefix):
    """Waits until the lab's owner says keep, or is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if sys.stdin.readline() != "keep\n":
        take_down(prefix)


@contextlib.contextmanager
def _undisturbed():
    """A second Ctrl-C does not interrupt the cleaning up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)


def _setns(file):
    clone_newnet = 0x40000000  # sched.h
    if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), clone_newnet) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def output_of(argv, timeout=120):
    """What a command prints, as bytes; it must end well."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    if done.returncode != 0:
        raise LabError(f"{_text(argv)}: exit {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def _ports(protocol):
    """The local ports (or IP protocols) that sockets of the thread's network hold."""
    lines = Path("/proc/thread-self/net", protocol).read_text().splitlines()[1:]
    return {int(line.split()[1].split(":")[1], 16) for line in lines}


def _text(argv):
    """A command as text, with long words cut."""
    return " ".join(word if len(word) < 80 else word[:60] + "..." for word in map(str, argv))


def _sh(*argv):
    done = subprocess.run(argv, capture_output=True, text=True)
    if done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr or done.stdout}")


def _up(words):
    exit_on_signals()
    with Lab() as lab:
        method = next((word for word in words if word in METHODS), "nat")
        lab.use(method)
        if "--kernel" in words:
            lab.kernel_director()
        else:
            lab.pollux(config(method))
        print(f"The lab {lab.prefix} is up. Try:  ip netns exec {lab.ns('client')} curl http://{VIP}/\nCtrl-C ends it.")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


def main(words):
    if words[:1] == ["guard"] and len(words) == 2:
        _guard(words[1])
    elif words[:1] == ["up"]:
        _up(words[1:])
    elif words[:1] == ["down"] and len(words) == 2 and re.fullmatch(r"plx[0-9]+[a-z]?", words[1]):
        names = take_down(words[1])
        print(f"took down {words[1]}: {len(names)} namespaces" if names else f"no lab {words[1]}")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except LabError as error:
        sys.exit(f"lab: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
