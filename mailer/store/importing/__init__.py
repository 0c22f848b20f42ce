"""Writing a list of readers: their keys, consent events, leaves and evidence, in bulk.

`prepare` makes new readers and their events, down to the leaf's hash, without a database; `ground`
says who is known already and locks them; `write` puts rows into tables, by COPY on PostgreSQL;
`runs` keeps how far an import has come.
"""
