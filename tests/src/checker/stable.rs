//! I9: no hanging transaction.

use super::observation::Observation;
use super::report::Report;

/// I9: in each partition of the outputs, the last stable offset is the high watermark.
pub fn nothing_hangs(seen: &Observation) -> Report {
    let mut report = Report::new("I9");
    for end in &seen.ends {
        report.expect(end.stable == end.high, || {
            format!("an open transaction hides {} from {} to {}", end.place, end.stable, end.high)
        });
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::testing;

    #[test]
    fn finds_a_transaction_that_nobody_ends() {
        let (mut seen, _) = testing::world();
        assert!(nothing_hangs(&seen).holds());

        seen.ends[1].stable -= 3;

        assert_eq!(nothing_hangs(&seen).violations(), 1);
    }
}
