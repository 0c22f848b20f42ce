"""Compiling a mail: Jinja once, premailer once, encoding once; slots stay open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from mailer.domain.addresses import wire_address
from mailer.rendering.environment import MessageTemplate, TemplateRefused
from mailer.rendering.headers import StaticHeaders, literal_field, mailbox, text_field
from mailer.rendering.html import inlined, placed, sanitise_operator_html
from mailer.rendering.message import SUBJECT, CompiledMessage
from mailer.rendering.personal.deferred import Slot, SlotMisused
from mailer.rendering.personal.evaluate import work_of
from mailer.rendering.personal.expressions import encode, plain_field
from mailer.rendering.personal.trace import Trace
from mailer.rendering.personalise import COMPUTED, VALUES, Place, SlotUse
from mailer.rendering.plain import plain_text
from mailer.rendering.quoted_printable import SOFT_BREAK
from mailer.rendering.quoted_printable import encode as quoted
from mailer.rendering.values import ReaderValues


def compile_message(
    template: MessageTemplate,
    context: Mapping[str, Any],
    headers: StaticHeaders,
    *,
    nonce: str,
    reader: ReaderValues | None = None,
) -> CompiledMessage:
    """Return the mail with slots for a reader's values.

    Where the template decides by a reader's values, the mail is for `reader` and all for whom the
    decisions (the mail's `path`) come out the same; without one, such a template is refused.
    `nonce` (letters and digits, unguessable) keeps content from looking like a slot. Raises
    TemplateRefused, naming file and line, HeaderRefused, and CannotWorkOut where a decision cannot
    be taken for this reader.
    """
    locale = headers.language
    oracle = None if reader is None else lambda node: work_of(node, locale)(reader)
    slots = Trace(nonce, oracle)
    subject, source, text = rendered(template, context, slots)
    boundary = f"=_{nonce}"
    segments = (
        *_headers(headers, subject, slots, boundary),
        b"\r\n",
        _part_begin(boundary, "text/plain"),
        *_segments(text, slots),
        _part_begin(boundary, "text/html"),
        *_segments(inlined(source), slots),
        f"\r\n--{boundary}--\r\n".encode(),
    )
    sender = wire_address(headers.from_address)
    return CompiledMessage(
        tuple(_joined(segments)), _subject_parts(subject, slots), sender, locale, slots.path
    )


def rendered(
    template: MessageTemplate, context: Mapping[str, Any], trace: Trace
) -> tuple[str, str, str]:
    """Return subject, HTML and text as the templates write them, with marks where slots are."""
    names = {**context, **trace.names(), "safe_html": _safe_html, "plain_text": plain_text}
    template.environment.trace = trace
    subject = _one_line(template.render("subject.txt", names), trace)
    if not subject:
        raise TemplateRefused(f"Template {template.name}/subject.txt writes no subject: mend it.")
    names["preheader"] = _one_line(template.render("preheader.txt", names), trace)
    source = template.render("body.html", names)
    try:
        source = placed(source, trace)
    except SlotMisused as error:
        raise TemplateRefused(f"Template {error}. Mend the template.") from None
    text = template.render("body.txt", names).strip("\n") + "\n"
    return subject, source, text


def _one_line(text: str, trace: Trace) -> str:
    """Let the words stand in one line; those of the reader, too."""
    if not trace.depends(text):
        return " ".join(text.split())
    return trace.mark(Slot(("words", trace.tree(text)), False))


def _safe_html(source: str) -> Markup:
    """Let an operator's own HTML into a template, through the sanitiser."""
    return Markup(sanitise_operator_html(source))


def _subject_parts(subject: str, slots: Trace) -> tuple[str, ...]:
    parts: list[str] = []
    for text, number in slots.split(subject):
        parts.extend((text, _name(slots.slot(number))) if number is not None else (text,))
    return tuple(parts)


def _name(slot: Slot) -> str:
    """Return the slot's name: of a plain field, or the encoded tree."""
    field = plain_field(slot.node)
    if field in VALUES:
        return field
    return COMPUTED + encode(("escape" if slot.escapes else "text", slot.node))


def _headers(
    headers: StaticHeaders, subject: str, slots: Trace, boundary: str
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


def _segments(content: str, slots: Trace) -> Iterator[bytes | SlotUse]:
    """Encode what is the same for all; a slot stands on lines of its own between soft breaks."""
    for text, number in slots.split(content):
        yield quoted(text)
        if number is not None:
            slot = slots.slot(number)
            yield SOFT_BREAK
            yield SlotUse(_name(slot), Place.HTML if slot.escapes else Place.TEXT)
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
