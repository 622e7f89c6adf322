//! The text form of metrics that Prometheus reads.
//!
//! ```text
//! # HELP gristmill_dead_letters_total Records that went to the dead-letter topic.
//! # TYPE gristmill_dead_letters_total counter
//! gristmill_dead_letters_total{app="shop",transform="delivery-time",code="trap"} 3
//! ```
//! Names and labels of a plugin's own metrics may be anything; here they become what the format allows.

use std::collections::BTreeMap;

use crate::event::{Metric, Sample, help};

/// What comes with the page, so that a reader takes it for what it is.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The samples as a page; each gets the label `app`.
pub(super) fn page(app: &str, samples: &[Sample]) -> String {
    let mut families: BTreeMap<String, Vec<&Sample>> = BTreeMap::new();
    for sample in samples {
        families.entry(name(sample)).or_default().push(sample);
    }
    let mut page = String::new();
    for (name, samples) in families {
        let kind = kind(&samples);
        put(&mut page, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", help(&name)));
        for sample in samples {
            line(&mut page, app, &name, sample);
        }
    }
    page
}

/// A plugin can use a name for a count here and for a gauge there. Readers want one type for a name.
fn kind(samples: &[&Sample]) -> &'static str {
    let kind_of = |sample: &&Sample| match sample.metric {
        Metric::Counter(_) => "counter",
        Metric::Gauge(_) => "gauge",
        Metric::Summary { .. } => "summary",
    };
    let mut kinds = samples.iter().map(kind_of);
    let first = kinds.next().unwrap_or("untyped");
    if kinds.all(|kind| kind == first) { first } else { "untyped" }
}

fn line(page: &mut String, app: &str, name: &str, sample: &Sample) {
    let labels = labels(app, sample);
    match sample.metric {
        Metric::Counter(count) => put(page, format_args!("{name}{{{labels}}} {count}\n")),
        Metric::Gauge(value) => put(page, format_args!("{name}{{{labels}}} {}\n", number(value))),
        Metric::Summary { count, sum } => {
            put(page, format_args!("{name}_sum{{{labels}}} {}\n", number(sum)));
            put(page, format_args!("{name}_count{{{labels}}} {count}\n"));
        }
    }
}

fn put(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.push_str(&text.to_string());
}

/// A name that the format allows; counters end in `_total`.
fn name(sample: &Sample) -> String {
    let name = word(&sample.name);
    match sample.metric {
        Metric::Counter(_) if !name.ends_with("_total") => name + "_total",
        Metric::Counter(_) | Metric::Gauge(_) | Metric::Summary { .. } => name,
    }
}

/// Letters, digits and `_`, no digit first.
fn word(text: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let word: String = text.chars().map(fits).collect();
    if word.starts_with(|c: char| c.is_ascii_digit()) || word.is_empty() { format!("_{word}") } else { word }
}

/// The labels without their braces. A name that comes twice, or that the format reserves, gets a prefix.
fn labels(app: &str, sample: &Sample) -> String {
    let mut labels: Vec<(String, &str)> = vec![("app".to_owned(), app)];
    for (name, value) in &sample.labels {
        let mut name = word(name);
        while name.starts_with("__") || labels.iter().any(|(other, _)| *other == name) {
            name = format!("plugin_{name}");
        }
        labels.push((name, value));
    }
    labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect::<Vec<_>>().join(",")
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str, labels: &[(&str, &str)], metric: Metric) -> Sample {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Sample { name: name.to_owned(), labels: labels.collect(), metric }
    }

    #[test]
    fn writes_each_kind_with_its_help_and_type() {
        let samples = [
            sample("gristmill_dead_letters_total", &[("transform", "t")], Metric::Counter(3)),
            sample("gristmill_commit_seconds", &[], Metric::Summary { count: 2, sum: 0.5 }),
            sample("gristmill_ready", &[], Metric::Gauge(1.0)),
        ];

        let expected = "# HELP gristmill_commit_seconds How long commits took.\n\
                        # TYPE gristmill_commit_seconds summary\n\
                        gristmill_commit_seconds_sum{app=\"shop\"} 0.5\n\
                        gristmill_commit_seconds_count{app=\"shop\"} 2\n\
                        # HELP gristmill_dead_letters_total Records that went to the dead-letter topic.\n\
                        # TYPE gristmill_dead_letters_total counter\n\
                        gristmill_dead_letters_total{app=\"shop\",transform=\"t\"} 3\n\
                        # HELP gristmill_ready Whether everything works: 1 or 0.\n\
                        # TYPE gristmill_ready gauge\n\
                        gristmill_ready{app=\"shop\"} 1\n";
        assert_eq!(page("shop", &samples), expected);
    }

    #[test]
    fn escapes_values_and_mends_the_names_of_plugins() {
        let labels = [("a b", "x\"y\\z\nw"), ("app", "mine"), ("9", "n"), ("__name__", "r")];
        let samples = [sample("gristmill_plugin_seen.items", &labels, Metric::Counter(1))];

        let page = page("shop", &samples);

        let expected = r#"gristmill_plugin_seen_items_total{app="shop",a_b="x\"y\\z\nw",plugin_app="mine",_9="n",plugin___name__="r"} 1"#;
        assert_eq!(page.lines().last(), Some(expected));
        assert!(page.contains("# HELP gristmill_plugin_seen_items_total Measured by a plugin.\n"), "{page}");
    }

    #[test]
    fn gives_a_name_one_type_whatever_a_plugin_does_with_it() {
        let samples = [
            sample("x", &[("a", "1")], Metric::Gauge(f64::INFINITY)),
            sample("x", &[("a", "2")], Metric::Summary { count: 1, sum: f64::NAN }),
        ];

        let page = page("shop", &samples);

        assert_eq!(page.matches("# TYPE").count(), 1);
        assert!(
            page.contains("# TYPE x untyped\n") && page.contains("x{app=\"shop\",a=\"1\"} +Inf\n"),
            "{page}"
        );
        assert!(page.contains("x_sum{app=\"shop\",a=\"2\"} NaN\n"), "{page}");
    }
}
