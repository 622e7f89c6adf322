//! The classes in force: of each the last record that could be read.

use std::collections::HashMap;

use delivery_class::Class;
use gristmill::Context;
use gristmill::Record;
use gristmill::Reject;

use crate::stores;

/// The classes in force. A record that is rejected changes nothing, now and after a restart, so they are kept in a store: the
/// host's table shows what the topic says.
#[derive(Default)]
pub(crate) struct InForce {
    /// None until it is first needed. What it holds is in the store, too.
    classes: Option<HashMap<Vec<u8>, Class>>,
}

/// What a record of the class topic comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// Items of the class may have other times now.
    Times,
    /// None that an item shows.
    Nothing,
}

impl InForce {
    /// Takes over a record of the class topic.
    pub(crate) fn apply(
        &mut self,
        name: &[u8],
        record: &Record<'_>,
        ctx: &mut Context<'_>,
    ) -> Result<Change, Reject> {
        let class = record.value.map(|value| Class::parse(name, value)).transpose()?;
        let classes = self.all(ctx);
        if classes.get(name) == class.as_ref() {
            return Ok(Change::Nothing);
        }
        match class {
            Some(class) => drop(classes.insert(name.to_vec(), class)),
            None => drop(classes.remove(name)),
        }
        match record.value {
            Some(value) => ctx.store(stores::IN_FORCE).put(name, value),
            None => ctx.store(stores::IN_FORCE).delete(name),
        }
        Ok(Change::Times)
    }

    /// All of them, by name.
    pub(crate) fn all(&mut self, ctx: &mut Context<'_>) -> &mut HashMap<Vec<u8>, Class> {
        self.classes.get_or_insert_with(|| {
            let mut classes = HashMap::new();
            ctx.store(stores::IN_FORCE).range(None, None, |name, value| {
                if let Ok(class) = Class::parse(&name, &value) {
                    classes.insert(name, class);
                }
            });
            classes
        })
    }
}
