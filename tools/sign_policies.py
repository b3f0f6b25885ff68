"""Publish the policies: sign each with a new key, keep its public half, and throw the private half away.

Run it when a policy is new or its version was raised; a gate test says when. Every published file is then signed anew,
under a key of this version of the library. What an earlier version published is verified with its own key.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from expunge.core.canonical import canonical_bytes
from expunge.core.files import write_bytes, write_text
from expunge.core.registry import policies
from expunge.ledger.keys import PublicKey
from expunge.workflow.policy_file import PUBLISHED, PUBLISHER, SUFFIX, published_path, sign_policy

NAME = "the publisher of expunge's policies"
SOURCE = '''"""The key that signed the policies; its private half was thrown away. Made by tools/sign_policies.py."""

KEYID = "{keyid}"
'''


class OneTime:
    """A signer that lives as long as this program."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()

    @property
    def public(self) -> PublicKey:
        """The half that is kept."""
        return PublicKey(self._key.public_key().public_bytes_raw(), NAME)

    @property
    def keyid(self) -> str:
        """Digest of the public half."""
        return self.public.keyid

    def sign(self, data: bytes) -> bytes:
        """(64) bytes."""
        return self._key.sign(data)


def main() -> None:
    """Write the key, the files, and the source that pins the key."""
    signer = OneTime()
    public = signer.public
    signed = {published_path(p.name): sign_policy(p, signer) for _, p in policies.items()}
    for stale in set(PUBLISHED.glob(f"*{SUFFIX}")) - set(signed):
        stale.unlink()
    for path, data in signed.items():
        write_bytes(path, data)
    write_bytes(PUBLISHER, canonical_bytes({"keyid": public.keyid, "name": NAME, "public": public.text}))
    write_text(Path(PUBLISHED) / "_publisher.py", SOURCE.format(keyid=public.keyid))
    print(f"{len(signed)} policies, key {public.keyid}")


if __name__ == "__main__":
    main()
