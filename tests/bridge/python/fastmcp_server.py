"""A FastMCP server over HTTP with the features that the conformance suites test, as far as FastMCP has them.

usage: fastmcp_server.py PORT
"""

import asyncio
import base64
import sys

from fastmcp import Context, FastMCP
from fastmcp.utilities.types import Audio, Image
from mcp_types import EmbeddedResource, TextResourceContents

PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==")
WAV = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=")
server = FastMCP("bridge-fastmcp", version="1.0.0", instructions="A server for tests.")


@server.tool
def test_simple_text() -> str:
    """Text"""
    return "This is a simple text response for testing."


@server.tool
def test_image_content() -> Image:
    """An image"""
    return Image(data=PNG, format="png")


@server.tool
def test_audio_content() -> Audio:
    """A sound"""
    return Audio(data=WAV, format="wav")


def embedded(uri, mime_type, text):
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


@server.tool
def test_embedded_resource() -> EmbeddedResource:
    """A resource"""
    return embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")


@server.tool
def test_multiple_content_types() -> list:
    """All of them"""
    resource = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return ["Multiple content types test:", Image(data=PNG, format="png"), resource]


@server.tool
def test_error_handling() -> str:
    """An error"""
    raise ValueError("This tool intentionally returns an error for testing")


@server.tool
async def test_tool_with_logging(context: Context) -> str:
    """Log messages"""
    for words in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await context.info(words)
        await asyncio.sleep(0.05)
    return "logged"


@server.tool
async def test_tool_with_progress(context: Context) -> str:
    """Progress"""
    for progress in (0, 50, 100):
        await context.report_progress(progress, 100)
        await asyncio.sleep(0.05)
    return "done"


@server.tool
async def test_sampling(prompt: str, context: Context) -> str:
    """A question to the model"""
    return f"LLM response: {(await context.sample(prompt, max_tokens=100)).text}"


@server.tool
async def test_elicitation(message: str, context: Context) -> str:
    """A question to the person"""
    answer = await context.elicit(message, response_type=str)
    return f"User response: {answer.action}"


@server.resource("test://static-text", mime_type="text/plain")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://static-binary", mime_type="image/png")
def static_binary() -> bytes:
    return PNG


@server.resource("test://template/{id}/data", mime_type="application/json")
def template(id: str) -> dict:
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@server.prompt
def test_simple_prompt() -> str:
    """A prompt"""
    return "This is a simple prompt for testing."


@server.prompt
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with arguments"""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


if __name__ == "__main__":
    server.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False)
