"""Connects (or asks by UDP) and prints the answer, or the error's name: dial.py ADDRESS PORT [udp] [from=ADDRESS[/PORT]] [uid=N] [transparent]"""
import errno
import os
import socket
import sys

address, port = sys.argv[1], int(sys.argv[2])
options = dict(a.partition("=")[::2] for a in sys.argv[3:])
if "uid" in options:
    os.setgroups([])
    # Sockets are those of who made them; what follows may need privileges.
    os.seteuid(int(options["uid"]))
family = socket.AF_INET6 if ":" in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM if "udp" in options else socket.SOCK_STREAM)
os.seteuid(os.getuid())
s.settimeout(float(options.get("wait", "5")))
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
if "transparent" in options:
    s.setsockopt(*((socket.IPPROTO_IPV6, 75) if family == socket.AF_INET6 else (socket.SOL_IP, 19)), 1)
if "from" in options:
    source, _, source_port = options["from"].partition("/")
    s.bind((source, int(source_port or 0)))
try:
    s.connect(socket.getaddrinfo(address, port, family, s.type)[0][4])
    if "udp" in options:
        s.send(b"?")
    print(s.recv(2000).decode() or "closed")
except TimeoutError:
    print("ETIMEDOUT")
except OSError as e:
    print(errno.errorcode.get(e.errno, str(e)))
