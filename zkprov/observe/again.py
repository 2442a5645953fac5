"""One server of a survey looked at once more, the rest as it was."""

from __future__ import annotations

import msgspec

from zkprov.model.facts import Survey
from zkprov.observe.admin_owner import own_answers


def with_one_anew(survey: Survey, look: Survey, took: float) -> Survey | None:
    """`survey` with the one server of `look` as it is there; None where that is not one of its servers.

    `took`: seconds from the beginning of `survey` to the end of `look`. Both are one survey then, as old as its oldest part.
    """
    if len(look.servers) != 1:
        return None
    (anew,) = look.servers
    before = survey.by_name(anew.name)
    if before is None or before.client != anew.client:
        return None
    # who it should be by the lists of the others, which were not read again
    if anew.expected_id is None:
        anew = msgspec.structs.replace(anew, expected_id=before.expected_id)
    servers = own_answers([anew if s is before else s for s in survey.servers])
    return msgspec.structs.replace(survey, took=round(took, 3), servers=tuple(servers))
