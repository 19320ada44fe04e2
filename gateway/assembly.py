"""From settings to the parts of the program: the only place that knows both."""

from collections.abc import Callable
from dataclasses import replace

from gateway.config import Limits, ListenSpec, Settings, TcpSpec, UnixSpec
from gateway.config import Webhook as WebhookSettings
from gateway.config import When as WhenSettings
from gateway.contract.words import Event
from gateway.observe import log_alternative, log_circuit
from gateway.policy.rules import Bounds, OnFailure, OnTooLarge, Webhook
from gateway.policy.setup import Setup
from gateway.policy.when import ALWAYS, ClientRule, When
from gateway.recording import Bounds as ArchiveBounds
from gateway.recording import Webhook as ShownWebhook
from gateway.server.connection import Timing
from gateway.server.listener import Address, TcpAddress, UnixAddress
from gateway.server.service import Generation
from gateway.spool import MemoryBudget, Spool
from gateway.version import VERSION
from gateway.webhook import Attempt, Endpoint, WebhookClient


def generation(settings: Settings, on_attempt: Callable[[Attempt], None] | None = None) -> Generation:
    """Build everything that one configuration needs; on a running loop. Raises ValueError, whose text names the key.

    `on_attempt` is told of each attempt of a call.
    """
    limits = settings.limits
    budget = MemoryBudget(limits.memory_bytes)
    in_json = any(item.format == "json" and "message.body" in item.include for item in settings.webhook)
    clients = {item.name: client(item, limits, budget, on_attempt) for item in settings.webhook}
    setup = Setup(
        webhooks=tuple(webhook(item, clients[item.name]) for item in settings.webhook),
        bounds=bounds(settings),
        new_body=lambda: Spool(budget, limits.spool_above, counts_escapes=in_json),
        release=budget.release,
        macros={stage: tuple(names) for stage, names in settings.macros.items()},
    )
    return Generation(
        setup=setup,
        addresses=addresses(settings),
        timing=Timing(frame_seconds=limits.frame_timeout, idle_seconds=limits.idle_timeout),
        connections=limits.connections,
        peers=limits.peers,
        drain_seconds=limits.drain_timeout,
        clients=tuple(clients.values()),
        buffered=lambda: budget.used,
    )


def addresses(settings: Settings) -> tuple[Address, ...]:
    """Where to listen."""
    return tuple(_address(spec, settings.socket_mode) for spec in settings.listen)


def dry(setup: Setup, only: str | None = None) -> Setup:
    """The same webhooks, or one of them, whose calls say `dry_run`."""
    webhooks = tuple(item for item in setup.webhooks if only is None or item.name == only)
    return replace(setup, webhooks=webhooks, dry_run=True)


def bounds(settings: Settings) -> Bounds:
    """The limits on one session."""
    limits = settings.limits
    return Bounds(
        message_bytes=limits.message_bytes,
        recipients=limits.recipients,
        headers=limits.headers,
        context_bytes=limits.context_bytes,
        command_seconds=limits.command_deadline,
        end_of_message_seconds=limits.end_of_message_deadline,
    )


def archive_bounds(settings: Settings) -> ArchiveBounds:
    """How much of what happened is kept in memory."""
    admin = settings.admin
    return ArchiveBounds(admin.record_count, admin.record_bytes, admin.record_age)


def shown_webhooks(settings: Settings) -> tuple[ShownWebhook, ...]:
    """What the inspector is told of the webhooks."""
    return tuple(
        ShownWebhook(
            name=item.name,
            urls=tuple(item.url),
            events=tuple(event.value for event in item.events),
            format=item.format,
            headers=tuple(item.headers),
            signed=bool(item.secret_file),
            uds=str(item.uds) if item.uds else None,
        )
        for item in settings.webhook
    )


def client(
    settings: WebhookSettings,
    limits: Limits,
    budget: MemoryBudget,
    on_attempt: Callable[[Attempt], None] | None = None,
) -> WebhookClient:
    """The HTTP client of one webhook. Raises ValueError."""
    tls = settings.tls
    endpoint = Endpoint(
        name=settings.name,
        urls=settings.url,
        retries=settings.retries,
        secrets=tuple(secret.value for secret in settings.secret_file),
        headers=tuple((name, header.value) for name, header in settings.headers.items()),
        ca_file=str(tls.ca_file) if tls.ca_file else None,
        cert_file=str(tls.cert_file) if tls.cert_file else None,
        key_file=str(tls.key_file) if tls.key_file else None,
        uds=str(settings.uds) if settings.uds else None,
        proxy=settings.proxy,
        http2=settings.http2,
        response_bytes=limits.response_bytes,
        connections=limits.connections,
    )
    return WebhookClient(
        endpoint,
        version=VERSION,
        budget=budget,
        on_attempt=on_attempt,
        on_alternative=log_alternative,
        on_circuit=log_circuit,
    )


def webhook(settings: WebhookSettings, asker: WebhookClient) -> Webhook:
    """The policy of one webhook."""
    return Webhook(
        name=settings.name,
        client=asker,
        events=frozenset(settings.events),
        headers="message.headers" in settings.include,
        body="message.body" in settings.include,
        parsed="message.parsed" in settings.include,
        multipart=settings.format == "multipart",
        streams=settings.format == "multipart" and not settings.secret_file,
        rejected_recipients=settings.rejected_recipients,
        when=_when(settings.when),
        timeout_seconds=settings.timeout,
        timeout_end_of_message_seconds=settings.timeout_end_of_message,
        on_failure={event: OnFailure(settings.failure_for(event)) for event in Event},
        on_invalid={event: OnFailure(settings.invalid_for(event)) for event in Event},
        on_too_large=OnTooLarge(settings.on_too_large),
        allow=settings.allow,
        secrecy=asker.secrecy,
    )


def _when(settings: WhenSettings) -> When:
    if settings == WhenSettings():
        return ALWAYS
    clients = settings.client
    return When(
        client=None if clients is None else tuple(ClientRule(rule.network, rule.negated) for rule in clients),
        authenticated=settings.authenticated,
        auth_user=settings.auth_user,
        from_domain=settings.from_domain,
        rcpt_domain=settings.rcpt_domain,
        helo=settings.helo,
        daemon=settings.daemon,
        tls=settings.tls,
    )


def _address(spec: ListenSpec, mode: int) -> Address:
    match spec:
        case TcpSpec():
            return TcpAddress(spec.host, spec.port)
        case UnixSpec():
            return UnixAddress(spec.path, mode)
