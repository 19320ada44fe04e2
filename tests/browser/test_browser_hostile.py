"""What strangers write is text: it goes through the real gateway into the page, and nothing of it runs."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.gateways import Mta, Running, gateway_of
from browser.payloads import IN_A_NAME, PAYLOADS
from browser.visitor import PATIENCE_MS, Visitor
from cli.cli_backend import Backend, backend
from playwright.sync_api import Error, expect

expect.set_options(timeout=PATIENCE_MS)

EVERYTHING = "\r\n".join(PAYLOADS)
HTML = f"<html><body>{EVERYTHING}</body></html>\r\n".encode()
KNOWN_TAGS = """
    a b bdi body button circle code datalist dd details dialog div dl dt fieldset figcaption figure form
    h1 h2 h3 h4 head header html img input kbd label legend li line link main mark meta nav noscript ol
    optgroup option output p path rect script section select span summary svg table tbody td textarea th time
    title tr ul
"""
CENSUS = """() => {
  const all = [...document.querySelectorAll("*")];
  const odd = (name) => name.startsWith("on") || name === "style" || name === "srcdoc";
  const foreign = (node) => node.href && !(node.href.baseVal ?? node.href).startsWith(location.origin);
  const source = (node) => node.getAttribute("src");
  return {
    tags: [...new Set(all.map((node) => node.localName))],
    handlers: all.flatMap((node) => node.getAttributeNames().filter(odd)),
    links: all.filter(foreign).map((node) => String(node.href)),
    sources: all.filter((node) => source(node) && !source(node).startsWith("inspector/")).map(source),
    hit: window.hit ?? null,
    violations: window.violations,
    polluted: Object.keys(Object.prototype),
  };
}"""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Backend]]:
    """A gateway through which all of it went, in every place where it can be."""
    with backend() as asked, gateway_of(tmp_path_factory.mktemp("hostile"), asked.url) as running:
        for number, payload in enumerate(PAYLOADS):
            asked.answers = answers(number, payload)
            with Mta(running.milter) as mta:
                raw = payload.encode()
                mta.greet(raw, raw)
                mta.mail(raw.replace(b"<", b"[").replace(b">", b"]"), [b"to@y.test"], [(b"Subject", raw)], raw)
        asked.answers = {
            "rcpt": {"annotations": {item: item for item in PAYLOADS}},
            "end_of_message": {
                "annotations": {item: item for item in PAYLOADS},
                "changes": [
                    *({"op": "add_header", "name": name, "value": name} for name in IN_A_NAME),
                    {"op": "replace_body", "text": EVERYTHING},
                ],
            },
        }
        fields = [(b"Subject", b"all of it"), *((name.encode(), name.encode()) for name in IN_A_NAME)]
        fields += [(b"X-Value", item.encode()) for item in PAYLOADS] + [(b"Content-Type", b"text/html; charset=utf-8")]
        recipients = [f'"{item}"@y.test'.encode() for item in PAYLOADS if '"' not in item]
        with Mta(running.milter) as mta:
            mta.greet()
            mta.mail(b"ann@x.test", recipients, fields, HTML)
        yield running, asked


def answers(number: int, payload: str) -> dict[str, object]:
    """By turns: annotated, refused with it, failing with it in the answer, answering something else."""
    turns: tuple[object, ...] = (
        {"annotations": {payload: payload}, "warnings": [payload]},
        {"action": "reject", "reply": {"text": payload}},
        {payload: payload},
        {"action": payload},
        f"<html>{payload}</html>".encode(),
        {"changes": [{"op": "quarantine", "reason": payload}]},
    )
    return {"end_of_message": turns[number % len(turns)]}


def census(ann: Visitor) -> None:
    """Nothing is on the page that the page has not put there."""
    found = ann.page.evaluate(CENSUS)
    assert set(found.pop("tags")) <= set(KNOWN_TAGS.split())
    assert found == {"handlers": [], "links": [], "sources": [], "hit": None, "violations": [], "polluted": []}


@pytest.fixture
def eve(visit, hostile: tuple[Running, Backend]) -> Visitor:
    """Somebody who looks at what came."""
    found: Visitor = visit(hostile[0].page)
    return found


def test_the_list_shows_it_as_text(eve: Visitor) -> None:
    expect(eve.rows).to_have_count(len(PAYLOADS) + 1)
    shown = "\n".join(eve.rows.locator(".c-subject").all_text_contents())
    for payload in PAYLOADS:
        assert payload.replace("\u202e", "U+202E") in shown
    clients = "\n".join(eve.rows.locator(".c-client").all_text_contents())
    assert "<script>alert(1)</script>" in clients
    for verdict in ("rejected", "tempfailed", "quarantined", "accepted"):
        expect(eve.row(verdict)).to_be_visible()
    census(eve)


def test_an_open_mail_shows_all_of_it_as_text(eve: Visitor) -> None:
    eve.row("all of it").click()
    call = eve.unfold("end_of_message")
    for fold in call.locator("summary").all():
        if fold.locator("..").get_attribute("open") is None:
            fold.click()
    whole = eve.detail.get_by_role("button", name="Show the whole message")
    whole.click()
    expect(eve.detail.get_by_role("group", name="What was changed")).to_contain_text(
        "<html><body><script>alert(1)</script>"
    )
    expect(eve.detail.locator(".annotations")).to_contain_text("<svg onload=alert(1)>")
    for payload in PAYLOADS:
        expect(call.get_by_role("region", name="Answer")).to_contain_text(payload.replace("\u202e", "U+202E"))
    census(eve)


@pytest.mark.parametrize("turn", range(1, 6))
def test_refusals_failures_and_reasons_are_text(eve: Visitor, turn: int) -> None:
    payload = PAYLOADS[turn + 6]
    eve.page.get_by_role("searchbox").fill(payload)
    eve.rows.filter(has_text=payload).last.click()
    expect(eve.detail.locator(".verdict-line")).to_be_visible()
    eve.unfold("end_of_message")
    expect(eve.detail).to_contain_text(payload)
    census(eve)


def test_a_replayed_answer_and_a_tried_message_are_text(eve: Visitor, hostile: tuple[Running, Backend]) -> None:
    hostile[1].answers = {"end_of_message": {"annotations": {"x": EVERYTHING}, "warnings": list(PAYLOADS)}}
    eve.row("all of it").click()
    call = eve.unfold("end_of_message")
    call.get_by_role("button", name="Replay…").click()
    call.get_by_role("button", name="Send again").click()
    expect(call.get_by_role("group", name="Answer now")).to_contain_text("<iframe src=javascript:alert(1)>")
    census(eve)
    eve.detail.get_by_role("button", name="Try it again…").click()
    eve.page.get_by_role("textbox", name="Message").fill(f"Subject: {PAYLOADS[2]}\n\n{EVERYTHING}\n")
    eve.page.get_by_label("To (commas").fill("<img/src=x/onerror=alert(1)>@y.test")
    eve.page.get_by_label("HELO name").fill(PAYLOADS[0])
    eve.page.get_by_role("button", name="Run it").click()
    expect(eve.detail.get_by_role("heading", name=PAYLOADS[2])).to_be_visible()
    census(eve)


def test_a_copied_command_quotes_it(visit, hostile: tuple[Running, Backend], tmp_path: Path) -> None:
    eve = visit(hostile[0].page, permissions=["clipboard-read", "clipboard-write"])
    eve.row("all of it").click()
    eve.unfold("end_of_message").get_by_role("button", name="Copy the answer").click()
    expect(eve.detail.get_by_role("button", name="Copy the answer")).to_contain_text("Copied")
    assert json.loads(eve.page.evaluate("navigator.clipboard.readText()"))["changes"]


def test_even_a_mistake_in_the_page_could_not_make_markup_of_text(eve: Visitor) -> None:
    with pytest.raises(Error, match="TrustedHTML"):
        eve.page.evaluate("document.querySelector('#announcer').innerHTML = '<b>x</b>'")
    eve.conduct.expected.append("TrustedHTML")


def test_this_test_notices_what_it_looks_for(eve: Visitor) -> None:
    eve.page.evaluate(
        "() => { const n = document.createElement('img'); n.src = '//192.0.2.1/xss'; document.body.append(n); }"
    )
    eve.page.evaluate("alert(1)")
    eve.page.wait_for_function("() => window.violations.length > 0")
    with pytest.raises(AssertionError):
        census(eve)
    assert any("dialog" in fault for fault in eve.conduct.faults)
    assert any("192.0.2.1" in fault for fault in eve.conduct.faults)
    eve.conduct.expected += ["dialog", r"192\.0\.2\.1"]
