//! SCTP's state machine as IPVS runs it (ip_vs_proto_sctp.c): by direction, event and current state. States are as the
//! server sees them.

use super::tcp::Side;
use crate::model::state::SctpState;
use crate::model::state::SctpState::{
    Closed as CL, Cookie as CO, CookieEchoed as CE, CookieReplied as CR, CookieSent as CS, CookieWait as CW,
    Established as ES, Init as IN, Init1 as I1, None as NO, Rejected as RJ, ShutdownAckSent as SA,
    ShutdownReceived as SR, ShutdownSent as SS,
};
use crate::wire::sctp::chunk;

type Row = [SctpState; SctpState::COUNT];

/// Rows: DATA and everything without a row of its own, INIT, INIT ACK, COOKIE ECHO, COOKIE ACK, SHUTDOWN, SHUTDOWN ACK,
/// SHUTDOWN COMPLETE, ERROR, ABORT. Tables: by [`Side`].
#[rustfmt::skip]
static TRANSITIONS: [[Row; 10]; 3] = [
    [ // Input
      // NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        [ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        [I1, IN, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, IN, IN],
        [CW, CW, CW, CS, CR, CO, CO, CE, ES, SS, SR, SA, RJ, CL],
        [CR, IN, IN, CR, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        [ES, I1, IN, CS, CR, CW, CO, ES, ES, SS, SR, SA, RJ, CL],
        [SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL],
        [CL, IN, IN, CS, CR, CW, CO, CE, ES, CL, SR, CL, RJ, CL],
        [CL, CL, CL, CS, CR, CW, CO, CE, ES, SS, SR, CL, RJ, CL],
        [CL, I1, IN, CS, CR, CW, CO, CL, ES, SS, SR, SA, RJ, CL],
        [CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL],
    ],
    [ // Output
      // NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        [ES, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        [CW, CW, CW, CW, CW, CW, CW, CW, ES, CW, CW, CW, CW, CW],
        [CS, CS, CS, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        [CE, CE, CE, CE, CE, CE, CE, CE, ES, SS, SR, SA, RJ, CL],
        [ES, ES, ES, ES, ES, ES, ES, ES, ES, SS, SR, SA, RJ, CL],
        [SS, SS, SS, SS, SS, SS, SS, SS, SS, SS, SR, SA, RJ, CL],
        [SA, SA, SA, SA, SA, CW, CO, CE, ES, SA, SA, SA, RJ, CL],
        [CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        [CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        [CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL, CL],
    ],
    [ // InputOnly
      // NO  I1  IN  CS  CR  CW  CO  CE  ES  SS  SR  SA  RJ  CL
        [ES, I1, IN, CS, CR, ES, CO, CE, ES, SS, SR, SA, RJ, CL],
        [I1, IN, IN, IN, IN, IN, CO, CE, ES, SS, SR, SA, IN, IN],
        [CE, CE, CE, CE, CE, CE, CO, CE, ES, SS, SR, SA, RJ, CL],
        [ES, ES, ES, ES, ES, ES, CO, CE, ES, SS, SR, SA, RJ, CL],
        [ES, I1, IN, ES, ES, CW, ES, ES, ES, SS, SR, SA, RJ, CL],
        [SR, I1, IN, CS, CR, CW, CO, CE, SR, SS, SR, SA, RJ, CL],
        [CL, IN, IN, CS, CR, CW, CO, CE, CL, CL, SR, CL, RJ, CL],
        [CL, CL, CL, CL, CL, CW, CO, CE, ES, SS, CL, CL, RJ, CL],
        [CL, I1, IN, CS, CR, CW, CO, CE, ES, SS, SR, SA, RJ, CL],
        [CL, CL, CL, CL, CL, RJ, CL, CL, CL, CL, CL, CL, CL, CL],
    ],
];

/// The state after a packet whose decisive chunk has this type.
pub fn next_state(side: Side, current: u8, chunk: u8) -> SctpState {
    let event = match chunk {
        chunk::INIT => 1,
        chunk::INIT_ACK => 2,
        chunk::COOKIE_ECHO => 3,
        chunk::COOKIE_ACK => 4,
        chunk::SHUTDOWN => 5,
        chunk::SHUTDOWN_ACK => 6,
        chunk::SHUTDOWN_COMPLETE => 7,
        chunk::ERROR => 8,
        chunk::ABORT => 9,
        _ => 0,
    };
    TRANSITIONS[side as usize][event].get(usize::from(current)).copied().unwrap_or(CL)
}

/// Whether a packet that begins with this chunk may start a connection.
pub fn may_start(first_chunk: u8, sloppy: bool) -> bool {
    first_chunk == chunk::INIT || sloppy && first_chunk != chunk::ABORT
}

const _: () = assert!(NO as usize == 0 && CL as usize == SctpState::COUNT - 1, "rows are in the kernel's order");

#[cfg(test)]
mod tests {
    use super::*;
    use Side::{Input, InputOnly, Output};

    /// Plays (side, chunk) events from the first state.
    fn play(events: &[(Side, u8)]) -> Vec<SctpState> {
        let mut state = NO as u8;
        let step = |&(side, chunk): &(Side, u8)| {
            let next = next_state(side, state, chunk);
            state = next as u8;
            next
        };
        events.iter().map(step).collect()
    }

    #[test]
    fn a_nat_association_goes_through_its_states() {
        let states = play(&[
            (Input, chunk::INIT),
            (Output, chunk::INIT_ACK),
            (Input, chunk::COOKIE_ECHO),
            (Output, chunk::COOKIE_ACK),
            (Input, chunk::DATA),
            (Output, chunk::SACK),
            (Input, chunk::SHUTDOWN),
            (Output, chunk::SHUTDOWN_ACK),
            (Input, chunk::SHUTDOWN_COMPLETE),
        ]);
        assert_eq!(states, [I1, CS, CR, ES, ES, ES, SR, SA, CL]);
    }

    #[test]
    fn a_tunnelled_association_only_shows_the_clients_half() {
        let chunks = [chunk::INIT, chunk::COOKIE_ECHO, chunk::HEARTBEAT, chunk::SHUTDOWN, chunk::SHUTDOWN_COMPLETE];
        let states = play(&chunks.map(|chunk| (InputOnly, chunk)));
        assert_eq!(states, [I1, ES, ES, SR, CL]);
    }

    #[test]
    fn a_repeated_init_waits_longer_and_a_refused_one_shortly() {
        assert_eq!(play(&[(Input, chunk::INIT), (Input, chunk::INIT)]), [I1, IN]);
        assert_eq!(play(&[(Input, chunk::INIT), (Output, chunk::ABORT)]), [I1, RJ]);
    }

    #[test]
    fn chunks_and_states_nobody_knows_count_as_data_and_as_closed() {
        assert!((0..14).all(|state| next_state(Input, state, 200) == next_state(Input, state, chunk::DATA)));
        assert_eq!(next_state(Input, 200, chunk::DATA), CL);
    }

    #[test]
    fn only_init_starts_an_association_unless_sloppily() {
        assert!(may_start(chunk::INIT, false) && !may_start(chunk::DATA, false));
        assert!(may_start(chunk::DATA, true) && !may_start(chunk::ABORT, true));
    }
}
