"""Everything HTTP that is not a route: middleware, schemas, parameters, problems, OpenAPI, the static page."""
