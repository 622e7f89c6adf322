//! `gristmill demo --on`: the whole system on a Kafka that is somebody's, who must not find anything of it afterwards.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use gristmill_tests::client::{self, Client, Isolation};
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::host;
use gristmill_tests::process::{self, Process};
use gristmill_tests::read;
use gristmill_tests::rundir;

/// A demo this small takes half a minute; its calls in doubt wait for most of it.
const WITHIN: Duration = Duration::from_secs(150);

#[test]
fn plays_on_somebodys_kafka_and_leaves_nothing_behind_also_when_it_is_interrupted() -> Result<()> {
    let apache = Apache::shared()?;
    let client = apache.client();
    let prefix = client::unique("demo");
    // Their names begin as the demo's do, but for the dot.
    let foreign = client.topic(&format!("{prefix}-own"), 1, &[])?;
    client.producer(&[])?.put(&foreign, 0, "key", "mine")?;
    let mut whole = start(apache, &prefix)?;
    let mut interrupted = start(apache, &format!("{prefix}-2"))?;

    interrupted.await_output("SIGKILL to the host")?;
    process::signal(interrupted.pid(), libc::SIGINT)?;
    let cut_short = interrupted.wait(WITHIN)?;
    let played = whole.wait(WITHIN)?;

    ensure!(played.success(), "it ended with {played}:\n{}", whole.output()?);
    ensure!(whole.output()?.contains("all of them were kept"), "it kept quiet:\n{}", whole.output()?);
    ensure!(cut_short.code() == Some(1), "it ended with {cut_short}:\n{}", interrupted.output()?);
    ensure!(
        interrupted.output()?.contains("was interrupted"),
        "it did not say so:\n{}",
        interrupted.output()?
    );
    let left = everything(&client, &prefix)?;
    ensure!(left == [foreign.clone()], "there is more than `{foreign}` left: {left:?}");
    ensure!(
        read::values(&client, &foreign, Isolation::Committed)? == ["mine"],
        "`{foreign}` has lost its record"
    );
    Ok(())
}

#[test]
fn refuses_a_prefix_under_which_somebody_has_topics() -> Result<()> {
    let apache = Apache::shared()?;
    let client = apache.client();
    let prefix = client::unique("demo");
    let topic = format!("{prefix}.items");
    client.create_topic(&topic, 1, &[])?;

    let mut demo = start(apache, &prefix)?;

    ensure!(demo.wait(WITHIN)?.code() == Some(2), "it ended otherwise:\n{}", demo.output()?);
    ensure!(demo.output()?.contains(&topic), "it did not name it:\n{}", demo.output()?);
    ensure!(everything(&client, &prefix)? == [topic], "it has taken away what is not its own");
    Ok(())
}

fn start(apache: &Apache, prefix: &str) -> Result<Process> {
    let sizes = "--items 2000 --products 60 --rate 200";
    let mut command = Command::new(host::binary()?);
    command.arg("demo").args(sizes.split(' ')).args(["--on", &apache.bootstrap(), "--prefix", prefix]);
    let log = rundir::make("demo")?.join("demo.log");
    Process::start("the demo", &mut command, log)
}

/// All topics and consumer groups whose names begin like this.
fn everything(client: &Client, prefix: &str) -> Result<Vec<String>> {
    let admin = client.admin()?;
    let groups = admin.inner().fetch_group_list(None, Duration::from_secs(20))?;
    let groups = groups.groups().iter().map(|group| group.name().to_owned());
    let all = client.topics(prefix)?.into_iter().chain(groups.filter(|name| name.starts_with(prefix)));
    Ok(all.collect())
}
