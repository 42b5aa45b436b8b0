"""A FastMCP server on standard input and output that reports its process and keeps notes in its memory."""

import os

from fastmcp import FastMCP

server = FastMCP("remembering")
notes = []


@server.tool
def remember(note: str) -> list[str]:
    """Keeps a note, and gives back all"""
    notes.append(note)
    return notes


@server.tool
def about() -> dict:
    """The process"""
    return {"pid": os.getpid(), "uid": os.getuid(), "cwd": os.getcwd(), "environment": dict(os.environ), "notes": notes}


if __name__ == "__main__":
    server.run(show_banner=False)
