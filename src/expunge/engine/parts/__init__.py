"""Models built of parts: which record is in which shard and slice, how a part is trained, what a deletion replays."""
