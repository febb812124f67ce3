"""The Quix Streams peer. It runs in an environment of its own."""
