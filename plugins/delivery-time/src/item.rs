//! Enriches one item.

use delivery_class::Class;
use delivery_class::Names;
use delivery_class::refuse;
use gristmill::Context;
use gristmill::Headers;
use gristmill::Lookup;
use gristmill::Record;
use gristmill::Reject;
use gristmill::json::Document;
use gristmill::json::Template;

use crate::DeliveryTime;
use crate::filter::Filter;
use crate::sinks;
use crate::tables;

impl DeliveryTime {
    /// Passes an item on with the times of its best class.
    pub(crate) fn item(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = record.key.ok_or_else(|| Reject::new("no-key", "the item has no key, so no SKU"))?;
        let Some(value) = record.value else {
            ctx.send(sinks::ENRICHED).key(key).headers(record.headers).tombstone();
            return Ok(());
        };
        let item = Item::read(&mut self.template, self.filter.as_ref(), value)?;
        if !item.passes {
            ctx.send(sinks::ENRICHED).key(key).headers(record.headers).tombstone();
            return Ok(());
        }
        let class = item.best(self.classes.join(record, ctx));
        item.send(class, key, record.headers, ctx)
    }

    /// Sends the item of a SKU again: a command of option 2. What else it says does not matter.
    pub(crate) fn update(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = record.key.ok_or_else(|| Reject::new("no-key", "the command has no key, so no SKU"))?;
        let page = ctx.table(tables::ITEMS).row(key);
        let Some(row) = page.rows().next() else { return ctx.skip("unknown-item") };
        let Ok(item) = Item::read(&mut self.template, self.filter.as_ref(), row.value) else {
            return ctx.skip("malformed-item");
        };
        if !item.passes {
            return ctx.skip("filtered-item");
        }
        let class = item.best(self.classes.join_again(key, ctx));
        item.send(class, key, row.headers, ctx)
    }
}

/// An item that is well-formed.
pub(crate) struct Item<'t, 'd> {
    document: Document<'t, 'd>,
    pub(crate) classes: Names<'d>,
    pub(crate) passes: bool,
}

impl<'t, 'd> Item<'t, 'd> {
    pub(crate) fn read(
        template: &'t mut Template,
        filter: Option<&Filter>,
        value: &'d [u8],
    ) -> Result<Self, Reject> {
        if value.is_empty() {
            return Err(Reject::new("empty-value", "the item has an empty value, which is not a tombstone"));
        }
        let document = template.read(value).map_err(refuse)?;
        // Before the filter: whether an item is well-formed must not depend on whether it is online.
        let classes = Names::of(&document)?;
        let passes = filter.is_none_or(|filter| filter.passes(document.get(1)));
        Ok(Self { document, classes, passes })
    }

    /// The best of the classes that are known.
    pub(crate) fn best<'c>(&self, classes: Lookup<'c, Class>) -> Option<&'c Class> {
        self.classes.best(|name| classes.get(name)).map(|(_, class)| class)
    }

    pub(crate) fn send(
        &self,
        class: Option<&Class>,
        key: &[u8],
        headers: Headers<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<(), Reject> {
        let times: [&[u8]; 2] = class.map_or([b"null", b"null"], Class::texts);
        let output = ctx.send(sinks::ENRICHED).key(key).headers(headers);
        output.try_write(|buffer| self.document.splice(&times, buffer)).map_err(refuse)
    }
}
