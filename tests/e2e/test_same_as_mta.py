"""`send` and `POST /v1/simulate` give the answer that a real mail server gives for the same mail.

Each mail goes through Postfix to the sink, through `milter-gateway send` and through the admin API, with the same
backend behind all three. Compared are the verdict, the reply of the first command that was refused, the refused
recipients, the envelope and the message, byte for byte. Of what Postfix delivers, this is set aside:

- the one Received field that it puts in;
- that it sends no blank line after the header where there is no body;
- the number of the session in the words of a failure;
- its own words where the answer to a connection is 421: `send` and the API show those of the milter;
- the order of recipients, which is the queue manager's business;
- the line end at the end of a held message, since its queue keeps lines.
"""

import json
import re
import urllib.parse
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import pytest
from cli.cli_program import call

from gateway.cli.send import EXIT_CODES
from gateway.mta.outcome import Verdict

from .backend import Backend, Json, Say
from .conftest import Gateways
from .mails import OWN_RECEIVED
from .postfix import Postfix
from .sink import Sink
from .smtp_client import ConnectionGoneError, SmtpClient
from .support import HOST, free_port, wait_until

SENDER = "ann@client.example"
BOB, EVE, JOE = "bob@site.example", "eve@site.example", "joe@site.example"
HEAD = b"From: Ann <ann@client.example>\r\nTo: bob@site.example\r\nSubject: hello\r\n"
PLAIN = HEAD + b"\r\none\r\ntwo\r\n"
Answers = Mapping[str, Say]
Reply = tuple[int, str | None, tuple[str, ...]]


@dataclass(frozen=True)
class Case:
    """A mail, what the backend answers to it, and how often it is sent."""

    raw: bytes = PLAIN
    answers: Answers | Callable[[], Answers] = field(default_factory=dict)
    sender: str = SENDER
    recipients: tuple[str, ...] = (BOB,)
    times: int = 1


@dataclass(frozen=True)
class Outcome:
    """What became of it."""

    verdict: str
    reply: Reply | None
    refused: tuple[tuple[str, Reply], ...] = ()
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    message: bytes | None = None
    shown: bytes | None = None
    """The message that the webhook saw at its end."""


def at_end(*changes: Json) -> Answers:
    return {"end_of_message": {"changes": list(changes)}}


def refusal(action: str, code: int, enhanced: str, *text: str) -> Json:
    return {"action": action, "reply": {"code": code, "enhanced": enhanced, "text": list(text)}}


def when_to(address: str, answer: Json) -> Callable[[Json], Json]:
    return lambda event: answer if event["data"]["address"] == address else {}


def greylisting() -> Answers:
    """Who comes for the first time is asked to come again."""
    seen: set[str] = set()

    def answer(event: Json) -> Json:
        known = event["data"]["address"] in seen
        seen.add(event["data"]["address"])
        return {} if known else refusal("tempfail", 451, "4.7.1", "Greylisted, come again")

    return {"rcpt": answer}


ODD_HEAD = (
    b"From: Ann <ann@client.example>\r\nX-None:v\r\nX-Tab:\tv\r\nX-Two:  v\r\nX-Empty:\r\nX-Blank: \r\n"
    b"X-Trailing: v  \r\nX-8bit: caf\xe9\r\nX-UTF8: caf\xc3\xa9\r\nX-Fold: a\r\n b\r\n\tc\r\n"
    b"X-Same: 1\r\nx-same: 2\r\nX-SAME: 3\r\nReceived: from x\r\n"
)
LONG_FOLDED = b"References: " + b"\r\n ".join(
    b"<%04d.%s@client.example>" % (number, b"x" * 60) for number in range(200)
)
TEXTS = ("100% sure: no", "50% of %s, %d, %%", "see https://site.example/why?a=%20")
MAILS: dict[str, bytes] = {
    "plain": PLAIN,
    "8-bit body": HEAD + b"\r\ncaf\xe9 \xff\xfe\r\n",
    "UTF-8": HEAD.replace(b"hello", "grüß dich".encode()) + "\r\näöü\r\n".encode(),
    "odd fields": ODD_HEAD + b"\r\nbody\r\n",
    "long folded field": HEAD + LONG_FOLDED + b"\r\n\r\nbody\r\n",
    "many fields": HEAD + b"".join(b"X-%d: %d\r\n" % (number, number) for number in range(300)) + b"\r\nbody\r\n",
    "no final line end": HEAD + b"\r\none\r\ntwo",
    "LF line ends": PLAIN.replace(b"\r\n", b"\n"),
    "dots": HEAD + b"\r\n.\r\n..\r\n.x\r\n...y\r\nx.\r\n.\r\n",
    "empty body": HEAD + b"\r\n",
    "no blank line": HEAD,
    "only blank lines": HEAD + b"\r\n\r\n\r\n\r\n",
    "blank lines at the end": HEAD + b"\r\none\r\n\r\n\r\n",
    "no header": b"\r\njust text\r\n",
    "no header and no blank line": b"just text\r\nand more\r\n",
    "a line that is no field ends the header": HEAD + b"no field\r\nX-Later: 1\r\n\r\nbody\r\n",
    "begins with a blank line and blanks": b" folded\r\nSubject: x\r\n\r\nbody\r\n",
    "a line of mbox": b"From ann@client.example Mon Nov 23 09:20:03 2026\r\n" + PLAIN,
    "a quoted line of mbox": b">From ann Mon Nov 23 09:20:03 2026\r\n" + PLAIN,
    "blanks before the colon": b"Subject : spaced\r\nFrom\t: tab\r\n\r\nbody\r\n",
    "fields that mail servers drop": HEAD + b"Bcc: joe@site.example\r\nReturn-Path: <x@y.example>\r\n"
    b"Content-Length: 5\r\nResent-Bcc: z@y.example\r\nX-Kept: 1\r\n\r\nbody\r\n",
    "odd bytes in the body": HEAD + b"\r\na\x00b\r\nlone\rcr\r\nends in cr\r\r\n\x7f\x1b\r\n",
    "a fold of blanks alone": HEAD + b"X-Fold: a\r\n \r\n b\r\n\r\nbody\r\n",
    "a large body": HEAD + b"\r\n" + b"0123456789 abcdefghij\r\n" * 20_000,
    "MIME": HEAD + b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b"preamble\r\n--b\r\nContent-Type: text/plain; charset=latin1\r\nContent-Transfer-Encoding: 8bit\r\n\r\ncaf\xe9\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner\r\n--b--\r\n",
    "a folded field of 60 KB": HEAD + b"X-Long: " + b"\r\n ".join([b"x" * 70] * 800) + b"\r\n\r\nbody\r\n",
    "CR in the header": HEAD + b"X-CR: a\rb\r\r\n\r\nbody\r\n",
    "a name with odd characters": HEAD + b"X_a.b/c: v\r\nX-\xe9: v\r\n\r\nbody\r\n",
    "no space and a colon": b"Subject:no:space\r\n:nameless\r\n\r\nbody\r\n",
}
ODD = ODD_HEAD + b"\r\n"
CHANGES: dict[str, tuple[bytes, list[Json]]] = {
    "add_header": (PLAIN, [{"op": "add_header", "name": "X-New", "value": "v"}]),
    "add_header of a known name": (PLAIN, [{"op": "add_header", "name": "Subject", "value": "again"}]),
    "add_header at the start": (PLAIN, [{"op": "add_header", "name": "X-New", "value": "v", "at": "start"}]),
    "add_header at 0": (PLAIN, [{"op": "add_header", "name": "X-New", "value": "v", "at": 0}]),
    "add_header at 2": (PLAIN, [{"op": "add_header", "name": "X-New", "value": "v", "at": 2}]),
    "add_header far below": (PLAIN, [{"op": "add_header", "name": "X-New", "value": "v", "at": 99}]),
    "add_header folded": (PLAIN, [{"op": "add_header", "name": "X-New", "value": "a\r\n\tb\n c"}]),
    "add_header in UTF-8": (PLAIN, [{"op": "add_header", "name": "X-New", "value": "grüß dich"}]),
    "add_header of 8-bit": (PLAIN, [{"op": "add_header", "name": "X-New", "value_base64": "6f8="}]),
    "add_header empty": (PLAIN, [{"op": "add_header", "name": "X-New", "value": ""}]),
    "several additions": (
        PLAIN,
        [
            {"op": "add_header", "name": f"X-{at}", "value": "v", "at": at}
            for at in (0, 1, "start", 2, "end", 0, "start")
        ],
    ),
    "set_header": (PLAIN, [{"op": "set_header", "name": "subject", "value": "[x] hello"}]),
    "set_header of one that is not there": (PLAIN, [{"op": "set_header", "name": "X-New", "value": "v"}]),
    "set_header of several": (ODD, [{"op": "set_header", "name": "X-Same", "value": "one"}]),
    "change_header": (ODD, [{"op": "change_header", "name": "x-same", "nth": 2, "value": "two"}]),
    "change_header to nothing": (ODD, [{"op": "change_header", "name": "x-same", "nth": 2, "value": ""}]),
    "change_header of one that is not there": (
        PLAIN,
        [{"op": "change_header", "name": "X-No", "nth": 1, "value": "x"}],
    ),
    "delete_header": (ODD, [{"op": "delete_header", "name": "X-Same"}]),
    "delete_header number 2": (ODD, [{"op": "delete_header", "name": "X-Same", "nth": 2}]),
    "delete and add": (
        ODD_HEAD + b"\r\nb\r\n",
        [
            {"op": "delete_header", "name": "X-Same", "nth": 1},
            {"op": "add_header", "name": "X-Same", "value": "new", "at": 3},
            {"op": "change_header", "name": "X-Same", "nth": 3, "value": "changed"},
            {"op": "delete_header", "name": "Received"},
        ],
    ),
    "replace_body": (PLAIN, [{"op": "replace_body", "text": "new\r\n.\r\nbody\r\n"}]),
    "replace_body without a final line end": (PLAIN, [{"op": "replace_body", "text": "new\r\nbody"}]),
    "replace_body with LF": (PLAIN, [{"op": "replace_body", "text": "new\nbody\n\nend"}]),
    "replace_body with lone CR": (PLAIN, [{"op": "replace_body", "text": "new\rbody\r\r\nend\r"}]),
    "replace_body with nothing": (PLAIN, [{"op": "replace_body", "text": ""}]),
    "replace_body of bytes": (PLAIN, [{"op": "replace_body", "base64": "6f8NCgD/DQo="}]),
    "replace_body with much": (PLAIN, [{"op": "replace_body", "text": "0123456789 abcdefghij\r\n" * 20_000}]),
    "replace_body with lines of LF across chunks": (
        PLAIN,
        [{"op": "replace_body", "text": ("x" * 106 + "\r\n") * 2_000}],
    ),
    "replace_message": (PLAIN, [{"op": "replace_message", "text": "Subject: new\r\nX-A: b\r\n\r\nnew\r\n"}]),
    "replace_message with LF": (PLAIN, [{"op": "replace_message", "text": "Subject: new\nX-A: b\n c\n\nnew\nx"}]),
    "replace_message, body alone": (PLAIN, [{"op": "replace_message", "text": HEAD.decode() + "\r\nnew\r\n"}]),
    "add_rcpt": (PLAIN, [{"op": "add_rcpt", "address": JOE}]),
    "add_rcpt twice and of one that is there": (
        PLAIN,
        [{"op": "add_rcpt", "address": item} for item in (JOE, JOE, BOB)],
    ),
    "add_rcpt with parameters": (PLAIN, [{"op": "add_rcpt", "address": JOE, "params": {"NOTIFY": "NEVER"}}]),
    "add_rcpt in brackets": (PLAIN, [{"op": "add_rcpt", "address": f"<{JOE}>"}]),
    "delete_rcpt": (PLAIN, [{"op": "delete_rcpt", "address": BOB}]),
    "delete_rcpt in other letters": (PLAIN, [{"op": "delete_rcpt", "address": "BOB@site.example"}]),
    "exchange of recipients": (
        PLAIN,
        [
            {"op": "delete_rcpt", "address": BOB},
            {"op": "add_rcpt", "address": JOE},
            {"op": "delete_rcpt", "address": EVE},
        ],
    ),
    "change_from": (PLAIN, [{"op": "change_from", "address": "new@client.example"}]),
    "change_from to the null sender": (PLAIN, [{"op": "change_from", "address": ""}]),
    "change_from with parameters": (
        PLAIN,
        [{"op": "change_from", "address": "new@client.example", "params": {"RET": "HDRS"}}],
    ),
    "quarantine": (PLAIN, [{"op": "quarantine", "reason": "why"}]),
    "quarantine with other changes": (
        PLAIN,
        [
            {"op": "quarantine", "reason": "why"},
            {"op": "add_header", "name": "X-New", "value": "v"},
            {"op": "add_rcpt", "address": JOE},
            {"op": "replace_body", "text": "held\r\n"},
        ],
    ),
    "all at once": (
        ODD_HEAD + b"\r\nold\r\n",
        [
            {"op": "add_header", "name": "X-Top", "value": "v", "at": "start"},
            {"op": "set_header", "name": "X-Same", "value": "one"},
            {"op": "delete_header", "name": "X-Fold"},
            {"op": "replace_body", "text": "new\r\n"},
            {"op": "change_from", "address": "new@client.example"},
            {"op": "add_rcpt", "address": JOE},
            {"op": "delete_rcpt", "address": EVE},
        ],
    ),
}
CASES: dict[str, Case] = {
    **{f"mail: {name}": Case(raw) for name, raw in MAILS.items()},
    **{
        f"change: {name}": Case(raw, at_end(*changes), recipients=(BOB, EVE))
        for name, (raw, changes) in CHANGES.items()
    },
    **{
        f"{event}: {name}": Case(answers={event: answer}, recipients=(BOB, EVE))
        for event in ("connect", "helo", "mail", "rcpt", "data", "header", "end_of_headers", "body", "end_of_message")
        for name, answer in {
            "reject": {"action": "reject"},
            "tempfail, several lines": refusal("tempfail", 452, "4.3.1", *TEXTS),
            "disconnect": {"action": "disconnect"},
            "accept": {"action": "accept"},
            "discard": {"action": "discard"},
        }.items()
        if not (event in ("connect", "helo") and name == "discard")
    },
    "reject with percent signs": Case(answers={"end_of_message": refusal("reject", 554, "5.7.9", *TEXTS)}),
    "reject in other words": Case(answers={"mail": refusal("reject", 553, "5.1.8", "Grüße: no", "x" * 1500)}),
    "one of two recipients is refused": Case(
        recipients=(EVE, BOB), answers={"rcpt": when_to(EVE, refusal("reject", 550, "5.1.1", "No Eve", "100% sure"))}
    ),
    "one recipient is discarded": Case(recipients=(EVE, BOB), answers={"rcpt": when_to(BOB, {"action": "discard"})}),
    "all recipients are refused": Case(recipients=(EVE, BOB), answers={"rcpt": {"action": "tempfail"}}),
    "the last recipient hangs up": Case(
        recipients=(EVE, BOB), answers={"rcpt": when_to(BOB, {"action": "disconnect"})}
    ),
    "a recipient that comes twice": Case(recipients=(BOB, EVE, "Bob@Site.example", BOB)),
    "hanging up at the connection, in own words": Case(
        answers={"connect": refusal("disconnect", 421, "4.3.2", "Too busy")}
    ),
    "quarantine of a failure": Case(
        answers={"end_of_message": {"changes": [{"op": "quarantine", "reason": "50% sure"}]}}
    ),
    "the null sender": Case(sender=""),
    "an address in UTF-8": Case(sender="grüß@client.example", recipients=("bücher@site.example",)),
    "an early change": Case(answers={"mail": {"changes": [{"op": "add_header", "name": "X-New", "value": "v"}]}}),
    "an early change that falls with its recipient": Case(
        recipients=(EVE, BOB),
        answers={
            "rcpt": when_to(EVE, {"action": "reject", "changes": [{"op": "add_rcpt", "address": JOE}]}),
        },
    ),
    "an invalid answer": Case(answers={"end_of_message": {"action": "frobnicate"}}),
    "greylisting": Case(answers=greylisting, times=2, recipients=(EVE, BOB)),
}


class Paths:
    """The three ways of a mail."""

    def __init__(self, postfix: Postfix, backend: Backend, sink: Sink, spec: str, admin_port: int) -> None:
        self._postfix = postfix
        self._backend = backend
        self._sink = sink
        self._spec = spec
        self._admin_port = admin_port

    def all_outcomes(self, case: Case) -> dict[str, list[Outcome]]:
        """What becomes of the mail on each."""
        found: dict[str, list[Outcome]] = {}
        for name, path in (("postfix", self.through_postfix), ("send", self.through_send), ("api", self.through_api)):
            self._backend.forget()
            answers = case.answers() if callable(case.answers) else case.answers
            for event, answer in answers.items():
                self._backend.on(event, answer)
            found[name] = [replace(path(case), shown=self._shown()) for _ in range(case.times)]
        return found

    def _shown(self) -> bytes | None:
        calls = self._backend.calls("end_of_message")
        return _message(calls[-1].json["message"]) if calls else None

    def through_postfix(self, case: Case) -> Outcome:
        self._sink.clear()
        logged = len(self._postfix.log())
        client = self._postfix.connect()
        try:
            client.ehlo("localhost")
            utf8 = not case.sender.isascii() or not all(map(str.isascii, case.recipients))
            params = ["BODY=8BITMIME", *(["SMTPUTF8"] if utf8 else [])]
            if client.mail(case.sender, *params).ok and sum(client.rcpt(item).ok for item in case.recipients):
                client.data(re.sub(rb"\r?\n", b"\r\n", case.raw))
        except ConnectionGoneError:
            pass
        finally:
            client.close()
        return self._of_postfix(client, case, logged)

    def _of_postfix(self, client: SmtpClient, case: Case, logged: int) -> Outcome:
        refusals = [(reply.command, _of_lines(reply.code, reply.lines)) for reply in client.replies if not reply.ok]
        refused = tuple((_address(command), reply) for command, reply in refusals if command.startswith("RCPT"))
        last = client.replies[-1]
        if not last.ok:
            verdict = "rejected" if last.code >= 500 else "tempfailed"
            own_words = last.command == "(banner)" and last.code == 421
            return Outcome(verdict, _OWN_WORDS if own_words else _of_lines(last.code, last.lines), refused)
        queue_id = last.text.partition("queued as ")[2].strip()
        return wait_until(lambda: self._delivered(queue_id, refused, logged), "what becomes of the mail")

    def _delivered(self, queue_id: str, refused: tuple[tuple[str, Reply], ...], logged: int) -> Outcome | None:
        log = self._postfix.log()[logged:]
        if self._sink.messages:
            (mail,) = self._sink.messages
            recipients = tuple(sorted(mail.recipients))
            return Outcome("accepted", None, refused, mail.sender, recipients, _own(mail.content))
        if "milter-discard" in log:
            return Outcome("discarded", None, refused)
        for held in self._postfix.queue() if "milter-hold" in log else ():
            if held.held:
                self._postfix.purge()
                content = _own(held.content.replace(b"\n", b"\r\n"))
                return Outcome("quarantined", None, refused, held.sender, tuple(sorted(held.recipients)), content)
        if f"{queue_id}: removed" in log:  # and nobody got it
            return Outcome("accepted", None, refused)
        return None

    def through_send(self, case: Case) -> Outcome:
        rcpts = [word for item in case.recipients for word in ("--rcpt", item)]
        path = self._postfix.directory / "mail.eml"
        path.write_bytes(case.raw)
        done = call("send", str(path), "--milter", self._spec, "--from", case.sender, *rcpts, "--json")
        outcome = _of_report(json.loads(done.stdout))
        assert done.returncode == EXIT_CODES[Verdict(outcome.verdict)]
        return outcome

    def through_api(self, case: Case) -> Outcome:
        query = urllib.parse.urlencode([("from", case.sender), *(("rcpt", item) for item in case.recipients)])
        url = f"http://{HOST}:{self._admin_port}/v1/simulate?{query}"
        request = urllib.request.Request(url, case.raw, {"content-type": "message/rfc822"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return _of_report(json.load(answer))


_OWN_WORDS: Reply = (421, None, ("postfix.test Service unavailable - try again later",))


def _address(command: str) -> str:
    return command.partition("<")[2].rpartition(">")[0]


def _of_lines(code: int, lines: tuple[str, ...]) -> Reply:
    """A reply as SMTP tells it."""
    enhanced = re.match(r"([245]\.\d+\.\d+) ", lines[0])
    start = enhanced[0] if enhanced else ""
    return code, enhanced[1] if enhanced else None, _without_session(line.removeprefix(start) for line in lines)


def _without_session(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(re.sub(r"\(session [0-9a-f-]+\)", "(session)", line) for line in lines)


def _own(content: bytes) -> bytes:
    found, count = OWN_RECEIVED.subn(b"", content, count=1)
    assert count == 1, content
    return found if b"\r\n\r\n" in found or found.startswith(b"\r\n") else found + b"\r\n"


def _of_report(report: Json) -> Outcome:
    """The answer of `send --json` and of the API."""
    refused = tuple((item["address"], _of_json(item["reply"])) for item in report["refused"])
    reply = _of_json(report["reply"]) if report["reply"] else None
    if report["verdict"] not in ("accepted", "quarantined"):
        return Outcome(report["verdict"], reply, refused)
    sender, recipients = report["envelope"]["from"]["address"], [item["address"] for item in report["envelope"]["to"]]
    if not recipients:
        return Outcome(report["verdict"], reply, refused)
    return Outcome(report["verdict"], reply, refused, sender, tuple(sorted(recipients)), _message(report["message"]))


def _of_json(reply: Json) -> Reply:
    return reply["code"], reply["enhanced"], _without_session(reply["text"])


def _bytes(item: Json, name: str) -> bytes:
    return b64decode(item[f"{name}_base64"]) if f"{name}_base64" in item else item[name].encode()


def _message(shown: Json) -> bytes:
    """The message that the JSON shows, rebuilt."""
    fields = [
        b64decode(item["field_base64"])
        if "field_base64" in item
        else _bytes(item, "name") + b": " + _bytes(item, "value")
        for item in shown["headers"]
    ]
    body = shown["body"]
    raw = body["text"].encode() if "text" in body else b64decode(body["base64"])
    message = b"".join(item.replace(b"\n", b"\r\n") + b"\r\n" for item in fields) + b"\r\n" + raw
    assert shown["size"] == len(message)
    return message


@pytest.fixture
def paths(postfix: Postfix, gateway: Gateways, backend: Backend, sink: Sink, milter_spec: str, admin: int) -> Paths:
    gateway(admin={"listen": f"{HOST}:{admin}"})
    return Paths(postfix, backend, sink, milter_spec, admin)


@pytest.fixture(scope="module")
def admin() -> int:
    return free_port()


@pytest.mark.case("send and simulate give the same answer")
@pytest.mark.parametrize("name", CASES)
def test_the_same_answer_three_times(paths: Paths, name: str) -> None:
    outcomes = paths.all_outcomes(CASES[name])
    if outcomes["postfix"][0].reply == _OWN_WORDS:
        outcomes["postfix"] = [replace(outcomes["postfix"][0], reply=outcomes["send"][0].reply)]
        assert outcomes["send"][0].reply[0] == 421
    assert outcomes["send"] == outcomes["postfix"]
    assert outcomes["api"] == outcomes["postfix"]
