#!/usr/bin/env python3
"""restart.py [CONTROL_PLANE SIDECAR [ROUNDS]]: how long a killed sidecar is away.

Kills a client's sidecar, or both of a pair, with kill -9 while the control plane is down, starts again, and measures from exec to the first 200 over
mutual TLS. The programs are the published ones of run.sh (run.sh --build-only) unless others are named.
"""
import http.server, json, os, shutil, signal, socket, statistics, subprocess, sys, tempfile, threading, time, urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../../artifacts/benchmarks")
CONTROL_PLANE = sys.argv[1] if len(sys.argv) > 2 else os.path.join(OUT, "control-plane/mesh-control-plane")
SIDECAR = sys.argv[2] if len(sys.argv) > 2 else os.path.join(OUT, "sidecar/mesh-sidecar")
ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 15


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


def ask(outbound):
    """One request through an outbound port; True for a 200."""
    host, port = outbound.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), 5) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def until(what, check, seconds=60):
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            sys.exit(f"never so: {what}")
        time.sleep(0.002)


def main():
    folder = tempfile.mkdtemp(prefix="mesh-restart-")
    running = []
    try:
        measure(folder, running)
    finally:
        for process in running:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def measure(folder, running):
    def start(*command, token=None, log="log"):
        environment = {k: v for k, v in os.environ.items() if k.lower() != "http_proxy"}
        if token:
            environment["MESH_JOIN_TOKEN"] = token
        process = subprocess.Popen(command, stderr=open(f"{folder}/{log}", "a"), stdout=subprocess.DEVNULL, env=environment)
        running.append(process)
        return process

    def kill(process):
        process.send_signal(signal.SIGKILL)
        process.wait()
        running.remove(process)

    app = http.server.ThreadingHTTPServer(("127.0.0.1", 0), App)
    threading.Thread(target=app.serve_forever, daemon=True).start()
    os.mkdir(f"{folder}/rules")
    plane = start(CONTROL_PLANE, "--rules", f"{folder}/rules", "--data", f"{folder}/data", "--mesh-api", "127.0.0.1:0", "--health", "127.0.0.1:0",
                  "--operators", "127.0.0.1:0", "--registry", "127.0.0.1:0", "--ports-file", f"{folder}/plane.json", log="plane.log")
    until("the control plane listens", lambda: os.path.exists(f"{folder}/plane.json"))
    ports = json.load(open(f"{folder}/plane.json"))

    def token(account):
        request = urllib.request.Request(f"http://{ports['operators']}/api/tokens", json.dumps({"identity": f"ns/default/sa/{account}", "serves": [account]}).encode(),
                                         {"content-type": "application/json", "authorization": "Bearer " + open(f"{folder}/data/operators/admin.token").read().strip()})
        return json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))["token"]

    def sidecar(name, *more, proof=None):
        return start(SIDECAR, "--control-plane", ports["meshApi"], "--service", name, "--workload", f"{name}-1", "--state-dir", f"{folder}/{name}", "--admin", "off",
                     "--metrics", "127.0.0.1:0", "--readiness", "off", "--outbound", "127.0.0.1:0", "--ports-file", f"{folder}/{name}.json", *more, token=proof, log=f"{name}.log")

    web = sidecar("web", "--port", f"{app.server_port}:http", proof=token("web"))
    client = sidecar("client", proof=token("client"))
    until("ports are bound", lambda: os.path.exists(f"{folder}/client.json"))
    outbound = json.load(open(f"{folder}/client.json"))["outbound"]
    until("a first answer", lambda: ask(outbound))
    time.sleep(7)  # until both have kept what was good last
    kill(plane)
    for what in ("client's sidecar", "both sidecars"):
        times = []
        for _ in range(ROUNDS):
            kill(client)
            if what.startswith("both"):
                kill(web)
            begun = time.monotonic()
            client = sidecar("client")
            if what.startswith("both"):
                web = sidecar("web", "--port", f"{app.server_port}:http")
            until("it serves again", lambda: ask(outbound))
            times.append((time.monotonic() - begun) * 1000)
        times.sort()
        print(f"{what} killed: exec to first 200 {statistics.median(times):.0f} ms (median of {ROUNDS}; {times[0]:.0f} to {times[-1]:.0f})")


main()
