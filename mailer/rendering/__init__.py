"""From templates and frozen content to bytes.

`compile_message` renders and inlines once per variant and leaves slots where a reader's own values
go; `CompiledMessage.personalise` fills them in microseconds. Preview, test, archive and send all
read from the same compiled form.
"""

from mailer.rendering.compile import compile_message
from mailer.rendering.dkim import DkimSigner
from mailer.rendering.environment import MessageTemplate, TemplateRefused, load_template
from mailer.rendering.headers import HeaderRefused, StaticHeaders
from mailer.rendering.html import has_homeless_image, sanitise_operator_html
from mailer.rendering.looks import look
from mailer.rendering.message import CompiledMessage
from mailer.rendering.personal.deferred import Decision, Kind
from mailer.rendering.personal.outcomes import MOST_OUTCOMES, Outcomes, TooManyOutcomes, variant_key
from mailer.rendering.plain import plain_text
from mailer.rendering.sandbox import CannotWorkOut
from mailer.rendering.signed import SignedMessage
from mailer.rendering.values import NOTHING, ReaderValues

__all__ = [
    "MOST_OUTCOMES",
    "NOTHING",
    "CannotWorkOut",
    "CompiledMessage",
    "Decision",
    "DkimSigner",
    "HeaderRefused",
    "Kind",
    "MessageTemplate",
    "Outcomes",
    "ReaderValues",
    "SignedMessage",
    "StaticHeaders",
    "TemplateRefused",
    "TooManyOutcomes",
    "compile_message",
    "has_homeless_image",
    "load_template",
    "look",
    "plain_text",
    "sanitise_operator_html",
    "variant_key",
]
