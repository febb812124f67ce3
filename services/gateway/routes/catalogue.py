"""Writing the shop's catalogue."""

from http import HTTPStatus
from typing import Any

from fastapi import Request

from services.common.metrics import GATEWAY_PRODUCTS
from services.common.products import Availability, CatalogueProduct, InvalidProduct, parse_product
from services.gateway.access.roles import Access
from services.gateway.access.route import gives, guarded_router
from services.gateway.api.packed_body import unpacked
from services.gateway.api.params import ProductId
from services.gateway.api.problems import Problem, bad_field
from services.gateway.api.schemas.catalogue import ProductBody, ProductsWritten, ProductVerdict, ProductWritten
from services.gateway.dependencies import get_dependencies
from services.gateway.upstreams.product_intake import MAX_PRODUCTS, read_products, write_product, write_products

router = guarded_router(prefix="/v1/products", tags=["catalogue"])

_JSON, _JSON_LINES = ("application/json",), ("application/x-ndjson", "application/jsonl")
_UNCONFIRMED = "Kafka did not acknowledge in time: send the same request again"
_SCHEMA = ProductBody.model_json_schema(ref_template="#/components/schemas/{model}")
_SCHEMA.pop("$defs", None)
_ONE: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": _SCHEMA,
                "example": {
                    "product_name": "Galaxy",
                    "category_code": "electronics.smartphone",
                    "brand": "samsung",
                    "price": "162.01",
                    "availability": "in_stock",
                    "attributes": {"colour": "black"},
                },
            }
        },
    }
}
_MANY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": _SCHEMA, "minItems": 1, "maxItems": MAX_PRODUCTS},
                "example": [{"product_id": "1515966223509089906", "price": "162.01", "availability": "out_of_stock"}],
            }
        },
    }
}


@router.put("/{product_id}", summary="Write a product", openapi_extra=_ONE)
@gives(Access.CATALOGUE)
async def put(request: Request, product_id: ProductId) -> ProductWritten:
    """Replaces all that the catalogue says of a product. What it leaves out holds as purchases say.

    Only what is `in_stock` (the default) is recommended. Of two writes the last one in the topic wins; the same request
    may be sent again. Readers follow within a second. 503 where the broker does not acknowledge in time.
    """
    body = await _body(request, _JSON)
    try:
        return await _written(request, parse_product(body, product_id=product_id))
    except InvalidProduct as error:
        GATEWAY_PRODUCTS.labels("rejected").inc()
        raise bad_field(error.field, str(error).removeprefix(f"{error.field} ")) from None


@router.delete("/{product_id}", summary="Delete a product")
@gives(Access.CATALOGUE)
async def delete(request: Request, product_id: ProductId) -> ProductWritten:
    """Takes a product out of every recommendation. Its figures stay. A product that was never known may be deleted."""
    return await _written(request, CatalogueProduct(product_id, availability=Availability.DELETED))


@router.post("", summary="Write many products", openapi_extra=_MANY)
@gives(Access.CATALOGUE)
async def post(request: Request) -> ProductsWritten:
    """A list of at most 1,000 products with their `product_id`, each as PUT takes it, with a verdict for each.

    Also JSON lines, one product a line, as `application/x-ndjson` or `application/jsonl`. The body may be packed
    (`Content-Encoding: gzip`). 422 where no product is valid; 503 where the broker does not acknowledge in time: the
    same request may be sent again.
    """
    body = await _body(request, (*_JSON, *_JSON_LINES))
    read = read_products(body, lines=_content_type(request) in _JSON_LINES)
    verdicts = await write_products(get_dependencies(request).product_producer, read)
    if any(verdict.status == "unconfirmed" for verdict in verdicts):
        raise _problem(HTTPStatus.SERVICE_UNAVAILABLE, _UNCONFIRMED, verdicts)
    accepted = sum(verdict.status == "accepted" for verdict in verdicts)
    if not accepted:
        raise _problem(HTTPStatus.UNPROCESSABLE_ENTITY, "no product is valid", verdicts)
    return ProductsWritten(accepted=accepted, rejected=len(verdicts) - accepted, verdicts=verdicts)


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _body(request: Request, content_types: tuple[str, ...]) -> bytes:
    # Another site's page can send other types without a CORS preflight.
    if _content_type(request) not in content_types:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the content type must be {' or '.join(content_types)}")
    limit = get_dependencies(request).settings.max_body_bytes
    return unpacked(await request.body(), request.headers.get("content-encoding"), limit)


async def _written(request: Request, product: CatalogueProduct) -> ProductWritten:
    written = await write_product(get_dependencies(request).product_producer, product)
    if written is None:
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, _UNCONFIRMED, {"Retry-After": "1"})
    return ProductWritten(product_id=product.product_id, availability=product.availability, offset=written.offset)


def _problem(status: HTTPStatus, detail: str, verdicts: list[ProductVerdict]) -> Problem:
    return Problem(status, detail, verdicts=[verdict.model_dump() for verdict in verdicts])
