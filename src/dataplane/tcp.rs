//! TCP's state machine as IPVS runs it (ip_vs_proto_tcp.c): by direction, event and current state.

use crate::model::state::TcpState;
use crate::model::state::TcpState::{
    Close as CL, CloseWait as CW, Established as ES, FinWait as FW, LastAck as LA, Listen as LI, None as NO,
    SynAck as SA, SynRecv as SR, SynSent as SS, TimeWait as TW,
};

/// Which of the tables applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Side {
    /// From the client, replies pass the director (NAT).
    Input,
    /// From the server.
    Output,
    /// From the client, replies do not pass the director (DR, TUN).
    InputOnly,
}

type Row = [TcpState; TcpState::COUNT];

/// Rows: SYN, FIN, ACK, RST. First as usual, then with `secure_tcp` (tcp_states_dos).
#[rustfmt::skip]
static TRANSITIONS: [[[Row; 4]; 3]; 2] = [[
    [ // Input   NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, TW],
        [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, SR],
    ],
    [ // Output
        [SS, ES, SS, SR, SS, SS, SS, SS, SS, LI, SR],
        [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
        [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
        [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
    ],
    [ // InputOnly
        [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SR],
        [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
        [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
], [
    [ // Input   NO  ES  SS  SR  FW  TW  CL  CW  LA  LI  SA
        [SR, ES, ES, SR, SR, SR, SR, SR, SR, SR, SA],
        [CL, CW, SS, TW, TW, TW, CL, CW, LA, LI, SA],
        [ES, ES, SS, SR, FW, TW, CL, CW, CL, LI, SA],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
    [ // Output
        [SS, ES, SS, SA, SS, SS, SS, SS, SS, LI, SA],
        [TW, FW, SS, TW, FW, TW, CL, TW, LA, LI, TW],
        [ES, ES, SS, ES, FW, TW, CL, CW, LA, ES, ES],
        [CL, CL, SS, CL, CL, TW, CL, CL, CL, CL, CL],
    ],
    [ // InputOnly
        [SA, ES, ES, SR, SA, SA, SA, SA, SA, SA, SA],
        [CL, FW, SS, TW, FW, TW, CL, CW, LA, LI, TW],
        [ES, ES, SS, ES, FW, TW, CL, CW, CL, LI, ES],
        [CL, CL, CL, SR, CL, CL, CL, CL, LA, LI, CL],
    ],
]];

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// The state after a packet with `flags`. RST goes before SYN, FIN and ACK; a packet with none of them closes.
#[inline]
pub fn next_state(secure: bool, side: Side, current: u8, flags: u8) -> TcpState {
    let event = match flags {
        f if f & RST != 0 => 3,
        f if f & SYN != 0 => 0,
        f if f & FIN != 0 => 1,
        f if f & ACK != 0 => 2,
        _ => return CL,
    };
    TRANSITIONS[usize::from(secure)][side as usize][event].get(usize::from(current)).copied().unwrap_or(CL)
}

/// The states that an acknowledgement without more leaves as they are, one bit each.
pub const fn kept_by_ack(secure: bool, side: Side) -> u16 {
    let row = &TRANSITIONS[secure as usize][side as usize][2];
    let (mut states, mut state) = (0, 0);
    while state < row.len() {
        if row[state] as usize == state {
            states |= 1 << state;
        }
        state += 1;
    }
    states
}

/// Flags of which a mere acknowledgement has [`ACK`] alone.
pub const DECISIVE: u8 = FIN | SYN | RST | ACK;

/// Neither begins nor ends anything.
#[inline(always)]
pub fn is_mere_ack(flags: u8) -> bool {
    flags & DECISIVE == ACK
}

/// Whether a packet with these flags may start a connection.
pub fn may_start(flags: u8, sloppy: bool) -> bool {
    flags & RST == 0 && (sloppy || flags & SYN != 0)
}

/// Whether it ends the connection, whatever else it says.
pub fn is_reset(flags: u8) -> bool {
    flags & RST != 0
}

/// Whether this may ask for a new connection on an old tuple: any SYN, as in the kernel (is_new_conn).
#[inline(always)]
pub fn is_new_connection(flags: u8) -> bool {
    flags & SYN != 0
}

const _: () = assert!(NO as usize == 0 && SA as usize == TcpState::COUNT - 1, "rows are in the kernel's order");

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays (side, flags) events from the first state.
    fn play(events: &[(Side, u8)]) -> Vec<TcpState> {
        let mut state = NO as u8;
        let step = |&(side, flags): &(Side, u8)| {
            let next = next_state(false, side, state, flags);
            state = next as u8;
            next
        };
        events.iter().map(step).collect()
    }

    #[test]
    fn a_nat_session_goes_through_its_states() {
        use Side::{Input, Output};
        let states = play(&[
            (Input, SYN),
            (Output, SYN | ACK),
            (Input, ACK),
            (Output, ACK),
            (Input, FIN | ACK),
            (Output, FIN | ACK),
            (Input, ACK),
        ]);
        assert_eq!(states, [SR, SR, ES, ES, CW, TW, TW]);
    }

    #[test]
    fn a_dr_session_only_shows_the_clients_half() {
        use Side::InputOnly;
        let states = play(&[(InputOnly, SYN), (InputOnly, ACK), (InputOnly, FIN | ACK), (InputOnly, ACK)]);
        assert_eq!(states, [SR, ES, FW, FW]);
    }

    #[test]
    fn what_an_acknowledgement_keeps_is_what_the_table_says() {
        for (secure, side) in
            [false, true].into_iter().flat_map(|s| [Side::Input, Side::Output, Side::InputOnly].map(|side| (s, side)))
        {
            let kept = kept_by_ack(secure, side);
            for state in 0..TcpState::COUNT as u8 {
                let stays = next_state(secure, side, state, ACK) as u8 == state;
                assert_eq!(kept >> state & 1 == 1, stays, "{secure} {side:?} {state}");
            }
            assert_eq!(kept >> TcpState::COUNT, 0);
        }
        assert!(is_mere_ack(ACK | 0x08) && !is_mere_ack(ACK | FIN) && !is_mere_ack(0) && !is_mere_ack(SYN | ACK));
    }

    #[test]
    fn reset_wins_over_every_other_flag_and_no_flag_closes() {
        assert_eq!(next_state(false, Side::Input, ES as u8, RST | SYN | FIN | ACK), CL);
        assert_eq!(next_state(false, Side::Input, ES as u8, 0), CL);
        assert_eq!(next_state(false, Side::Input, 200, ACK), CL, "a state there is not counts as closed");
    }
}
