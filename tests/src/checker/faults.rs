//! I16: a run that was not disturbed proves nothing.

use super::report::Report;

/// A fault that a run was meant to meet.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What was counted.
    pub name: &'static str,
    /// How often it was counted.
    pub seen: usize,
    /// How often it has to be there for the run to count.
    pub wanted: usize,
}

/// I16: each fault was really hit.
pub fn faults_hit(faults: &[Fault]) -> Report {
    let mut report = Report::new("I16");
    for Fault { name, seen, wanted } in faults {
        report.expect(seen >= wanted, || format!("{name}: {seen}, at least {wanted} wanted"));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_a_fault_that_was_missed() {
        let kills = Fault { name: "kills", seen: 10, wanted: 10 };
        let aborted = Fault { name: "aborted records", seen: 0, wanted: 1 };

        assert!(faults_hit(&[kills]).holds());
        assert_eq!(faults_hit(&[kills, aborted]).violations(), 1);
    }
}
