"""One module per venue, all of one shape: the venue's words for what the exchange says."""
