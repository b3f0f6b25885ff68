"""The key that signed the policies; its private half was thrown away. Made by tools/sign_policies.py."""

KEYID = "ed25519:692999a2fd40f10e6a44fa8980e76a382a73fbbef2300404ee68c3ca5ba37741"
