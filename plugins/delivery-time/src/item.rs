//! Enriches one item.

use gristmill::Context;
use gristmill::Mirror;
use gristmill::Record;
use gristmill::Reject;
use gristmill::json;
use gristmill::json::Error;
use gristmill::json::Kind;

use crate::DeliveryTime;
use crate::class::Class;
use crate::sinks;

impl DeliveryTime {
    /// Passes an item on with the times of its best class.
    pub(crate) fn item(&mut self, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let key = record.key.ok_or_else(|| Reject::new("no-key", "the item has no key, so no SKU"))?;
        let Some(value) = record.value else {
            ctx.send(sinks::ENRICHED).key(key).headers(record.headers).tombstone();
            return Ok(());
        };
        if value.is_empty() {
            return Err(Reject::new("empty-value", "the item has an empty value, which is not a tombstone"));
        }
        let document = self.template.read(value).map_err(refuse)?;
        if !document.is_object() {
            return Err(refuse(Error::NotAnObject));
        }
        // Before the filter: whether an item is well-formed must not depend on whether it is online.
        let class = best(&mut self.classes, document.get(0), ctx)?;
        if self.filter.as_ref().is_some_and(|filter| !filter.passes(document.get(1))) {
            ctx.send(sinks::ENRICHED).key(key).headers(record.headers).tombstone();
            return Ok(());
        }
        let times: [&[u8]; 2] = class.map_or([b"null", b"null"], Class::texts);
        let output = ctx.send(sinks::ENRICHED).key(key).headers(record.headers);
        output.try_write(|buffer| document.splice(&times, buffer)).map_err(refuse)
    }
}

fn refuse(error: Error) -> Reject {
    let code = match error {
        Error::TooDeep => "too-deep",
        Error::NotAnObject => "not-an-object",
        Error::Syntax { .. } | Error::Pointer | Error::Template => "not-json",
    };
    Reject::new(code, format!("the item is {error}"))
}

/// The best of the classes that are known. `named` is what the item says: a name, an array of names, or
/// nothing.
fn best<'c>(
    classes: &'c mut Mirror<Class>,
    named: Option<json::Value<'_>>,
    ctx: &mut Context<'_>,
) -> Result<Option<&'c Class>, Reject> {
    let Some(named) = named.filter(|named| !named.is_null()) else { return Ok(None) };
    let classes = classes.rows(ctx);
    if named.kind() != Kind::Array {
        return Ok(classes.get(name(named)?.as_bytes()));
    }
    let mut best: Option<&Class> = None;
    for element in named.elements() {
        let class = classes.get(name(element)?.as_bytes());
        best = match (best, class) {
            (Some(best), Some(class)) if class.rank() >= best.rank() => Some(best),
            (best, class) => class.or(best),
        };
    }
    Ok(best)
}

fn name(value: json::Value<'_>) -> Result<std::borrow::Cow<'_, str>, Reject> {
    value.string().ok_or_else(|| {
        Reject::new("class-invalid", "the class of the item is neither text nor an array of texts")
    })
}
