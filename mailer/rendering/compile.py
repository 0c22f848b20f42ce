"""Compiling a mail: Jinja once, premailer once, encoding once; slots stay open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from mailer.rendering.environment import MessageTemplate, TemplateRefused
from mailer.rendering.headers import StaticHeaders, literal_field, mailbox, text_field
from mailer.rendering.html import inlined, plain_text, refuse_misplaced, sanitise_operator_html
from mailer.rendering.message import CompiledMessage, Place, SlotUse
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
    names["preheader"] = " ".join(template.render("preheader.txt", names).split())
    source = template.render("body.html", names)
    try:
        refuse_misplaced(source, slots)
    except SlotMisused as error:
        raise TemplateRefused(f"Template {template.name}/body.html: {error}.") from None
    text = template.render("body.txt", names).strip("\n") + "\n"
    boundary = f"=_{nonce}"
    segments = (
        _shared_headers(headers, boundary),
        SlotUse("headers", Place.HEADERS),
        b"\r\n",
        _part_begin(boundary, "text/plain"),
        *_segments(text, slots, Place.TEXT),
        _part_begin(boundary, "text/html"),
        *_segments(inlined(source), slots, Place.HTML),
        f"\r\n--{boundary}--\r\n".encode(),
    )
    return CompiledMessage(
        segments=tuple(_joined(segments)),
        subject_parts=_subject_parts(subject, slots),
        is_list_mail=headers.list_id is not None,
    )


def _safe_html(source: str) -> Markup:
    """Let an operator's own HTML into a template, through the sanitiser."""
    return Markup(sanitise_operator_html(source))


def _subject_parts(subject: str, slots: Slots) -> tuple[str, ...]:
    parts: list[str] = []
    for text, name in slots.split(subject):
        parts.extend((text, name) if name is not None else (text,))
    return tuple(parts)


def _shared_headers(headers: StaticHeaders, boundary: str) -> bytes:
    fields = [
        b"From: " + mailbox(headers.from_name, headers.from_address) + b"\r\n",
        b"MIME-Version: 1.0\r\n",
        f'Content-Type: multipart/alternative;\r\n boundary="{boundary}"\r\n'.encode(),
        literal_field("Content-Language", headers.language),
    ]
    if headers.reply_to:
        fields.append(b"Reply-To: " + mailbox("", headers.reply_to) + b"\r\n")
    if headers.auto_submitted:
        fields.append(b"Auto-Submitted: auto-generated\r\n")  # RFC 3834 §5
    if headers.list_id:
        fields.append(literal_field("List-Id", f"<{headers.list_id}>"))
        fields.append(b"List-Post: NO\r\n")
        fields.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
    if headers.list_help_url:
        fields.append(literal_field("List-Help", f"<{headers.list_help_url}>"))
    if headers.feedback_id:
        fields.append(text_field("Feedback-ID", headers.feedback_id))
    return b"".join(fields)


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
