"""Frames that came out of a director against those that a recording has; the same rules as the runner's without DPDK
(examples/ipvs_vectors)."""

import subprocess

import packets

# what must come out; everything else a kernel's own stack sends is neither demanded nor forbidden
COMPARED = ("ipvs", "icmp-generated", "forward")
ETH_IPV6 = 0x86DD
FRAGMENT, ICMP6, ECHO_REPLY6 = 44, 58, 129
# protocol and type: answers to ping, neighbour discovery (RFC 4861)
OWN_ICMP = [bytes([packets.ICMP, 0]), *(bytes([ICMP6, type]) for type in (ECHO_REPLY6, *range(133, 138)))]


class Difference(AssertionError):
    """What came is not what was recorded; the message says where."""


def compare(expected, came):
    """Expected outputs against frames by port. The order between ports is not recorded."""
    for port, frames in came.items():
        try:
            compare_port([output for output in expected if output["port"] == port], frames)
        except Difference as difference:
            raise Difference(f"on port {port}: {difference}") from None


def compare_port(expected, came):
    came = iter([frame for frame in came if not is_own(frame)])
    for output in expected:
        if output["kind"] not in COMPARED:
            continue
        wanted, frame = bytes.fromhex(output["hex"]), next(came, None)
        if frame is None:
            raise Difference(f"nothing came, expected ({output['kind']})\n{decoded(wanted)}")
        try:
            compare_frame(wanted, frame, output.get("mask", []))
        except Difference as difference:
            both = f"expected ({output['kind']})\n{decoded(wanted)}came\n{decoded(frame)}"
            raise Difference(f"{difference}\n{both}") from None
    if (frame := next(came, None)) is not None:
        raise Difference(f"a frame too many\n{decoded(frame)}")


def is_own(frame):
    """ARP, neighbour discovery and answers to ping: a host's, not a director's."""
    kind = int.from_bytes(frame[12:14])
    if kind == ETH_IPV6 and frame[20:21] == bytes([FRAGMENT]):
        # of an answer to a long ping; a later fragment does not say of which message
        is_first = int.from_bytes(frame[56:58]) < 8
        return frame[54] == ICMP6 and (not is_first or frame[62] == ECHO_REPLY6)
    # the protocol, and the type where there are no options
    protocol, type = {packets.ETH_IPV4: (23, 34), ETH_IPV6: (20, 54)}.get(kind, (0, 0))
    return kind == packets.ETH_ARP or frame[protocol : protocol + 1] + frame[type : type + 1] in OWN_ICMP


def compare_frame(wanted, frame, mask):
    masked = {at for offset, length, _ in mask for at in range(offset, offset + length)}
    longest = range(max(len(wanted), len(frame)))
    differs = [at for at in longest if at not in masked and wanted[at : at + 1] != frame[at : at + 1]]
    if differs:
        first = differs[0]
        theirs, ours = (data[first : first + 1].hex() or "the end" for data in (wanted, frame))
        raise Difference(f"{len(differs)} bytes differ, the first at offset {first}: expected {theirs}, came {ours}")
    for offset, _, reason in mask:
        if not checksum_is_right(frame, offset, reason):
            raise Difference(f"the {reason} at offset {offset} is wrong")


def checksum_is_right(frame, offset, reason):
    """A masked checksum must still be right for what it covers. RFC 1071: summed with itself it gives zero."""
    if reason == "ip-checksum":
        start = offset - 10
        return packets.checksum(frame[start : start + (frame[start] & 15) * 4]) == 0
    if reason == "udp-checksum":
        return transport_is_right(frame, offset - 6, packets.UDP)
    if reason == "icmp-checksum":
        return transport_is_right(frame, offset - 2, packets.ICMP)
    return True


def transport_is_right(frame, start, protocol):
    """The checksum of what stands at `start`, right behind the first IP header."""
    if frame[14] >> 4 == 4:
        end, addresses = 14 + int.from_bytes(frame[16:18]), frame[26:34]
    else:
        end, addresses = 54 + int.from_bytes(frame[18:20]), frame[22:54]
    pseudo = addresses + (end - start).to_bytes(4) + protocol.to_bytes(4)
    return packets.checksum((b"" if protocol == packets.ICMP else pseudo) + frame[start:end]) == 0


def decoded(frame):
    """For a person."""
    told = subprocess.run(["tcpdump", "-nvr", "-"], input=packets.pcap([frame]), capture_output=True)
    return f"{told.stdout.decode(errors='replace')}{frame.hex()}\n"


# -- listings ----------------------------------------------------------------------------------------------------------

# ipvsadm's arguments by the name that a recording has for what they print
LISTINGS = {
    "Ln": "-Ln",
    "Lnc": "-Lnc",
    "stats": "-Ln --stats --exact",
    "persist": "-Ln --persistent-conn",
    "thr": "-Ln --thresholds",
    "timeout": "-L --timeout",
    "Sn": "-S -n",
}
# how far apart the times of a connection may be: the last listings were taken some seconds after the last frame
TIMES_APART_S = 11


def compare_listings(expected, came):
    """Texts by kind: what was recorded, and what Pollux printed of it."""
    for kind, text in came.items():
        same = same_connections if kind == "Lnc" else str.__eq__
        if not same(expected[kind], text):
            raise Difference(f"listing {kind} differs\nexpected\n{expected[kind]}came\n{text}")


def same_connections(expected, came):
    """The order of rows is random, their times are a little off, and who was about to go may have gone."""
    theirs, ours = rows(expected), rows(came)
    return all(
        any(row == other and abs(seconds - left) <= TIMES_APART_S for other, left in those)
        for these, those in ((theirs, ours), (ours, theirs))
        for row, seconds in these
        if seconds > TIMES_APART_S
    )


def rows(listing):
    """Each line without its time, and its time in seconds; lines without one, as if it were endless."""
    found = []
    for line in listing.splitlines():
        words = line.split()
        minutes, colon, seconds = words[1].partition(":") if len(words) > 1 else ("", "", "")
        if colon and minutes.isdigit():
            found.append(([words[0], *words[2:]], int(minutes) * 60 + int(seconds)))
        else:
            found.append((words, 1 << 31))
    return found
