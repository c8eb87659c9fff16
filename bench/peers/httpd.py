"""The application of the cluster benchmarks: answers every request with the name of the system it runs on.

Usage: httpd.py ADDRESS PORT PIDFILE. Forks to the background once it listens; the same for Holdfast and for the peer.
"""

import os
import socket
import sys

address, port, pidfile = sys.argv[1:4]
listener = socket.create_server((address, int(port)), backlog=64)
if os.fork():
    os._exit(0)
os.setsid()
with open(pidfile + ".new", "w") as file:
    file.write(f"{os.getpid()}\n")
os.rename(pidfile + ".new", pidfile)
null = os.open(os.devnull, os.O_RDWR)
for descriptor in (0, 1, 2):
    os.dup2(null, descriptor)
body = socket.gethostname().encode()
answer = b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
while True:
    connection, _ = listener.accept()
    with connection:
        try:
            connection.settimeout(1)
            connection.recv(4096)
            connection.sendall(answer)
        except OSError:
            pass
