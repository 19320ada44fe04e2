"""Who may call the admin API."""

import base64
import re
import socket

import pytest
from admin_client import admin_of
from gateway_harness import Backend, gateway

from gateway.admin.app import admin_app
from gateway.admin.server import HttpServer
from gateway.server.listener import ListenError
from gateway.version import VERSION

RAW = b"Subject: hi\r\n\r\nhello\r\n"
PAGES = ("/", "/docs", "/docs/assets/swagger-ui-bundle.js", "/openapi.json", "/metrics", "/v1/sessions", "/v1/events")


def basic(user_and_password: str) -> str:
    return "Basic " + base64.b64encode(user_and_password.encode()).decode()


async def test_health_says_that_the_process_is_alive(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "version": VERSION})


async def test_readiness_names_the_listening_addresses(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.get("/readyz")
        assert (answer.status_code, answer.json()["listen"]) == (200, running.service.addresses)


async def test_a_gateway_that_has_stopped_listening_is_not_ready(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        await running.service.stop()
        answer = await admin.get("/readyz")
    assert (answer.status_code, answer.json()["ready"]) == (503, False)


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_and_readiness_need_no_token(backend: Backend, path: str) -> None:
    async with gateway(backend) as running, admin_of(running, token="secret", loopback=False) as admin:
        answer = await admin.get(path, headers={"host": "gw.example"})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer wrong"}, 401),
        ({"authorization": "secret"}, 401),
        ({"authorization": "Basic secret"}, 401),
        ({"authorization": "Bearer sécret".encode()}, 401),
        ({"authorization": "Bearer secret"}, 200),
        ({"authorization": "bearer secret"}, 200),
        ({"authorization": "Bearer secret", "host": "gw.example", "origin": "http://elsewhere.example"}, 200),
        ({"authorization": basic("any:secret")}, 200),
        ({"authorization": basic(":secret"), "host": "gw.example", "origin": "https://gw.example"}, 200),
        ({"authorization": basic("any:secret"), "host": "gw.example", "origin": "http://elsewhere.example"}, 403),
        ({"authorization": basic("any:secret"), "origin": "null"}, 403),
        ({"authorization": basic("secret:any")}, 401),
        ({"authorization": basic("secret")}, 401),
        ({"authorization": "Basic !"}, 401),
    ],
)
async def test_with_a_token_only_its_holders_may_simulate(
    backend: Backend, given: dict[str, str | bytes], status: int
) -> None:
    headers = {name: value if isinstance(value, bytes) else value.encode() for name, value in given.items()}
    async with gateway(backend) as running, admin_of(running, token="secret") as admin:
        answer = await admin.post("/v1/simulate", content=RAW, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8025", 200),
        ("LOCALHOST:8025", 200),
        ("127.0.0.1:8025", 200),
        ("127.0.0.2", 200),
        ("[::1]:8025", 200),
        ("attacker.example", 403),
        ("localhost.attacker.example", 403),
        ("127.0.0.1.attacker.example", 403),
        ("192.0.2.1", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_without_a_token_only_loopback_names_are_answered(backend: Backend, host: str, status: int) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answers = [
            await admin.get("/healthz", headers={"host": host}),
            await admin.post("/v1/simulate", content=RAW, headers={"host": host}),
        ]
    assert [answer.status_code for answer in answers] == [status, status]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 200),
        ("http://localhost:8025", 200),
        ("http://localhost:9999", 403),
        ("https://localhost:8025", 403),
        ("http://attacker.example", 403),
        ("null", 403),
    ],
)
async def test_without_a_token_only_pages_of_this_address_may_post(
    backend: Backend, origin: str | None, status: int
) -> None:
    headers = {"host": "localhost:8025"} | ({"origin": origin} if origin else {})
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.post("/v1/simulate", content=RAW, headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_is_shown_without_the_token(backend: Backend, path: str) -> None:
    async with gateway(backend) as running, admin_of(running, token="secret", loopback=False) as admin:
        refused = await admin.get(path)
        unnamed = await admin.get(path, headers={"authorization": basic("ann:other")})
    assert [refused.status_code, unnamed.status_code] == [401, 401]
    assert [item.partition(" ")[0] for item in refused.headers.get_list("www-authenticate")] == ["Bearer", "Basic"]


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_of_elsewhere_reads_nothing(backend: Backend, path: str) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.get(path, headers={"host": "attacker.example"})
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["/docs", "/docs/assets/swagger-ui-bundle.js", "/openapi.json", "/metrics", "/nope"])
async def test_a_page_of_elsewhere_frames_nothing(backend: Backend, path: str) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        for headers in ({}, {"host": "evil.example"}):
            answer = await admin.get(path, headers=headers)
            fields = [answer.headers[name] for name in ("x-frame-options", "x-content-type-options")]
            assert fields == ["DENY", "nosniff"]


async def test_the_documentation_needs_no_other_host(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        page = await admin.get("/docs")
        parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        answers = [await admin.get(part) for part in parts]
    assert len(parts) == 3
    assert all(part.startswith("/docs/assets/") for part in parts)
    assert [answer.status_code for answer in answers] == [200, 200, 200]


async def test_a_refused_post_asks_no_webhook(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        await admin.post("/v1/simulate", content=RAW, headers={"origin": "http://attacker.example"})
    assert backend.requests == []


async def test_beyond_loopback_nothing_but_health_is_answered_without_a_token(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running, loopback=False) as admin:
        answers = [await admin.get("/healthz"), await admin.post("/v1/simulate", content=RAW)]
    assert [answer.status_code for answer in answers] == [200, 403]


@pytest.mark.parametrize(("path", "status"), [("/nothing/here", 404), ("/v1/simulate", 405)])
async def test_errors_are_json(backend: Backend, path: str, status: int) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        answer = await admin.get(path)
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])


async def test_the_openapi_document_describes_the_simulation(backend: Backend) -> None:
    async with gateway(backend) as running, admin_of(running) as admin:
        described = (await admin.get("/openapi.json")).json()["paths"]["/v1/simulate"]["post"]
    assert {item["name"] for item in described["parameters"]} == {"from", "rcpt", "helo", "client", "webhook"}
    assert set(described["requestBody"]["content"]) == {"message/rfc822", "multipart/form-data"}


async def test_a_taken_address_is_an_error_that_names_it(backend: Backend) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with gateway(backend) as running:
            app = admin_app(running.served, token=None, loopback=True)
            with pytest.raises(ListenError, match=f"cannot listen on admin address 127.0.0.1 port {port}"):
                await HttpServer(app, "127.0.0.1", port, "admin address").start()
