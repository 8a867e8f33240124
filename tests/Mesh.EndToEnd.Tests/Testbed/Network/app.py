"""An application that knows nothing of a mesh: app.py NAME PORT [ADDRESS]

HTTP/1.1: says its name, the method, the path and who called; with ?headers the fields it received, one a line; POST: the body as it was sent;
?size=N: so many bytes, chunked; ?status=N; ?delay=SECONDS; ?events=N: so many server-sent events, each when the one before has left.
"""
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

NAME, PORT = sys.argv[1], int(sys.argv[2])
ADDRESS = sys.argv[3] if len(sys.argv) > 3 else "::"


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ":" in ADDRESS else socket.AF_INET
    daemon_threads = True
    request_queue_size = 512

    def server_bind(self):
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)

    def handle_error(self, request, client_address):
        pass


class App(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length", 0)))

    def answer(self):
        sent = self.body()
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        time.sleep(float(query.get("delay", ["0"])[0]))
        status = int(query.get("status", ["200"])[0])
        self.send_response(status)
        if "events" in query:
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for i in range(int(query["events"][0])):
                self.chunk(b"data: %d\n\n" % i)
                time.sleep(0.05)
            self.chunk(b"")
            return
        if "size" in query:
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            left = int(query["size"][0])
            while left:
                n = min(left, 1 << 16)
                self.chunk(b"x" * n)
                left -= n
            self.chunk(b"")
            return
        if "headers" in query:
            text = "".join(f"{k.lower()}: {v}\n" for k, v in self.headers.items()).encode()
        elif self.command == "POST":
            text = sent
        else:
            text = f"{NAME} {self.command} {self.path} from {self.client_address[0].removeprefix('::ffff:')} at {self.request.getsockname()[0].removeprefix('::ffff:')} {self.request_version}".encode()
        if status not in (204, 304):
            self.send_header("content-length", str(len(text)))
        self.send_header("etag", '"1"')
        self.end_headers()
        if self.command != "HEAD" and status not in (204, 304):
            self.wfile.write(text)

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = answer


server = Server((ADDRESS, PORT), App)
print("serving", flush=True)
server.serve_forever()
