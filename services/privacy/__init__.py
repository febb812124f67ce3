"""Command line of privacy: what is held of a customer, erasing one, and who did what."""
