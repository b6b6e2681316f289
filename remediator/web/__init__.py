"""The web floor: webhook, JSON API, live stream and console over `ports.Surface`; the only place that knows Starlette."""
