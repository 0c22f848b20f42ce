"""The command line: one file per noun; each verb parses, calls one service and shows."""
