"""The gateway: REST, server-sent events, event intake and the web page, over the live tables and the recommender."""
