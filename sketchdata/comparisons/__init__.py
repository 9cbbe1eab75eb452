"""The papers' comparison tables: which rows they have, and the published figures beside ours."""
