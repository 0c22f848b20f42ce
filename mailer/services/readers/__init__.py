"""Readers: what is known of one, or of all, and who is on the do-not-mail list."""
