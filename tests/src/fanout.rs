//! Class changes that reach every item of the class: the scenario that holds on each kind of broker.

use anyhow::{Result, ensure};

use crate::checker::{self, Standing};
use crate::client::Client;
use crate::fold::Fold;
use crate::host;
use crate::logistics::{BULKY, Catalogue, FAST, Logistics};
use crate::process::Process;
use crate::shop::Shop;
use crate::wait;

/// Insert, update, deletion of a class, the same again, and three quick changes while items flow. Each step has a number of
/// outputs that is known beforehand: an item whose times do not change is not sent again.
///
/// # Errors
/// When a promise is not kept.
pub fn follows_class_changes(client: Client, partitions: i32, size: usize) -> Result<()> {
    let shop = Shop::new(client, partitions)?;
    shop.prepare()?;
    let (mut logistics, mut catalogue) = (Logistics::new(&shop)?, Catalogue::new(&shop, size)?);
    let (deleted, both) = (size / 200, catalogue.both());
    let bulky = catalogue.bulky() - deleted;
    let mut host = shop.start("a")?;
    let mut fold = Fold::new(&shop)?;
    logistics.set(FAST, 2)?;
    catalogue.send_all()?;
    catalogue.delete(deleted)?;
    let mut before = fold.await_converged(&mut [("a", &mut host)])?;
    // What of this comes from an item that was there before the class is for the class's walk to say.
    ensure!(before >= size + deleted, "{before} outputs");

    let mut expect = |what: &str, outputs: usize, fold: &mut Fold<'_>| -> Result<()> {
        let now = fold.await_converged(&mut [("a", &mut host)])?;
        ensure!(now - before == outputs, "{what}: {} outputs instead of {outputs}", now - before);
        before = now;
        Ok(())
    };
    change_in_steps(&mut logistics, (bulky, both), &mut |what, outputs| expect(what, outputs, &mut fold))?;

    for (n, minimum) in [4, 7, 3].into_iter().enumerate() {
        logistics.set(BULKY, minimum)?;
        catalogue.update(size / 100 * (n + 1))?;
    }
    let now = fold.await_converged(&mut [("a", &mut host)])?;
    let made = now - before;
    let updates = size / 100 * 6;
    ensure!(
        (bulky - both + updates / 2..=3 * (bulky + deleted) + updates).contains(&made),
        "three quick changes and {updates} updates made {made} outputs"
    );

    let status = host.terminate(wait::PATIENCE)?;
    ensure!(status.success(), "it ended with {status}; its log:\n{}", host.tail());
    shop.await_stable()?;
    let seen = shop.observe()?;
    let mut reports = checker::after_changes(&seen, &shop.model(&seen).moving(), catalogue.sent());
    reports.push(shop.local_stores(&seen, &["a"], Standing::Level)?);
    checker::all_hold(&reports)
}

/// Changes the class of `bulky` items, of which `both` have the other class too, in every way. After each change `expect` is told how
/// many outputs it makes.
///
/// # Errors
/// When a class cannot be written, and those of `expect`.
pub fn change_in_steps(
    logistics: &mut Logistics<'_>,
    (bulky, both): (usize, usize),
    expect: &mut dyn FnMut(&str, usize) -> Result<()>,
) -> Result<()> {
    logistics.set(BULKY, 5)?;
    expect("an unknown class comes", bulky - both)?;
    logistics.set(BULKY, 6)?;
    expect("a class is updated", bulky - both)?;
    logistics.repeat(BULKY, 6)?;
    // Converged as it is: the next change is behind it in the same partition.
    logistics.set(FAST, 3)?;
    expect("a class comes again as it is, and the better one of two is updated", both)?;
    logistics.set(BULKY, 1)?;
    expect("the other one becomes the better of two", bulky)?;
    logistics.delete(BULKY)?;
    expect("a class is deleted", bulky)
}

/// Fills a shop with items, and with one of the two classes that will change.
///
/// # Errors
/// When a topic cannot be made or written.
pub fn stocked(shop: &Shop, size: usize) -> Result<(Logistics<'_>, Catalogue<'_>)> {
    shop.prepare()?;
    let (mut logistics, mut catalogue) = (Logistics::new(shop)?, Catalogue::new(shop, size)?);
    logistics.set(FAST, 2)?;
    catalogue.send_all()?;
    Ok((logistics, catalogue))
}

/// Ends a host as an operator does, and gives its log.
///
/// # Errors
/// When it does not end, or not well.
pub fn end(mut host: Process) -> Result<String> {
    let status = host.terminate(wait::PATIENCE)?;
    ensure!(status.success(), "it ended with {status}:\n{}", host.tail());
    host.output()
}

/// A shop of 400 items whose host has worked and has left its group. Gives the number of items that were sent, too.
///
/// # Errors
/// When the host does not do its work.
pub fn stopped(shop: Shop) -> Result<(Shop, usize)> {
    let sent = {
        let (mut logistics, catalogue) = stocked(&shop, 400)?;
        logistics.set(BULKY, 5)?;
        let mut host = host::run_with(&shop.pipeline("a")?, &["--leave"])?;
        Fold::new(&shop)?.await_converged(&mut [("a", &mut host)])?;
        end(host)?;
        catalogue.sent()
    };
    Ok((shop, sent))
}
