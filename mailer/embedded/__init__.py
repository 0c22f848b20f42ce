"""What `mailer up` runs by itself: a Valkey server, and the supervisor of all processes."""
