"""Work that outlives a page's run: the server's queue, what a page shows of it, ways out."""
