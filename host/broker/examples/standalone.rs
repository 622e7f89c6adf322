//! Runs the dev broker alone, for a try with any Kafka client: `cargo run -p gristmill-broker --example standalone -- 9092`.
//!
//! Topics create themselves. It ends when its standard input does.

use std::io::Read;

use gristmill_broker::Broker;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).map_or(Ok(0), |port| port.parse())?;
    let broker = Broker::builder().port(port).auto_create_topics().start()?;
    println!("{}", broker.bootstrap());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    broker.stop();
    Ok(())
}
