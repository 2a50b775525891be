"""Numbers, bytes and durations as people read them."""

from datetime import timedelta

_UNITS = ("bytes", "kB", "MB", "GB", "TB", "PB")
NARROW_SPACE = "\u202f"
NOTHING = "–"
# In this order: the names of many browsers contain those of the later ones.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def as_float(value: object) -> float | None:
    """Return the value as a finite float, or None where there is none to show."""
    if value is None or value == "" or isinstance(value, bool):
        return None
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if number - number == 0 else None


def human_bytes(value: object) -> str:
    """Return a byte count with a decimal unit: 512 bytes, 3.4 MB, 21 GB."""
    number = as_float(value)
    if number is None:
        return NOTHING
    size, unit = abs(number), 0
    while size >= 999.5 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    text = f"{size:.0f}" if unit == 0 or size >= 99.95 else f"{size:.1f}"
    return f"{'-' if number < 0 else ''}{text} {_UNITS[unit]}"


def human_duration(value: object) -> str:
    """Return seconds (or a timedelta) in its two largest units: 0.4 s, 12 s, 3 min 5 s, 1 h 12 min, 2 d 4 h."""
    number = value.total_seconds() if isinstance(value, timedelta) else as_float(value)
    if number is None:
        return NOTHING
    if number < 0:
        return f"-{human_duration(-number)}"
    if number < 0.0995:
        return f"{number * 1000:.0f} ms"
    if number < 9.95:
        return f"{number:.1f} s"
    seconds = round(number)
    for size, unit, smaller, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            rest = seconds % size // smaller
            return f"{seconds // size} {unit} {rest} {name}" if rest else f"{seconds // size} {unit}"
    return f"{seconds} s"


def human_number(value: object, digits: int | None = None) -> str:
    """Return a number with narrow spaces between thousands and about four significant digits after the point."""
    number = as_float(value)
    if number is None:
        return NOTHING
    if digits is None:
        if number == int(number) and abs(number) < 1e15:
            digits = 0
        elif 0 < abs(number) < 1e-3:
            return f"{number:.2e}"
        else:
            digits = 3 if abs(number) < 10 else 1
    return f"{number:,.{digits}f}".replace(",", NARROW_SPACE)


def human_percent(value: object, digits: int = 0) -> str:
    """Return a fraction as a percentage: 0.32 is 32 %."""
    number = as_float(value)
    return NOTHING if number is None else f"{number * 100:.{digits}f} %"


def human_detail(value: object) -> str:
    """Return a JSON value as a line for people: lists and mappings without brackets, nothing as a dash."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {human_detail(item)}" for name, item in value.items()) or NOTHING
    if isinstance(value, list):
        between = "; " if any(isinstance(item, (dict, list)) for item in value) else ", "
        return between.join(human_detail(item) for item in value) or NOTHING
    return NOTHING if value is None or value == "" else str(value)


def human_browser(user_agent: object) -> str:
    """Return what a browser's long name says to people: Firefox on Linux."""
    text = str(user_agent or "")
    browser = next((name for mark, name in _BROWSERS if mark in text), text.split("/")[0][:40].strip())
    system = next((name for mark, name in _SYSTEMS if mark in text), "")
    return f"{browser or 'an unknown browser'}{f' on {system}' if system else ''}"


def human_share(share: float) -> str:
    """Return a share (0..1) in percent, never rounded to all or nothing: 0.9996 is not 100 %."""
    rounded = f"{100 * share:.1f}"
    if rounded == "100.0":
        return "100 %" if share == 1 else "> 99.9 %"
    if rounded == "0.0":
        return "0 %" if share == 0 else "< 0.1 %"
    return f"{rounded} %"
