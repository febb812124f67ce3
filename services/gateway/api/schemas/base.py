"""Field types and the base of all responses.

Money is a decimal string with two places, ids are strings, times are RFC 3339.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Money = Annotated[str, Field(pattern=r"^-?\d+\.\d\d$", examples=["1234.50"])]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2020-04-24T11:50:39Z"])]
Id = Annotated[str, Field(examples=["1515915625441993984"])]
ProductName = Annotated[str, Field(description="`unknown` where no name is known.", examples=["Galaxy"])]
CategoryCode = Annotated[str, Field(description="`unknown` where none is known.", examples=["electronics.smartphone"])]
Brand = Annotated[str, Field(description="`unknown` where none is known.", examples=["samsung"])]
ImageUrl = Annotated[
    str | None,
    Field(description="A picture, where the catalogue has one; of http or https, by whoever writes the catalogue."),
]
ModelVersion = Annotated[str, Field(examples=["20261122T101500Z-0a1b2c"])]
VariantName = Annotated[
    str,
    Field(description="`main`, or the name of the A/B variant that answered; null for a fallback.", examples=["main"]),
]
StateAge = Annotated[
    int | None,
    Field(
        description="Age in milliseconds of what the model has read of the purchase stream; null where it has read"
        " nothing since its training cut-off."
    ),
]
Strategy = Literal["personal", "basket", "similar", "popular", "popular_fallback"]


class ResponseModel(BaseModel):
    """The base of all responses. Undeclared fields are errors."""

    model_config = ConfigDict(extra="forbid")
