//! Which rows a filter means.

/// Whether the pattern matches the whole text. `*` stands for any characters, `?` for one.
#[must_use]
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    match pattern.next() {
        None => text.is_empty(),
        Some('*') => {
            let rest = pattern.as_str();
            let starts = text.char_indices().map(|(start, _)| start);
            let mut starts = starts.chain([text.len()]);
            starts.any(|start| matches(rest, &text[start..]))
        }
        Some(wanted) => {
            let mut text = text.chars();
            let found = text.next();
            found.is_some_and(|found| wanted == '?' || wanted == found)
                && matches(pattern.as_str(), text.as_str())
        }
    }
}

/// Whether the pattern means the row: by its whole name, or by what stands before the colon.
#[must_use]
pub fn means(pattern: &str, row: &str) -> bool {
    let line = row.split_once(':').map_or(row, |(line, _)| line);
    matches(pattern, row) || matches(pattern, line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_text() {
        for (pattern, text, good) in [
            ("", "", true),
            ("*", "", true),
            ("rpc/aa", "rpc/aa", true),
            ("rpc/aa", "rpc/aab", false),
            ("rpc/*", "rpc/send_p50_vs_tonic", true),
            ("rpc/*", "balancer/aa", false),
            ("*_vs_*", "rpc/send_p50_vs_tonic", true),
            ("*:allocs", "rpc/route_cost:allocs", true),
            ("rpc/a?", "rpc/aa", true),
            ("rpc/a?", "rpc/a", false),
            ("*é*", "caféx", true),
        ] {
            assert_eq!(matches(pattern, text), good, "{pattern} {text}");
        }
    }

    #[test]
    fn a_line_of_the_table_stands_for_its_parts() {
        assert!(means("rpc/route_cost", "rpc/route_cost:ns"));
        assert!(means("rpc/route_cost:ns", "rpc/route_cost:ns"));
        assert!(!means("rpc/route_cost:ns", "rpc/route_cost:allocs"));
        assert!(!means("rpc/route", "rpc/route_cost:ns"));
    }
}
