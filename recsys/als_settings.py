"""Settings of implicit ALS and of the offline evaluation, as plain values: nothing here reads the environment."""

from pydantic import BaseModel, Field


class AlsSettings(BaseModel):
    """Implicit ALS, as Spark's MLlib defines it; a model's manifest holds these values.

    `regularisation` is multiplied by the number of a user's (or product's) ratings, so a value from
    a library that adds it once does not carry over. `alpha` turns a rating r into the confidence 1 + alpha * r.
    """

    rank: int
    regularisation: float
    alpha: float
    iterations: int
    seed: int
    blocks: int


class EvaluationSettings(BaseModel):
    """How model configurations are searched for and compared in a run. This runs on one machine, without Spark."""

    evaluation_lines: int = Field(
        default=3_000_000,
        ge=1,
        description="purchase lines to evaluate on at most; a larger log is sampled by customer",
    )
    search_candidates: int = Field(
        default=360,
        ge=0,
        description="score weights tried after the starts; 0: no search, only the live configuration is compared",
    )
    search_days: int = Field(
        default=14, ge=1, description="days of the search's validation window, before those of the gate"
    )
    search_questions: int = Field(
        default=2000,
        ge=1,
        description="orders by which the search evaluates its candidates; the final round asks up to twice as many",
    )
    search_seed: int = Field(default=1, ge=0)
    gate_days: int = Field(default=14, ge=1, description="days of the gate's window, the newest ones")
    gate_questions: int = Field(
        default=100, ge=1, description="orders of customers with purchases that a decision needs at least"
    )
    gate_questions_asked: int = Field(
        default=6000, ge=1, description="orders used to compare the configurations at most"
    )
