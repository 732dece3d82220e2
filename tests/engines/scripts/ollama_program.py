"""`ollama serve` and `ollama --version` as far as a server of it is watched: one model in its library, none in memory."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PATHS = {
    "/api/version": {"version": "0.30.1"},
    "/api/tags": {"models": [{"name": "tiny:latest", "size": 5}]},
    "/api/ps": {"models": []},
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = PATHS.get(self.path)
        data = json.dumps(found or {"error": "not found"}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if sys.argv[1:] == ["serve"]:
    host, _, port = os.environ["OLLAMA_HOST"].rpartition(":")
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
else:
    print("ollama version is 0.30.1")
