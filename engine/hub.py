"""What a failed request to the Hugging Face hub means, in words a user can act on."""

from __future__ import annotations

import re

from store.space import chain

_NAMED = re.compile(r"\((\w+)\)\s*$")
_CAUSES = (
    ("RevisionNotFound", "it has no such revision", "Look up its branches and tags, or leave the revision out."),
    (
        "RepositoryNotFound",
        "there is no such repository, or it is private",
        "Check the spelling of OWNER/NAME; for a private one log in with `hf auth login` or set HF_TOKEN.",
    ),
    (
        "OfflineModeIsEnabled",
        "it is not in the local cache and offline mode is on",
        "Unset HF_HUB_OFFLINE, or download it where there is a network and give the folder.",
    ),
    (
        "LocalEntryNotFound",
        "it is not in the local cache and the hub cannot be reached",
        "Check the connection (HF_ENDPOINT, proxies), or download it elsewhere and give the folder.",
    ),
    ("Connect", "the hub cannot be reached", "Check the connection (HF_ENDPOINT, proxies), or give a local folder."),
    ("Timeout", "the hub did not answer in time", "Try again, or give a local folder."),
    ("SafetensorError", "its weights are damaged", "Download or copy it again."),
    ("HFValidationError", "this is neither a folder nor a hub id", "Write a hub id as OWNER/NAME."),
)


def explain_hub(error: BaseException, repository: str) -> tuple[str, str] | None:
    """What is wrong and what to do, by the first known cause along the chain; None for an unknown one."""
    causes = list(chain(error))
    names = [type(cause).__name__ for cause in causes]
    # `datasets` raises a ConnectionError of its own, which only names what it caught.
    names += [name for cause in causes for name in _NAMED.findall(str(cause))]
    if any("GatedRepo" in name for name in names):
        return _gated(repository)
    if any("Invalid credentials" in str(cause) for cause in causes):
        return "the hub refuses your token", "Log in anew with `hf auth login`, or set another HF_TOKEN."
    for kind, message, hint in _CAUSES:
        if any(kind in name for name in names):
            return message, hint
    return None


def _gated(repository: str) -> tuple[str, str]:
    from huggingface_hub import constants, get_token

    page = f"{constants.ENDPOINT}/{repository}"
    if get_token() is None:
        return (
            "access to it is restricted, and there is no token",
            f"Ask for access at {page}, then log in with `hf auth login` or set HF_TOKEN.",
        )
    return (
        "access to it is restricted, and your token has none",
        f"Ask for access at {page} with the account that `hf auth whoami` names.",
    )
