#!/usr/bin/env python3
"""Small programs that the lab's real servers run.

udp-echo NAME PORT      answers every datagram with NAME:payload, from the address that was asked
decap DEVICE ADDRESS    IPIP (RFC 2003) to ADDRESS comes out of the tun device DEVICE, for kernels without ipip
"""

import errno
import fcntl
import os
import socket
import struct
import sys

IP_PKTINFO = 8  # linux/in.h
TUNSETIFF = 0x400454CA  # linux/if_tun.h
IFF_TUN_NO_PI = 0x0001 | 0x1000


def udp_echo(name, port):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind(("0.0.0.0", int(port)))
    while True:
        payload, control, _, client = sock.recvmsg(65535, 256)
        # in_pktinfo: interface, address to answer from (the VIP, with DR and TUN), address in the header
        asked = next(data for _, kind, data in control if kind == IP_PKTINFO)[8:12]
        answer_from = (socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, asked, asked))
        sock.sendmsg([name.encode() + b":" + payload], [answer_from], 0, client)


def decap(device, address):
    tun = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", device.encode(), IFF_TUN_NO_PI))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IPIP)
    so_rcvbufforce = 33  # asm-generic/socket.h; bursts must not be lost to a small buffer
    raw.setsockopt(socket.SOL_SOCKET, so_rcvbufforce, 16 << 20)
    raw.bind((address, 0))
    buffer = bytearray(65536)
    view = memoryview(buffer)
    while True:
        length = raw.recv_into(buffer)
        outer = (buffer[0] & 0xF) * 4
        try:
            os.write(tun, view[outer:length])
        except OSError as error:
            if error.errno != errno.EINVAL:  # not an IP packet: the sender's mistake, not ours
                raise


if __name__ == "__main__":
    programs = {"udp-echo": udp_echo, "decap": decap}
    if len(sys.argv) != 4 or sys.argv[1] not in programs:
        sys.exit(__doc__)
    programs[sys.argv[1]](*sys.argv[2:])
