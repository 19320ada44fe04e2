"""The commands and their options; each does its work in a module of its own."""

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click

from gateway.cli.check import check as check_webhooks
from gateway.cli.demo import demo as run_demo
from gateway.cli.errors import FAILED, INTERRUPTED, USAGE_ERROR, CommandError
from gateway.cli.logs import set_up_logs
from gateway.cli.options import given_flags, macros_of, milter_of, mode_of, webhook_options
from gateway.cli.replay import Replay
from gateway.cli.replay import replay as replay_recording
from gateway.cli.run import RecordingFile, StartError, work
from gateway.cli.run import run as serve
from gateway.cli.sample import sample as sample_of
from gateway.cli.scenes import RECIPIENT, SAMPLE_MESSAGE, SENDER
from gateway.cli.schema import SCHEMAS
from gateway.cli.schema import schema as schema_of
from gateway.cli.send import Destination
from gateway.cli.send import send as send_mail
from gateway.cli.snoop import Snoop
from gateway.cli.snoop import snoop as snoop_between
from gateway.config import ConfigError, Flags, ListenSpec, Settings, load
from gateway.contract.words import Event
from gateway.mta.mail import Mail
from gateway.version import VERSION
from gateway.webhook import parse_secret

PROGRAM = "milter-gateway"


def settings_from(file: Path | None, flags: Flags) -> Settings:
    """Read the configuration. Raises ConfigError."""
    return load(file, environ=os.environ, flags=flags)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name=PROGRAM)
def cli() -> None:
    """Write a Postfix or Sendmail milter as a plain HTTP service."""


@cli.command()
@webhook_options
@click.option("--listen", multiple=True, metavar="SPEC", help="Where MTAs connect, such as inet:20025@127.0.0.1.")
@click.option("--admin", metavar="HOST:PORT", help='Where the admin API listens; "" switches it off.')
@click.option("--workers", type=int, metavar="N", help="Processes.")
@click.option("--log-format", type=click.Choice(["json", "text"]), help="How log lines look.")
@click.option("--record", type=click.Path(path_type=Path), metavar="FILE", help="Keep exchanges in FILE, for replay.")
@click.option("--redact", is_flag=True, help="Write pseudonyms for names, addresses and words into that file.")
def run(config: Path | None, log_format: str | None, record: Path | None, redact: bool, **options: Any) -> None:
    """Serve: MTAs connect here, webhooks are asked."""
    if redact and record is None:
        raise click.UsageError("--redact is for --record FILE")
    flags = given_flags(log_format=log_format, **options)
    settings = settings_from(config, flags)
    form = log_format or ("text" if sys.stderr.isatty() else "json")
    set_up_logs(form)
    file = RecordingFile(record, redact) if record is not None else None
    serve(settings, lambda: settings_from(config, flags), form, file)


@cli.command(hidden=True)
@click.option("--descriptor", type=int, required=True)
@click.option("--number", type=int, required=True)
@click.option("--log-format", type=click.Choice(["json", "text"]), required=True)
def worker(descriptor: int, number: int, log_format: str) -> None:
    """Be one of the processes that `run --workers N` starts; nobody else calls this."""
    set_up_logs(log_format, worker=number)
    work(descriptor)


@cli.command()
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N mails; without it, never.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two mails.",
)
def demo(count: int | None, interval: float) -> None:
    """Show it all: a sample backend, the gateway, and sample mail, without an MTA and without a network."""
    set_up_logs("text")
    run_demo(count, interval)


@cli.command()
@webhook_options
def check(config: Path | None, **options: Any) -> int:
    """Check the configuration, and ask each webhook a question that says dry_run."""
    return check_webhooks(settings_from(config, given_flags(**options)))


@cli.command()
@click.argument("file", required=False, type=click.File("rb"))
@click.option("--milter", default="inet:20025@127.0.0.1", show_default=True, callback=milter_of, metavar="SPEC")
@click.option("--from", "sender", default=SENDER, show_default=True, metavar="ADDRESS", help='"" is the null sender.')
@click.option("--rcpt", multiple=True, default=[RECIPIENT], show_default=True, metavar="ADDRESS", help="Repeatable.")
@click.option("--helo", default="localhost", show_default=True, metavar="NAME")
@click.option("--client", default="127.0.0.1", show_default=True, metavar="IP", help="The SMTP client's address.")
@click.option("--macro", multiple=True, callback=macros_of, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--timeout", type=click.FloatRange(min=0.001), metavar="SECONDS", help="For each answer; as Postfix: 30.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead.")
def send(
    file: BinaryIO | None,
    milter: ListenSpec,
    sender: str,
    rcpt: tuple[str, ...],
    helo: str,
    client: str,
    macro: dict[str, str],
    timeout: float | None,
    as_json: bool,
) -> int:
    """Play the MTA: send FILE (- is standard input; without it, a sample message) through any milter.

    Exit codes: 0 accepted, 10 rejected, 11 tempfailed, 12 discarded, 13 quarantined, 1 no verdict.
    """
    try:
        raw = SAMPLE_MESSAGE if file is None else file.read()
        mail = Mail(raw, sender, rcpt, helo, client, macro)
    except OSError as error:
        raise CommandError(f"the message cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise CommandError(str(error)) from error
    return send_mail(Destination(milter, timeout), mail, as_json=as_json)


@cli.command()
@click.option("--listen", required=True, callback=milter_of, metavar="SPEC", help="Where the MTA connects.")
@click.option("--to", required=True, callback=milter_of, metavar="SPEC", help="Where the milter listens.")
@click.option("--full", is_flag=True, help="Show bodies and long values whole; without it, how they begin.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line instead.")
@click.option(
    "--socket-mode", default="0660", show_default=True, callback=mode_of, metavar="MODE", help="Of unix:PATH."
)
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0.001),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="For the milter to take a connection.",
)
def snoop(**options: Any) -> int:
    """Pass all that an MTA and a milter say to each other on unchanged, and print it decoded.

    Point the MTA at the --listen address. Ctrl-C ends it; what is open then is closed.
    """
    return snoop_between(Snoop(**options))


@cli.command()
@click.argument("event", type=click.Choice([event.value for event in Event]), metavar="EVENT")
@click.option(
    "--set", "replacements", multiple=True, metavar="PATH=JSON", help="Such as data.address='\"x@y.example\"'."
)
def sample(event: str, replacements: tuple[str, ...]) -> None:
    """Print the JSON that a webhook would get, to be posted with curl."""
    click.echo(sample_of(Event(event), replacements))


@cli.command()
@click.argument("name", type=click.Choice([*SCHEMAS]))
def schema(name: str) -> None:
    """Print the JSON Schema of requests or responses, or the OpenAPI document."""
    click.echo(schema_of(name))


@cli.command()
@click.argument("recording", type=click.Path(path_type=Path), metavar="RECORDING")
@click.option("--webhook", "url", required=True, metavar="URL", help="Where to; {event} becomes the event's name.")
@click.option("--secret-file", type=click.Path(path_type=Path), metavar="FILE", help="Signs the calls.")
@click.option("--timeout", type=click.FloatRange(min=0.001), default=30.0, show_default=True, metavar="SECONDS")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each exchange instead.")
def replay(recording: Path, url: str, secret_file: Path | None, timeout: float, as_json: bool) -> int:
    """Send the exchanges of RECORDING (run --record FILE) again, and print what is answered differently.

    Exit codes: 0 all the same, 1 something differs.
    """
    try:
        secrets = (parse_secret(secret_file.read_text().strip()),) if secret_file else ()
    except (OSError, ValueError) as error:
        raise CommandError(f"{secret_file}: {error}") from error
    return replay_recording(Replay(recording, url, secrets, timeout, as_json))


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; what users do is answered with one readable line, never with a traceback.

    `args` None means those of the process.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals that have only a part of all characters
    try:
        code = cli.main(args, prog_name=PROGRAM, standalone_mode=False)
        if sys.stdout is not None:  # started without one
            sys.stdout.flush()
    except OSError as error:
        code = _give_up_output(error)
    except (KeyboardInterrupt, click.Abort):
        code = INTERRUPTED
    except (click.ClickException, CommandError, ConfigError, StartError) as error:
        code = _complain(error)
    sys.exit(code)


def _give_up_output(error: OSError) -> int:
    """Nobody reads what we print, or it cannot be written: say so where that is news, and print no more."""
    if not isinstance(error, BrokenPipeError):
        click.echo(f"{PROGRAM}: {error}", err=True)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it exits
    return FAILED


def _complain(error: Exception) -> int:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return USAGE_ERROR
        case click.UsageError():
            path = error.ctx.command_path if error.ctx else PROGRAM
            click.echo(f"{path}: {' '.join(error.format_message().split())} (see {path} --help)", err=True)
            return USAGE_ERROR
        case click.ClickException():
            click.echo(f"{PROGRAM}: {error.format_message()}", err=True)
            return USAGE_ERROR
        case CommandError():
            click.echo(f"{PROGRAM}: {error}", err=True)
            return error.code
        case ConfigError():
            click.echo(str(error), err=True)
            return USAGE_ERROR
    click.echo(f"{PROGRAM}: {error}", err=True)
    return USAGE_ERROR
