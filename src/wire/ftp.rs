//! FTP's words about data connections, as IPVS reads and writes them (RFC 959 section 4.1.2, RFC 2428; ip_vs_ftp.c): PORT and
//! EPRT of clients, PASV and EPSV, and servers' answers 227 and 229. Forgiving where the kernel is: numbers wrap.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use arrayvec::ArrayVec;

/// What a client wants of its data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The server shall say where it listens.
    Passive,
    /// The same, in the answer of RFC 2428.
    ExtendedPassive,
    /// The server shall connect there.
    Active(IpAddr, u16),
}

/// Where a server listens, as it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listens {
    /// `None`: where the control connection goes.
    pub address: Option<IpAddr>,
    pub port: u16,
    /// The part of the text that says so.
    pub span: Range<usize>,
}

/// The longest text that is written: `255,255,255,255,255,255`.
pub const TEXT_MAX: usize = 23;
pub type Text = ArrayVec<u8, TEXT_MAX>;

/// The command in a client's packet; `is_v6`: over IPv6.
pub fn command(text: &[u8], is_v6: bool) -> Option<Command> {
    for rest in (0..text.len().saturating_sub(5)).map(|at| &text[at..]) {
        if !is_v6 && starts_with(rest, b"PASV\r\n") {
            return Some(Command::Passive);
        }
        if starts_with(rest, b"EPSV\r") {
            return Some(Command::ExtendedPassive);
        }
        if starts_with(rest, b"EPSV ") {
            let family = if is_v6 { b'2' } else { b'1' };
            return (rest[5] == family && rest.get(6) == Some(&b'\r')).then_some(Command::ExtendedPassive);
        }
    }
    let port = || starts_with(text, b"PORT").then(|| plain(text, 4, b' ')).flatten().filter(|_| !is_v6);
    let extended_port = || starts_with(text, b"EPRT").then(|| extended(text, b' ', is_v6)).flatten();
    let said = port().or_else(extended_port)?;
    Some(Command::Active(said.address?, said.port))
}

/// `227 Entering Passive Mode (10,1,0,1,200,10).`
pub fn passive_answer(text: &[u8]) -> Option<Listens> {
    starts_with(text, b"227 ").then(|| plain(text, 4, b'(')).flatten()
}

/// `229 Entering Extended Passive Mode (|||51210|)`, mostly without an address.
pub fn extended_passive_answer(text: &[u8], is_v6: bool) -> Option<Listens> {
    starts_with(text, b"229 ").then(|| extended(text, b'(', is_v6)).flatten()
}

/// What stands between the brackets of a 227.
pub fn write_passive(address: Ipv4Addr, port: u16) -> Text {
    let [a, b, c, d] = address.octets();
    let mut text = Text::new();
    for number in [a, b, c, d, (port >> 8) as u8, port as u8] {
        if !text.is_empty() {
            text.push(b',');
        }
        write_number(&mut text, number.into());
    }
    text
}

/// What stands between the brackets of a 229: the port alone, as the client knows the address.
pub fn write_extended(port: u16) -> Text {
    let mut text = Text::new();
    text.extend(*b"|||");
    write_number(&mut text, port);
    text.push(b'|');
    text
}

fn write_number(text: &mut Text, number: u16) {
    let digits = [10_000, 1000, 100, 10, 1].map(|unit| (number / unit % 10) as u8);
    let first = digits.iter().position(|digit| *digit != 0).unwrap_or(4);
    text.extend(digits[first..].iter().map(|digit| b'0' + digit));
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Where what is said begins: behind `lead` and any more of it. With `or_digit` a digit begins it, too.
fn behind(text: &[u8], from: usize, lead: u8, or_digit: bool) -> Option<usize> {
    let rest = text.get(from..)?;
    let at = rest.iter().position(|byte| *byte == lead || or_digit && byte.is_ascii_digit())?;
    let more = rest[at..].iter().position(|byte| *byte != lead)?;
    Some(from + at + more)
}

/// Six numbers with commas between them, and something behind them.
fn plain(text: &[u8], from: usize, lead: u8) -> Option<Listens> {
    let start = behind(text, from, lead, true)?;
    let mut numbers = [0_u8; 6];
    let mut nth = 0;
    for (at, byte) in text.iter().enumerate().skip(start) {
        match byte {
            b'0'..=b'9' => numbers[nth] = numbers[nth].wrapping_mul(10).wrapping_add(byte - b'0'),
            b',' if nth < 5 => nth += 1,
            _ if nth < 5 => return None,
            _ => {
                let [a, b, c, d, high, low] = numbers;
                let address = Some(Ipv4Addr::new(a, b, c, d).into());
                return Some(Listens { address, port: u16::from_be_bytes([high, low]), span: start..at });
            }
        }
    }
    None
}

/// `|family|address|port|`; an answer, which is what begins with a digit, may leave family and address out.
fn extended(text: &[u8], lead: u8, is_v6: bool) -> Option<Listens> {
    let start = behind(text, 4, lead, false)?;
    let bar = *text.get(start).filter(|bar| (33..=126).contains(*bar))?;
    let rest = &text[start + 1..];
    let mut parts = rest.splitn(4, |byte| *byte == bar);
    let (family, host, port) = (parts.next()?, parts.next()?, parts.next()?);
    // something behind the last bar, if only nothing
    parts.next()?;
    let is_answer = text[0].is_ascii_digit();
    let address = match (family, host) {
        ([], []) if is_answer => None,
        (b"1", text) if !is_v6 => Some(v4(text)?.into()),
        (b"2", text) if is_v6 => Some(std::str::from_utf8(text).ok()?.parse::<Ipv6Addr>().ok()?.into()),
        _ => return None,
    };
    let number = |port: u16, digit: &u8| {
        digit.is_ascii_digit().then(|| port.wrapping_mul(10).wrapping_add((digit - b'0').into()))
    };
    let port_number = port.iter().try_fold(0, number).filter(|port| *port != 0)?;
    let length = family.len() + host.len() + port.len() + 4;
    Some(Listens { address, port: port_number, span: start..start + length })
}

/// Four numbers up to 255, leading zeros or nothing at all allowed (in4_pton).
fn v4(text: &[u8]) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut nth = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' => octets[nth] = octets[nth].checked_mul(10)?.checked_add(byte - b'0')?,
            b'.' if nth < 3 => nth += 1,
            _ => return None,
        }
    }
    (nth == 3).then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(address: &str, port: u16) -> Option<Command> {
        Some(Command::Active(address.parse().unwrap(), port))
    }

    #[test]
    fn commands_are_read_whatever_their_case() {
        let v4 = |text: &str| command(text.as_bytes(), false);
        assert_eq!(v4("PORT 198,51,100,4,187,140\r\n"), at("198.51.100.4", 48012));
        assert_eq!(v4("port 198,51,100,4,187,140\r\n"), at("198.51.100.4", 48012));
        assert_eq!(v4("EPRT |1|198.51.100.4|48013|\r\n"), at("198.51.100.4", 48013));
        assert_eq!(v4("eprt !1!198.51.100.4!48013!\r\n"), at("198.51.100.4", 48013));
        assert_eq!(command(b"EPRT |2|2001:db8::4|48013|\r\n", true), at("2001:db8::4", 48013));
        assert_eq!(v4("pasv\r\n"), Some(Command::Passive));
        assert_eq!(v4("NOOP\r\nPASV\r\n"), Some(Command::Passive));
        assert_eq!(v4("EPSV\r\n"), Some(Command::ExtendedPassive));
        assert_eq!(v4("EPSV 1\r\n"), Some(Command::ExtendedPassive));
        assert_eq!(command(b"EPSV 2\r\n", true), Some(Command::ExtendedPassive));
    }

    #[test]
    fn what_only_looks_like_a_command_is_none() {
        for text in [
            "PASV",
            "PASV\r",
            "EPSV 2\r\n",
            "EPSV ALL\r\n",
            "PORT 1,2,3,4,5\r\n",
            "PORT 1,2,3,4,5,6",
            "PORT",
            "NOOP\r\nPORT 1,2,3,4,5,6\r\n",
            "EPRT |2|::1|5|\r\n",
            "EPRT |||5|\r\n",
            "EPRT |1|1.2.3|5|\r\n",
            "EPRT |1|1.2.3.256|5|\r\n",
            "EPRT |1|1.2.3.4|0|\r\n",
            "EPRT |1|1.2.3.4|5",
            "EPRT |1|1.2.3.4|5x|\r\n",
        ] {
            assert_eq!(command(text.as_bytes(), false), None, "{text}");
        }
        assert_eq!(command(b"PASV\r\n", true), None, "it has no words for IPv6");
        assert_eq!(command(b"PORT 1,2,3,4,5,6\r\n", true), None);
    }

    #[test]
    fn answers_are_read_with_the_place_of_what_they_say() {
        let text = b"227 Entering Passive Mode (10,10,0,11,200,10).\r\n";
        let said = passive_answer(text).unwrap();
        assert_eq!((said.address, said.port), (Some("10.10.0.11".parse().unwrap()), 51210));
        assert_eq!(&text[said.span], b"10,10,0,11,200,10");
        let bare = b"227 =10,0,0,1,0,21 ";
        assert_eq!(&bare[passive_answer(bare).unwrap().span], b"10,0,0,1,0,21", "without brackets");
        let text = b"229 Entering Extended Passive Mode (|||51300|)\r\n";
        let said = extended_passive_answer(text, false).unwrap();
        assert_eq!((said.address, said.port, &text[said.span]), (None, 51300, &b"|||51300|"[..]));
        let text = b"229 ok (|2|2001:db8::1|51300|)\r\n";
        let said = extended_passive_answer(text, true).unwrap();
        assert_eq!(
            (said.address, &text[said.span]),
            (Some("2001:db8::1".parse().unwrap()), &b"|2|2001:db8::1|51300|"[..])
        );
        assert_eq!(passive_answer(b"226 (1,2,3,4,5,6)"), None);
        assert_eq!(extended_passive_answer(b"229 (|||x|)", false), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(text in "(PORT|EPRT|EPSV|PASV|227|229)?[ (|,.0-9:\r\n]{0,60}", is_v6: bool) {
            let text = text.as_bytes();
            let _ = command(text, is_v6);
            for said in [passive_answer(text), extended_passive_answer(text, is_v6)].into_iter().flatten() {
                prop_assert!(text.get(said.span).is_some());
            }
        }

        #[test]
        fn what_is_written_is_read_again(address: [u8; 4], port in 1..=u16::MAX) {
            let address = Ipv4Addr::from(address);
            let plain = [b"227 x (", &write_passive(address, port)[..], b")"].concat();
            let said = passive_answer(&plain).unwrap();
            prop_assert_eq!((said.address, said.port), (Some(address.into()), port));
            prop_assert_eq!(&plain[said.span], &write_passive(address, port)[..]);
            let extended = [b"229 x (", &write_extended(port)[..], b")"].concat();
            let said = extended_passive_answer(&extended, false).unwrap();
            prop_assert_eq!((said.address, said.port), (None, port));
            prop_assert_eq!(&extended[said.span], &write_extended(port)[..]);
        }
    }
}
