"""Settings of variety, rotation and exploration. Nothing here reads the environment."""

from pydantic import BaseModel, Field

from recsys.exploration import Exploration
from recsys.rotation import Rotation
from recsys.variety import Variety


class VarietySettings(BaseModel):
    """How different the first ten products of an answer are."""

    # Likeness against relevance, 0 to 1; 0 is no re-ranking but for the limits below. Requests with `alike` get the
    # best by score alone.
    recommendations_variety: float = Field(default=0.0, ge=0, le=1)
    # No two are of the same name and category, or of the same category with nearly the same factors.
    recommendations_no_alike: bool = True
    # At most so many of one brand, and of one category; 0: any number.
    recommendations_same_brand: int = Field(default=0, ge=0, le=100)
    recommendations_same_category: int = Field(default=0, ge=0, le=100)

    # So many of a customer's best products rest for a visit, drawn anew for the next one, so that who comes again sees
    # others; 0: always the best. It costs hits (docs/recommendations.md#rotation).
    recommendations_rotation: int = Field(default=0, ge=0, le=100)
    # How long a customer's visit lasts: until then the same products rest.
    recommendations_visit_hours: float = Field(default=24.0, ge=0.1, le=8760, allow_inf_nan=False)

    # In this share of the answers to customers with purchases, 0 to 1, the last place shows a product of the shop's
    # catalogue that nobody has bought yet; the same for a customer's day.
    recommendations_new_products: float = Field(default=0.0, ge=0, le=1)

    @property
    def exploration(self) -> Exploration:
        """As the recommender takes it."""
        return Exploration(self.recommendations_new_products)

    @property
    def rotation(self) -> Rotation:
        """As the recommender takes it."""
        return Rotation(self.recommendations_rotation, self.recommendations_visit_hours)

    @property
    def variety(self) -> Variety:
        """As the recommender takes it."""
        return Variety(
            self.recommendations_variety,
            self.recommendations_same_brand,
            self.recommendations_same_category,
            self.recommendations_no_alike,
        )
