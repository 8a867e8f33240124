"""Stands in for a sidecar (and, on other ports, for an application): says on every connection what arrived where, and ends it.

standin.py NAME=[ADDRESS]:PORT[/udp|/tproxy] ...
Answer: NAME, the original destination by NAT (or - without), the local address, the peer's address.
"""
import socket
import sys
import threading


def text(address):
    return ("[%s]:%d" if ":" in address[0] else "%s:%d") % (address[0].removeprefix("::ffff:"), address[1])


def original(connection, family):
    try:
        if family == socket.AF_INET6:
            raw = connection.getsockopt(socket.IPPROTO_IPV6, 80, 28)
            return text((socket.inet_ntop(family, raw[8:24]), int.from_bytes(raw[2:4], "big")))
        raw = connection.getsockopt(socket.SOL_IP, 80, 16)
        return text((socket.inet_ntop(family, raw[4:8]), int.from_bytes(raw[2:4], "big")))
    except OSError:
        return "-"


def serve(name, listener, family):
    while True:
        connection, peer = listener.accept()
        with connection:
            line = f"{name} {original(connection, family)} {text(connection.getsockname())} {text(peer)}"
            connection.sendall(line.encode())


def answer(name, bound):
    while True:
        _, peer = bound.recvfrom(2000)
        bound.sendto(f"{name} - {text(bound.getsockname())} {text(peer)}".encode(), peer)


def bind(name, where):
    where, _, kind = where.partition("/")
    address, _, port = where.rpartition(":")
    address = address.strip("[]")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if kind == "tproxy":
        bound.setsockopt(*((socket.IPPROTO_IPV6, 75) if family == socket.AF_INET6 else (socket.SOL_IP, 19)), 1)
    bound.bind((address, int(port)))
    if kind == "udp":
        return threading.Thread(target=answer, args=(name, bound))
    bound.listen()
    return threading.Thread(target=serve, args=(name, bound, family))


threads = [bind(*argument.split("=")) for argument in sys.argv[1:]]
for thread in threads:
    thread.start()
print("ready", flush=True)
