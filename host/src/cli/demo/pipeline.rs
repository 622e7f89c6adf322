//! The demo's pipeline file: every bundled plugin, and the ingest of the logistics database.

use super::place::Place;
use crate::fault::{Code, Fault};

/// One application for both documents; `gristmill init` writes a file like it for each plugin.
const PIPELINE: &str = r#"[app]
id = "@APP"
state_dir = "@DIR/state"
api = "127.0.0.1:0"

[kafka]
brokers = "@BROKERS"
@CLIENT
[ingest.classes]
kind = "sql"
topic = "@{delivery-classes}"
database = "sqlite:@DIR/logistics.db"
query = "SELECT name, minimum_days, maximum_days FROM delivery_class"
key = "name"
value.minimumTime = "minimum_days"
value.maximumTime = "maximum_days"
schedule.every = "1s"

[transforms.delivery-time]
plugin = "builtin:delivery-time"
sources.items = "@{items}"
sources.classes = "@{delivery-classes}"
sinks.enriched = "@{items-enriched}"
config.only_if = { pointer = "/listed", equals = true }

[transforms.delivery-time.jobs]   # so slow that one can watch: without it 100,000 items take two seconds
rate = @RATE
step = @STEP

[transforms.product-intake]
plugin = "builtin:product-intake"
sources.messages = "@{product-inbox}"
sinks.information = "@{product-information}"

[transforms.product-intake.config]
product_id_pointer = "/product/number"
copy = ["/product/title"]
rename = { "/codes/external" = "externalId" }
required = ["externalId"]

[transforms.activation]
plugin = "builtin:activation"
sources.information = "@{product-information}"
sources.activation = "@{product-activation}"
sinks.notifications = "@{activation-notifications}"
sinks.expired = "@{activations-expired}"
config.wait = "8s"   # so short that one can watch: the default is 7 days

[transforms.rest-lookup]
plugin = "builtin:rest-lookup"
sources.notifications = "@{activation-notifications}"
sinks.details = "@{product-details}"
config.path = "/products/{externalId}/{activationId}"

[transforms.rest-lookup.endpoints.details]
base_url = "@SERVER"
mode = "at-most-once"   # the default: a call whose outcome is unknown is never made again
timeout = "2s"
"#;

/// Option 2 of following class changes, beside option 1.
const SIDE_BY_SIDE: &str = r#"
[transforms.delivery-time-2]
plugin = "builtin:delivery-time"
sources.items = "@{items}"
sources.classes = "@{delivery-classes}"
sources.updates = "@{item-updates}"
sinks.enriched = "@{items-enriched-2}"
config.only_if = { pointer = "/listed", equals = true }
config.follow_classes = false

[transforms.class-fanout]
plugin = "builtin:class-fanout"
sources.enriched = "@{items-enriched-2}"
sources.classes = "@{delivery-classes}"
sinks.updates = "@{item-updates}"

[transforms.class-fanout.jobs]
rate = @RATE
step = @STEP
"#;

/// On a Kafka that goes on after the demo, the groups of a killed host must not outlive it for long.
const OWN_CLIENT: &str = "\n[kafka.client]\n\"session.timeout.ms\" = \"12000\"\n";

/// What the file depends on, beside the place.
pub(super) struct Choices {
    /// Where the external service is.
    pub(super) server: String,
    /// How many records a second each task of a walk may put out.
    pub(super) rate: usize,
    /// Whether option 2 runs beside option 1.
    pub(super) is_side_by_side: bool,
}

/// Writes the file, and gives its path.
///
/// # Errors
/// `internal`.
pub(super) fn write(place: &Place, choices: &Choices) -> Result<std::path::PathBuf, Fault> {
    let file = place.file("shop.toml");
    std::fs::write(&file, text(place, choices)).map_err(|error| {
        Fault::new(Code::Internal, "the demo cannot write its pipeline file").because(error)
    })?;
    Ok(file)
}

fn text(place: &Place, choices: &Choices) -> String {
    let client = if place.is_embedded() { "" } else { OWN_CLIENT };
    let beside = if choices.is_side_by_side { SIDE_BY_SIDE } else { "" };
    let text = format!("{PIPELINE}{beside}")
        .replace("@APP", &place.names.app)
        .replace("@DIR", &place.dir().to_string_lossy())
        .replace("@BROKERS", &place.kafka.brokers)
        .replace("@CLIENT", client)
        .replace("@RATE", &choices.rate.to_string())
        // Steps of a tenth of a second each, so that small demos are as smooth as large ones.
        .replace("@STEP", &(choices.rate / 10).clamp(1, 500).to_string())
        .replace("@SERVER", &choices.server);
    name_topics(&text, place)
}

/// Puts names in the place of `@{...}`.
fn name_topics(text: &str, place: &Place) -> String {
    let mut parts = text.split("@{");
    let mut named = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (name, rest) = part.split_once('}').unwrap_or((part, ""));
        named.push_str(place.names.topic(name).as_str());
        named.push_str(rest);
    }
    named
}
