"""Publish the policies: sign each with a new key, keep its public half, and throw the private half away.

Run it when a policy is new or its version was raised; a gate test says when. Every published file is then signed anew,
under a key of this version of the library. What an earlier version published is verified with its own key.
A run that fails or is interrupted puts back what was there; after one that was killed, run it again.
"""

from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from expunge.core.canonical import canonical_bytes
from expunge.core.files import write_bytes
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
    signed[PUBLISHER] = canonical_bytes({"keyid": public.keyid, "name": NAME, "public": public.text})
    # What pins the key comes last: until then a killed run leaves files that nobody signed, and they are not believed.
    signed[PUBLISHED / "_publisher.py"] = SOURCE.format(keyid=public.keyid).encode()
    replace_all(signed)
    for stale in set(PUBLISHED.glob(f"*{SUFFIX}")) - set(signed):
        stale.unlink()
    print(f"{len(signed) - 2} policies, key {public.keyid}")


def replace_all(files: Mapping[Path, bytes]) -> None:
    """Put files in place in their order, all or none: if one fails, what stood there before is put back."""
    before = {path: path.read_bytes() if path.is_file() else None for path in files}
    try:
        for path, data in files.items():
            write_bytes(path, data)
    except BaseException:
        for path, data in before.items():
            if data is None:
                path.unlink(missing_ok=True)
            else:
                write_bytes(path, data)
        raise


if __name__ == "__main__":
    main()
