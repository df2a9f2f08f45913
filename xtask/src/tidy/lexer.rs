//! Takes Rust source apart just far enough: code, comments, and neither inside strings.

use std::iter;

/// Two copies of a source text, each with everything else blanked out and every byte in place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Views {
    pub(crate) code: String,
    pub(crate) comments: String,
}

/// What the text at some place belongs to, and its length in bytes.
enum Piece {
    Code(usize),
    Comment(usize),
    String(usize),
}

/// Splits a source text. Text that is not Rust is split somehow, without a panic.
pub(crate) fn views(text: &str) -> Views {
    let mut views = Views::default();
    let mut at = 0;
    let mut after_word = false;
    while at < text.len() {
        let rest = &text[at..];
        let piece = next(rest, after_word);
        let (Piece::Code(length) | Piece::Comment(length) | Piece::String(length)) = piece;
        let taken = &rest[..length];
        match piece {
            Piece::Code(_) => push(&mut views.code, &mut views.comments, taken),
            Piece::Comment(_) => push(&mut views.comments, &mut views.code, taken),
            Piece::String(_) => push_string(&mut views, taken),
        }
        after_word = taken.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        at += length;
    }
    views
}

fn push(kept: &mut String, blanked: &mut String, text: &str) {
    kept.push_str(text);
    blanked.extend(text.chars().flat_map(blank));
}

// Keeps the quotes, so that `= "..."` stays recognisable.
fn push_string(views: &mut Views, text: &str) {
    for c in text.chars() {
        if c == '"' || c == '#' { views.code.push(c) } else { views.code.extend(blank(c)) }
    }
    views.comments.extend(text.chars().flat_map(blank));
}

fn blank(c: char) -> impl Iterator<Item = char> {
    iter::repeat_n(if c == '\n' { c } else { ' ' }, c.len_utf8())
}

fn next(rest: &str, after_word: bool) -> Piece {
    if rest.starts_with("//") {
        return Piece::Comment(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Piece::Comment(block_comment(rest));
    }
    if rest.starts_with('"') {
        return Piece::String(string(rest));
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    if !after_word && rest.starts_with(['r', 'b', 'c']) {
        let prefix = rest.len() - rest.trim_start_matches(['r', 'b', 'c']).len();
        let opening = &rest[prefix..];
        if rest[..prefix].contains('r') && opening.starts_with(['"', '#']) {
            if let Some(length) = raw_string(opening) {
                return Piece::String(prefix + length);
            }
        } else if opening.starts_with('"') {
            return Piece::String(prefix + string(opening));
        }
    }
    Piece::Code(rest.chars().next().map_or(1, char::len_utf8))
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        let here = &rest[at..];
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(opening: &str) -> Option<usize> {
    let hashes = opening.len() - opening.trim_start_matches('#').len();
    let body = opening[hashes..].strip_prefix('"')?;
    let close = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&close).map_or(body.len(), |at| at + close.len());
    Some(hashes + 1 + length)
}

// A quote begins a character when it closes soon, and a lifetime otherwise.
fn character(rest: &str) -> Piece {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => {
            let close = rest.char_indices().skip(3).find(|&(_, c)| c == '\'');
            Piece::String(close.map_or(rest.len(), |(at, _)| at + 1))
        }
        (Some(_), Some((at, '\''))) => Piece::String(at + 1),
        _ => Piece::Code(1),
    }
}
