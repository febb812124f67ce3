"""The gateway: REST API, server-sent events, event intake and web page, on the live tables and the recommender."""
