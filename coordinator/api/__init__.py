"""REST for people: jobs, parties, roster, enrolment. Every answer is typed; every error is code, cause, hint."""
