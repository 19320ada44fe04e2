"""A person's way through the inspector, click by click, in real Chromium, with the demo behind it."""

import json
import re
import subprocess
import urllib.request
from pathlib import Path

import pytest
from browser.visitor import PATIENCE_MS, Visitor
from cli.cli_backend import backend
from cli.cli_program import require_program
from playwright.sync_api import expect

expect.set_options(timeout=PATIENCE_MS)

SUBJECT = "Subject: Something to try"
HOSTILE = "#/transactions/<img src=x onerror=alert(1)>"


def test_mail_appears_by_itself_with_all_that_the_list_promises(ann: Visitor) -> None:
    expect(ann.row("Lunch?")).to_be_visible()
    before = ann.rows.count()
    expect(ann.rows.nth(before + 1)).to_be_attached()
    row = ann.row("Lunch?")
    for fact in (
        "accepted",
        "ann@client.example",
        "bob@demo.example",
        "out.client.example 192.0.2.25",
        "all let it pass",
    ):
        expect(row).to_contain_text(fact)
    expect(row).to_contain_text(re.compile(r"\d\d:\d\d:\d\d"))
    expect(row).to_contain_text(re.compile(r"\d+(\.\d+)? m?s"))
    for verdict in ("rejected", "tempfailed", "quarantined"):
        expect(ann.row(verdict)).to_be_visible()


def test_filters_and_search_leave_what_is_asked_for(ann: Visitor) -> None:
    expect(ann.row("quarantined")).to_be_visible()
    ann.page.get_by_label("Verdict", exact=True).select_option("rejected")
    expect(ann.rows.filter(has_text="accepted")).to_have_count(0)
    expect(ann.row("rejected")).to_be_visible()
    ann.page.get_by_label("Verdict", exact=True).select_option("")
    ann.page.get_by_role("searchbox").fill("stranger@far remember")
    expect(ann.rows.filter(has_text="Lunch?")).to_have_count(0)
    expect(ann.row("Do you remember me?")).to_be_visible()
    ann.page.get_by_role("searchbox").fill("nothing is like this")
    expect(ann.page.get_by_text("No mail is like that.")).to_be_visible()
    ann.page.get_by_role("button", name="Show all mail").click()
    expect(ann.row("Lunch?")).to_be_visible()
    ann.page.get_by_label("Webhook", exact=True).select_option("demo")
    expect(ann.row("Lunch?")).to_be_visible()
    ann.page.get_by_label("Real or simulated").select_option("simulated")
    expect(ann.rows.filter(has_not_text="simulated")).to_have_count(0)


def test_a_mail_opens_as_a_timeline_with_both_sides_of_each_call(ann: Visitor) -> None:
    ann.row("Hi all").click()
    expect(ann.detail.get_by_role("heading", name="Hi all")).to_be_focused()
    expect(ann.detail).to_contain_text("The mail went on, with 2 changes.")
    expect(ann.detail).to_contain_text("One recipient was refused on the way")
    events = ann.detail.locator("details.exchange b").all_text_contents()
    assert [event for event in events if event in ("rcpt", "end_of_message")] == ["rcpt", "rcpt", "end_of_message"]
    expect(ann.detail.locator(".fact")).to_have_text(["<nobody@demo.example>", "<bob@demo.example>", ""])
    call = ann.unfold("end_of_message")
    request, answer = (call.get_by_role("region", name=name) for name in ("Request", "Answer"))
    expect(request).to_contain_text('event: "end_of_message"')
    expect(answer).to_contain_text('value: "[demo] Hi all"')
    boxes = request.bounding_box(), answer.bounding_box()
    assert boxes[0] and boxes[1]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    assert ann.page.url.endswith(_id_in(ann.page.url))


def test_json_folds(ann: Visitor) -> None:
    ann.row("Lunch?").click()
    request = ann.unfold("end_of_message").get_by_role("region", name="Request")
    place = request.locator("details", has=ann.page.locator("summary", has_text="client:")).last
    expect(place.get_by_text('"192.0.2.25"')).to_be_visible()
    place.locator("summary").first.click()
    expect(place.get_by_text('"192.0.2.25"')).to_be_hidden()
    place.locator("summary").first.click()
    expect(place.get_by_text('"192.0.2.25"')).to_be_visible()


def test_the_message_is_shown_with_what_was_changed(ann: Visitor) -> None:
    ann.row("Lunch?").click()
    diff = ann.detail.get_by_role("group", name="What was changed")
    expect(diff.locator(".gone")).to_have_text(["-removed: Subject: Lunch?"])
    expect(diff.locator(".new").first).to_have_text("+added: Subject: [demo] Lunch?")
    expect(diff.locator(".new").last).to_contain_text("This mail passed the demo backend.")
    expect(diff).not_to_contain_text("Lunch? Lunch?")
    ann.detail.get_by_role("button", name="Show the whole message").click()
    expect(diff).to_contain_text("Friday at noon?")
    expect(diff).to_contain_text("Message-ID: <demo@client.example>")


def test_a_call_is_copied_as_curl_and_runs_in_a_shell(visit, demo: str) -> None:
    bash, _ = require_program("bash", "bash"), require_program("curl", "curl")
    ann = visit(demo, permissions=["clipboard-read", "clipboard-write"])
    ann.row(re.compile("rejected")).click()
    call = ann.unfold("rcpt")
    call.get_by_role("button", name="Copy as curl").click()
    expect(call.get_by_role("button", name="Copied")).to_be_visible()
    command = ann.page.evaluate("navigator.clipboard.readText()")
    done = subprocess.run([bash, "-c", command], capture_output=True, timeout=20, check=True)
    assert json.loads(done.stdout)["reply"]["text"] == "Nobody is not here"


def test_where_copying_is_not_allowed_the_command_is_shown(ann: Visitor) -> None:
    ann.row("Lunch?").click()
    call = ann.unfold("end_of_message")
    ann.page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    call.get_by_role("button", name="Copy as curl").click()
    expect(call.get_by_label("The curl command")).to_have_value(re.compile(r"^printf %s .*curl -sS", re.DOTALL))


def test_a_replay_shows_the_answer_beside_the_old_one(ann: Visitor) -> None:
    ann.row("Lunch?").click()
    call = ann.unfold("rcpt")
    call.get_by_role("button", name="Replay…").click()
    call.get_by_role("button", name="Send again").click()
    expect(call).to_contain_text("The answer means the same as then.")
    with backend({"rcpt": {"action": "reject", "reply": {"text": "not <b>here</b>"}}}) as other:
        call.get_by_role("textbox", name="URL to replay to").or_(call.get_by_role("combobox")).fill(other.url)
        call.get_by_role("button", name="Send again").click()
        expect(call).to_contain_text("continue -> reject")
        assert other.events == ["rcpt"]
    expect(call.get_by_role("group", name="Answer now").locator(".new").first).to_be_visible()
    expect(call.get_by_role("group", name="Answer now")).to_contain_text("not <b>here</b>")
    expect(call.get_by_role("group", name="Answer then")).not_to_contain_text("reject")


def test_a_replay_to_elsewhere_is_refused_in_words(ann: Visitor) -> None:
    ann.conduct.expected.append("status of 403")
    ann.row("Lunch?").click()
    call = ann.unfold("rcpt")
    call.get_by_role("button", name="Replay…").click()
    call.get_by_role("combobox").fill("http://192.0.2.1/x")
    call.get_by_role("button", name="Send again").click()
    expect(call.get_by_role("alert")).to_contain_text("only to a configured URL")


def test_the_message_is_downloaded_as_it_came_and_as_it_went_on(ann: Visitor) -> None:
    ann.row("Lunch?").click()
    found = {}
    for name in ("Download .eml", "Download as changed"):
        with ann.page.expect_download() as download:
            ann.detail.get_by_role("link", name=name).click()
        assert download.value.suggested_filename.endswith(".eml")
        found[name] = Path(download.value.path()).read_bytes()
    assert b"\r\nSubject: Lunch?\r\n" in found["Download .eml"]
    assert b"\r\nSubject: [demo] Lunch?\r\n" in found["Download as changed"]


def test_a_pasted_message_is_tried_and_opens(ann: Visitor) -> None:
    ann.page.get_by_role("link", name="Try a message").click()
    ann.page.get_by_label("From (empty").fill("eve@client.example")
    ann.page.get_by_label("To (commas").fill("bob@demo.example, nobody@demo.example")
    ann.page.get_by_role("textbox", name="Message").fill(f"{SUBJECT}\n\nA text.\n")
    ann.page.get_by_role("button", name="Run it").click()
    expect(ann.detail.get_by_role("heading", name="Something to try")).to_be_visible()
    expect(ann.detail.locator(".verdict-line")).to_contain_text("simulated")
    expect(ann.detail).to_contain_text("eve@client.example")
    expect(ann.detail).to_contain_text("One recipient was refused")
    expect(ann.unfold("end_of_message").get_by_role("region", name="Request")).to_contain_text("dry_run: true")
    expect(ann.row("Something to try")).to_contain_text("simulated")


def test_an_uploaded_file_is_tried_byte_for_byte(ann: Visitor) -> None:
    ann.page.get_by_role("link", name="Try a message").click()
    raw = b"Subject: caf\xe9 au lait\r\n\r\n\xff\xfe\r\n"
    ann.page.get_by_label("or take a file").set_input_files(
        {"name": "odd.eml", "mimeType": "message/rfc822", "buffer": raw}
    )
    expect(ann.page.get_by_text("Held byte for byte")).to_be_visible()
    ann.page.get_by_role("button", name="Run it").click()
    request = ann.unfold("end_of_message").get_by_role("region", name="Request")
    field = request.locator("details", has=ann.page.locator("summary", has_text="headers:")).last
    field.locator("summary").first.click()
    expect(field.locator("summary")).to_have_count(2)  # what is inside is made when it is opened
    field.locator("summary").last.click()
    expect(field.locator("mark.lost")).to_have_count(1)
    expect(field).to_contain_text("the exact bytes of “value”, which are no UTF-8")
    expect(field).to_contain_text(r"caf\xe9 au lait")
    request.locator("summary", has_text="body:").click()
    expect(request).to_contain_text("bytes that are no UTF-8 text (4 bytes)")
    with ann.page.expect_download() as download:
        ann.detail.get_by_role("link", name="Download .eml").click()
    assert Path(download.value.path()).read_bytes() == raw


def test_a_known_mail_is_tried_again_with_another_text(ann: Visitor) -> None:
    ann.row("Lunch?").click()
    ann.detail.get_by_role("button", name="Try it again…").click()
    text = ann.page.get_by_role("textbox", name="Message")
    expect(text).to_have_value(re.compile("Friday at noon"))
    expect(ann.page.get_by_label("To (commas")).to_have_value("bob@demo.example")
    text.fill(text.input_value().replace("Friday at noon", "There is a virus"))
    ann.page.get_by_role("button", name="Run it").click()
    expect(ann.detail.locator(".verdict-line")).to_contain_text("quarantined")


def test_a_trial_that_cannot_be_is_refused_in_words(ann: Visitor) -> None:
    ann.conduct.expected.append("status of 422")
    ann.page.get_by_role("link", name="Try a message").click()
    ann.page.get_by_label(re.compile("s address")).fill("nowhere")
    ann.page.get_by_role("textbox", name="Message").fill(f"{SUBJECT}\n\nA text.\n")
    ann.page.get_by_role("button", name="Run it").click()
    expect(ann.page.get_by_role("alert")).to_contain_text("nowhere")


def test_a_switched_rule_changes_the_fate_of_the_next_mail(ann: Visitor) -> None:
    rule = ann.page.get_by_role("switch", name="Refuse nobody@… with 550")
    expect(rule).to_be_checked()
    rule.click()
    accepted = ann.rows.filter(has_text="nobody@demo.example").filter(has_text="accepted")
    try:
        expect(accepted.first).to_contain_text("Anyone?")
    finally:
        rule.click()
    expect(rule).to_be_checked()
    expect(ann.rows.first).to_be_visible()
    expect(ann.rows.filter(has_text="nobody@demo.example").first).to_contain_text("rejected")


def test_a_broken_backend_is_told_in_words_with_its_attempts(ann: Visitor) -> None:
    rule = ann.page.get_by_role("switch", name=re.compile("Be broken"))
    rule.click()
    try:
        expect(ann.rows.filter(has_text="demo (failed)").first).to_be_visible()
    finally:
        rule.click()
    ann.page.get_by_label("Failures only").check()
    expect(ann.rows.filter(has_text="all let it pass")).to_have_count(0)
    row = ann.rows.filter(has_text="tempfailed").last
    expect(row).to_contain_text("demo (failed)")
    row.click()
    expect(ann.detail).to_contain_text("s server keeps it and tries again; nothing is lost.")
    call = ann.unfold("end_of_message")
    expect(call).to_contain_text("s on_failure says was done in its place.")
    attempts = call.get_by_role("list", name="Attempts").get_by_role("listitem")
    expect(attempts).to_have_count(3)
    expect(attempts.first).to_contain_text("500")
    ann.page.get_by_role("button", name="Close, back to the list").click()
    expect(ann.page.get_by_role("region", name="Webhooks")).to_contain_text("Last failure")


def test_health_and_charts_say_in_words_what_they_draw(ann: Visitor) -> None:
    expect(ann.row("Lunch?")).to_be_visible()
    health = ann.page.get_by_role("region", name="Webhooks")
    expect(health).to_contain_text(re.compile(r"demo .*\d+ calls?, .* · half within .*, 95% within .* · last answer"))
    expect(ann.page.get_by_role("img", name=re.compile(r"\d+ mails? in \d+ min; at most \d+ in \d+ s"))).to_be_visible()
    expect(ann.page.get_by_role("img", name=re.compile(r"\d+ accepted, \d+ rejected"))).to_be_visible()
    expect(ann.page.get_by_role("img", name=re.compile(r"half of \d+ calls within"))).to_be_visible()
    assert ann.page.locator("section.chart svg rect.fill").count() > 3


def test_what_the_page_shows_is_what_the_api_says(ann: Visitor, demo: str) -> None:
    ann.row("Lunch?").click()
    number = _id_in(ann.page.url)
    with urllib.request.urlopen(f"{demo}v1/transactions/{number}") as answer:
        whole = json.load(answer)
    expect(ann.detail.locator("details.exchange")).to_have_count(len(whole["exchanges"]))
    expect(ann.detail.locator("dl")).to_contain_text(whole["session_id"])


def test_a_deep_link_opens_the_mail(ann: Visitor, visit, demo: str) -> None:
    ann.row("Lunch?").click()
    expect(ann.detail.get_by_role("heading", name="Lunch?")).to_be_visible()
    other = visit(demo, f"#/transactions/{_id_in(ann.page.url)}")
    expect(other.detail.get_by_role("heading", name="Lunch?")).to_be_visible()


def test_a_deep_link_to_what_is_gone_says_so(visit, demo: str) -> None:
    late = visit(demo)
    late.conduct.expected.append("status of 404")
    late.page.goto(f"{demo}#/transactions/gone")
    expect(late.detail).to_contain_text("This mail is not kept any more")


@pytest.mark.parametrize("place", ["#/sessions/gone", "#/nothing", "#/transactions/%E0%A4%A", "#mail-list", HOSTILE])
def test_an_odd_address_breaks_nothing(visit, demo: str, place: str) -> None:
    lost = visit(demo, place)
    lost.conduct.expected.append("status of 404")
    expect(lost.page.get_by_role("link", name="Try a message")).to_be_visible()


def _id_in(url: str) -> str:
    return url.rpartition("/")[2]
