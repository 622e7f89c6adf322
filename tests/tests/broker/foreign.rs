//! Clients that share no code with ours, on both brokers.

use anyhow::{Result, ensure};
use gristmill_tests::client::unique;
use gristmill_tests::cluster::{Apache, Cluster, Dev};
use gristmill_tests::foreign;

#[test]
fn kcat_finds_its_way_on_apache_kafka() -> Result<()> {
    kcat(Apache::shared()?)
}

#[test]
fn a_python_client_processes_exactly_once_on_apache_kafka() -> Result<()> {
    python(Apache::shared()?)
}

#[test]
fn kcat_finds_its_way_on_the_dev_broker() -> Result<()> {
    kcat(Dev::shared()?)
}

#[test]
fn a_python_client_processes_exactly_once_on_the_dev_broker() -> Result<()> {
    python(Dev::shared()?)
}

fn kcat(cluster: &dyn Cluster) -> Result<()> {
    let (client, bootstrap) = (cluster.client(), cluster.bootstrap());
    let topic = client.topic("kcat", 2, &[])?;
    let kcat = |arguments: &[&str], input: &str| foreign::kcat(&bootstrap, arguments, input);

    kcat(&["-P", "-t", &topic, "-p", "0", "-K", ":", "-Z", "-H", "h=1"], "a:1\nb:2\nc:\n")?;
    kcat(&["-P", "-t", &topic, "-p", "1", "-K", ":", "-z", "snappy"], "d:4\n")?;

    let listed = kcat(&["-L", "-t", &topic], "")?;
    ensure!(listed.contains(&format!("topic \"{topic}\" with 2 partitions")), "{listed}");
    let end = kcat(&["-Q", "-t", &format!("{topic}:0:-1")], "")?;
    ensure!(end.contains("offset 3"), "{end}");
    let format = ["-e", "-q", "-f", "%p@%o %k=%S:%s [%h]\n"];
    let mut read = vec!["-C", "-t", &topic, "-p", "0", "-o", "beginning"];
    read.extend(format);
    let text = kcat(&read, "")?;
    ensure!(text == "0@0 a=1:1 [h=1]\n0@1 b=1:2 [h=1]\n0@2 c=-1: [h=1]\n", "{text}");
    let group = unique("kcat");
    let mut member = vec!["-X", "auto.offset.reset=earliest"];
    member.extend(format);
    member.extend(["-G", &group, &topic]);
    let text = kcat(&member, "")?;
    ensure!(text.lines().count() == 4 && text.contains("1@0 d=1:4 []"), "{text}");
    Ok(())
}

fn python(cluster: &dyn Cluster) -> Result<()> {
    let client = cluster.client();
    let (topic, output) = (client.topic("python-in", 2, &[])?, client.topic("python-out", 2, &[])?);

    foreign::python("client.py", &[&cluster.bootstrap(), &topic, &output, &unique("python")])
}
