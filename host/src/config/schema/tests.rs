//! What the subset of JSON Schema accepts, refuses and turns into numbers.

use serde_json::json;

use super::*;

fn properties(manifest: &str) -> Result<Vec<Property>, Fault> {
    let root = document::parse("plugin.toml", manifest)?;
    root.open_table()?.entries().iter().map(Property::parse).collect()
}

/// Checks `config` against the properties of `manifest`.
fn check(manifest: &str, config: &str) -> Result<Json, Fault> {
    let properties = properties(manifest).unwrap();
    let root = document::parse("shop.toml", config).unwrap();
    check_config(&properties, root.open_table().unwrap())
}

fn refusal(manifest: &str, config: &str) -> String {
    let fault = check(manifest, config).unwrap_err();
    assert_eq!(fault.code(), Code::PluginConfigInvalid);
    fault.message().to_owned()
}

const POINTER: &str = "[class_pointer]\ntype = \"string\"\ndefault = \"/deliveryClass\"\n";

#[test]
fn fills_in_defaults() {
    assert_eq!(check(POINTER, "").unwrap(), json!({ "class_pointer": "/deliveryClass" }));
    assert_eq!(check(POINTER, "class_pointer = '/c'").unwrap(), json!({ "class_pointer": "/c" }));
}

#[test]
fn hands_durations_as_milliseconds_and_sizes_as_bytes() {
    let manifest = "[wait]\ntype = 'duration'\ndefault = '7d'\n[most]\ntype = 'size'";

    let config = check(manifest, "most = '2KiB'").unwrap();

    assert_eq!(config, json!({ "wait": 604_800_000, "most": 2048 }));
}

#[test]
fn refuses_an_unknown_setting_and_names_the_nearest() {
    let fault = check(POINTER, "clas_pointer = '/c'").unwrap_err();

    assert_eq!(fault.message(), "`clas_pointer` is not a setting of this plugin (shop.toml:1)");
    assert_eq!(fault.remedy(), "did you mean `class_pointer`?");
}

#[test]
fn requires_a_setting_without_a_default_unless_it_is_optional() {
    let message = refusal("[path]\ntype = 'string'", "");
    assert!(message.contains("lacks the setting `path`"), "{message}");

    assert_eq!(check("[path]\ntype = 'string'\noptional = true", "").unwrap(), json!({}));
}

#[test]
fn refuses_values_of_another_type() {
    for (schema, value) in [
        ("type = 'string'", "5"),
        ("type = 'integer'", "5.5"),
        ("type = 'integer'", "'5'"),
        ("type = 'boolean'", "1"),
        ("type = 'array'", "'a'"),
        ("type = 'object'", "[1]"),
        ("type = 'duration'", "500"),
        ("type = 'size'", "'64MB'"),
        ("type = ['string', 'array']", "5"),
    ] {
        let message = refusal(&format!("[x]\n{schema}"), &format!("x = {value}"));
        assert!(message.contains("it must be"), "{schema} {value}: {message}");
    }
}

#[test]
fn refuses_values_out_of_bounds() {
    for (schema, value) in [
        ("type = 'integer'\nminimum = 1", "0"),
        ("type = 'number'\nexclusiveMaximum = 1", "1.0"),
        ("type = 'duration'\nminimum = '1s'", "'999ms'"),
        ("type = 'size'\nmaximum = '1KiB'", "'1025B'"),
        ("type = 'string'\nminLength = 1", "''"),
        ("type = 'array'\nmaxItems = 1", "[1, 2]"),
        ("enum = ['a', 'b']", "'c'"),
        ("const = 5", "6"),
    ] {
        refusal(&format!("[x]\n{schema}"), &format!("x = {value}"));
    }
    let message = refusal("[x]\ntype = 'duration'\nminimum = '1s'\nmaximum = '1h'", "x = '2h'");
    assert_eq!(message, "`x` is `\"2h\"`, it must be at least 1s and at most 1h (shop.toml:1)");
}

#[test]
fn accepts_values_on_the_bounds() {
    let manifest = "[x]\ntype = 'integer'\nminimum = 1\nmaximum = 3";

    assert!(check(manifest, "x = 1").is_ok());
    assert!(check(manifest, "x = 3").is_ok());
}

#[test]
fn checks_tables_and_lists_inside() {
    let manifest = "[only_if]\ntype = 'object'\noptional = true\nrequired = ['pointer', 'equals']\n\
                    properties.pointer = { type = 'string' }\nproperties.equals = {}\n\
                    [waits]\ntype = 'array'\nitems = { type = 'duration' }\ndefault = ['1s']";

    let config = check(manifest, "only_if = { pointer = '/online', equals = true }\nwaits = ['2s']").unwrap();
    assert_eq!(config, json!({ "only_if": { "pointer": "/online", "equals": true }, "waits": [2000] }));

    assert!(refusal(manifest, "only_if = { pointer = '/online' }").contains("lacks the setting `equals`"));
    assert!(refusal(manifest, "only_if.pointr = ''").contains("`only_if.pointr` is not a setting"));
    assert!(refusal(manifest, "waits = ['2s', 3]").contains("`waits[1]`"));
}

#[test]
fn allows_other_members_only_when_the_schema_says_so() {
    let open = "[rename]\ntype = 'object'\nadditionalProperties = { type = 'string' }\ndefault = {}";

    assert_eq!(check(open, "rename = { a = 'b' }").unwrap(), json!({ "rename": { "a": "b" } }));
    refusal(open, "rename = { a = 5 }");
    refusal("[x]\ntype = 'object'\nproperties = {}", "x = { a = 5 }");
}

#[test]
fn refuses_environment_variables_at_any_depth() {
    let manifest = "[x]\ntype = 'object'";

    let message = refusal(manifest, "x = { a = ['${TOKEN}'] }");

    assert!(message.starts_with("`x.a[0]` uses `${`"), "{message}");
}

#[test]
fn refuses_schemas_that_it_does_not_implement() {
    for (schema, code) in [
        ("type = 'string'\npattern = 'a*'", Code::UnknownKey),
        ("type = 'text'", Code::InvalidValue),
        ("type = 'integer'\nminimum = 'low'", Code::InvalidValue),
        ("type = 'duration'\nenum = [5]", Code::InvalidValue),
        ("type = 'integer'\ndefault = 'five'", Code::PluginConfigInvalid),
    ] {
        let fault = properties(&format!("[x]\n{schema}")).unwrap_err();
        assert_eq!(fault.code(), code, "{schema}: {}", fault.message());
    }
}
