//! Adds the delivery times of its class to every item, and follows class changes.
//!
//! A left join: each item is passed on at once, with the times of its best class as of now, or with nulls
//! when none of its classes is known. Items that are deleted, or that do not pass the filter, delete
//! their enriched record. When a class changes, a job sends the items of the class again whose times are
//! others than before.

mod filter;
mod item;

use std::cell::RefCell;

use delivery_class::Class;
use delivery_class::MEMBERS;
use delivery_class::Names;
use gristmill::Context;
use gristmill::Failure;
use gristmill::Follow;
use gristmill::Followed;
use gristmill::Index;
use gristmill::IndexName;
use gristmill::Job;
use gristmill::Jobs;
use gristmill::Mode;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Row;
use gristmill::Source;
use gristmill::Step;
use gristmill::Terms;
use gristmill::json::Template;
use serde::Deserialize;

use crate::filter::Filter;
use crate::filter::OnlyIf;
use crate::item::Item;

gristmill::manifest!("plugin.toml");
gristmill::export!(DeliveryTime: Index, Jobs);

/// The settings: see `plugin.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    class_pointer: String,
    follow_classes: bool,
    #[serde(default)]
    only_if: Option<OnlyIf>,
}

/// The plugin.
pub struct DeliveryTime {
    classes: Follow<Class>,
    /// Finds the class, and the filter's value if there is a filter; sets [`MEMBERS`].
    template: Template,
    /// Finds the class, for the index.
    class: RefCell<Template>,
    filter: Option<Filter>,
}

impl Plugin for DeliveryTime {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let filter = config.only_if.map(Filter::new).transpose()?;
        let mut pointers = vec![config.class_pointer.as_str()];
        pointers.extend(filter.as_ref().map(Filter::pointer));
        let template = |pointers: &[&str], members: &[&str]| {
            Template::new(pointers, members)
                .map_err(|error| format!("`class_pointer` or `only_if.pointer`: {error}"))
        };
        let followed = Followed {
            changes: tables::CLASSES,
            rows: tables::ITEMS,
            index: indexes::BY_CLASS,
            job: jobs::FOLLOW_CLASS,
            store: stores::FOLLOW,
        };
        // Another pointer gives other classes to items that went out long ago.
        let meaning = config.class_pointer.clone();
        let mode = if config.follow_classes { Mode::Follow } else { Mode::Still };
        Ok(Self {
            classes: Follow::new(followed, Class::parse).mode(mode).meaning(meaning),
            template: template(&pointers, &MEMBERS)?,
            class: RefCell::new(template(&[config.class_pointer.as_str()], &[])?),
            filter,
        })
    }

    fn record(&mut self, source: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        match source {
            sources::CLASSES => self.classes.apply(record, ctx),
            sources::UPDATES => self.update(record, ctx),
            _ => self.item(record, ctx),
        }
    }
}

impl Index for DeliveryTime {
    /// The classes of an item. One that is rejected has none.
    fn terms(&self, _: IndexName<'_>, row: &Row<'_>, terms: &mut Terms) {
        let mut template = self.class.borrow_mut();
        let names = template.read(row.value).ok().and_then(|document| Names::of(&document).ok());
        for name in names.iter().flat_map(Names::list) {
            terms.add(name);
        }
    }
}

impl Jobs for DeliveryTime {
    /// Sends items again whose times are others than before. One that was rejected is left alone, and so is
    /// one that does not pass the filter: it was deleted from the sink when it came.
    fn step(&mut self, job: &Job<'_>, ctx: &mut Context<'_>) -> Result<Step, Failure> {
        let (template, filter) = (&mut self.template, self.filter.as_ref());
        self.classes.step(job, ctx, |row, passing, ctx| {
            let Ok(item) = Item::read(template, filter, row.value) else { return Ok(()) };
            if !item.passes {
                return Ok(());
            }
            let Some(class) = passing.changed(item.classes.list(), |classes| item.best(classes)) else {
                return Ok(());
            };
            item.send(class, row.key, row.headers, ctx).map_err(|reject| Failure::Fatal(reject.to_string()))
        })
    }
}
