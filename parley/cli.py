"""The command `parley`: its groups, and how it ends. Starts fast: a command imports what it needs when it runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from parley.commands import coordinator, imports, job, party, protocols, user
from parley.commands import doctor as doctor_command
from parley.commands import run as run_command
from parley.commands.common import show_error, wants_json

if TYPE_CHECKING:
    from parley.wire.errors import ParleyError

app = typer.Typer(
    name="parley",
    help="Parties who do not trust each other compute together without showing each other their data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # loading rich would double the time that --help takes
)
app.add_typer(party.app, name="party")
app.add_typer(job.app, name="job")
app.add_typer(user.app, name="user")
app.add_typer(coordinator.app, name="coordinator")
app.add_typer(protocols.app, name="protocols")
app.add_typer(imports.app, name="import")
app.command("run")(run_command.run)
app.command("doctor")(doctor_command.doctor)


def _version(value: bool) -> None:
    if value:
        from parley import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Parties who do not trust each other compute together without showing each other their data."""


def main() -> None:
    """Run the command; exit code 0, 1 for a failure that is told, 2 for wrong arguments, 130 when interrupted."""
    sys.exit(_main())


def _main() -> int:
    import click

    try:
        code = app(standalone_mode=False)
    except click.exceptions.Abort:
        return 130
    except KeyboardInterrupt:
        return 130
    except click.ClickException as e:
        return _usage(e)
    except BrokenPipeError:
        return 1
    except _told() as e:
        show_error(_as_parley(e), wants_json())
        return 1
    return code if isinstance(code, int) else 0


def _usage(error: object) -> int:
    import click

    assert isinstance(error, click.ClickException)
    if wants_json():
        from parley.wire.errors import ParleyError

        show_error(ParleyError("bad_arguments", error.format_message(), "See --help."), True)
    else:
        error.show()
    return error.exit_code


def _told() -> tuple[type[Exception], ...]:
    """The errors that are told without a traceback; looked up only once something was raised."""
    from parley.components.errors import DataError
    from parley.crypto.errors import CryptoError
    from parley.wire.errors import ParleyError

    return (ParleyError, DataError, CryptoError, OSError)


def _as_parley(error: Exception) -> ParleyError:
    from parley.components.errors import DataError
    from parley.crypto.errors import CryptoError
    from parley.wire.errors import ParleyError

    if isinstance(error, ParleyError):
        return error
    if isinstance(error, DataError):
        return ParleyError(error.code, error.cause, error.hint)
    if isinstance(error, CryptoError):
        return ParleyError(error.code, error.message, error.hint or "")
    assert isinstance(error, OSError)
    where = f" ({error.filename})" if error.filename else ""
    return ParleyError(
        "io_error", f"{error.strerror or type(error).__name__}{where}.", "Check the path and its rights."
    )


if __name__ == "__main__":
    main()
