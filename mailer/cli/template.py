"""`mailer template`: the operator's own templates, and what they look like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mailer.cli.console import (
    AsJson,
    Yes,
    answer,
    answer_rows,
    example,
    print_json,
    say,
)
from mailer.cli.new_file import new_file
from mailer.domain.errors import Refusal

if TYPE_CHECKING:
    from mailer.rendering import CompiledMessage

app = typer.Typer()

Name = Annotated[str, typer.Argument(metavar="NAME", help="The template's name.")]


class Wrong(Refusal):
    """At least one template cannot be used."""


@app.command("list", epilog=example("mailer template list"))
def list_all(as_json: AsJson = False) -> None:
    """List all templates: ours, and your own in MAILER_HOME/templates."""
    from mailer.services.mails.own_templates import list_templates

    rows = [
        {"template": each.name, "own": each.own, "folder": str(each.folder)}
        for each in list_templates(_own_folder())
    ]
    answer_rows(as_json, rows, ("template", "own", "folder"), empty="There is none.")


@app.command(
    epilog=example("mailer template copy digest --as friday", "mailer template copy _layout")
)
def copy(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="One of ours, or _layout, which all share.")
    ],
    new_name: Annotated[
        str | None, typer.Option("--as", help="A name of its own; else it takes the place of ours.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy one of our templates into MAILER_HOME/templates, to be changed there."""
    from mailer.services.mails.own_templates import copy_template

    folder = copy_template(name, new_name or name, _own_folder())
    answer(
        as_json,
        {"template": folder.name, "folder": str(folder)},
        f"Copied to {folder}. Look at it while you change it: "
        f"`mailer template preview {'digest' if name == '_layout' else folder.name} --watch`.",
    )


@app.command(
    epilog=example(
        "mailer template preview digest --watch",
        "mailer template preview confirmation --locale ar --html confirmation.html",
    )
)
def preview(
    name: Name,
    locale: Annotated[
        str | None, typer.Option(help="In this language; else the newsletter's, or en.")
    ] = None,
    newsletter_name: Annotated[
        str | None, typer.Option("--newsletter", help="With its name, address and theme.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the HTML part into this file.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it in a browser, anew whenever a file changes.")
    ] = False,
    port: Annotated[int, typer.Option(help="Where --watch listens; 0: any.", min=0)] = 0,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show a template with sample content: its text here, its HTML in a file or a browser."""
    from mailer.cli.template_watch import pictures_inside, watch_template
    from mailer.services.mails.samples import sample_reader

    def rendered(locale: str | None, pictures: dict[str, str]) -> CompiledMessage:
        return _rendered(name, locale, newsletter_name, pictures)

    if watch:
        watch_template(name, rendered, locale, _own_folder(), port=port, tell=say)
        return
    message = rendered(locale, pictures_inside())
    values = sample_reader()
    if html is not None:
        with new_file(html, replace=yes) as file:
            file.write(message.preview_html(values))
    if as_json:
        seen = {"html": message.preview_html(values), "text": message.preview_text(values)}
        print_json({"template": name, "subject": message.subject(values), **seen})
    elif html is not None:
        typer.echo(f"Wrote {html}.")
    else:
        typer.echo(f"Subject: {message.subject(values)}\n\n{message.preview_text(values)}")


@app.command(epilog=example("mailer template check"))
def check(as_json: AsJson = False) -> None:
    """Render every template in every language, and name every sentence that is not translated.

    Of your own it also says what `mailer campaign check` would find errors in.
    """
    from mailer.locales import LANGUAGES, faults
    from mailer.services.mails.own_templates import template_faults, what_would_be_held

    broken = [
        {"what": f"template {fault.name}", "language": fault.locale, "says": fault.says}
        for fault in template_faults(_own_folder(), LANGUAGES)
    ]
    held = [
        {"what": f"template {fault.name}", "language": fault.locale, "says": fault.says}
        for fault in what_would_be_held(_own_folder())
    ]
    untranslated = [
        {"what": "catalogue", "language": fault.language, "says": f"{fault.kind}: {fault.message}"}
        for fault in faults()
    ]
    empty = "Every template can be rendered, and every sentence is translated."
    answer_rows(as_json, [*broken, *held, *untranslated], ("what", "language", "says"), empty=empty)
    if broken:
        raise Wrong(f"{len(broken)} of the templates cannot be used: mend them as they say.")


def _own_folder() -> Path:
    from mailer.settings import load

    return load().home / "templates"


def _rendered(
    name: str, locale: str | None, newsletter_name: str | None, pictures: dict[str, str]
) -> CompiledMessage:
    from mailer.services.mails.samples import sample_message
    from mailer.services.newsletters.newsletters import locale_code

    own = _own_folder()
    wanted = locale_code(locale) if locale else None
    if newsletter_name is None:
        return sample_message(name, wanted or "en", own_templates=own, pictures=pictures)
    from mailer.cli.opening import open_installation
    from mailer.services.newsletters.lookup import find_newsletter
    from mailer.store.engine import reading

    with reading(open_installation().sessions) as session:
        newsletter = find_newsletter(session, newsletter_name)
        return sample_message(
            name, wanted or newsletter.locale, own_templates=own, pictures=pictures,
            newsletter=newsletter,
        )  # fmt: skip
