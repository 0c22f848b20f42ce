"""Parts of a mail that depend on its reader, anywhere in a template.

A template is run once for many readers. Jinja's tree is changed so that it can be (`steering`,
`tracing`); what depends on the reader is a value that waits (`deferred`) and grows into a tree
(`expressions`); a rendering remembers its slots and decisions (`trace`). Later a tree becomes a
function (`evaluate`, within the bounds of `growth`), and a reader finds the variant whose decisions
come out the same for them (`outcomes`). docs/decisions/0009 says why it is done this way.
"""
