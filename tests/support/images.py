"""What runs in each container image."""

# Image → the packages whose modules run in it.
IMAGES = {
    "producer": ("services.producer", "services.deadletters", "services.models"),
    "archiver": ("services.archiver", "services.provision"),
    "aggregator": ("services.aggregator",),
    "recommender": ("services.recommender", "services.privacy", "recsys"),
    "gateway": ("services.gateway",),
    "spark": ("spark", "recsys"),
}
