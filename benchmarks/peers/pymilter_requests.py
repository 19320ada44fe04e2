"""What one writes today: pymilter, and a POST with requests for each event, or one for each message.

Run with the interpreter of Debian's python3-milter: `pymilter_requests.py SOCKET URL events|message`.
"""

import sys

import Milter
import requests

SOCKET, URL, MODE = sys.argv[1:]


class Forwarder(Milter.Base):
    """One milter connection, with one HTTP session."""

    def __init__(self):
        self.http = requests.Session()
        self.http.trust_env = False
        self.facts = {}
        self.headers = []
        self.size = 0

    def post(self, event, data, always=False):
        if MODE == "events" or always:
            body = {"event": event, "data": data, "facts": self.facts, "queue_id": self.getsymval("i")}
            answer = self.http.post(URL, json=body, headers={"milter-event": event}, timeout=30)
            answer.raise_for_status()
            return answer.json()
        return {}

    def connect(self, name, family, address):
        self.facts["client"] = {"name": name, "address": address}
        self.post("connect", self.facts["client"])
        return Milter.CONTINUE

    def hello(self, name):
        self.facts["helo"] = name
        self.post("helo", {"name": name})
        return Milter.CONTINUE

    def envfrom(self, sender, *params):
        self.facts["from"] = sender
        self.headers, self.chunks = [], []
        self.post("mail", {"address": sender, "params": params})
        return Milter.CONTINUE

    def envrcpt(self, recipient, *params):
        self.facts["to"] = [recipient]
        self.post("rcpt", {"address": recipient, "params": params})
        return Milter.CONTINUE

    def data(self):
        self.post("data", {})
        return Milter.CONTINUE

    def header(self, name, value):
        self.headers.append((name, value))
        self.post("header", {"name": name, "value": value})
        return Milter.CONTINUE

    def eoh(self):
        self.post("end_of_headers", {"headers": self.headers})
        return Milter.CONTINUE

    def body(self, chunk):
        self.chunks.append(chunk)
        self.post("body", {"text": chunk.decode("latin-1")})
        return Milter.CONTINUE

    def eom(self):
        text = b"".join(self.chunks).decode("latin-1")
        answer = self.post("end_of_message", {"headers": self.headers, "body": text}, always=True)
        for change in answer.get("changes", ()):
            self.addheader(change["name"], change["value"])
        return Milter.CONTINUE


Milter.factory = Forwarder
Milter.set_flags(Milter.ADDHDRS)
Milter.runmilter("bench", SOCKET, 30)
