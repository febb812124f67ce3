"""HTTP apart from the routes: middleware, schemas, parameters, problem documents, OpenAPI and the web page."""
