"""Server-sent events: the shop state each second, the ticker, and the hub that fans both out to the open streams."""
