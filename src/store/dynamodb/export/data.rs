//! Data files: gzip of one item a line, proved by checksum and count once they are read to their end.

use std::io::Write;
use std::time::Duration;

use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use md5::{Digest as _, Md5};

use super::manifest::{DataFile, Proof};
use super::objects::{Object, Objects};
use crate::store::{ErrorKind, Result, StoreError};

/// The longest line: an item has at most 400 KB, a line up to three of them, and JSON spells a byte with six at worst.
const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Compressed bytes that are inflated at a time; gzip makes at most a thousand times as many of them.
const INFLATED_AT_ONCE: usize = 4 * 1024;
/// Times a file is opened whose reading broke off.
const OPENED_MAX: u32 = 4;
/// The wait before a file is opened a second time; it doubles with each further one.
const WAIT_FIRST: Duration = Duration::from_millis(200);

/// One file of a bucket and what its lines mean.
pub(super) struct Source<'a, P> {
    pub(super) objects: &'a dyn Objects,
    pub(super) bucket: &'a str,
    pub(super) file: &'a DataFile,
    /// Added to an error where access is denied and the objects are encrypted with a KMS key.
    pub(super) kms_key: Option<&'a str>,
    /// What one line means.
    pub(super) parse: P,
}

/// Where the reading of a file stands.
enum Position {
    Closed { opened: u32, lines: u64 },
    Open { opened: u32, skip: u64, reader: Box<Reader> },
    Proved,
}

impl<'a, P> Source<'a, P> {
    /// What the lines mean, in batches. The stream ends well only when the whole file was what the manifest says.
    ///
    /// A reading that breaks off goes on behind the lines it gave already: the file does not change, as its checksum proves.
    pub(super) fn batches<T>(self) -> BoxStream<'a, Result<Vec<T>>>
    where
        P: Fn(&[u8]) -> Result<T> + Send + Sync + 'a,
        T: Send + 'a,
    {
        let start = (self, Position::Closed { opened: 0, lines: 0 });
        stream::try_unfold(start, |(source, mut position)| async move {
            loop {
                let (batch, next) = source.step(position).await?;
                position = next;
                match batch {
                    Some(batch) => return Ok(Some((batch, (source, position)))),
                    None if matches!(position, Position::Proved) => return Ok(None),
                    None => (),
                }
            }
        })
        .boxed()
    }

    async fn step<T>(&self, position: Position) -> Result<(Option<Vec<T>>, Position)>
    where
        P: Fn(&[u8]) -> Result<T>,
    {
        let (opened, mut skip, mut reader) = match position {
            Position::Proved => return Ok((None, Position::Proved)),
            Position::Open { opened, skip, reader } => (opened, skip, reader),
            Position::Closed { opened, lines } => match self.objects.open(&self.file.key).await {
                Ok(object) => (opened + 1, lines, Box::new(Reader::new(object))),
                Err(error) => return self.again(opened + 1, lines, self.unopened(error)).await,
            },
        };
        let given = reader.lines;
        let mut batch = Vec::new();
        let more = reader.next(|line| {
            if skip > 0 {
                skip -= 1;
                return Ok(());
            }
            batch.push((self.parse)(line)?);
            Ok(())
        });
        match more.await {
            Ok(true) => Ok(((!batch.is_empty()).then_some(batch), Position::Open { opened, skip, reader })),
            Ok(false) => {
                reader.prove(self.file).map_err(|what| self.damaged(&what))?;
                Ok(((!batch.is_empty()).then_some(batch), Position::Proved))
            }
            Err(Trouble::Reading(error)) => self.again(opened, given + skip, error).await,
            Err(Trouble::Data(what)) => Err(self.damaged(&what)),
            Err(Trouble::Line(at, error)) => {
                Err(StoreError::caused(error.kind, format!("line {at} of {}", self.name()), error))
            }
        }
    }

    async fn again<T>(&self, opened: u32, lines: u64, error: StoreError) -> Result<(Option<Vec<T>>, Position)> {
        if !error.kind.is_transient() || opened >= OPENED_MAX {
            return Err(error);
        }
        tokio::time::sleep(WAIT_FIRST * (1 << opened.saturating_sub(1))).await;
        Ok((None, Position::Closed { opened, lines }))
    }

    fn unopened(&self, error: StoreError) -> StoreError {
        match (error.kind, self.kms_key) {
            (ErrorKind::Missing, _) => {
                let what = format!("the export lists {}, which is not there", self.name());
                StoreError::caused(ErrorKind::Unreadable, what, "a lifecycle rule or a person removed it: copy it back")
            }
            (ErrorKind::Denied, Some(key)) => {
                let what = format!("cannot read {}, encrypted with KMS key {key}", self.name());
                StoreError::caused(ErrorKind::Denied, format!("{what}: the credentials need kms:Decrypt on it"), error)
            }
            _ => error,
        }
    }

    fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.file.key)
    }

    fn damaged(&self, what: &str) -> StoreError {
        StoreError::caused(ErrorKind::Unreadable, format!("{} is damaged", self.name()), what.to_owned())
    }
}

/// What can go wrong in the middle of a file.
enum Trouble {
    /// The connection.
    Reading(StoreError),
    /// The file as a whole.
    Data(String),
    /// One line, by its number.
    Line(u64, StoreError),
}

/// One opened file.
struct Reader {
    object: Object,
    bytes: u64,
    sum: Md5,
    inflate: MultiGzDecoder<Vec<u8>>,
    lines: u64,
}

impl Reader {
    fn new(object: Object) -> Reader {
        Reader { object, bytes: 0, sum: Md5::new(), inflate: MultiGzDecoder::new(Vec::new()), lines: 0 }
    }

    /// Reads on and gives every line that became whole; false at the end of the file.
    async fn next(&mut self, mut line: impl FnMut(&[u8]) -> Result<()>) -> std::result::Result<bool, Trouble> {
        let broken = |_| Trouble::Data("it is not a whole gzip file".into());
        let Some(chunk) = self.object.body.next().await else {
            if self.bytes > 0 {
                self.inflate.try_finish().map_err(broken)?;
            }
            let rest = std::mem::take(self.inflate.get_mut());
            let mut lines = rest.split(|byte| *byte == b'\n');
            return lines.try_for_each(|text| self.give(text, &mut line)).map(|()| false);
        };
        let chunk = chunk.map_err(Trouble::Reading)?;
        self.bytes += chunk.len() as u64;
        self.sum.update(&chunk);
        for part in chunk.chunks(INFLATED_AT_ONCE) {
            self.inflate.write_all(part).map_err(broken)?;
            let inflated = std::mem::take(self.inflate.get_mut());
            let whole = inflated.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            inflated[..whole].split(|byte| *byte == b'\n').try_for_each(|text| self.give(text, &mut line))?;
            if inflated.len() - whole > LINE_BYTES_MAX {
                return Err(Trouble::Data(format!("line {} is longer than any item", self.lines + 1)));
            }
            // What follows the last whole line stays in front of what is inflated next.
            let mut rest = inflated;
            rest.drain(..whole);
            *self.inflate.get_mut() = rest;
        }
        Ok(true)
    }

    fn give(&mut self, text: &[u8], line: &mut impl FnMut(&[u8]) -> Result<()>) -> std::result::Result<(), Trouble> {
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(());
        }
        self.lines += 1;
        line(text).map_err(|error| Trouble::Line(self.lines, error))
    }

    /// Whether the file that was read to its end is the one the manifest lists.
    fn prove(&self, file: &DataFile) -> std::result::Result<(), String> {
        match &file.proof {
            Proof::Md5(wanted) => {
                let found: [u8; 16] = self.sum.clone().finalize().into();
                if found != *wanted {
                    return Err("its MD5 is not the one in the manifest".into());
                }
            }
            Proof::ETag(wanted) if self.object.etag.as_ref() != Some(wanted) => {
                return Err("its ETag is not the one in the manifest, which gives no MD5".into());
            }
            Proof::ETag(_) => {}
        }
        match self.lines == file.items {
            true => Ok(()),
            false => Err(format!("it holds {} items, the manifest counts {}", self.lines, file.items)),
        }
    }
}
