//! The schema of a plugin's configuration: a subset of JSON Schema, with the types `duration` and `size` beside its own.
//!
//! The subset is our own code and not the `jsonschema` crate: that one brings some forty crates and its own idea of
//! errors, while our errors have to name the line of a TOML file and turn durations and sizes into numbers on the way.
//! A keyword that is not implemented here is refused when a manifest is read, so that none is silently without effect.

use serde_json::Value as Json;

use crate::config::document::{self, Entry, Item, Place, Table};
use crate::config::units;
use crate::fault::{Code, Fault};

/// What a value must look like.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Schema {
    /// The types that it may have; empty is any.
    kinds: Vec<Kind>,
    /// `enum` and `const`: the values that it may have; empty is any.
    choices: Vec<Json>,
    /// `minimum`, `maximum`, and whether the bound itself is excluded; in milliseconds and bytes for our own types.
    minimum: Option<Bound>,
    maximum: Option<Bound>,
    /// `minLength`, `maxLength` in characters, `minItems`, `maxItems` in elements.
    length: (Option<u32>, Option<u32>),
    /// What the elements of a list must look like.
    items: Option<Box<Schema>>,
    /// The members of a table; none when they are not described.
    members: Option<Members>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Bound {
    value: f64,
    exclusive: bool,
}

#[derive(Clone, PartialEq, Debug)]
struct Members {
    properties: Vec<Property>,
    /// What other members must look like; none refuses them. Unlike JSON Schema's default, a described table is closed.
    others: Option<Box<Schema>>,
}

/// A named value in a configuration.
#[derive(Clone, PartialEq, Debug)]
pub struct Property {
    /// Its key.
    pub name: String,
    /// What it must look like.
    pub schema: Schema,
    /// What it is when the operator says nothing.
    pub default: Option<Default>,
    /// Whether it may be left out although it has no default.
    pub optional: bool,
    /// For people.
    pub description: String,
}

/// The default of a property.
#[derive(Clone, PartialEq, Debug)]
pub struct Default {
    /// As the developer wrote it: durations and sizes with their units.
    pub written: Json,
    /// As it reaches the guest: milliseconds and bytes.
    pub value: Json,
}

/// The types of values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    Array,
    /// A table.
    Object,
    /// Text with a unit, such as `500ms`; the guest sees milliseconds.
    Duration,
    /// Text with a unit, such as `64MiB`; the guest sees bytes.
    Size,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::String,
        Self::Integer,
        Self::Number,
        Self::Boolean,
        Self::Array,
        Self::Object,
        Self::Duration,
        Self::Size,
    ];

    /// The name in a schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Array => "array",
            Self::Object => "object",
            Self::Duration => "duration",
            Self::Size => "size",
        }
    }

    /// What such a value is in a TOML file, for messages.
    fn form(self) -> &'static str {
        match self {
            Self::String => "text in quotes",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Boolean => "true or false",
            Self::Array => "a list",
            Self::Object => "a table",
            Self::Duration => units::DURATION_FORM,
            Self::Size => units::SIZE_FORM,
        }
    }

    /// The value as the guest sees it; none when it is not of this type.
    fn convert(self, json: &Json) -> Option<Json> {
        let same = |fits: bool| fits.then(|| json.clone());
        match self {
            Self::String => same(json.is_string()),
            Self::Integer => same(json.is_i64()),
            Self::Number => same(json.is_number()),
            Self::Boolean => same(json.is_boolean()),
            Self::Array => same(json.is_array()),
            Self::Object => same(json.is_object()),
            Self::Duration => {
                let duration = json.as_str().and_then(units::parse_duration)?;
                u64::try_from(duration.as_millis()).ok().map(Json::from)
            }
            Self::Size => json.as_str().and_then(units::parse_size).map(Json::from),
        }
    }
}

/// The keywords that say something about any value.
const KEYWORDS: &[&str] = &[
    "type",
    "default",
    "description",
    "optional",
    "enum",
    "const",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "items",
    "properties",
    "required",
    "additionalProperties",
];

impl Property {
    /// Reads `[config.NAME]` of a manifest.
    ///
    /// # Errors
    /// `unknown_key` for a keyword that is not implemented, `invalid_value`.
    pub fn parse(entry: &Entry) -> Result<Self, Fault> {
        let optional = match entry.item.table(KEYWORDS)?.get("optional") {
            Some(item) => item.truth()?,
            None => false,
        };
        Self::parse_with(entry, optional)
    }

    fn parse_with(entry: &Entry, optional: bool) -> Result<Self, Fault> {
        let schema = Schema::parse(&entry.item)?;
        let table = entry.item.table(KEYWORDS)?;
        let default = table
            .get("default")
            .map(|item| Ok::<_, Fault>(Default { written: item.json(), value: schema.check(item)? }));
        let description = table.get("description").map_or(Ok(""), Item::text)?.to_owned();
        Ok(Self { name: entry.key.clone(), schema, default: default.transpose()?, optional, description })
    }

    /// Whether the operator has to set it.
    pub fn is_required(&self) -> bool {
        self.default.is_none() && !self.optional
    }
}

/// Checks the configuration of a transform: a table with these properties and no others. Gives it as the guest sees
/// it, defaults filled in, in the order of the manifest.
///
/// # Errors
/// `plugin_config_invalid`.
pub fn check_config(properties: &[Property], table: Table<'_>) -> Result<Json, Fault> {
    if let Some(place) = table.entries().iter().find_map(|entry| variable_in(&entry.item)) {
        let fault = place
            .fault(Code::PluginConfigInvalid, "uses `${`, which is not replaced in a plugin's configuration");
        return Err(fault.hint("write the value itself; secrets live only with the endpoint that uses them"));
    }
    check_members(properties, None, table)
}

/// Where a text with a variable stands.
fn variable_in(item: &Item) -> Option<&Place> {
    if let Ok(text) = item.text() {
        return text.contains("${").then(|| item.place());
    }
    if let Ok(items) = item.list() {
        return items.iter().find_map(variable_in);
    }
    item.open_table().ok()?.entries().iter().find_map(|entry| variable_in(&entry.item))
}

fn check_members(properties: &[Property], others: Option<&Schema>, table: Table<'_>) -> Result<Json, Fault> {
    let mut checked = serde_json::Map::new();
    for entry in table.entries() {
        let property = properties.iter().find(|property| property.name == entry.key);
        let Some(schema) = property.map(|property| &property.schema).or(others) else {
            let known: Vec<_> = properties.iter().map(|property| property.name.as_str()).collect();
            let problem = "is not a setting of this plugin";
            let fault = entry.item.place().fault(Code::PluginConfigInvalid, problem);
            return Err(fault.hint(document::nearest(&entry.key, &known)));
        };
        checked.insert(entry.key.clone(), schema.check(&entry.item)?);
    }
    let mut whole = serde_json::Map::new();
    for property in properties {
        match (checked.remove(&property.name), &property.default) {
            (Some(value), _) => whole.insert(property.name.clone(), value),
            (None, Some(default)) => whole.insert(property.name.clone(), default.value.clone()),
            (None, None) if property.optional => None,
            (None, None) => return Err(missing(table.place(), property)),
        };
    }
    whole.extend(checked);
    Ok(Json::Object(whole))
}

fn missing(place: &Place, property: &Property) -> Fault {
    let fault = place.fault(Code::PluginConfigInvalid, format_args!("lacks the setting `{}`", property.name));
    match property.description.as_str() {
        "" => fault.hint(format!("set `{}`; it has no default", property.name)),
        text => fault.hint(format!("set `{}`: {text}", property.name)),
    }
}

impl Schema {
    /// Reads a schema from a table of a manifest.
    ///
    /// # Errors
    /// `unknown_key` for a keyword that is not implemented, `invalid_value`.
    pub fn parse(item: &Item) -> Result<Self, Fault> {
        let table = item.table(KEYWORDS)?;
        let kinds = parse_kinds(&table)?;
        let length = |low: &str, high: &str| {
            let bound = |key: &str| table.get(key).map(|item| item.integer(0..=u32::MAX)).transpose();
            Ok::<_, Fault>((bound(low)?, bound(high)?))
        };
        let is_list = kinds.contains(&Kind::Array);
        Ok(Self {
            choices: parse_choices(&table, &kinds)?,
            minimum: parse_bound(&table, &kinds, ("minimum", "exclusiveMinimum"))?,
            maximum: parse_bound(&table, &kinds, ("maximum", "exclusiveMaximum"))?,
            length: if is_list { length("minItems", "maxItems")? } else { length("minLength", "maxLength")? },
            items: table.get("items").map(|item| Self::parse(item).map(Box::new)).transpose()?,
            members: Members::parse(&table)?,
            kinds,
        })
    }

    /// The value as the guest sees it, if it fits.
    ///
    /// # Errors
    /// `plugin_config_invalid`.
    pub fn check(&self, item: &Item) -> Result<Json, Fault> {
        let written = item.json();
        let converted = self.kinds.iter().find_map(|kind| kind.convert(&written));
        let value = match converted {
            Some(value) => value,
            None if self.kinds.is_empty() => written,
            None => return Err(self.misfit(item, &self.forms())),
        };
        if !self.choices.is_empty() && !self.choices.contains(&value) {
            let choices: Vec<_> = self.choices.iter().map(Json::to_string).collect();
            return Err(self.misfit(item, &format!("one of {}", choices.join(", "))));
        }
        self.check_bounds(item, &value)?;
        match &value {
            Json::Array(_) => self.check_items(item, value),
            Json::Object(_) => match &self.members {
                Some(Members { properties, others }) => {
                    check_members(properties, others.as_deref(), item.open_table()?)
                }
                None => Ok(value),
            },
            _ => Ok(value),
        }
    }

    fn check_items(&self, item: &Item, value: Json) -> Result<Json, Fault> {
        match &self.items {
            Some(schema) => item.list()?.iter().map(|item| schema.check(item)).collect(),
            None => Ok(value),
        }
    }

    fn check_bounds(&self, item: &Item, value: &Json) -> Result<(), Fault> {
        if let Some(number) = value.as_f64() {
            let above = |bound: Bound| number > bound.value || (!bound.exclusive && number == bound.value);
            let below = |bound: Bound| number < bound.value || (!bound.exclusive && number == bound.value);
            if !self.minimum.is_none_or(above) || !self.maximum.is_none_or(below) {
                return Err(self.misfit(item, &self.range()));
            }
        }
        let length = match value {
            Json::String(text) => text.chars().count(),
            Json::Array(items) => items.len(),
            _ => return Ok(()),
        };
        let (low, high) = self.length;
        if low.is_some_and(|low| length < low as usize) || high.is_some_and(|high| length > high as usize) {
            let bound = |bound: Option<u32>| bound.map_or("any".to_owned(), |bound| bound.to_string());
            return Err(self.misfit(item, &format!("of a length from {} to {}", bound(low), bound(high))));
        }
        Ok(())
    }

    /// The fault for a value that does not fit.
    fn misfit(&self, item: &Item, wanted: &str) -> Fault {
        item.place()
            .fault(Code::PluginConfigInvalid, format_args!("is `{}`, it must be {wanted}", item.json()))
    }

    fn forms(&self) -> String {
        self.kinds.iter().map(|kind| kind.form()).collect::<Vec<_>>().join(" or ")
    }

    fn range(&self) -> String {
        let form = |bound: Bound| {
            let whole = bound.value.max(0.0).round() as u64;
            if self.kinds.contains(&Kind::Duration) {
                units::format_duration(std::time::Duration::from_millis(whole))
            } else if self.kinds.contains(&Kind::Size) {
                units::format_size(whole)
            } else {
                bound.value.to_string()
            }
        };
        let low = self
            .minimum
            .map(|bound| format!("{}{}", if bound.exclusive { "above " } else { "at least " }, form(bound)));
        let high = self
            .maximum
            .map(|bound| format!("{}{}", if bound.exclusive { "below " } else { "at most " }, form(bound)));
        [low, high].into_iter().flatten().collect::<Vec<_>>().join(" and ")
    }

    /// The types as people read them in `gristmill plugin inspect`; empty when any is allowed.
    pub fn type_names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.as_str()).collect()
    }
}

impl Members {
    fn parse(table: &Table<'_>) -> Result<Option<Self>, Fault> {
        let (properties, others) = (table.get("properties"), table.get("additionalProperties"));
        if properties.is_none() && others.is_none() {
            return Ok(None);
        }
        let required = table.elements("required")?.iter().map(Item::text).collect::<Result<Vec<_>, _>>()?;
        let property = |entry: &Entry| Property::parse_with(entry, !required.contains(&entry.key.as_str()));
        let properties = match properties {
            Some(item) => item.open_table()?.entries().iter().map(property).collect::<Result<_, _>>()?,
            None => Vec::new(),
        };
        let others = match others {
            Some(item) if item.is_table() => Some(Box::new(Schema::parse(item)?)),
            Some(item) => item.truth()?.then(Box::<Schema>::default),
            None => None,
        };
        Ok(Some(Self { properties, others }))
    }
}

fn parse_kinds(table: &Table<'_>) -> Result<Vec<Kind>, Fault> {
    let kind = |item: &Item| {
        let name = item.text()?;
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or_else(|| {
            let known = Kind::ALL.map(Kind::as_str);
            item.place()
                .invalid(format_args!("is `{name}`, which is no type"))
                .hint(document::nearest(name, &known))
        })
    };
    match table.get("type") {
        Some(item) => match item.list() {
            Ok(items) => items.iter().map(kind).collect(),
            Err(_) => Ok(vec![kind(item)?]),
        },
        None => Ok(Vec::new()),
    }
}

/// The values of `enum` and `const`, as the guest sees them.
fn parse_choices(table: &Table<'_>, kinds: &[Kind]) -> Result<Vec<Json>, Fault> {
    let values = match (table.get("enum"), table.get("const")) {
        (Some(item), _) => item.list()?,
        (None, Some(item)) => std::slice::from_ref(item),
        (None, None) => &[],
    };
    let value = |item: &Item| {
        let json = item.json();
        match kinds.iter().find_map(|kind| kind.convert(&json)) {
            Some(value) => Ok(value),
            None if kinds.is_empty() => Ok(json),
            None => Err(item.place().invalid("is not of the property's own type")),
        }
    };
    values.iter().map(value).collect()
}

fn parse_bound(
    table: &Table<'_>,
    kinds: &[Kind],
    (inclusive, exclusive): (&str, &str),
) -> Result<Option<Bound>, Fault> {
    let (item, exclusive) = match (table.get(inclusive), table.get(exclusive)) {
        (Some(item), _) => (item, false),
        (None, Some(item)) => (item, true),
        (None, None) => return Ok(None),
    };
    let json = item.json();
    let own = kinds.iter().filter(|kind| matches!(kind, Kind::Duration | Kind::Size));
    let value =
        own.filter_map(|kind| kind.convert(&json)).chain([json.clone()]).find_map(|json| json.as_f64());
    match value {
        Some(value) => Ok(Some(Bound { value, exclusive })),
        None => Err(item.place().invalid("must be a number, or a duration or size for those types")),
    }
}

#[cfg(test)]
mod tests;
