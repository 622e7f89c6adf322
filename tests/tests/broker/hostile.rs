//! A plugin that does its worst beside one that works.

use anyhow::{Context, Result, ensure};
use gristmill_tests::checker;
use gristmill_tests::client::Isolation;
use gristmill_tests::cluster::{Apache, Cluster};
use gristmill_tests::shop::Shop;
use gristmill_tests::turn;
use gristmill_tests::wait::{self, Seen};
use gristmill_tests::workload::{self, Items};
use gristmill_tests::{host, read};

/// What the plugin is told to do, and the code of the dead letter that comes of it.
const ATTACKS: &[(&str, &str)] = &[
    ("panic with last words", "trap"),
    ("trap", "trap"),
    ("loop", "timeout"),
    ("memory", "memory_limit"),
    ("stack", "trap"),
    ("outputs 10000000", ""),
    ("bytes 100000000", "memory_limit"),
    ("header gristmill-after", ""),
    ("reject told-so", "told-so"),
];

#[test]
fn isolates_a_hostile_plugin_from_a_healthy_one() -> Result<()> {
    let _turn = turn::take();
    let client = Apache::shared()?.client();
    let (source, sink) = (client.topic("hostile-in", 1, &[])?, client.topic("hostile-out", 1, &[])?);
    let plugin = host::plugin("tests/fixtures/hostile")?;
    let shop = Shop::new(client, 2)?.with_transforms(&format!(
        "\n[transforms.hostile]\nplugin = \"{}\"\nsources.in = \"{source}\"\nsinks.out = \"{sink}\"\n",
        plugin.display()
    ));
    shop.prepare()?;
    let letters_topic = format!("{}.hostile.dead-letters", shop.app);
    let producer = shop.producer()?;
    for (n, (attack, _)) in ATTACKS.iter().enumerate() {
        producer.put(&source, 0, "k", &format!("good {n}"))?;
        producer.put(&source, 0, "k", attack)?;
    }
    producer.put(&source, 0, "k", "good at the end")?;
    let mut items = Items::new(workload::seed(), 1_000);
    items.send(&producer, &shop.items, 10_000)?;
    producer.drain()?;

    let mut host = shop.start("a")?;
    shop.await_consumed(&mut [&mut host])?;
    let outputs = wait::until("the hostile plugin's last record", || {
        ensure!(host.ended()?.is_none(), "the host ended; its log:\n{}", host.tail());
        let outputs = read::values(&shop.client, &sink, Isolation::Committed)?;
        let done = outputs.iter().any(|value| value == "good at the end");
        Ok(if done { Seen::Yes(outputs) } else { Seen::NotYet(format!("{outputs:?}; {}", host.tail())) })
    })?;

    let mut want: Vec<_> = (0..ATTACKS.len()).map(|n| format!("good {n}")).collect();
    want.push("good at the end".into());
    ensure!(outputs == want, "the records beside the attacks: {outputs:?}");
    let letters = read::whole(&shop.client, &letters_topic, Isolation::Committed)?;
    ensure!(letters.len() == ATTACKS.len(), "{letters:?}");
    for (letter, (attack, want)) in letters.iter().zip(ATTACKS) {
        let code = letter.header("gristmill-error-code").context("a dead letter without a code")?;
        ensure!(letter.text() == *attack, "{letter:?}");
        ensure!(want.is_empty() || code == *want, "`{attack}` is dead-lettered as `{code}`");
    }
    let panic = letters.first().and_then(|letter| letter.header("gristmill-error-message"));
    ensure!(panic.is_some_and(|message| message.contains("with last words")), "the panic's message is lost");
    shop.await_stable()?;
    let seen = shop.observe()?;
    checker::all_hold(&checker::at_rest(&seen, &shop.model(&seen)))
}
