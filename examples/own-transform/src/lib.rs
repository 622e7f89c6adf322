//! Says once when an item runs low, and again only after it was restocked.

use gristmill::{Context, Plugin, Record, Reject, Source};
use serde::Deserialize;

gristmill::manifest!("plugin.toml"); // names sources, sinks, stores and settings
gristmill::export!(LowStock);

/// The plugin. What must last is in its store; memory is a cache.
pub struct LowStock {
    threshold: u64,
}

/// `[transforms.NAME.config]`, checked against `plugin.toml` before it gets here.
#[derive(Deserialize)]
pub struct Settings {
    threshold: u64,
}

#[derive(Deserialize)]
struct Item {
    stock: u64,
}

impl Plugin for LowStock {
    type Config = Settings;

    fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self { threshold: settings.threshold })
    }

    fn record(&mut self, _: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = record.key.ok_or_else(|| Reject::new("no-key", "the item has no SKU"))?;
        let sku = std::str::from_utf8(key).map_err(|_| Reject::new("key-invalid", "the SKU is no text"))?;
        let Some(value) = record.value else {
            ctx.store(stores::LOW).delete(sku);
            return Ok(());
        };
        // A rejected record becomes a dead letter; the others go on.
        let item: Item =
            serde_json::from_slice(value).map_err(|error| Reject::new("not-an-item", error.to_string()))?;
        let is_low = item.stock < self.threshold;
        let was_low = ctx.store(stores::LOW).get(sku).is_some();
        match (was_low, is_low) {
            // The row and the alert are committed together, or neither of them.
            (false, true) => {
                ctx.store(stores::LOW).put(sku, "");
                ctx.send(sinks::ALERTS).key(key).value(value);
            }
            (true, false) => ctx.store(stores::LOW).delete(sku),
            _ => {}
        }
        Ok(())
    }
}
