"""The public pages, the built-in inbox, and what monitors ask. Shells: parse, call, show."""
