def run_through_engines(seed: int, first: int, count: int) -> str | None:
    return None
