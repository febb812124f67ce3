"""Server-sent events: the state of the shop each second, the ticker, and the clients that listen."""
