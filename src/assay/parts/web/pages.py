"""What the gate itself says: plain pages, and the headers that every response carries."""

from html import escape

__all__ = ["HEADERS", "plain_page"]

HEADERS: dict[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-store",
}
"""Set unless the application sets them stricter itself.

The referrer policy is `same-origin` and not `no-referrer`: nothing leaves for another origin under
either, but under `no-referrer` browsers send `Origin: null` with our own forms, which makes the
origin useless as a check. Pages whose address holds a secret say `no-referrer`.
"""


def plain_page(
    title: str, text: str, stylesheet: str = "", icon: str = "", refresh: str = ""
) -> str:
    """A page of one heading and one sentence.

    Args:
        title: The heading.
        text: The sentence.
        stylesheet: Address of a style sheet.
        icon: Address of an icon.
        refresh: Address that the browser goes to at once, by itself.
    """
    link = f'<link rel="stylesheet" href="{escape(stylesheet)}">' if stylesheet else ""
    link += f'<link rel="icon" href="{escape(icon)}">' if icon else ""
    on = f'<meta http-equiv="refresh" content="0;url={escape(refresh)}">' if refresh else ""
    way = f'<p><a href="{escape(refresh)}">Go on</a></p>' if refresh else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark">{on}{link}</head>'
        f'<body><main class="plain"><h1>{escape(title)}</h1><p>{escape(text)}</p>{way}</main>'
        "</body></html>"
    )
