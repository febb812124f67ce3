"""The peer: FastAPI's hello-world under uvicorn: `python -m bench.serving.hello PORT`."""

import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def root() -> dict[str, str]:
    """The example of FastAPI's first page."""
    return {"message": "Hello World"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
