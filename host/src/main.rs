//! The `gristmill` command: parses, runs, prints the error with its causes and its hint, and exits with a code.

use std::process::ExitCode;

fn main() -> ExitCode {
    gristmill_host::cli::main()
}
