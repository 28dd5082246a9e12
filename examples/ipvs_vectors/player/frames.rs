//! Frames that came out against frames that should.

use super::vector::{Output, bytes};
use super::world::Sent;
use super::{checksums, decode};
use pollux::model::PortId;

/// What must come out; everything else a kernel's own stack sends is neither demanded nor forbidden.
const COMPARED: [&str; 3] = ["ipvs", "icmp-generated", "forward"];

/// Compares port by port; the order between ports is not recorded.
pub fn compare(ports: &[String], expected: &[Output], sent: &Sent) -> Result<(), String> {
    for (number, port) in ports.iter().enumerate() {
        let expected: Vec<&Output> = expected.iter().filter(|output| output.port == *port).collect();
        let sent: Vec<&Vec<u8>> = sent.iter().filter(|(p, _)| *p == PortId(number as u16)).map(|(_, f)| f).collect();
        compare_port(&expected, &sent).map_err(|difference| format!("on port {port}: {difference}"))?;
    }
    Ok(())
}

fn compare_port(expected: &[&Output], sent: &[&Vec<u8>]) -> Result<(), String> {
    let is_demanded = |o: &&&Output| COMPARED.contains(&o.kind.as_str()) && !is_of_host_sctp(o);
    let demanded: Vec<&&Output> = expected.iter().filter(is_demanded).collect();
    let mut sent = sent.iter().filter(|frame| !is_own(frame)).peekable();
    for output in demanded {
        let Some(frame) = sent.next() else {
            return Err(format!("nothing came, expected ({})\n{}", output.kind, decode::frame(&bytes(&output.hex)?)));
        };
        compare_frame(output, frame)?;
    }
    match sent.next() {
        Some(frame) => Err(format!("a frame too many\ncame     {}", decode::frame(frame))),
        None => Ok(()),
    }
}

/// A SHUTDOWN COMPLETE with the T bit, by which the host's own SCTP stack answers a SHUTDOWN ACK about an association it
/// does not know (RFC 9260 §8.4): like its ABORTs and TCP's RSTs no work of a director, but recorded as `ipvs`.
fn is_of_host_sctp(output: &Output) -> bool {
    const SHUTDOWN_COMPLETE: u8 = 14;
    let Ok(frame) = bytes(&output.hex) else { return false };
    let is_sctp = frame.get(12..15) == Some(&[8, 0, 0x45]) && frame.get(23) == Some(&132);
    is_sctp && frame.len() == 14 + 20 + 12 + 4 && frame.get(46..48) == Some(&[SHUTDOWN_COMPLETE, 1])
}

/// ARP, neighbour discovery and answers to ping: a host's, not a director's.
fn is_own(frame: &[u8]) -> bool {
    match (frame.get(12), frame.get(13)) {
        (Some(8), Some(6)) => true,
        (Some(8), Some(0)) => frame.get(23) == Some(&1) && frame.get(34) == Some(&0),
        (Some(0x86), Some(0xdd)) if frame.get(20) == Some(&44) => is_part_of_own(frame),
        (Some(0x86), Some(0xdd)) => frame.get(20) == Some(&58) && matches!(frame.get(54), Some(129 | 133..=137)),
        _ => false,
    }
}

/// An IPv6 fragment of an answer to a long ping; a later one does not say of which message.
fn is_part_of_own(frame: &[u8]) -> bool {
    let is_first = frame.get(56..58).is_some_and(|place| u16::from_be_bytes([place[0], place[1]]) < 8);
    frame.get(54) == Some(&58) && (!is_first || frame.get(62) == Some(&129))
}

fn compare_frame(output: &Output, frame: &[u8]) -> Result<(), String> {
    let wanted = bytes(&output.hex)?;
    let is_masked = |at: usize| output.mask.iter().any(|(offset, length, _)| (*offset..offset + length).contains(&at));
    let differs = |at: &usize| !is_masked(*at) && wanted.get(*at) != frame.get(*at);
    let differences: Vec<usize> = (0..wanted.len().max(frame.len())).filter(differs).collect();
    let both = || format!("expected {}\ncame     {}", decode::frame(&wanted), decode::frame(frame));
    if let Some(first) = differences.first() {
        let byte = |frame: &[u8]| frame.get(*first).map_or("the end".to_owned(), |byte| format!("{byte:02x}"));
        let count = differences.len();
        return Err(format!(
            "another frame ({})\n{}\n{count} bytes differ, the first at offset {first}: expected {}, came {}",
            output.kind,
            both(),
            byte(&wanted),
            byte(frame)
        ));
    }
    for (offset, _, reason) in &output.mask {
        checksums::check(frame, *offset, reason).map_err(|wrong| format!("{wrong}\n{}", both()))?;
    }
    Ok(())
}
