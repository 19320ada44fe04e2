"""The inspector's page, as a browser gets it. What it does there is in tests/browser."""

import re
from typing import Any

import pytest
from admin_client import admin_of
from gateway_harness import Backend, gateway

from gateway.recording import Archive, Bounds


@pytest.fixture
def kept() -> Archive:
    return Archive(Bounds(), recording=True)


def parts_of(page: str) -> list[str]:
    """What the page names."""
    return re.findall(r'(?:src|href)="(inspector/[^"]+)"', page)


async def every_part(admin: Any) -> dict[str, Any]:
    """The page's parts, and those that its modules import."""
    found: dict[str, Any] = {}
    waiting = parts_of((await admin.get("/")).text)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = await admin.get(f"/{name}")
            waiting += [f"inspector/{each}" for each in re.findall(r'from "\./([^"]+)"', found[name].text)]
    return found


async def test_the_page_and_all_its_parts_are_there(backend: Backend, kept: Archive) -> None:
    async with gateway(backend, archive=kept) as running, admin_of(running) as admin:
        parts = await every_part(admin)
    assert {answer.status_code for answer in parts.values()} == {200}
    kinds = {name.rpartition(".")[2]: answer.headers["content-type"] for name, answer in parts.items()}
    assert kinds == {
        "js": "text/javascript; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "svg": "image/svg+xml",
    }


async def test_nothing_is_named_that_is_elsewhere(backend: Backend, kept: Archive) -> None:
    async with gateway(backend, archive=kept) as running, admin_of(running) as admin:
        texts = {"/": (await admin.get("/")).text}
        texts |= {name: answer.text for name, answer in (await every_part(admin)).items()}
    for name, text in texts.items():
        assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}, name


async def test_no_text_is_ever_read_as_markup(backend: Backend, kept: Archive) -> None:
    sinks = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(|new Function|srcdoc|setHTML"
    async with gateway(backend, archive=kept) as running, admin_of(running) as admin:
        for name, answer in (await every_part(admin)).items():
            assert re.findall(sinks, answer.text) == [], name


async def test_headers_let_nothing_else_run(backend: Backend, kept: Archive) -> None:
    async with gateway(backend, archive=kept) as running, admin_of(running) as admin:
        for path in ("/", "/inspector/main.js"):
            fields = (await admin.get(path)).headers
            policy = fields["content-security-policy"].split("; ")
            assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(
                policy
            )
            assert "unsafe" not in fields["content-security-policy"]
            assert fields["x-content-type-options"] == "nosniff"
            assert fields["referrer-policy"] == "no-referrer"


async def test_a_part_that_the_browser_has_is_not_sent_again(backend: Backend, kept: Archive) -> None:
    async with gateway(backend, archive=kept) as running, admin_of(running) as admin:
        first = await admin.get("/")
        again = await admin.get("/", headers={"if-none-match": first.headers["etag"]})
        other = await admin.get("/", headers={"if-none-match": '"other"'})
    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content) == (304, b"")
    assert other.status_code == 200


@pytest.mark.parametrize("name", ["nothing.js", "..%2fpage.py", "%2e%2e/page.py", "..%2f..%2fversion.py"])
async def test_nothing_but_the_parts_is_served(backend: Backend, kept: Archive, name: str) -> None:
    async with gateway(backend, archive=kept) as running, admin_of(running) as admin:
        assert (await admin.get(f"/inspector/{name}")).status_code == 404


async def test_the_token_guards_the_page(backend: Backend, kept: Archive) -> None:
    async with gateway(backend, archive=kept) as running, admin_of(running, token="t0k") as admin:
        for path in ("/", "/inspector/main.js"):
            assert (await admin.get(path)).status_code == 401
            assert (await admin.get(path, auth=("anyone", "t0k"))).status_code == 200
