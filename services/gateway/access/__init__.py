"""Who may ask for what: roles, API keys, sessions of the page."""
