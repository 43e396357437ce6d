"""A site that tells the relay who its visitors are. Needs Python and nothing else."""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ["RELAY_IDENTITY_KEY"].encode()  # the same as the relay's
PAGE = pathlib.Path(__file__).parent.parent / "page.html"


def identity(sub):
    """A JWT by which the relay knows the person for five minutes."""

    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")

    header = part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    claims = part(json.dumps({"sub": sub, "exp": int(time.time()) + 300}).encode())
    signed = header + b"." + claims
    return signed + b"." + part(hmac.digest(KEY, signed, hashlib.sha256))


class Site(BaseHTTPRequestHandler):
    def signed_in(self):
        """The user who is signed in; yours comes from your own session."""
        return "user-42"

    def do_GET(self):
        if self.path == "/chat-identity":
            self.answer(identity(self.signed_in()), "text/plain")
        elif self.path == "/":
            self.answer(PAGE.read_bytes(), "text/html; charset=utf-8")
        else:
            self.send_error(404)

    def answer(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("localhost", int(os.environ.get("PORT", "8000"))), Site)
    print(f"http://localhost:{server.server_port}/", flush=True)
    server.serve_forever()
