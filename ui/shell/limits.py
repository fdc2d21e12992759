"""How much one visitor, and all together, may ask of a server; docs/deploying.md has the table.

A visitor is whoever signed in, else an address. Whoever sits at the machine itself is one visitor,
for whom only the limits in all hold.
"""

MB = 1 << 20

WAITING_A_VISITOR = 32
"""Jobs of one visitor that wait; erasures are not counted."""

WAITING_IN_ALL = 320
"""Jobs that wait, of everybody; erasures are not counted."""

GRACE = 60.0
"""Seconds that a tab may be without a connection before its jobs go. Streamlit keeps what is in
such a tab for two minutes, and a browser that lost the connection tries again at least every 30
seconds."""

LOOK = 1.0
"""Seconds between two looks at which tabs are still there."""

HELD_A_VISITOR = 256 * MB
"""Bytes of uploads and photos that the tabs of one visitor hold in memory, unpacked from zips."""

HELD_IN_ALL = 1024 * MB
"""The same, of everybody."""

SMALLEST = 4096
"""Bytes that an upload counts at least: a million empty files take memory too."""

LOW = 25 * MB
"""What one upload may have (server.maxUploadSize): pages say where so little is left."""

CROWDS = 20
"""Photos with several faces, of up to 8 MB each when decoded, in which one tab has yet to pick."""

KEPT_IN_ALL = 2048 * MB
"""Bytes of the database that holds what contributors gave; one contributor can give 2,000 samples
(:data:`forget.records.contributions.MOST`)."""

FREE_DISK = 512 * MB
"""Bytes of the disk that stay free for erasures: with less, no other work is begun."""

KEPT_PHOTOS = 1024 * MB
"""Bytes of photos in the folder people/, which only somebody at the machine itself can fill."""
