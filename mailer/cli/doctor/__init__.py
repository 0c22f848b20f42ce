"""`mailer doctor`: whether everything that mails need is there, and what to do where it is not."""
