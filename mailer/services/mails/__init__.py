"""Mails: from frozen content to the variant of a reader, and to the bytes that go out."""
