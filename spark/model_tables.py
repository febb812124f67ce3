"""The tables of a model folder, each computed from the purchases of one run, in the format that serving reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from recsys.model_format import TABLES, InvalidModel, check_columns
from spark import features
from spark.factors import Factors
from spark.publish import ModelRefused


@dataclass(frozen=True, slots=True)
class TableInputs:
    """What the tables are computed from. `interactions` is of `train.interactions`; `newest_ms` is the cut-off."""

    factors: Factors
    purchases: DataFrame
    interactions: DataFrame
    products: DataFrame
    half_lives_h: tuple[float, ...]
    newest_ms: int


BUILDERS: Mapping[str, Callable[[TableInputs], DataFrame]] = {
    "user_factors": lambda inputs: inputs.factors.users,
    "item_factors": lambda inputs: inputs.factors.products,
    "catalogue": lambda inputs: inputs.products,
    "popularity": lambda inputs: features.popularity(inputs.purchases, inputs.newest_ms),
    "known_purchases": lambda inputs: features.known_purchases(inputs.interactions),
    "co_purchases": lambda inputs: features.co_purchases(inputs.interactions),
    "order_pairs": lambda inputs: features.order_pairs(inputs.purchases),
    "category_ties": lambda inputs: features.category_ties(inputs.interactions, inputs.products),
    "trends": lambda inputs: features.trends(
        inputs.purchases, inputs.interactions, inputs.half_lives_h, inputs.newest_ms
    ),
}


def model_tables(inputs: TableInputs) -> dict[str, DataFrame]:
    """Every table that the model format declares, by name. Raises ModelRefused where one has other columns."""
    tables = {name: BUILDERS[name](inputs) for name in TABLES}
    for name, table in tables.items():
        check_schema(name, table.schema)
    return tables


def check_schema(name: str, columns: StructType) -> None:
    """Raise ModelRefused unless a table has the declared columns: serving would refuse what is written."""
    try:
        check_columns(name, to_arrow_schema(columns))
    except InvalidModel as fault:
        raise ModelRefused(str(fault)) from None
