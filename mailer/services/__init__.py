"""What the system can do, a folder for each subject. Shells know no more than this.

The folders stand on each other, and no import goes up (`lint-imports`):

    operations                      what time makes due
    delivery                        from the ledger to a relay
    digests                         articles chosen by rules
    campaigns                       made, checked, started, corrected
    imports  privacy  audit
    consent                         said, kept in the log, proved
    mails                           compiled, and filled for a reader
    articles                        feeds, pages, images
    readers
    newsletters
    installation
"""
