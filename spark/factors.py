"""What training makes: the factors of each customer and product."""

from dataclasses import dataclass

from pyspark.sql import DataFrame


@dataclass(frozen=True, slots=True)
class Factors:
    """`users`: user_id, factors; `products`: product_id, factors (array of `rank` floats)."""

    users: DataFrame
    products: DataFrame
