//! Licence expressions, as package manifests write them.
//!
//! The grammar is that of SPDX 2.3, annex D: identifiers, `WITH`, `AND`, `OR`, parentheses; `AND`
//! binds tighter than `OR`. Old manifests also write `/` for `OR`.

use crate::error::{Result, bail};

/// Whether a user of the package may choose so that only licences apply for which `allowed` holds.
/// A licence with an exception is asked for as one: `Apache-2.0 WITH LLVM-exception`.
pub(super) fn satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let mut words = Words {
        words: spaced.split_whitespace().collect(),
        allowed,
    };
    words.words.reverse();
    let satisfied = words.alternatives()?;
    match words.next() {
        None => Ok(satisfied),
        Some(word) => bail!("`{word}` is one word too many"),
    }
}

/// What is left of an expression, the next word last.
struct Words<'a> {
    words: Vec<&'a str>,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Words<'a> {
    fn alternatives(&mut self) -> Result<bool> {
        let mut any = self.conjunction()?;
        while self.takes("OR") {
            // Read in any case: what follows must be well-formed too.
            any |= self.conjunction()?;
        }
        Ok(any)
    }

    fn conjunction(&mut self) -> Result<bool> {
        let mut all = self.operand()?;
        while self.takes("AND") {
            all &= self.operand()?;
        }
        Ok(all)
    }

    fn operand(&mut self) -> Result<bool> {
        if self.takes("(") {
            let inner = self.alternatives()?;
            if !self.takes(")") {
                bail!("a parenthesis stays open");
            }
            return Ok(inner);
        }
        let licence = self.identifier()?;
        if self.takes("WITH") {
            let exception = self.identifier()?;
            return Ok((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Ok((self.allowed)(licence))
    }

    fn identifier(&mut self) -> Result<&'a str> {
        match self.next() {
            Some(word) if !["(", ")", "AND", "OR", "WITH"].contains(&word) => Ok(word),
            Some(word) => bail!("`{word}` stands where a name should"),
            None => bail!("it ends where a name should stand"),
        }
    }

    fn next(&mut self) -> Option<&'a str> {
        self.words.pop()
    }

    fn takes(&mut self, word: &str) -> bool {
        let next = self.words.last() == Some(&word);
        if next {
            self.words.pop();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: std::result::Result<bool, &str>) {
        let good = |licence: &str| ["A", "B", "A WITH e"].contains(&licence);
        let found = satisfied(expression, &good).map_err(|error| error.to_string());
        assert_eq!(found, expected.map_err(str::to_owned), "{expression}");
    }

    #[test]
    fn expressions_are_judged_by_their_structure() {
        check("A", Ok(true));
        check("X", Ok(false));
        check("A OR X", Ok(true));
        check("X OR A", Ok(true));
        check("A AND X", Ok(false));
        check("A AND B", Ok(true));
        check("X/A", Ok(true));
        check("X / Y", Ok(false));
        // AND binds tighter than OR.
        check("A OR X AND Y", Ok(true));
        check("X AND Y OR A", Ok(true));
        check("(A OR X) AND Y", Ok(false));
        check("(A OR X) AND (Y OR B)", Ok(true));
        check("(X OR (A))AND B", Ok(true));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        check("A WITH e", Ok(true));
        check("B WITH e", Ok(false));
        check("X WITH e OR A WITH e", Ok(true));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        check("", Err("it ends where a name should stand"));
        check("A OR", Err("it ends where a name should stand"));
        check("A AND OR B", Err("`OR` stands where a name should"));
        check("(A", Err("a parenthesis stays open"));
        check("A)", Err("`)` is one word too many"));
        check("A B", Err("`B` is one word too many"));
        check("A WITH", Err("it ends where a name should stand"));
    }
}
