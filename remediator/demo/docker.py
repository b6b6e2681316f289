"""A stand-in for the Docker Engine of the demo: one container, which is the simulated kumod, on a Unix socket.

`python -m remediator.demo.docker SOCKET CONTAINER CONTROL_URL`. Only what our actions need: list, inspect, logs and restart.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def create_app(container: str, control_url: str) -> Starlette:
    """The engine's API for one container."""
    started = {"at": _now()}

    async def inspect(request: Request) -> Response:
        if request.path_params["name"] != container:
            return JSONResponse({"message": f"No such container: {request.path_params['name']}"}, 404)
        state = {"Status": "running", "Running": True, "Restarting": False, "StartedAt": started["at"]}
        return JSONResponse({"Id": "0" * 64, "Name": f"/{container}", "State": state})

    async def listing(_request: Request) -> Response:
        return JSONResponse([{"Id": "0" * 64, "Names": [f"/{container}"], "State": "running", "Status": "Up"}])

    async def logs(_request: Request) -> Response:
        return Response(b"")

    async def restart(request: Request) -> Response:
        if request.path_params["name"] != container:
            return JSONResponse({"message": f"No such container: {request.path_params['name']}"}, 404)
        async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
            answer = await client.post(f"{control_url}/control/restart", json={"startup_s": 2.0, "down_s": 0.0})
            answer.raise_for_status()
        started["at"] = _now()
        return Response(status_code=204)

    async def version(_request: Request) -> Response:
        return JSONResponse({"ApiVersion": "1.45", "Version": "demo"})

    routes = []
    for prefix in ("", "/v1.41", "/v1.43", "/v1.45"):
        routes += [
            Route(f"{prefix}/containers/json", listing),
            Route(f"{prefix}/containers/{{name}}/json", inspect),
            Route(f"{prefix}/containers/{{name}}/logs", logs),
            Route(f"{prefix}/containers/{{name}}/restart", restart, methods=["POST"]),
            Route(f"{prefix}/version", version),
        ]
    return Starlette(routes=routes)


def _now() -> str:
    return datetime.now(tz=UTC).isoformat()  # noqa: TID251  (a process of its own that stands in for another program)


def main() -> None:
    """Serves until it is told to stop."""
    path, container, control_url = sys.argv[1:4]
    uvicorn.run(create_app(container, control_url), uds=path, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
