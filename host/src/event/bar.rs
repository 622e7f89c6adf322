//! How far something is, as a bar of text.

/// How many characters a full bar has.
const WIDTH: usize = 20;

/// A bar with its percentage; `progress` is from 0 to 1.
pub fn bar(progress: f64) -> String {
    let progress = progress.clamp(0.0, 1.0);
    let done = (progress * WIDTH as f64) as usize;
    format!("[{}{}] {:5.1} %", "#".repeat(done), "-".repeat(WIDTH.saturating_sub(done)), progress * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_bars_from_nothing_to_full() {
        assert_eq!(bar(0.0), "[--------------------]   0.0 %");
        assert_eq!(bar(0.5), "[##########----------]  50.0 %");
        assert_eq!(bar(1.0), "[####################] 100.0 %");
        assert_eq!(bar(7.0), bar(1.0));
    }
}
