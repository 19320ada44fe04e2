"""The page when things are not as in the demo: nothing recorded, nothing there, too much, gone and back."""

import json
import random
import re
from pathlib import Path
from typing import Any

from browser.gateways import Mta, gateway_of
from browser.visitor import PATIENCE_MS, Visitor
from cli.cli_backend import backend
from playwright.sync_api import Route, expect

expect.set_options(timeout=PATIENCE_MS)

MANY = 1000


def deliver(spec: str, subject: bytes = b"hello") -> None:
    with Mta(spec) as mta:
        mta.greet()
        mta.mail(b"ann@x.test", [b"bob@y.test"], [(b"Subject", subject)], b"text\r\n")


def test_what_is_not_recorded_is_said_and_how_to_record_it(visit, tmp_path: Path) -> None:
    with backend() as asked, gateway_of(tmp_path, asked.url, record=False) as running:
        ann: Visitor = visit(running.page)
        expect(ann.page.get_by_text("No mail has come yet.")).to_be_visible()
        expect(ann.page.locator("#notices")).to_contain_text("record = true under [admin]")
        deliver(running.milter)
        expect(ann.row("ann@x.test")).to_contain_text("(subject not recorded)")
        ann.row("ann@x.test").click()
        expect(ann.detail).to_contain_text(
            "Messages are not recorded. To keep them in memory, set [admin] record = true"
        )
        expect(ann.detail.get_by_role("link", name="Download .eml")).to_have_count(0)
        call = ann.exchange("end_of_message")
        expect(call).to_contain_text("were not kept")
        expect(call.get_by_role("button", name="Copy as curl")).to_have_count(0)


def test_a_trial_tells_what_was_asked_even_where_nothing_is_recorded(visit, tmp_path: Path) -> None:
    change = {"end_of_message": {"changes": [{"op": "add_header", "name": "X-Tried", "value": "yes"}]}}
    with backend(change) as asked, gateway_of(tmp_path, asked.url, record=False) as running:
        ann: Visitor = visit(running.page, "#/try")
        ann.page.get_by_role("textbox", name="Message").fill("Subject: tried\n\nx\n")
        ann.page.get_by_role("button", name="Run it").click()
        call = ann.unfold("end_of_message")
        expect(call.get_by_role("region", name="Request")).to_contain_text("dry_run: true")
        expect(call.get_by_role("region", name="Answer")).to_contain_text('name: "X-Tried"')
        after = ann.detail.get_by_role("group", name="The message after the changes")
        expect(after).to_contain_text("X-Tried: yes")
        expect(ann.exchange("rcpt")).to_contain_text("<bob@demo.example>")


def test_beyond_loopback_a_browser_logs_in_with_the_token(visit, tmp_path: Path) -> None:
    with backend() as asked, gateway_of(tmp_path, asked.url, token="t0k-of-ann") as running:
        ann: Visitor = visit(running.page, http_credentials={"username": "ann", "password": "t0k-of-ann"})
        deliver(running.milter, b"behind a token")
        ann.row("behind a token").click()
        call = ann.unfold("end_of_message")
        call.get_by_role("button", name="Replay…").click()
        call.get_by_role("button", name="Send again").click()
        expect(call).to_contain_text("The answer means the same as then.")


def test_a_session_that_was_refused_before_any_mail_is_in_the_list(visit, tmp_path: Path) -> None:
    refusal = {"connect": {"action": "reject", "reply": {"text": "not from there"}}}
    with backend(refusal) as asked, gateway_of(tmp_path, asked.url) as running:
        ann: Visitor = visit(running.page)
        with Mta(running.milter) as mta:
            mta.greet()
        row = ann.row("session refused before any mail")
        expect(row).to_contain_text("192.0.2.9")
        row.click()
        expect(ann.detail).to_contain_text("The session was refused before any mail, with “550 5.7.1 not from there”.")
        expect(ann.exchange("connect")).to_contain_text("mx.test [192.0.2.9]")
        ann.reload()
        expect(ann.detail).to_contain_text("The session was refused before any mail, with “550 5.7.1 not from there”.")


def test_a_gateway_that_goes_away_is_missed_and_found_again(visit, tmp_path: Path) -> None:
    with backend() as asked:
        with gateway_of(tmp_path, asked.url) as first:
            ann: Visitor = visit(first.page)
            ann.conduct.expected.append("ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET")
            deliver(first.milter, b"before")
            expect(ann.row("before")).to_contain_text("accepted")
        expect(ann.page.locator("#notices")).to_contain_text("The connection to the gateway is gone")
        expect(ann.page.locator("#notices")).to_contain_text("What is shown is what was known at")
        expect(ann.row("before")).to_be_visible()
        with gateway_of(tmp_path, asked.url, admin=first.admin) as second:
            deliver(second.milter, b"in the gap")
            expect(ann.row("in the gap")).to_be_visible()
            expect(ann.page.locator("#live")).to_have_text("Live")
            expect(ann.page.locator("#notices")).to_be_empty()
            deliver(second.milter, b"afterwards")
            expect(ann.row("afterwards")).to_be_visible()


def test_an_open_mail_follows_what_happens_to_it(visit, tmp_path: Path) -> None:
    with backend() as asked, gateway_of(tmp_path, asked.url, events=["mail", "rcpt", "end_of_message"]) as running:
        ann: Visitor = visit(running.page)
        with Mta(running.milter) as mta:
            mta.greet()
            mta.ask(b"M<ann@x.test>\x00")
            mta.ask(b"R<bob@y.test>\x00")
            expect(ann.row("under way")).to_contain_text("ann@x.test")
            ann.row("under way").click()
            expect(ann.detail).to_contain_text("The mail is still under way.")
            mta.ask(b"R<eve@y.test>\x00")
            expect(ann.detail.locator("details.exchange")).to_have_count(3)
            for packet in (b"T", b"LSubject\x00hello\x00", b"N", b"Btext\r\n", b"E"):
                mta.ask(packet)
        expect(ann.detail.locator(".verdict-line")).to_contain_text("accepted")
        expect(ann.detail.get_by_role("group", name="What was changed")).to_contain_text("Subject: hello")


def test_a_thousand_mails_are_no_burden(visit, tmp_path: Path) -> None:
    with backend() as asked, gateway_of(tmp_path, asked.url) as running:
        deliver(running.milter, b"the only one")
        ann: Visitor = visit(running.page)

        def many(route: Route) -> None:
            answer = route.fetch()
            route.fulfill(response=answer, json=multiplied(answer.json()))

        ann.page.route("**/v1/sessions**", many)
        ann.reload()
        expect(ann.rows).to_have_count(MANY)
        taken = ann.page.evaluate(TIMED)
        assert taken["shown"] == 1
        assert taken["filter"] < 500, taken
        assert taken["all"] < 1500, taken
        deliver(running.milter, b"one more")
        expect(ann.row("one more")).to_be_visible()
        ann.page.keyboard.press("j")
        ann.page.keyboard.press("j")
        expect(ann.page.locator("a.row:focus")).to_have_count(1)


TIMED = """async () => {
  const field = document.querySelector("#filters input");
  const typed = (text) => {
    const start = performance.now();
    field.value = text;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    document.body.offsetHeight;
    return performance.now() - start;
  };
  const filter = typed("mail number 777");
  const shown = document.querySelectorAll("a.row").length;
  return { filter, shown, all: typed("") };
}"""


def multiplied(answer: dict[str, Any]) -> dict[str, Any]:
    """A thousand sessions like the first."""
    (session,) = answer["sessions"][-1:]
    (row,) = session["transactions"]
    for number in range(MANY - 1):
        copy = {
            **row,
            "transaction_id": f"{number}",
            "subject": f"mail number {number}.",
            "began": f"2026-01-01T00:00:{number % 60:02}.000Z",
        }
        answer["sessions"].append({**session, "session_id": f"s{number}", "transactions": [copy]})
    return answer


def test_the_difference_of_two_lists_is_right_and_as_short_as_can_be(visit, demo: str) -> None:
    chance = random.Random(4)
    pairs = [[[chance.choice("abc") for _ in range(chance.randrange(9))] for _ in range(2)] for _ in range(400)]
    pairs.append([[str(n) for n in range(4000)], [str(n) for n in range(4000, 8000)]])
    script = """async (pairs) => {
      const { difference } = await import("/inspector/diff.js");
      return pairs.map(([one, other]) => difference(one, other).map(({ kind, line }) => [kind, line]));
    }"""
    found = visit(demo).page.evaluate(script, pairs)
    for (before, after), steps in zip(pairs, found, strict=True):
        assert [line for kind, line in steps if kind != "new"] == before
        assert [line for kind, line in steps if kind != "gone"] == after
        if len(before) < 10:
            assert sum(kind == "same" for kind, _ in steps) == common(before, after)


def common(one: list[str], other: list[str]) -> int:
    """The length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for item in one:
        last = row[:]
        for at, its in enumerate(other):
            row[at + 1] = last[at] + 1 if item == its else max(row[at], last[at + 1])
    return row[-1]


def test_json_of_any_shape_is_shown(visit, demo: str) -> None:
    odd: Any = {
        "deep": None,
        "many": list(range(250)),
        "long": "x" * 5000,
        "empty": [{}, [], ""],
        "base64": "/w==",
        "n": 1e300,
    }
    for _ in range(60):
        odd["deep"] = [odd["deep"]]
    script = """async (value) => {
      const { jsonTree } = await import("/inspector/json.js");
      document.querySelector("#mail-list").prepend(jsonTree(JSON.parse(value), 3));
    }"""
    ann: Visitor = visit(demo)
    ann.page.evaluate(script, json.dumps(odd))
    tree = ann.page.locator("#mail-list > .json")
    expect(tree).to_contain_text("Show all 5,000 characters")
    tree.get_by_role("button", name=re.compile("Show 100 more of 150")).click()
    expect(tree.get_by_role("button", name="Show 50 more of 50")).to_be_visible()
    expect(tree).to_contain_text(r"bytes that are no UTF-8 text (1 byte): \xff")
