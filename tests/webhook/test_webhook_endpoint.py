"""Settings: what is refused at start, and what URLs become."""

import pytest

from gateway.webhook import Endpoint, WebhookClient
from gateway.webhook.endpoint import absolute_url
from gateway.webhook.lean import host_field


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"urls": ("ftp://x.example/",)}, "url: .*expected http"),
        ({"urls": ("/relative",)}, "url: .*expected http"),
        ({"urls": ("http://",)}, "url: .*expected http"),
        ({"urls": ("http://x.example:port/",)}, "url: .*[Pp]ort"),
        ({"urls": ("http://x.example:99999/",)}, "url: .*[Pp]ort"),
        ({"urls": ("http://x y/",)}, "no host name"),
        ({"urls": ("http://ann:pw@x.example/",)}, "authorization"),
        ({"uds": "/s", "proxy": "http://p:1"}, "uds, proxy"),
        ({"proxy": "socks5://p:1"}, "proxy: "),
        ({"key_file": "/k"}, "tls.key_file"),
        ({"urls": ("https://x.example/",), "ca_file": "/does/not/exist"}, "tls.ca_file: /does/not/exist"),
        ({"urls": ("https://x.example/",), "cert_file": "/does/not/exist"}, "tls.cert_file"),
        ({"headers": (("bad name", "x"),)}, "no header field name"),
        ({"headers": (("x", "a\r\nmilter-event: b"),)}, "control characters"),
        ({"headers": (("x", "secret\u20ac"),)}, "latin-1"),
        ({"headers": (("Content-Length", "1"),)}, "set by the gateway"),
        ({"headers": (("Webhook-Signature", "1"),)}, "set by the gateway"),
        ({"headers": (("milter-attempt", "1"),)}, "set by the gateway"),
    ],
)
def test_faults_are_found_at_start(settings, message):
    with pytest.raises(ValueError, match=message):
        WebhookClient(Endpoint(**{"name": "policy", "urls": ("http://x.example/",), **settings}), version="1")


def test_a_ca_file_without_certificates(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"tls\.ca_file"):
        WebhookClient(Endpoint("policy", ("https://x.example/",), ca_file=str(path)), version="1")


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("http://x.example", "http://x.example/"),
        ("HTTPS://X.Example:8443/a/{event}", "https://x.example:8443/a/mail"),
        ("http://[::1]:8000/p?q=1#frag", "http://[::1]:8000/p?q=1"),
        ("http://bücher.example/ü%20x", "http://xn--bcher-kva.example/%C3%BC%20x"),
        ('http://x.example/a b"{other}', "http://x.example/a%20b%22%7Bother%7D"),
        ("http://{event}.x.example/", "http://mail.x.example/"),
        ("http://my_service:80/", "http://my_service:80/"),
    ],
)
def test_urls(template, url):
    assert absolute_url(template, "mail") == url


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://x.example/", "x.example"),
        ("http://x.example:80/", "x.example"),
        ("https://x.example:80/", "x.example:80"),
        ("https://[::1]:443/", "[::1]"),
        ("http://[::1]:8000/", "[::1]:8000"),
    ],
)
def test_host_field(url, host):
    assert host_field(url) == host


def test_some_fields_may_be_replaced():
    endpoint = Endpoint("policy", ("http://x.example/",), headers=(("User-Agent", "mine"), ("Host", "other")))
    assert endpoint.request(endpoint.urls[0], "mail", "milter-gateway/1").headers == (
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
        ("User-Agent", "mine"),
        ("Host", "other"),
    )


def test_secrets_do_not_show_in_logs():
    endpoint = Endpoint("p", ("http://x/",), secrets=(b"hush",), headers=(("a", "hush"),), proxy="http://u:hush@p:1")
    assert "hush" not in repr(endpoint)
