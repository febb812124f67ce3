"""The batch job: archive → curated purchases → figures and a recommendation model. Start: `python -m spark`."""
