//! Hand-made plans and results for tests.
