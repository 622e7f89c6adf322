//! Calls a REST service once for each notification, and sends what it answers.
//!
//! It keeps nothing: the notification travels with its callout and comes back with the answer. How often the service is called, and
//! what becomes of a call without an answer, is the host's matter.

mod call_id;

use gristmill::Answer;
use gristmill::Callouts;
use gristmill::Context;
use gristmill::PathTemplate;
use gristmill::Plugin;
use gristmill::Record;
use gristmill::Reject;
use gristmill::Response;
use gristmill::Source;
use gristmill::json::Document;
use gristmill::json::Error;
use gristmill::json::Kind;
use gristmill::json::Template;
use serde::Deserialize;

gristmill::manifest!("plugin.toml");
gristmill::export!(RestLookup: Callouts);

/// The settings: see `plugin.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    path: String,
}

/// The plugin.
pub struct RestLookup {
    path: PathTemplate,
    /// Finds the values of the path.
    template: Template,
    /// Checks answers.
    answer: Template,
}

impl Plugin for RestLookup {
    type Config = Config;

    fn new(config: Config) -> Result<Self, String> {
        let path = PathTemplate::parse(&config.path).map_err(|why| format!("`path`: {why}"))?;
        let pointers: Vec<String> = path.names().map(pointer).collect();
        let pointers: Vec<&str> = pointers.iter().map(String::as_str).collect();
        let template = |pointers: &[&str]| {
            Template::new(pointers, &[]).map_err(|error| format!("`path`: {error}, in one of its braces"))
        };
        Ok(Self { template: template(&pointers)?, answer: template(&[])?, path })
    }

    fn record(&mut self, _: Source, record: &Record<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        let no_key = || Reject::new("no-key", "the notification has no key, so no product ID");
        let key = record.key.ok_or_else(no_key)?;
        let no_value = || Reject::new("no-value", "the notification has no value");
        let value = record.value.ok_or_else(no_value)?;
        let document = self.template.read(value).map_err(refuse)?;
        if !document.is_object() {
            return Err(refuse(Error::NotAnObject));
        }
        let values = self.path.names().enumerate().map(|(position, name)| text(&document, position, name));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let path = self.path.fill(&values)?;
        let call = ctx.call(endpoints::DETAILS, &call_id::of(record));
        call.header("accept", "application/json").key(key).context(value).get(path);
        Ok(())
    }
}

impl Callouts for RestLookup {
    fn response(&mut self, response: &Response<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        match response.answer {
            Answer::Status(200..=299) => self.details(response, ctx),
            Answer::Status(status) => {
                let message = format!("the service answers with HTTP status {status}");
                Err(Reject::new(format!("status-{}xx", status / 100), message))
            }
            // The host has written the review record.
            Answer::GaveUp(_) => ctx.skip("gave-up"),
            Answer::InDoubt(_) => ctx.skip("in-doubt"),
        }
    }
}

impl RestLookup {
    /// Sends an answer beside its notification. Both are JSON, and keep their bytes.
    fn details(&mut self, response: &Response<'_>, ctx: &mut Context<'_>) -> Result<(), Reject> {
        self.answer.read(response.body).map_err(|error| {
            Reject::new(
                format!("answer-{}", error.code()),
                format!("the service answers with what is {error}"),
            )
        })?;
        let key = response.key.unwrap_or_default();
        ctx.send(sinks::DETAILS).key(key).write(|buffer| {
            for part in [br#"{"activation":"#, response.context, br#","details":"#, response.body, b"}"] {
                buffer.extend_from_slice(part);
            }
        });
        Ok(())
    }
}

/// What is between braces as a pointer: the name of a member, or a pointer already.
fn pointer(name: &str) -> String {
    if name.starts_with('/') { name.to_owned() } else { format!("/{}", name.replace('~', "~0")) }
}

/// A value for the path.
fn text(document: &Document<'_, '_>, position: usize, name: &str) -> Result<String, Reject> {
    let missing =
        || Reject::new("member-missing", format!("the notification has no `{name}`, or it is null"));
    let value = document.get(position).filter(|value| !value.is_null()).ok_or_else(missing)?;
    let text = match value.kind() {
        Kind::Number => Some(value.text().to_owned()),
        _ => value.string().map(|text| text.into_owned()),
    };
    let invalid = || {
        Reject::new("member-invalid", format!("`{name}` of the notification is neither text nor a number"))
    };
    text.ok_or_else(invalid)
}

fn refuse(error: Error) -> Reject {
    Reject::new(error.code(), format!("the notification is {error}"))
}
