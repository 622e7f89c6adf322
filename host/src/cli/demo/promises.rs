//! The table at the end of the demo: every promise, what was counted for it, and whether it was kept.

use super::screen::{Line, Paint};
use crate::fault::{Code, Fault};

/// A promise of one of the two documents.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Promise {
    /// Its name in the documentation: A and a number for delivery times, B and a number for activations.
    pub(super) name: &'static str,
    /// What is promised.
    what: &'static str,
    /// What it was seen on.
    counted: String,
    /// Whether it was kept; it is not until somebody says so.
    pub(super) is_kept: bool,
}

impl Promise {
    /// A promise for which something was counted.
    pub(super) fn new(name: &'static str, what: &'static str, counted: String) -> Self {
        Self { name, what, counted, is_kept: false }
    }

    /// With what was found.
    pub(super) fn holds(self, is_kept: bool) -> Self {
        Self { is_kept, ..self }
    }

    fn number(&self) -> u32 {
        self.name.trim_start_matches(char::is_alphabetic).parse().unwrap_or(0)
    }

    fn line(&self) -> Line {
        let (name, what, counted) = (self.name, self.what, &self.counted);
        let verdict = if self.is_kept { (Paint::Good, "ok") } else { (Paint::Bad, "BROKEN") };
        Line::default()
            .with(Paint::Plain, format!("  {name:<3} {what:<46} {counted:>18}  "))
            .with(verdict.0, verdict.1)
    }
}

/// The table.
pub(super) fn table(promises: &[Promise]) -> Vec<Line> {
    let mut promises: Vec<_> = promises.iter().collect();
    promises.sort_by_key(|promise| promise.number());
    let of = |letter: char| promises.iter().filter(move |promise| promise.name.starts_with(letter));
    let head = |text: &str| Line::default().with(Paint::Strong, text);
    let first = std::iter::once(head("Delivery times of items")).chain(of('A').map(|promise| promise.line()));
    let second = std::iter::once(head("Activation of products")).chain(of('B').map(|promise| promise.line()));
    let blank = std::iter::once(Line::default());
    blank.clone().chain(first).chain(second).chain(blank).collect()
}

/// What the demo comes to.
///
/// # Errors
/// `check_failed` when a promise was broken, with what is wrong in detail.
pub(super) fn conclude(promises: &[Promise], details: &[String]) -> Result<(), Fault> {
    let broken: Vec<_> =
        promises.iter().filter(|promise| !promise.is_kept).map(|promise| promise.name).collect();
    if broken.is_empty() {
        return Ok(());
    }
    let fault = Fault::new(Code::CheckFailed, format!("the demo has broken {}", broken.join(", ")));
    Err(if details.is_empty() { fault } else { fault.because(details.join("; ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fails_over_one_broken_promise_and_names_it() {
        let kept = Promise::new("A1", "x", "1".to_owned()).holds(true);
        let open = Promise::new("B2", "y", "2".to_owned());

        assert!(conclude(std::slice::from_ref(&kept), &[]).is_ok());
        let fault = conclude(&[kept, open], &["items: 1 lost".to_owned()]).unwrap_err();
        assert_eq!(fault.code(), Code::CheckFailed);
        assert!(fault.report().contains("B2") && fault.report().contains("1 lost"), "{}", fault.report());
    }

    #[test]
    fn fits_a_screen_of_80_columns() {
        let promise = Promise::new(
            "A14",
            "a promise of forty-six characters in all, yes.",
            "1,234,567 updates".to_owned(),
        );

        assert!(table(&[promise]).iter().all(|line| line.text().chars().count() < 80));
    }
}
