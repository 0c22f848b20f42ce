"""Compiling a mail: Jinja once, premailer once, encoding once; slots stay open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from mailer.domain.addresses import wire_address
from mailer.rendering.environment import MessageTemplate, TemplateRefused
from mailer.rendering.headers import StaticHeaders, literal_field, mailbox, text_field
from mailer.rendering.html import inlined, refuse_misplaced, sanitise_operator_html
from mailer.rendering.message import SUBJECT, CompiledMessage
from mailer.rendering.personalise import Place, SlotUse
from mailer.rendering.plain import plain_text
from mailer.rendering.quoted_printable import SOFT_BREAK, encode
from mailer.rendering.slots import SlotMisused, Slots


def compile_message(
    template: MessageTemplate, context: Mapping[str, Any], headers: StaticHeaders, *, nonce: str
) -> CompiledMessage:
    """Return the mail with slots for a reader's values.

    `nonce` (letters and digits, unguessable) keeps content from looking like a slot. Raises
    TemplateRefused, naming file and line, and HeaderRefused.
    """
    slots = Slots(nonce)
    names = {**context, **slots.context(), "safe_html": _safe_html, "plain_text": plain_text}
    subject = " ".join(template.render("subject.txt", names).split())
    if not subject:
        raise TemplateRefused(f"Template {template.name}/subject.txt writes no subject: mend it.")
    names["preheader"] = " ".join(template.render("preheader.txt", names).split())
    source = template.render("body.html", names)
    try:
        refuse_misplaced(source, slots)
    except SlotMisused as error:
        raise TemplateRefused(f"Template {template.name}/body.html: {error}.") from None
    text = template.render("body.txt", names).strip("\n") + "\n"
    boundary = f"=_{nonce}"
    segments = (
        *_headers(headers, subject, slots, boundary),
        b"\r\n",
        _part_begin(boundary, "text/plain"),
        *_segments(text, slots, Place.TEXT),
        _part_begin(boundary, "text/html"),
        *_segments(inlined(source), slots, Place.HTML),
        f"\r\n--{boundary}--\r\n".encode(),
    )
    sender = wire_address(headers.from_address)
    return CompiledMessage(tuple(_joined(segments)), _subject_parts(subject, slots), sender)


def _safe_html(source: str) -> Markup:
    """Let an operator's own HTML into a template, through the sanitiser."""
    return Markup(sanitise_operator_html(source))


def _subject_parts(subject: str, slots: Slots) -> tuple[str, ...]:
    parts: list[str] = []
    for text, name in slots.split(subject):
        parts.extend((text, name) if name is not None else (text,))
    return tuple(parts)


def _headers(
    headers: StaticHeaders, subject: str, slots: Slots, boundary: str
) -> Iterator[bytes | SlotUse]:
    """Yield the header's fields: those that all have in common, and slots for the others."""
    yield b"From: " + mailbox(headers.from_name, headers.from_address) + b"\r\n"
    yield SlotUse("To", Place.HEADER)
    has_slots = len(_subject_parts(subject, slots)) > 1
    yield SUBJECT if has_slots else text_field("Subject", subject)
    yield SlotUse("Date", Place.HEADER)
    yield SlotUse("Message-ID", Place.HEADER)
    yield b"MIME-Version: 1.0\r\n"
    yield f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'.encode()
    yield literal_field("Content-Language", headers.language)
    yield SlotUse("X-Mailer-Delivery", Place.HEADER)
    if headers.reply_to:
        yield b"Reply-To: " + mailbox("", headers.reply_to) + b"\r\n"
    if headers.auto_submitted:
        yield b"Auto-Submitted: auto-generated\r\n"  # RFC 3834 §5
    if headers.list_id:
        yield literal_field("List-Id", f"<{headers.list_id}>")
        yield b"List-Post: NO\r\n"
        yield SlotUse("List-Unsubscribe", Place.HEADER)
        yield b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    if headers.list_help_url:
        yield literal_field("List-Help", f"<{headers.list_help_url}>")
    if headers.feedback_id:
        yield text_field("Feedback-ID", headers.feedback_id)


def _part_begin(boundary: str, content_type: str) -> bytes:
    return (
        f"\r\n--{boundary}\r\n"
        f"Content-Type: {content_type}; charset=utf-8\r\n"
        "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
    ).encode()


def _segments(content: str, slots: Slots, place: Place) -> Iterator[bytes | SlotUse]:
    """Encode what is the same for all; a slot stands on lines of its own between soft breaks."""
    for text, name in slots.split(content):
        yield encode(text)
        if name is not None:
            yield SOFT_BREAK
            yield SlotUse(name, place)
            yield SOFT_BREAK


def _joined(segments: tuple[bytes | SlotUse, ...]) -> Iterator[bytes | SlotUse]:
    """Join neighbouring bytes, so that a reader's message has as few pieces as possible."""
    waiting = b""
    for segment in segments:
        if isinstance(segment, bytes):
            waiting += segment
            continue
        yield waiting
        waiting = b""
        yield segment
    yield waiting
