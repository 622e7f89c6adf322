//! Makes text that a guest wrote fit to be shown: bounded, and without characters that act on a terminal.

/// `text` cut to `limit` bytes, with control characters and marks that reorder text written out as escapes.
pub(crate) fn harmless(text: &str, limit: usize) -> String {
    let kept = cut(text, limit);
    let mut shown = String::with_capacity(kept.len());
    for character in kept.chars() {
        if is_harmful(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    if kept.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The longest beginning of `text` that has at most `limit` bytes.
fn cut(text: &str, limit: usize) -> &str {
    let end = (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or_default()
}

/// Control characters begin escape sequences and new lines; the others turn the direction of the text around.
fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_control_characters_out() {
        assert_eq!(harmless("a\n\u{1b}[31mb\u{202e}", 100), "a\\n\\u{1b}[31mb\\u{202e}");
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(harmless("aü€", 3), "aü…");
        assert_eq!(harmless("aü€", 2), "a…");
        assert_eq!(harmless("aü€", 6), "aü€");
    }
}
