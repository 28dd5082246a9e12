#!/usr/bin/env python3
"""fuzz-seeds.py FOLDER: writes the recordings' frames into FOLDER as inputs of the fuzz target `process`.
fuzz-seeds.py --missing FOLDER: only for the kinds of directors that FOLDER has no input for, the shortest of each.

An input is a number (the forwarding method and what services are asked for, as fuzz_targets/process/topology.rs counts
them), then records: what, a length of two bytes, a frame. What is 0 for a frame to the outer port, 1 to the inner one,
0x80 and up for time. Recordings are cut to what the fuzzer takes as one input.
"""
import json
import pathlib
import sys

LEN_MAX = 4000
METHODS = 11
VARIANTS = 4
# methods that no recording uses have the frames of one that does
LIKE = {7: 5, 9: 4, 10: 6}
TUNNELS = [
    ("--tun-type gre --tun-nocsum", 3), ("--tun-type gre", 4), ("--tun-type gue --tun-port 6080 --tun-nocsum", 5),
    ("--tun-remcsum", 7), ("--tun-type gue", 6), (" -m", 0), (" -g", 1), (" -i", 2),
]


def number(vector):
    commands = [step["cmd"] for step in vector.get("setup", []) if "cmd" in step]
    destinations = [command for command in commands if " -a " in command]
    line = destinations[0] + " " if destinations else " -m "
    method = next((n for words, n in TUNNELS if words in line), 0)
    service, _, server = line.partition(" -r ")
    if method >= 2 and ("[" in service) != ("[" in server):
        method = {2: 8, 3: 9, 4: 9}.get(method, 10)
    services = [command for command in commands if " -A " in command]
    variant = 1 if any(" -p" in s for s in services) else 2 if any(" -o" in s for s in services) else 0
    if vector.get("sysctl"):
        variant = variant or 2
    return variant * METHODS + method


def inputs(vector, first):
    start = bytes([first])
    data = start
    for step in vector.get("steps", []):
        if step.get("op") == "sleep":
            data += bytes([0x98, 0, 0])
        if step.get("op") != "frame" or step.get("port") not in ("ext", "int"):
            continue
        frame = bytes.fromhex(step["hex"])
        if len(frame) + 3 > LEN_MAX:
            continue
        if len(data) + len(frame) + 3 > LEN_MAX:
            yield data
            data = start
        data += bytes([step["port"] == "int"]) + len(frame).to_bytes(2, "big") + frame
    if len(data) > 1:
        yield data


def recordings():
    """Name, recording, number."""
    vectors = pathlib.Path(__file__).parent.parent / "tests" / "vectors"
    for path in sorted(vectors.glob("*.json")):
        vector = json.loads(path.read_text())
        yield path.stem, vector, number(vector)


def all_kinds(folder):
    """Each recording for the kind of director that it asks for."""
    for name, vector, own in recordings():
        for at, data in enumerate(inputs(vector, own)):
            (folder / f"{name}-{at}").write_bytes(data)


def missing_kinds(folder):
    there = {data[0] % (VARIANTS * METHODS) for f in folder.iterdir() if (data := f.read_bytes()) and data[0] < 128}
    by_method = {}
    for name, vector, own in recordings():
        for data in inputs(vector, own):
            by_method.setdefault(own % METHODS, []).append((len(data), name, data))
    for kind in sorted(set(range(VARIANTS * METHODS)) - there):
        method = kind % METHODS
        _, name, data = min(by_method.get(method) or by_method[LIKE[method]])
        (folder / f"kind-{kind}-{name}").write_bytes(bytes([kind]) + data[1:])


def main():
    words = sys.argv[1:]
    folder = pathlib.Path(words[-1])
    folder.mkdir(parents=True, exist_ok=True)
    missing_kinds(folder) if "--missing" in words else all_kinds(folder)


if __name__ == "__main__":
    main()
