//! How hosts come and go: under a name that another process has, without a broker, with and without leaving the group.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use gristmill_tests::checker;
use gristmill_tests::client::Client;
use gristmill_tests::cluster::{Cluster, Dev};
use gristmill_tests::host;
use gristmill_tests::process::Process;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::workload::{self, Items};

/// A start gives up on its broker after 15 s.
const GIVES_UP_WITHIN: Duration = Duration::from_secs(60);

#[test]
fn ends_one_of_two_hosts_with_the_same_name_and_lets_the_other_go_on() -> Result<()> {
    let _turn = turn::take();
    let dev = Dev::start()?;
    let shop = Shop::new(dev.client(), 2)?;
    shop.prepare()?;
    let producer = shop.producer()?;
    let mut items = Items::new(workload::seed(), 500);
    let mut hosts = vec![shop.start("a")?];
    items.send(&producer, &shop.items, 500)?;
    producer.drain()?;
    shop.await_consumed(&mut [&mut hosts[0]])?;

    hosts.push(host::run(&twin(&shop, "a")?)?);
    let (mut ended, mut other) = split(hosts)?;

    ensure!(ended.wait(GIVES_UP_WITHIN)?.code() == Some(3), "it ended otherwise:\n{}", ended.tail());
    ensure!(ended.output()?.contains("code: instance_in_use"), "it did not say why:\n{}", ended.tail());
    items.send(&producer, &shop.items, 500)?;
    producer.drain()?;
    shop.await_consumed(&mut [&mut other])?;
    shop.await_stable()?;
    let seen = shop.observe()?;
    checker::all_hold(&checker::at_rest(&seen, &shop.model(&seen)))
}

/// A pipeline file with the same instance name and a state directory of its own, as a copied configuration has it.
fn twin(shop: &Shop, instance: &str) -> Result<PathBuf> {
    let file = shop.pipeline(instance)?;
    let text = fs::read_to_string(&file)?;
    let copy = text.replace(&format!("/{instance}\"\n"), &format!("/{instance}-twin\"\n"));
    ensure!(copy != text, "the state directory was not found in:\n{text}");
    let path = file.with_file_name(format!("{instance}-twin.toml"));
    fs::write(&path, copy)?;
    Ok(path)
}

/// Waits until one of the hosts has ended, and tells it from the other.
fn split(mut hosts: Vec<Process>) -> Result<(Process, Process)> {
    let at = wait::until("one of the hosts to end", || {
        for (at, host) in hosts.iter_mut().enumerate() {
            if host.ended()?.is_some() {
                return Ok(Seen::Yes(at));
            }
        }
        Ok(Seen::NotYet(hosts.iter().map(Process::tail).collect::<Vec<_>>().join("\n---\n")))
    })?;
    let ended = hosts.remove(at);
    Ok((ended, hosts.pop().context("there were two hosts")?))
}

#[test]
fn leaves_its_group_only_when_it_is_asked_to() -> Result<()> {
    for (options, members) in [(&[][..], 1), (&["--leave"][..], 0)] {
        let _turn = turn::take();
        let dev = Dev::start()?;
        let shop = Shop::new(dev.client(), 1)?;
        shop.prepare()?;
        let mut host = host::run_with(&shop.pipeline("a")?, options)?;
        let count = || dev.broker().group(&shop.group()).map_or(0, |group| group.members.len());
        host.await_output("opened a task")?;

        let status = host.terminate(GIVES_UP_WITHIN)?;

        ensure!(status.success(), "it ended with {status}:\n{}", host.tail());
        ensure!(count() == members, "with {options:?} the group has {} members", count());
    }
    Ok(())
}

#[test]
fn says_that_no_broker_answers() -> Result<()> {
    let dev = Dev::start()?;
    let shop = Shop::new(dev.client(), 1)?;
    let file = shop.pipeline("a")?;
    // Port 1 of this machine: nobody listens there.
    let text = fs::read_to_string(&file)?.replace(Client::bootstrap(&shop.client), "127.0.0.1:1");
    fs::write(&file, text)?;

    let mut host = host::run(&file)?;

    ensure!(host.wait(GIVES_UP_WITHIN)?.code() == Some(2), "it ended otherwise:\n{}", host.tail());
    ensure!(host.output()?.contains("code: broker_unreachable"), "it did not say why:\n{}", host.tail());
    Ok(())
}
