"""FastAPI as it stands behind the gate: plain words for errors, and no pages of its own."""

from typing import TYPE_CHECKING, Any

from assay.parts.web.pages import plain_page
from assay.parts.web.policy import BROKEN, Refused

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["application"]


def application(stylesheet: str = "", icon: str = "") -> "FastAPI":
    """An empty application without schema, documentation pages or redirects of slashes.

    Args:
        stylesheet: For the pages that say what went wrong.
        icon: For these pages too.
    """
    from fastapi import FastAPI
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.responses import HTMLResponse

    def page(refused: Refused) -> HTMLResponse:
        text = plain_page(refused.title, refused.text, stylesheet, icon, refused.refresh)
        response = HTMLResponse(text, refused.status)
        for name, value in refused.headers:
            response.headers.append(name, value)
        return response

    async def said(_: Any, error: Exception) -> HTMLResponse:
        assert isinstance(error, Refused)  # noqa: S101 - for the types; registered for it alone
        return page(error)

    async def not_found(_: Any, error: Exception) -> HTMLResponse:
        status = getattr(error, "status_code", 404)
        if status == 405:
            return page(Refused(405, "Not possible", "This method is not used here."))
        return page(Refused(404, "Not found", "There is no such page."))

    async def broken(_: Any, __: Exception) -> HTMLResponse:
        return page(BROKEN)

    handlers: dict[Any, Any] = {
        Refused: said,
        HTTPException: not_found,
        RequestValidationError: not_found,
        Exception: broken,
    }
    return FastAPI(
        openapi_url=None, redirect_slashes=False, exception_handlers=handlers, debug=False
    )
