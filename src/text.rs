//! Text of others in what people read: one line, without what moves a terminal or hides letters, and bounded.

/// One line of at most so many bytes. Control characters and those that turn, join or hide text become spaces; runs of
/// white space become one. What is cut ends in `…`.
#[must_use]
pub fn plain(text: &str, most_bytes: usize) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control() || is_invisible(c)) {
        // Whoever sends megabytes is not read to the end.
        if out.len() > most_bytes {
            break;
        }
        if !word.is_empty() {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
        }
    }
    if out.len() > most_bytes {
        out.truncate(out.floor_char_boundary(most_bytes.saturating_sub('…'.len_utf8())));
        out.push('…');
    }
    out
}

/// Characters that show nothing and change how others are read (Unicode, "Bidirectional Algorithm" and category Cf).
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

/// A number of things, for people: `1 certificate`, `3 certificates`.
#[must_use]
pub fn counted(number: impl TryInto<i64>, one: &str) -> String {
    let number = number.try_into().unwrap_or(i64::MAX);
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_all_else_are_many() {
        let told = [0, 1, 2, -1].map(|number| counted(number, "certificate"));
        assert_eq!(told, ["0 certificates", "1 certificate", "2 certificates", "-1 certificates"]);
    }

    #[test]
    fn one_line_that_moves_nothing() {
        assert_eq!(plain("  a\r\n b\tc\u{1b}[31mred\u{1b}[0m\u{7}\0d\u{2028}e ", 100), "a b c [31mred [0m d e");
        assert_eq!(plain("app\u{202e}gpj.exe\u{200b}x", 100), "app gpj.exe x");
        assert_eq!(plain("größe 証明書", 100), "größe 証明書");
        assert_eq!(plain("", 10), "");
    }

    #[test]
    fn it_is_cut_between_letters() {
        assert_eq!(plain("0123456789", 10), "0123456789");
        assert_eq!(plain("0123456789a", 10), "0123456…");
        for most in 3..20 {
            let cut = plain(&"ü".repeat(50), most);
            assert!(cut.len() <= most && cut.ends_with('…'), "{cut:?}");
        }
        assert!(plain(&"é ".repeat(1 << 20), 1024).len() <= 1024);
        assert!(plain(&"x".repeat(8 << 20), 1024).len() <= 1024);
    }
}
