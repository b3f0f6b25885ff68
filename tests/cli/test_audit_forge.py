"""expunge audit forge: both cases of forging, with the numbers."""

from expunge.workflow.audit_forge import forged_text


def test_the_command_tells_both_cases_with_their_numbers(call):
    said = call("audit", "forge", "--seed", "3", "--json")
    assert said.code == 0 and said.err == ""
    shown = said.json
    assert shown["collinear"]["whole"] == shown["collinear"]["forged"]
    text = forged_text(shown)
    assert shown["imitated"]["weights"][7:19] in text and "the same bytes at each of" in text
    assert all(f"{step['exchanged']:.4f}" in text for step in shown["imitated"]["steps"])
