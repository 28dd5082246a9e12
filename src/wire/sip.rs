//! The Call-ID of a SIP message (RFC 3261 §8.1.1.4, §25.1), found as the kernel's connection tracking finds it: also in a
//! message that is none, behind an empty line, or with lines that end in CR or LF alone (RFC 2543).

/// Longer ones are of no use (IP_VS_PEDATA_MAXLEN).
pub const CALL_ID_LEN_MAX: usize = 255;

/// The header's name, and its short form.
const NAME: &[u8] = b"call-id";
const SHORT: u8 = b'i';

/// What a search through the headers came upon.
enum Found {
    Nothing,
    /// The header, and no Call-ID in it at this offset.
    Malformed(usize),
    /// Offset and length of the value.
    Value(usize, usize),
}

/// The value of the header, if its line ends behind it.
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        match search(message, from) {
            Found::Nothing => return None,
            // both count from the message's beginning; the kernel adds them up all the same
            Found::Malformed(at) => from += at,
            Found::Value(at, len) => {
                let is_whole = len <= CALL_ID_LEN_MAX && message.get(at + len).is_some_and(|b| is_line_end(*b));
                return message.get(at..at + len).filter(|_| is_whole);
            }
        }
    }
}

/// Looks for the header in the lines behind the first line end from `from` on.
fn search(message: &[u8], from: usize) -> Found {
    let mut at = from;
    while let Some(end) = message.get(at..).and_then(|rest| rest.iter().position(|b| is_line_end(*b))) {
        let Some(line) = next_line(message, at + end) else { return Found::Nothing };
        match name_len(&message[line..]) {
            Some(len) => return value(message, line + len).unwrap_or(Found::Nothing),
            // a line's first character ends no line, not even an empty one
            None => at = line + 1,
        }
    }
    Found::Nothing
}

/// What stands behind a header's name. `None`: it was not the name.
fn value(message: &[u8], at: usize) -> Option<Found> {
    let colon = skip_blank(message, at)?;
    if message.get(colon) != Some(&b':') || colon + 1 >= message.len() {
        return None;
    }
    let at = skip_blank(message, colon + 1)?;
    match call_id_len(message.get(at..)?) {
        0 => Some(Found::Malformed(at)),
        len => Some(Found::Value(at, len)),
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Where the line begins behind the line end at `at`, which CR, LF and CRLF are; `None` when the message ends there.
fn next_line(message: &[u8], at: usize) -> Option<usize> {
    let len = if message.get(at..at + 2) == Some(b"\r\n") { 2 } else { 1 };
    (at + len < message.len()).then_some(at + len)
}

/// A short name is followed by something else than a letter.
fn name_len(line: &[u8]) -> Option<usize> {
    if line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME)) {
        return Some(NAME.len());
    }
    match line {
        [name, next, ..] if name.eq_ignore_ascii_case(&SHORT) && !is_letter(*next) => Some(1),
        _ => None,
    }
}

/// Blanks, and one line end that a blank follows.
fn skip_blank(message: &[u8], at: usize) -> Option<usize> {
    let at = behind_blanks(message, at);
    match message.get(at) {
        Some(byte) if is_line_end(*byte) => {
            let line = next_line(message, at)?;
            is_blank(message[line]).then(|| behind_blanks(message, line))
        }
        _ => Some(at),
    }
}

fn behind_blanks(message: &[u8], at: usize) -> usize {
    at + message.get(at..).unwrap_or_default().iter().take_while(|b| is_blank(**b)).count()
}

/// callid = word [ "@" word ]
fn call_id_len(text: &[u8]) -> usize {
    let local = word_len(text);
    if local == 0 || text.get(local) != Some(&b'@') {
        return local;
    }
    match word_len(&text[local + 1..]) {
        0 => 0,
        host => local + 1 + host,
    }
}

fn word_len(text: &[u8]) -> usize {
    text.iter().take_while(|b| is_word(**b)).count()
}

fn is_word(byte: u8) -> bool {
    is_letter(byte) || byte.is_ascii_digit() || b"-.!%*_+`'~()<>:\\\"/[]?{}".contains(&byte)
}

/// As the kernel counts them, in Latin-1.
fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || (byte >= 0xc0 && byte != 0xd7 && byte != 0xf7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(message: &str) -> Option<&str> {
        call_id(message.as_bytes()).map(|id| std::str::from_utf8(id).unwrap())
    }

    #[test]
    fn a_call_id_is_found_by_its_name_in_any_case_and_by_its_short_one() {
        for header in ["Call-ID: a@b", "CALL-id:a@b", "i: a@b", "I \t:\t a@b", "Call-ID:\r\n a@b", "Call-ID\r\n : a@b"]
        {
            assert_eq!(found(&format!("INVITE x\r\n{header}\r\n\r\n")), Some("a@b"), "{header}");
            assert_eq!(found(&format!("INVITE x\n{header}\n\n")), Some("a@b"), "{header}");
        }
        assert_eq!(found("x\r\nCall-ID: 1-%<[b]>\r\n"), Some("1-%<[b]>"));
    }

    #[test]
    fn what_the_kernel_does_not_take_is_none() {
        for message in [
            "",
            "Call-ID: a\r\n",
            "x\r\nCall-ID: a",
            "x\r\nCall-ID: a b\r\n",
            "x\r\nCall-ID: \r\n\r\n",
            "x\r\nCall-ID: a@\r\n",
            "x\r\nCall-ID a\r\n",
            "x\r\n Call-ID: a\r\n",
            "x\r\nia: a\r\n",
            "x\n\nCall-ID: a\n",
        ] {
            assert_eq!(found(message), None, "{message:?}");
        }
        let long = |n| format!("x\r\ni: {}\r\n", "a".repeat(n));
        assert!(found(&long(CALL_ID_LEN_MAX)).is_some() && found(&long(CALL_ID_LEN_MAX + 1)).is_none());
    }

    #[test]
    fn a_header_without_one_does_not_end_the_search() {
        let filler = "y".repeat(40);
        assert_eq!(found(&format!("x\r\ni: @\r\n{filler}\r\ni: b\r\n")), Some("b"));
        assert_eq!(found("x\r\n\r\nCall-ID: b\r\n"), Some("b"), "behind an empty line");
    }

    proptest! {
        #[test]
        fn no_message_is_too_strange(parts in prop::collection::vec(
            prop::sample::select(vec!["\r", "\n", " ", "i", ":", "Call-ID", "a", "@", "\t", "é"]), 0..40)
        ) {
            let message = parts.concat();
            if let Some(id) = call_id(message.as_bytes()) {
                prop_assert!(!id.is_empty() && id.len() <= CALL_ID_LEN_MAX);
                prop_assert!(id.iter().all(|b| is_word(*b) || *b == b'@'));
            }
        }
    }
}
