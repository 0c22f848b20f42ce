"""`mailer theme`: how a newsletter's mails look."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mailer.cli.console import AsJson, answer, answer_fields, example, say
from mailer.cli.opening import open_installation
from mailer.services.newsletters.lookup import find_newsletter
from mailer.services.newsletters.themes import reset_theme, set_theme, theme_fields
from mailer.store.engine import reading

app = typer.Typer()

NewsletterName = Annotated[str, typer.Argument(metavar="NEWSLETTER", help="Short name or id.")]


def _colour(help_text: str) -> Any:
    return typer.Option(metavar="#RRGGBB", help=help_text)


@app.command(epilog=example("mailer theme show weekly --json"))
def show(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """Show the theme as mails use it: colours in light and dark, fonts, logo, footer."""
    parts = open_installation()
    with reading(parts.sessions) as session:
        fields = theme_fields(find_newsletter(session, newsletter_name))
    answer_fields(as_json, fields)


@app.command(
    "set",
    epilog=example(
        "mailer theme set weekly --accent '#0f766e' --font magazine",
        'mailer theme set weekly --logo https://example.org/logo.png --logo-alt "The Weekly"',
    ),
)
def set_(
    newsletter_name: NewsletterName,
    logo: Annotated[
        str | None, typer.Option(help="The address of a PNG or JPEG, instead of the name.")
    ] = None,
    logo_alt: Annotated[
        str | None, typer.Option(help="The words where pictures are not shown.")
    ] = None,
    logo_width: Annotated[
        int | None, typer.Option(help="How wide it is shown, in pixels; 200 if not set.")
    ] = None,
    accent: Annotated[str | None, _colour("Links, sections, buttons.")] = None,
    paper: Annotated[str | None, _colour("Around the mail.")] = None,
    sheet: Annotated[str | None, _colour("Behind the text.")] = None,
    ink: Annotated[str | None, _colour("Headlines and text.")] = None,
    quiet: Annotated[str | None, _colour("Small print.")] = None,
    dark_accent: Annotated[str | None, _colour("The same in dark mode.")] = None,
    dark_paper: Annotated[str | None, _colour("The same in dark mode.")] = None,
    dark_sheet: Annotated[str | None, _colour("The same in dark mode.")] = None,
    dark_ink: Annotated[str | None, _colour("The same in dark mode.")] = None,
    dark_quiet: Annotated[str | None, _colour("The same in dark mode.")] = None,
    font: Annotated[
        str | None, typer.Option(help="newspaper, magazine, modern or classic.")
    ] = None,
    footer: Annotated[
        str | None, typer.Option(help="A text above the address in every mail.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given and keep the rest; an empty value takes one back.

    A text that could not be read on its ground (a contrast below 4.5:1) is refused; a dark accent
    that is not given follows the accent, lightened as far as it must be.
    """
    given = {
        "logo": logo, "logo_alt": logo_alt,
        "logo_width": None if logo_width is None else str(logo_width),
        "accent": accent, "paper": paper, "sheet": sheet, "ink": ink, "quiet": quiet,
        "dark_accent": dark_accent, "dark_paper": dark_paper, "dark_sheet": dark_sheet,
        "dark_ink": dark_ink, "dark_quiet": dark_quiet, "font": font, "footer": footer,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise typer.BadParameter("Say what to change, such as --accent.")
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        adjusted = set_theme(session, newsletter, changes)
        fields = theme_fields(newsletter)
    for sentence in adjusted:
        say(sentence)
    answer(
        as_json,
        fields,
        f"The theme of {fields['newsletter']} is kept. Look at it with `mailer template preview "
        f"digest --newsletter {fields['newsletter']} --watch`.",
    )


@app.command(epilog=example("mailer theme reset weekly"))
def reset(newsletter_name: NewsletterName, as_json: AsJson = False) -> None:
    """Forget the theme: the newsletter looks as a new one does."""
    parts = open_installation()
    with parts.sessions.begin() as session:
        newsletter = find_newsletter(session, newsletter_name)
        reset_theme(session, newsletter)
        fields = theme_fields(newsletter)
    answer(as_json, fields, f"The theme of {fields['newsletter']} is the standard one again.")
