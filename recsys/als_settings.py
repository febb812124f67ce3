"""Settings of implicit ALS and of the offline evaluation, as plain values: nothing here reads the environment."""

from pydantic import BaseModel, Field


class AlsSettings(BaseModel):
    """Implicit ALS as MLlib spells it; the manifest of a model carries these values.

    `regularisation` is MLlib's: it is multiplied by the number of a user's (or product's) ratings, so a value from
    a library that adds it once does not carry over. `alpha` turns a rating r into the confidence 1 + alpha * r.
    """

    rank: int
    regularisation: float
    alpha: float
    iterations: int
    seed: int
    blocks: int


class EvaluationSettings(BaseModel):
    """How recipes are searched for and compared in a run. All is done on one machine, whatever Spark has."""

    evaluation_lines: int = Field(
        default=3_000_000, ge=1, description="purchase lines to evaluate on; of more, a share of the customers is taken"
    )
    search_seconds: float = Field(
        default=60.0,
        ge=0,
        allow_inf_nan=False,
        description="of search; 0: none, what serves is compared",
    )
    search_days: int = Field(default=14, ge=1, description="days to choose a recipe on, before those of the gate")
    search_questions: int = Field(default=2000, ge=1, description="orders that each candidate of the search answers")
    search_seed: int = Field(default=1, ge=0)
    gate_days: int = Field(default=14, ge=1, description="the newest days, on which recipes are compared")
    gate_questions: int = Field(
        default=100, ge=1, description="orders of customers with purchases below which nothing is decided"
    )
    gate_questions_asked: int = Field(default=6000, ge=1, description="orders that each recipe answers at most")
