"""Users and passwords in addresses, which nobody is to read."""

import re

_CREDENTIALS = re.compile(r"//[^/\s]*@")


def without_credentials(text: str) -> str:
    """Each `//user:password@` of the text as `//`. A password may hold an @; a / stands in it percent-encoded."""
    return _CREDENTIALS.sub("//", text)
