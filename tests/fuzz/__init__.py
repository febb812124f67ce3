"""Messages that no one meant to send, made by the million: what is done with each must be one verdict."""
