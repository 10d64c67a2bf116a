//! A client that counts: it reads frames and the headers of entries where they lie, and acknowledges
//! every batch.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use canald_core::entry::wire::{bytes_tag, field};
use canald_core::session::frame::HEADER_BYTES;
use canald_core::session::packet::{
    ClientAck, ClientAuth, Get, NO_BATCH, PacketType, Sub, client_frame,
};

const CLIENT_ID: &str = "1001";

/// How a client that has nothing comes to have something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The server answers once it has something.
    Waits,
    /// It asks again a little later: a Java server that is waited for answers once it has a whole batch.
    Polls,
}

/// Between two gets of a client that polls.
const POLL: Duration = Duration::from_millis(1);

/// A subscribed client.
#[derive(Debug)]
pub struct Counter {
    stream: TcpStream,
    destination: String,
    get: Vec<u8>,
    /// The last packet; never shrinks.
    buffer: Vec<u8>,
}

/// What came in one batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Entries.
    pub entries: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of them.
    pub bytes: u64,
}

impl Counter {
    /// Connects and subscribes; gets will ask for `batch`.
    ///
    /// # Errors
    /// When the server does not let it.
    pub fn subscribe(
        server: SocketAddr,
        destination: &str,
        batch: u32,
        patience: Patience,
    ) -> Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        let timeout = match patience {
            Patience::Waits => 0, // without limit
            Patience::Polls => -1,
        };
        let get = Get {
            destination: destination.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            fetch_size: i32::try_from(batch)?,
            timeout: Some(timeout),
            unit: Some(2),
            auto_ack: Some(false),
        };
        let mut counter = Self {
            stream,
            destination: destination.to_owned(),
            get: client_frame(PacketType::Get, &get).to_vec(),
            buffer: Vec::new(),
        };
        counter.packet(PacketType::Handshake)?;
        let login = client_frame(PacketType::ClientAuthentication, &ClientAuth::default());
        counter.stream.write_all(&login)?;
        counter.packet(PacketType::Ack)?;
        let sub = Sub {
            destination: destination.to_owned(),
            client_id: CLIENT_ID.to_owned(),
            filter: String::new(),
        };
        counter
            .stream
            .write_all(&client_frame(PacketType::Subscription, &sub))?;
        counter.packet(PacketType::Ack)?;
        counter.stream.write_all(&counter.get)?;
        Ok(counter)
    }

    /// Waits for the next batch, acknowledges it, and asks for the one after it.
    ///
    /// # Errors
    /// When the connection ends.
    pub fn next_batch(&mut self) -> Result<Count> {
        let (batch_id, count) = loop {
            let (batch_id, count) = self.batch()?;
            if batch_id != NO_BATCH {
                break (batch_id, count);
            }
            std::thread::sleep(POLL);
            self.stream.write_all(&self.get)?;
        };
        let ack = ClientAck {
            destination: self.destination.clone(),
            client_id: CLIENT_ID.to_owned(),
            batch_id,
        };
        let mut requests = client_frame(PacketType::ClientAck, &ack).to_vec();
        requests.extend_from_slice(&self.get);
        self.stream.write_all(&requests)?;
        Ok(count)
    }

    /// Reads a batch, or that there is none.
    fn batch(&mut self) -> Result<(i64, Count)> {
        let body = self.packet(PacketType::Messages)?;
        let mut batch_id = NO_BATCH;
        let mut count = Count::default();
        for field in Fields(&self.buffer[body]) {
            if field.tag == bytes_tag(field::messages::MESSAGES) {
                count.entries += 1;
                count.bytes += field.n;
                count.rows += rows(field.bytes);
            } else {
                batch_id = field.n as i64;
            }
        }
        Ok((batch_id, count))
    }

    /// Reads the next packet; says where its body lies in the buffer.
    fn packet(&mut self, expected: PacketType) -> Result<std::ops::Range<usize>> {
        const KIND: u8 = 3 << 3;
        const BODY: u8 = 5 << 3 | 2;
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header)?;
        let len = u32::from_be_bytes(header) as usize;
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.stream.read_exact(&mut self.buffer[..len])?;
        let packet = &self.buffer[..len];
        let field = |tag| Fields(packet).find(|field| field.tag == tag);
        let kind = field(KIND).context("a packet without a type")?.n as i32;
        let body = field(BODY).map_or(&[][..], |field| field.bytes);
        ensure!(
            kind == expected as i32,
            "{} instead of {expected:?}: {}",
            PacketType::name_of(kind),
            String::from_utf8_lossy(body)
        );
        // The body is the last field.
        Ok(len - body.len()..len)
    }
}

/// The prop `rowsCount` of an entry's header; 0 if it has none.
fn rows(entry: &[u8]) -> u64 {
    let header = Fields(entry).find(|field| field.tag == bytes_tag(field::entry::HEADER));
    let props = Fields(header.map_or(&[], |header| header.bytes))
        .filter(|field| field.tag == bytes_tag(field::header::PROPS));
    for prop in props {
        let mut pair = Fields(prop.bytes);
        if pair.next().is_some_and(|key| key.bytes == b"rowsCount") {
            let digits = pair.next().map_or(&[][..], |value| value.bytes);
            return digits
                .iter()
                .fold(0, |n, digit| 10 * n + u64::from(digit & 0x0f));
        }
    }
    0
}

/// A field of a protobuf message whose number is below 16.
struct Field<'a> {
    tag: u8,
    /// A number, or the length of the bytes.
    n: u64,
    bytes: &'a [u8],
}

/// The fields of a message; ends at what it cannot read.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    #[inline]
    fn next(&mut self) -> Option<Field<'a>> {
        const LENGTH_DELIMITED: u8 = 2;
        let tag = self.byte()?;
        let n = self.varint()?;
        let mut bytes: &[u8] = &[];
        if tag & 7 == LENGTH_DELIMITED {
            (bytes, self.0) = self.0.split_at_checked(n as usize)?;
        }
        Some(Field { tag, n, bytes })
    }
}

impl Fields<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(n);
            }
        }
        None
    }
}
