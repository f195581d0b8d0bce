"""The sections of the report, one module each: what its part of the template says, read from the views."""
