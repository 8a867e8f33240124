"""An HTTP proxy of somebody else, as small as one can be: proxy.py PORT

CONNECT opens a tunnel; requests in absolute form are sent on in origin form, on a connection each. Says each first line it was sent.
"""
import socket
import socketserver
import sys
import threading


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        first = self.rfile.readline()
        print(first.decode().strip(), flush=True)
        method, target, _ = first.split()
        head = []
        while (line := self.rfile.readline()).strip():
            head.append(line)
        if method == b"CONNECT":
            host, _, port = target.decode().rpartition(":")
            with socket.create_connection((host.strip("[]"), int(port))) as server:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self.relay(server)
            return
        authority, _, path = target.removeprefix(b"http://").partition(b"/")
        host, _, port = authority.decode().rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as server:
            server.sendall(b"%s /%s HTTP/1.1\r\nVia: 1.1 foreign\r\nConnection: close\r\n%s\r\n" % (method, path, b"".join(h for h in head if not h.lower().startswith(b"connection:"))))
            while data := server.recv(65536):
                self.wfile.write(data)

    def relay(self, server):
        def there():
            while data := self.connection.recv(65536):
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)
        threading.Thread(target=there, daemon=True).start()
        while data := server.recv(65536):
            self.wfile.write(data)


class Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True


with Server(("::", int(sys.argv[1])), Handler) as server:
    print("serving", flush=True)
    server.serve_forever()
