//! Standard output, for commands that print data.
//!
//! When the reader leaves (`canald tail | head`), writing fails with [`OutputClosed`], and the command
//! ends quietly. It is told apart from a broken network connection, which is a failure.

use std::io::{self, BufWriter, Stdout, Write};

use thiserror::Error;

/// Bytes that are gathered before they are written: some hundred lines.
const BUFFER_BYTES: usize = 64 << 10;

/// Nobody reads our output any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("nobody reads the output any more")]
pub struct OutputClosed;

/// Standard output; flush it when there is nothing more to print for a while.
#[derive(Debug)]
pub struct Output<W: Write = Stdout> {
    to: BufWriter<W>,
}

impl Output {
    /// Standard output.
    #[must_use]
    pub fn stdout() -> Self {
        Self::to(io::stdout())
    }
}

impl<W: Write> Output<W> {
    /// Output to anything.
    #[must_use]
    pub fn to(to: W) -> Self {
        Self {
            to: BufWriter::with_capacity(BUFFER_BYTES, to),
        }
    }
}

fn named(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe {
        io::Error::other(OutputClosed)
    } else {
        error
    }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_left_has_a_name() {
        let mut output = Output::to(Gone);
        output.write_all(b"line\n").unwrap();
        let error = output.flush().unwrap_err();
        assert!(error.get_ref().unwrap().is::<OutputClosed>());
        let error = output.write_all(&vec![b'x'; BUFFER_BYTES * 2]).unwrap_err();
        assert!(error.get_ref().unwrap().is::<OutputClosed>());
    }
}
