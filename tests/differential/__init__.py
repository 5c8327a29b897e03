"""One script, two stacks: the kernel's TCP and ours play it, and their answers are compared field by field."""
