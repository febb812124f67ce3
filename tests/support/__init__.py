"""Helpers of the tests: made-up shops, services as processes, what is written and read whole. No test lives here."""
