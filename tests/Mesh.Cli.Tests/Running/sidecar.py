#!/usr/bin/python3
"""Plays a sidecar for the tests of `meshctl run`: binds, writes the ports file, answers /ready and /drain_listeners."""
import http.server
import json
import os
import signal
import sys
import threading
import time

args = sys.argv[1:]
value = lambda flag: args[args.index(flag) + 1]
values = lambda flag: [args[i + 1] for i, a in enumerate(args) if a == flag]
folder = os.environ.get("FOLDER", "/tmp")
behave = os.environ.get("BEHAVE", "")
say = lambda text: print(text, file=sys.stderr, flush=True)

say("started with " + " ".join(args))
say("environment " + " ".join(n + "=" + v for n, v in sorted(os.environ.items()) if n.startswith("MESH_")))
if behave == "die":
    if os.fork() == 0:  # what is said arrives after the end, as it may on a busy machine
        time.sleep(0.4)
        say("port taken")
        os._exit(0)
    os._exit(5)


class Page(http.server.BaseHTTPRequestHandler):
    def answer(self, code, text):
        self.send_response(code)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(503 if behave == "unready" else 200, "waiting for the control plane" if behave == "unready" else "LIVE")

    def do_POST(self):
        say("POST " + self.path)
        self.answer(200, "OK")

    def log_message(self, *_):
        pass


if "--identity-dir" in args:
    os.makedirs(value("--identity-dir"), 0o700, exist_ok=True)

servers = {}


def bind(name, address):
    host, port = address.rsplit(":", 1)
    http.server.ThreadingHTTPServer.allow_reuse_address = True
    server = servers[name] = http.server.ThreadingHTTPServer((host, int(port)), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"{host}:{server.server_address[1]}"


ports = {name: bind(name, value("--" + name)) for name in ("admin", "outbound", "metrics", "readiness")}
ports["inbound"] = {p.split(":")[0]: bind("in" + p, a) for p, a in zip(values("--port"), values("--inbound"))}
ports["upstreams"] = {u.split("=")[0]: bind(u, u.split("=")[1]) for u in values("--upstream")}

count = 1 + len([f for f in os.listdir(folder) if f.startswith("started.")])
open(os.path.join(folder, "pid"), "w").write(str(os.getpid()))
path = value("--ports-file")
open(path + ".tmp", "w").write(json.dumps(ports))
os.rename(path + ".tmp", path)
open(os.path.join(folder, f"started.{count}"), "w").close()


def end(*_):
    say("sidecar ended cleanly")
    os._exit(0)


signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, lambda *_: say("sidecar got INT"))
while True:
    signal.pause()
