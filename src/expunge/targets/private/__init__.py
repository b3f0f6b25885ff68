"""What was trained with differential privacy, beside the account from which anyone computes its epsilon."""
