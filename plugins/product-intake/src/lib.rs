//! Makes product information of messages that hold a product ID somewhere.

mod members;

use gristmill::Context;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Source;
use gristmill::json::Error;
use gristmill::json::Kind;
use gristmill::json::Template;
use gristmill::json::Value;
use serde::Deserialize;
use serde_json::Map;

use crate::members::Member;

gristmill::manifest!("plugin.toml");
gristmill::export!(ProductIntake);

/// The settings: see `plugin.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    product_id_pointer: String,
    copy: Vec<String>,
    /// A map that keeps its order: members are written as the operator lists them.
    rename: Map<String, serde_json::Value>,
    required: Vec<String>,
}

/// The plugin.
pub struct ProductIntake {
    /// Finds the product ID, then each member.
    template: Template,
    members: Vec<Member>,
}

impl Plugin for ProductIntake {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let members = members::of(&config)?;
        let mut pointers = vec![config.product_id_pointer.as_str()];
        pointers.extend(members.iter().map(|member| member.pointer.as_str()));
        let template = Template::new(&pointers, &[]).map_err(|error| match error {
            Error::Template => "`copy` and `rename` have more than 31 pointers together".to_owned(),
            error => format!("`product_id_pointer`, `copy` or `rename`: {error}"),
        })?;
        Ok(Self { template, members })
    }

    fn record(&mut self, _: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let value = record.value.ok_or_else(|| Reject::new("no-value", "the message has no value"))?;
        let document = self.template.read(value).map_err(refuse)?;
        if !document.is_object() {
            return Err(refuse(Error::NotAnObject));
        }
        let key = product_id(document.get(0))?;
        let values = (1..).zip(&self.members).map(|(position, member)| (member, document.get(position)));
        let values: Vec<_> = values.collect();
        let lacks = |(member, value): &&(&Member, Option<Value<'_>>)| {
            member.is_required && value.is_none_or(Value::is_null)
        };
        if let Some((member, _)) = values.iter().find(lacks) {
            let message = format!("the message has no value for `{}`, at `{}`", member.name, member.pointer);
            return Err(Reject::new("required-missing", message));
        }
        let there = values.iter().filter_map(|(member, value)| Some((*member, (*value)?)));
        let output = ctx.send(sinks::INFORMATION).key(key.as_bytes()).headers(record.headers);
        output.write(|buffer| members::write(there, buffer));
        Ok(())
    }
}

/// The product ID as text.
fn product_id(value: Option<Value<'_>>) -> Result<String, Reject> {
    let missing = || Reject::new("product-id-missing", "the message has no product ID, or it is null");
    let value = value.filter(|value| !value.is_null()).ok_or_else(missing)?;
    let text = match value.kind() {
        Kind::Number => Some(value.text().to_owned()),
        _ => value.string().map(|text| text.into_owned()),
    };
    text.filter(|text| !text.is_empty()).ok_or_else(|| {
        Reject::new("product-id-invalid", "the product ID is empty, or neither text nor a number")
    })
}

fn refuse(error: Error) -> Reject {
    Reject::new(error.code(), format!("the message is {error}"))
}
