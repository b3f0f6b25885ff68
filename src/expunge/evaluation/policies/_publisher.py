"""The key that signed the policies; its private half was thrown away. Made by tools/sign_policies.py."""

KEYID = "ed25519:c1c5a08caf45bb8b0b748e244e6d48fbb7c069e44029cc1550a3c770cbf6b264"
