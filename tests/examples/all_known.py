"""All examples, and what the tests know of them."""

import known_filtering
import known_languages
import known_services
from known import Known

KNOWN: dict[str, Known] = {**known_filtering.KNOWN, **known_languages.KNOWN, **known_services.KNOWN}
