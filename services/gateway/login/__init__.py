"""The login of the page: OpenID Connect, and the sessions that it opens."""
