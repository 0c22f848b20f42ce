"""The links in a mail: where a reader confirms, leaves, chooses, reads in the browser."""

from __future__ import annotations

from dataclasses import dataclass

from mailer.domain.tokens import Token, TokenKind, TokenSigner


@dataclass(frozen=True, slots=True)
class Links:
    """Builds signed links under the public address (no trailing slash)."""

    public_url: str
    signer: TokenSigner

    def confirm(self, newsletter_id: int, subscriber_id: int, request: int) -> str:
        """Where the reader confirms the `request`-th sign-up to this newsletter."""
        return self._signed("c", TokenKind.CONFIRM, newsletter_id, subscriber_id, request)

    def unsubscribe(self, newsletter_id: int, subscriber_id: int, campaign_id: int = 0) -> str:
        """Where one click leaves every purpose of the newsletter (RFC 8058)."""
        return self._signed("u", TokenKind.UNSUBSCRIBE, newsletter_id, subscriber_id, campaign_id)

    def preferences(self, newsletter_id: int, subscriber_id: int, campaign_id: int = 0) -> str:
        """Where the reader chooses single purposes."""
        return self._signed("p", TokenKind.PREFERENCES, newsletter_id, subscriber_id, campaign_id)

    def export(self, newsletter_id: int, subscriber_id: int, day: int) -> str:
        """Where the reader who asked on that day gets everything that is kept of them."""
        return self._signed("d", TokenKind.EXPORT, newsletter_id, subscriber_id, day)

    def erase(self, newsletter_id: int, subscriber_id: int, day: int) -> str:
        """Where the reader who asked on that day is erased."""
        return self._signed("e", TokenKind.ERASE, newsletter_id, subscriber_id, day)

    def approval(self, newsletter_id: int, campaign_id: int, until: int) -> str:
        """Where an editor approves or stops a campaign, until that second (since 1970)."""
        return self._signed("r", TokenKind.APPROVAL, newsletter_id, campaign_id, until)

    def signup(self, newsletter: str) -> str:
        """The sign-up page of a newsletter."""
        return f"{self.public_url}/n/{newsletter}"

    def archive(self, public_id: str) -> str:
        """A campaign in the browser."""
        return f"{self.public_url}/a/{public_id}"

    def archive_index(self, newsletter: str) -> str:
        """The list of a newsletter's issues."""
        return f"{self.signup(newsletter)}/archive"

    def archive_feed(self, newsletter: str) -> str:
        """The same as RSS."""
        return f"{self.signup(newsletter)}/archive.xml"

    def image(self, file: str) -> str:
        """An image that mails show; `file` is its hash, and `jpg` or `png`."""
        return f"{self.public_url}/img/{file}"

    def _signed(
        self, path: str, kind: TokenKind, newsletter_id: int, subscriber_id: int, serial: int
    ) -> str:
        token = self.signer.sign(Token(kind, newsletter_id, subscriber_id, serial))
        return f"{self.public_url}/{path}/{token}"
