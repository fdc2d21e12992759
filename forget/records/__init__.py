"""What people gave, the models that learnt it, their requests, and the ledger of all that was done.

    database <- ledger, contributions, lineage <- taught <- requests;  trace reads all of it

Everything lies in one SQLite file, ``forget_downloads/records.db``, but for the weights of the
models, which lie in ``forget_downloads/taught/``. What a transaction says is what is so: a file
that no row names is a leftover of a killed process, and is deleted.
"""
