//! The hash of a client that says which slot its connections belong to. It is the one by which ports spread packets over
//! queues, so that packets come to their owners at once; where a port hashes otherwise, software hands over.

use crate::wire::address::Address;
use crate::wire::rss_key::RssKeys;
use crate::wire::toeplitz::{RssKey, Toeplitz};

/// What is hashed of a client, and where it stands in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Input {
    /// Its part of both addresses and both ports, under a key that ignores the other end: what any RSS can do
    /// (`wire/rss_key.rs`).
    #[default]
    Tuple,
    /// Its address and its port alone, one behind the other, under the configured key as it is: what a device does that
    /// was set to hash sources only.
    Source,
}

impl Input {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Tuple => Self::Source,
            Self::Source => Self::Tuple,
        }
    }
}

/// The hash under one key.
#[derive(Debug)]
pub struct ClientHash {
    toeplitz: Toeplitz,
    input: Input,
}

impl ClientHash {
    /// `key` is the configured one.
    pub fn new(key: &RssKey, input: Input) -> Self {
        let key = match input {
            Input::Tuple => RssKey(RssKeys::new(&key.0).source),
            Input::Source => *key,
        };
        Self { toeplitz: Toeplitz::new(&key), input }
    }

    pub fn input(&self) -> Input {
        self.input
    }

    /// Of one connection.
    #[inline(always)]
    pub fn of_connection<A: Address>(&self, client: A, port: [u8; 2]) -> u32 {
        let port_at = match self.input {
            Input::Tuple => 2 * A::LEN,
            Input::Source => A::LEN,
        };
        let mut input = [0; 16];
        client.write(&mut input);
        self.toeplitz.part(0, &input[..A::LEN]) ^ self.toeplitz.part(port_at, &port)
    }

    /// Of a network. A NIC, which hashes ports as well, does not agree with this anyway: of IPv6 all four words count, also
    /// those that a key of ours ignores, as networks differ there.
    #[inline(always)]
    pub fn of_network<A: Address>(&self, network: A) -> u32 {
        let mut input = [0; 16];
        network.write(&mut input);
        input[..A::LEN].chunks_exact(4).fold(0, |sum: u32, word| sum.rotate_left(3) ^ self.toeplitz.part(0, word))
    }
}
