//! Adds the delivery times of its class to every item.
//!
//! A left join: each item is passed on at once, with the times of its best class as of now, or with nulls
//! when none of its classes is known. Items that are deleted, or that do not pass the filter, delete
//! their enriched record.

mod class;
mod filter;
mod item;

use gristmill::Context;
use gristmill::Mirror;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Source;
use gristmill::json::Template;
use serde::Deserialize;

use crate::class::Class;
use crate::filter::Filter;
use crate::filter::OnlyIf;

gristmill::manifest!("plugin.toml");
gristmill::export!(DeliveryTime);

/// The members that it sets, in this order.
const MEMBERS: [&str; 2] = ["minimumDeliveryTime", "maximumDeliveryTime"];

/// The settings: see `plugin.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    class_pointer: String,
    #[serde(default)]
    only_if: Option<OnlyIf>,
}

/// The plugin.
pub struct DeliveryTime {
    classes: Mirror<Class>,
    /// Finds the class, and the filter's value if there is a filter; sets [`MEMBERS`].
    template: Template,
    filter: Option<Filter>,
}

impl Plugin for DeliveryTime {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let filter = config.only_if.map(Filter::new).transpose()?;
        let mut pointers = vec![config.class_pointer.as_str()];
        pointers.extend(filter.as_ref().map(Filter::pointer));
        let template = Template::new(&pointers, &MEMBERS)
            .map_err(|error| format!("`class_pointer` or `only_if.pointer`: {error}"))?;
        Ok(Self { classes: Mirror::new(tables::CLASSES, Class::parse), template, filter })
    }

    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        match source {
            sources::CLASSES => self.classes.apply(record),
            _ => self.item(record, ctx),
        }
    }
}
