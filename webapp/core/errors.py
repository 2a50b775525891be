"""How an AppError becomes an HTTP answer."""

from __future__ import annotations

from django.http import HttpResponse

from splitcore.errors import AppError

_STATUS = {
    "CL-1001": 422,
    "CL-1002": 422,
    "CL-1003": 422,
    "CL-1004": 422,
    "CL-1005": 422,
    "CL-1246": 422,
    "CL-1404": 404,
    "CL-1406": 401,
    "CL-1409": 409,
    "CL-1410": 401,
    "CL-1411": 401,
    "CL-1412": 403,
    "CL-1413": 403,
    "CL-1414": 403,
    "CL-1415": 422,
    "CL-1416": 409,
    "CL-1417": 409,
    "CL-1418": 409,
    "CL-1458": 409,
    "CL-1459": 409,
    "CL-1501": 409,
    "CL-1502": 409,
    "CL-1503": 409,
    "CL-1504": 409,
    "CL-1511": 409,
    "CL-1513": 409,
    "CL-1514": 409,
    "CL-1515": 409,
    "CL-1540": 409,
    "CL-1605": 409,
    "CL-1606": 409,
    "CL-1609": 409,
    "CL-1603": 429,
    "CL-1612": 409,
    "CL-1613": 422,
    "CL-1614": 422,
    "CL-1615": 409,
    "CL-1610": 401,
    "CL-1611": 404,
    "CL-1620": 422,
    "CL-1621": 400,
    "CL-1704": 409,
    "CL-1707": 409,
    "CL-1801": 413,
    "CL-1802": 413,
    "CL-1901": 503,
    "CL-1904": 503,  # for workers an outage: nothing is refused for good
    "CL-1905": 503,
    "CL-1910": 500,
}


def http_status(code: str) -> int:
    """The HTTP status that fits a code: its own, else by its range."""
    if code in _STATUS:
        return _STATUS[code]
    return 403 if code.startswith("CL-16") else 400


def headers_set(response: HttpResponse, error: AppError) -> HttpResponse:
    """Give an error's answer its headers: when to try again, where the error says so."""
    seconds = error.details.get("retry_after")
    if isinstance(seconds, int):
        response["Retry-After"] = str(seconds)
    return response
