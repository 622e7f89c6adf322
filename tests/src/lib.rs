//! The support library of the test suites.
