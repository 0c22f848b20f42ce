"""Looking at a finished mail before it goes: one small function per check.

Pure but for the programs that are asked (`spam`, `screenshots`) and DNS (`dns_lookup`). What a
check finds is a `Finding`: how bad, where, what, and how to mend it.
"""
