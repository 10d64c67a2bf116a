//! What no client library says: frames that make no sense, on a connection of their own.

use canald::net::Net;
use canald_core::rng::Rng;
use canald_core::session::packet::{Get, PacketType, client_frame};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::host::{CANALD_PORT, Host};

/// Bytes of the answer that are looked at, at a time.
const ANSWER_BYTES: usize = 4 << 10;

/// How often a client asks without having said who it is: canald closes before that.
const STRANGE_REQUESTS: usize = 16;

/// Says something that makes no sense, and listens until canald closes. How it ended.
pub(super) async fn talk_nonsense<N: Net>(net: &N, rng: &mut Rng) -> String {
    let mut stream = match net.dial(&Host::Canald.to_string(), CANALD_PORT).await {
        Ok(stream) => stream,
        Err(fault) => return fault.to_string(),
    };
    let bytes = nonsense(rng);
    let said = stream.write_all(&bytes).await;
    if let Err(error) = said.and(stream.flush().await) {
        return format!("nonsense was not taken: {error}");
    }
    let mut answer = vec![0; ANSWER_BYTES];
    loop {
        match stream.read(&mut answer).await {
            Ok(0) => return "canald closed on nonsense".into(),
            Ok(_) => {}
            Err(error) => return format!("canald broke off nonsense: {error}"),
        }
    }
}

/// A frame of an impossible length, one that holds no packet, or requests of nobody.
fn nonsense(rng: &mut Rng) -> Vec<u8> {
    match rng.below(3) {
        0 => u32::MAX.to_be_bytes().to_vec(),
        1 => {
            let mut frame = 7_u32.to_be_bytes().to_vec();
            // A field whose length runs beyond the frame.
            frame.extend([0x2a, 0x7f, 1, 2, 3, 4, 5]);
            frame
        }
        _ => client_frame(PacketType::Get, &Get::default()).repeat(STRANGE_REQUESTS),
    }
}

#[cfg(test)]
mod tests {
    use canald_core::rng::Seed;
    use canald_core::session::packet::Packet;
    use prost::Message as _;

    use super::*;

    #[test]
    fn nonsense_is_of_three_kinds_and_none_of_them_is_a_login() {
        let mut rng = Rng::new(Seed(3));
        let mut kinds = [false; 3];
        for _ in 0..64 {
            let bytes = nonsense(&mut rng);
            let length = u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
            let kind = match bytes.get(4..4_usize.saturating_add(length)) {
                None => 0,
                Some(packet) => match Packet::decode(packet) {
                    Err(_) => 1,
                    Ok(packet) => {
                        assert_eq!(packet.kind, PacketType::Get as i32);
                        2
                    }
                },
            };
            kinds[kind] = true;
        }
        assert_eq!(kinds, [true; 3]);
    }
}
