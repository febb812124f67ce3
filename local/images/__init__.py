"""The container images: built by buildah or Docker, archived, recorded in `.tillstream/images/images.json`."""
