//! Checksums that the recording leaves open, because what they cover is open: they must still be right.

use pollux::wire::checksum::Sum;

/// `offset`: of a mask given for `reason`.
pub fn check(frame: &[u8], offset: usize, reason: &str) -> Result<(), String> {
    let right = match reason {
        "ip-checksum" => is_ip_right(frame, offset),
        "udp-checksum" => is_l4_right(frame, offset, 6, 17),
        "icmp-checksum" => is_l4_right(frame, offset, 2, 1),
        _ => Some(true),
    };
    match right {
        Some(true) => Ok(()),
        _ => Err(format!("the {reason} at offset {offset} is wrong")),
    }
}

/// The sum over what holds its own right checksum is zero (RFC 1071).
fn is_zero(sum: Sum) -> bool {
    sum.finish().get() == 0
}

fn is_ip_right(frame: &[u8], offset: usize) -> Option<bool> {
    let start = offset.checked_sub(10)?;
    let length = usize::from(frame.get(start)? & 15) * 4;
    Some(is_zero(Sum::of(frame.get(start..start + length)?)))
}

/// Of the transport header right behind the first IP header; the checksum is `within` bytes into it.
fn is_l4_right(frame: &[u8], offset: usize, within: usize, protocol: u8) -> Option<bool> {
    let l4 = offset.checked_sub(within)?;
    let address = |at: usize| frame.get(at..at + 4)?.try_into().ok().map(|octets: [u8; 4]| octets);
    let long = |at: usize| frame.get(at..at + 16)?.try_into().ok().map(|octets: [u8; 16]| octets);
    let (end, pseudo) = if frame.get(14)? >> 4 == 4 {
        let end = 14 + usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
        let length = u16::try_from(end.checked_sub(l4)?).ok()?;
        (end, Sum::pseudo_v4(address(26)?.into(), address(30)?.into(), protocol, length))
    } else {
        let end = 54 + usize::from(u16::from_be_bytes([*frame.get(18)?, *frame.get(19)?]));
        let length = u32::try_from(end.checked_sub(l4)?).ok()?;
        (end, Sum::pseudo_v6(long(22)?.into(), long(38)?.into(), protocol, length))
    };
    let pseudo = if protocol == 1 { Sum::of(&[]) } else { pseudo };
    Some(is_zero(pseudo.and(Sum::of(frame.get(l4..end)?))))
}
