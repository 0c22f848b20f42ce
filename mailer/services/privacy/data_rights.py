"""What a reader may ask for under the GDPR: for the document with everything about them."""

from __future__ import annotations

from mailer.locales import N_, Sentence

_RIGHTS = (
    (
        "7 (3)",
        N_("Withdraw your consent at any time"),
        N_(
            "Use the link “Unsubscribe” in any mail, or the page “Preferences”, to which every "
            "mail has a link. What was sent before stays lawful."
        ),
    ),
    (
        "15",
        N_("Know what is kept about you, and get a copy"),
        N_(
            "This document. For another one use the page “Preferences”, to which every mail has a "
            "link."
        ),
    ),
    (
        "16",
        N_("Have what is wrong put right"),
        N_(
            "Name, language and topics: the page “Preferences”, to which every mail has a link. "
            "Everything else: write to %(contact)s."
        ),
    ),
    (
        "17",
        N_("Have everything deleted"),
        N_(
            "Use the button “Delete everything about me” on the page “Preferences”, to which every "
            "mail has a link, or write to %(contact)s."
        ),
    ),
    ("18", N_("Have the use of your data restricted"), N_("Write to %(contact)s.")),
    (
        "20",
        N_("Take your data elsewhere"),
        N_("The JSON file holds all of this in a form that programs read."),
    ),
    ("21", N_("Object"), N_("Write to %(contact)s.")),
    (
        "77",
        N_("Complain to a supervisory authority"),
        N_("Turn to the authority where you live or work, or where the publisher is."),
    ),
)


def rights(contact: str) -> list[dict[str, str]]:
    """Return what a reader may ask for, under which article of the GDPR, and how.

    `contact` is where the publisher is reached; empty: nobody has entered it.
    """
    whom = contact or N_("the publisher")
    return [
        {"right": right, "article": article, "how": Sentence(how, contact=whom)}
        for article, right, how in _RIGHTS
    ]
