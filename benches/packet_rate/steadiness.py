#!/usr/bin/env python3
"""steadiness.py: how long a worker's bursts take at worst, and how fast changes of the configuration are.

  ./steadiness.py PATH_TO_POLLUX [SCENARIO ...]     idle | expiry | swap | edit | pool, all of them by default

The real program on net_null ports with the packet source of compare.sh (flowgen.c), one worker under full load on
established connections all the time. Each scenario prints what `pollux show workers` counted meanwhile: bursts without an
involuntary context switch, their p50, p99, p99.99 and longest, and how many bursts were preempted.
  idle    nothing else happens
  expiry  a million other connections expire within a second
  swap    10 000 services with 10 destinations each come by `pollux reload`, are swapped for others, and go
  edit    one weight among those 100 000: by `pollux destination edit`, over the socket alone, and by the file
  pool    one service of 10 000 destinations: added, a weight edited, a destination added and removed
Wants root, 2 MiB huge pages (`MEMORY_MB` of them, 1024 by default, and the tables'), Debian's dpdk, libdpdk-dev and gcc.
From outside: WORKER 1 (core), FLOWS 1000000, SECONDS_EACH 5, SERVICES 10000, EACH 10, FORWARD dr.
"""
import contextlib, json, os, socket, statistics, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "pollux-perf"


def number(name, default):
    return int(os.environ.get(name, default))


CORE, FLOWS, SECONDS = number("WORKER", 1), number("FLOWS", 1_000_000), number("SECONDS_EACH", 5)
SERVICES, EACH, MEMORY = number("SERVICES", 10_000), number("EACH", 10), number("MEMORY_MB", 1024)
FORWARD = os.environ.get("FORWARD", "dr")
EXPIRING = 1_000_000
SYN_RECV_S = 12


def flowgen():
    """The packet source as a plug-in for EAL, which refuses one below a world-writable folder."""
    BUILD.mkdir(parents=True, exist_ok=True)
    BUILD.chmod(0o700)
    source, target = HERE / "flowgen.c", BUILD / "flowgen.so"
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        flags = subprocess.check_output(["pkg-config", "--cflags", "--libs", "libdpdk"], text=True).split()
        command = ["gcc", "-O3", "-march=native", "-w", "-shared", "-fPIC", str(source), "-o", str(target)]
        subprocess.check_call([*command, *flags, "-lpthread"])
    return target


def destination(address, weight=1):
    return f'[[service.destination]]\naddress = "{address}"\nforward = "{FORWARD}"\nweight = {weight}\n'


def service(address, destinations):
    return f'\n[[service]]\nprotocol = "tcp"\naddress = "{address}"\nscheduler = "wlc"\n' + "".join(destinations)


def ip(base, number):
    return f"{base}.{number // 62500}.{number // 250 % 250}.{number % 250 + 1}"


def services(generation):
    """SERVICES of them, a virtual address each, EACH destinations; another generation has other addresses."""
    def one(n):
        servers = [destination(ip(10, (n * EACH + i + generation * 1_000_000) % 15_000_000)) for i in range(EACH)]
        return service(f"{ip(20 + generation, n)}:80", servers)
    return "".join(one(n) for n in range(SERVICES))


def config(plugin, more="", ports=1):
    eal = ["--no-pci", "-m", str(MEMORY), "-d", str(plugin)]
    for n in range(ports):
        eal += ["--vdev", f"net_null{n},size=60"]
    tables = "".join(
        f'\n[[port]]\nname = "{name}"\ndevice = "net_null{n}"\naddresses = ["{address}"]\n'
        for n, (name, address) in enumerate([("client", "192.0.2.254/24"), ("other", "198.51.100.254/24")][:ports])
    )
    return f"""
[dpdk]
eal_args = {json.dumps(eal)}
[workers]
cores = [{CORE}]
[connections]
capacity_per_worker = {FLOWS + EXPIRING + 100_000}
[timeouts]
tcp_syn_recv_s = {SYN_RECV_S}
{tables}
[[route]]
prefix = "0.0.0.0/0"
via = "192.0.2.253"
[[neighbour]]
port = "client"
address = "192.0.2.253"
mac = "02:00:00:00:00:02"
""" + service("192.0.2.1:80", [destination(f"10.1.0.{n}:80") for n in range(1, 5)]) + more


class Director:
    """A running pollux."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.file, self.socket = folder / "pollux.toml", folder / "pollux.sock"
        self.process = None

    def start(self, text, other_port=""):
        self.write(text)
        source = f"0:gen,flows={FLOWS}" + other_port
        log = open(self.folder / "log", "w")
        command = [self.program, "--socket", self.socket, "run", "--config", self.file]
        self.process = subprocess.Popen(command, env={**os.environ, "FLOWGEN": source}, stdout=log, stderr=log)
        for _ in range(600):
            if self.process.poll() is not None:
                sys.exit((self.folder / "log").read_text())
            with contextlib.suppress(OSError, ValueError, IndexError):
                if self.worker()["connections"] >= FLOWS:
                    return
            time.sleep(0.05)
        sys.exit("the flows are not all there after half a minute")

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def write(self, text):
        self.file.write_text(text)

    def ask(self, request):
        """Over the socket, as the program itself does."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(str(self.socket))
            s.sendall(json.dumps({"version": 1, "request": request}).encode() + b"\n")
            return json.loads(s.makefile().readline())

    def worker(self):
        return self.ask({"show": "workers"})["workers"]["rows"][0]

    def run(self, *words):
        """A command; seconds it took."""
        began = time.perf_counter()
        subprocess.run([self.program, "--socket", self.socket, *words], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def quantile(counts, share):
    wanted, seen = share * sum(counts.values()), 0
    for ns in sorted(counts):
        seen += counts[ns]
        if seen >= wanted:
            return ns
    return 0


def report(what, before, after, note=""):
    def histogram(worker):
        return dict(map(tuple, worker["burst_times"]["histogram"]))
    old = histogram(before)
    counts = {ns: n - old.get(ns, 0) for ns, n in histogram(after).items() if n > old.get(ns, 0)}
    times = [quantile(counts, share) / 1000 for share in (0.5, 0.99, 0.9999, 1)]
    preempted = after["burst_times"]["preempted"] - before["burst_times"]["preempted"]
    lost = after["dropped"] - before["dropped"]
    print(f"{what:<28}{sum(counts.values()):>9}" + "".join(f"{t:>9.1f}" for t in times) + f"{preempted:>6}{lost:>8}  {note}", flush=True)


def idle(director, plugin):
    director.start(config(plugin))
    time.sleep(1)
    before = director.worker()
    time.sleep(SECONDS)
    report("established alone", before, director.worker())


def expiry(director, plugin):
    director.start(config(plugin, ports=2), f";1:gen,once=1,flows={EXPIRING},src=100.96.0.1")
    while director.worker()["connections"] < FLOWS + EXPIRING:
        time.sleep(0.01)
    report("two million come", {"burst_times": {"histogram": [], "preempted": 0}, "dropped": 0}, director.worker())
    while (before := director.worker())["connections_expired"] < 1000:
        time.sleep(0.01)
    began = time.perf_counter()
    while (after := director.worker())["connections_expired"] < EXPIRING - 1000:
        time.sleep(0.01)
    expired = after["connections_expired"] - before["connections_expired"]
    report("a million expire", before, after, f"{expired} in {time.perf_counter() - began:.2f} s")


def change(director, what, *words):
    before = director.worker()
    took = director.run(*words)
    time.sleep(0.05)
    report(what, before, director.worker(), f"{took * 1000:.1f} ms")


def swap(director, plugin):
    director.start(config(plugin))
    time.sleep(1)
    for what, more in [
        (f"{SERVICES} x {EACH} come", services(0)),
        ("swapped for others", services(1)),
        ("swapped again", services(2)),
        ("nothing changes", services(2)),
        ("they go", ""),
    ]:
        director.write(config(plugin, more))
        change(director, what, "reload")
        time.sleep(1)


def times_of(what, times):
    times = sorted(t * 1000 for t in times)
    print(f"{what:<28} median {statistics.median(times):.2f} ms, worst of {len(times)}: {times[-1]:.2f} ms", flush=True)


def edit(director, plugin):
    director.start(config(plugin, services(0)))
    time.sleep(1)
    at, server = f"{ip(20, SERVICES // 2)}:80", f"{ip(10, SERVICES // 2 * EACH)}:80"
    before = director.worker()
    times_of("nothing but the command", [director.run("show", "drops") for _ in range(20)])
    times_of("destination edit", [director.run("destination", "edit", "tcp", at, server, "--weight", str(w)) for w in range(2, 22)])
    spec = {"destination": {"service": {"tcp": at}, "address": server.split(":")[0], "port": 80}}
    asked = []
    for weight in range(30, 130):
        began = time.perf_counter()
        answer = director.ask({"destination_edit": {**spec, "weight": weight}})
        asked.append(time.perf_counter() - began)
        assert "done" in answer, answer
    times_of("over the socket", asked)
    text, line, reloads = config(plugin, services(0)), destination(server.removesuffix(":80")), []
    assert text.count(line) == 1
    for weight in range(200, 206):
        director.write(text.replace(line, line.replace("weight = 1", f"weight = {weight}")))
        reloads.append(director.run("reload"))
    times_of("by the file", reloads)
    report("meanwhile", before, director.worker())


def pool(director, plugin):
    many = [destination(ip(10, n)) for n in range(10_000)]
    director.start(config(plugin))
    time.sleep(1)
    for what, servers in [
        ("10 000 destinations come", many),
        ("one is edited", [destination(ip(10, 0), 7), *many[1:]]),
        ("one goes", many[1:]),
        ("all go", None),
    ]:
        director.write(config(plugin, service("20.0.0.1:80", servers) if servers else ""))
        change(director, what, "reload")
        time.sleep(0.5)


def main():
    program = str(Path(sys.argv[1]).resolve()) if len(sys.argv) > 1 else sys.exit(__doc__)
    plugin = flowgen()
    print(f"{'':<28}{'bursts':>9}{'p50 us':>9}{'p99':>9}{'p99.99':>9}{'max':>9}{'pre':>6}{'dropped':>8}")
    for scenario in sys.argv[2:] or ["idle", "expiry", "swap", "edit", "pool"]:
        with tempfile.TemporaryDirectory() as folder:
            director = Director(program, Path(folder))
            try:
                {"idle": idle, "expiry": expiry, "swap": swap, "edit": edit, "pool": pool}[scenario](director, plugin)
            finally:
                director.stop()


main()
