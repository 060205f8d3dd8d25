//! Consoles as the documentation shows them: commands, and what they print.

use anyhow::{Result, bail};

/// What stands in a page for what differs from run to run.
const ANYTHING: char = '…';

/// The commands of a console, each with what it prints. A command ends with the first line that has no `\` at its end.
///
/// # Errors
/// It begins with something else.
pub fn commands(text: &str) -> Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut goes_on = false;
    for line in text.lines() {
        match (line.strip_prefix("$ "), found.last_mut()) {
            (Some(command), _) if !goes_on => found.push((command.to_owned(), String::new())),
            (_, Some((command, _))) if goes_on => command.extend(["\n", line]),
            (_, Some((_, output))) => output.extend([line, "\n"]),
            (_, None) => bail!("a console begins with a command: `$ `"),
        }
        goes_on = (goes_on || line.starts_with("$ ")) && line.ends_with('\\');
    }
    Ok(found)
}

/// Whether lines are as expected: `…` alone on a line is any number of lines, within a line any text.
pub fn fits(expected: &[&str], printed: &[&str]) -> bool {
    match expected.split_first() {
        None => printed.is_empty(),
        Some((&"…", rest)) => (0..=printed.len()).any(|skipped| fits(rest, &printed[skipped..])),
        Some((line, rest)) => {
            printed.split_first().is_some_and(|(first, others)| line_fits(line, first) && fits(rest, others))
        }
    }
}

fn line_fits(expected: &str, printed: &str) -> bool {
    let parts: Vec<&str> = expected.split(ANYTHING).collect();
    let [first, between @ .., last] = parts.as_slice() else { return expected == printed };
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    for part in between {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}
