"""The command line: `python -m xai_server`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import fields

import uvicorn

from xai_server.app import create_app
from xai_server.settings import ServerSettings
from xai_server.trouble import SWITCHES

_HELP = {
    "servers": "virtual servers, each with a prompt cache of its own",
    "block": "tokens to a cache block",
    "minimum_tokens": "a shorter match counts as none",
    "capacity": "blocks that one virtual server remembers",
    "seed": "seed of the balancer for requests without a conversation id",
    "answer_words": "length of an answer",
    "reasoning_words": "length of the reasoning before it",
    "prefill_s_per_1k_tokens": "seconds spent on 1000 uncached prompt tokens",
    "event_gap_s": "seconds before each delta",
    "trouble": "switches for every request",
}


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {switch.name + switch.value:44} {switch.effect}" for switch in SWITCHES)
    parser = argparse.ArgumentParser(
        prog="python -m xai_server",
        description="A local stand-in for api.x.ai. Point a client at http://HOST:PORT/v1, with any API key.",
        epilog="Troubles, for one request as header `x-trouble: name[=value], ...`, for all with --trouble:\n" + rows,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8080, help="port to listen on (default: %(default)s)")
    parser.add_argument("--noise", action="store_true", help="cold calls report 0 or one block of cached tokens")
    for field in fields(ServerSettings):
        if field.name in _HELP:
            parser.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=type(field.default),
                default=field.default,
                help=f"{_HELP[field.name]} (default: %(default)r)",
            )
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Start the server and run until interrupted."""
    parser = _parser()
    chosen = vars(parser.parse_args(arguments))
    host, port = chosen.pop("host"), chosen.pop("port")
    try:
        settings = ServerSettings(**chosen)
    except ValueError as error:
        parser.error(str(error))
    uvicorn.run(create_app(settings), host=host, port=port, http="h11", ws="none", lifespan="off", server_header=False)


if __name__ == "__main__":
    main()
