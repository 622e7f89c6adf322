//! Brokers that encrypt and ask for a password.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use gristmill_tests::cluster::{Apache, Cluster, PASSWORD, Secured};
use gristmill_tests::process::Process;
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::workload::{self, Items};
use gristmill_tests::{checker, host, wait};

/// A shop whose hosts come through the secured listener, while the test looks at it through the other one.
struct Stage {
    secured: Secured,
    shop: Shop,
    _kafka: Apache,
}

impl Stage {
    fn new() -> Result<Self> {
        let (kafka, secured) = Apache::secured()?;
        let shop = Shop::new(kafka.client(), 2)?;
        shop.prepare()?;
        Ok(Self { secured, shop, _kafka: kafka })
    }

    /// A pipeline file that believes this authority.
    fn file(&self, authority: &Path, mechanism: &str) -> Result<PathBuf> {
        let path = self.shop.pipeline("a")?;
        let brokers = format!("localhost:{}", self.secured.port);
        let options = format!(
            "[kafka.client]\n\"security.protocol\" = \"sasl_ssl\"\n\"sasl.mechanism\" = \"{mechanism}\"\n\
             \"sasl.username\" = \"gristmill\"\n\"sasl.password\" = \"${{KAFKA_PASSWORD}}\"\n\
             \"ssl.ca.location\" = \"{}\"\n",
            authority.display()
        );
        let text = fs::read_to_string(&path)?.replace(self.shop.client.bootstrap(), &brokers);
        fs::write(&path, text.replace("[kafka.client]\n", &options))?;
        Ok(path)
    }

    /// What a command says that must fail.
    fn fails(&self, authority: &Path, password: &str) -> Result<String> {
        let mut command = Command::new(host::binary()?);
        command.arg("topics").arg(self.file(authority, "PLAIN")?).env("KAFKA_PASSWORD", password);
        let output = command.output()?;
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(2), "{}: {errors}", output.status);
        ensure!(errors.contains("code: broker_unreachable") && !errors.contains(password), "{errors}");
        Ok(errors)
    }
}

#[test]
fn works_over_an_encrypted_connection_with_a_password() -> Result<()> {
    let _turn = turn::take();
    let stage = Stage::new()?;
    let shop = &stage.shop;
    let file = stage.file(&stage.secured.authority, "SCRAM-SHA-512")?;
    let (producer, mut items) = (shop.producer()?, Items::new(workload::seed(), 500));
    items.send(&producer, &shop.items, 2_000)?;
    producer.drain()?;

    let mut command = Command::new(host::binary()?);
    command.arg("run").arg(&file).env("KAFKA_PASSWORD", PASSWORD);
    let mut host = Process::start("the host", &mut command, file.with_extension("log"))?;
    shop.await_consumed(&mut [&mut host])?;
    ensure!(host.terminate(wait::PATIENCE)?.success(), "{}", host.tail());

    let seen = shop.observe()?;
    let model = shop.model(&seen);
    checker::all_hold(&[checker::atomicity(&seen, &model), checker::nothing_hangs(&seen)])?;
    ensure!(seen.items.committed.len() == 2_000, "not every record was sent");
    ensure!(!host.output()?.contains(PASSWORD), "the password is in the log");
    Ok(())
}

#[test]
fn says_why_it_cannot_connect() -> Result<()> {
    let stage = Stage::new()?;
    let strange = stage.secured.authority.with_file_name("strange.crt");
    fs::write(&strange, gristmill_tests::certificates::Certificates::make()?.authority)?;

    let password = stage.fails(&stage.secured.authority, "wrong-4711")?;
    let authority = stage.fails(&strange, PASSWORD)?;

    ensure!(password.to_lowercase().contains("authentication"), "{password}");
    ensure!(authority.to_lowercase().contains("certificate"), "{authority}");
    Ok(())
}
