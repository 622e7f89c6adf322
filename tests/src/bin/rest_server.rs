//! The external service of the tests, as a program: `rest_server LOG seed=1 slow-ms=300 slow=0.2 error=0.03 ...`.

use std::env;

use anyhow::{Context, Result};
use gristmill_tests::rest_server::{self, Behaviour};

fn main() -> Result<()> {
    let mut arguments = env::args().skip(1);
    let log = arguments.next().context("name the file for the log of requests")?;
    rest_server::serve(log.as_ref(), Behaviour::parse(arguments)?)
}
