//! The log's events, from a place on to its end, over a connection of their own.

use futures_util::StreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{BinlogStream, BinlogStreamRequest, Conn, Error, IoError};

use super::super::connect::{self, Flavour, Target};
use super::super::fault;
use super::event::{self, Event, Told};
use super::server::{self, Place, Unfit};
use crate::store::sql::pool::Opens;
use crate::store::{ErrorKind, Result};

/// What the server says where it no longer has what is asked for.
const NOT_THERE: u16 = 1236;

/// An event whose meaning is not known may be left out.
const IGNORABLE: u16 = 0x80;

/// The largest position that can be asked for.
const POSITION_MAX: u64 = u32::MAX as u64;

/// The right that reading the log takes, of either product.
const READING: &str = "REPLICATION SLAVE";

/// Kinds of events after which a file is complete: the server stopped, or went on to the next.
const STOPPED: u8 = 3;
const ROTATED: u8 = 4;

/// A reading of the log.
pub(super) struct Log {
    stream: BinlogStream,
    pub(super) course: Course,
}

/// Where a reading is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Course {
    /// Everything before it was given.
    pub(super) place: Place,
    /// When the file that it is in was begun, in seconds since the Unix epoch; 0 until the file tells.
    pub(super) begun: u32,
    /// Whether the server said of the file that it is complete.
    is_complete: bool,
    /// Whether a file before this one ends without that: the server, or its machine, ended at once.
    pub(super) is_torn: bool,
}

impl Log {
    /// Opens the log at a place, and reads on until it is known when its file was begun.
    pub(super) async fn open(
        target: &Target,
        flavour: Flavour,
        from: Place,
    ) -> Result<std::result::Result<Log, Unfit>> {
        if from.position > POSITION_MAX {
            return Ok(Err(format!("position {} of {} is beyond what can be asked for", from.position, from.file)));
        }
        let mut conn = target.open().await?;
        connect::without_limit(&mut conn).await?;
        let id = server::replica_id(&mut conn).await?;
        let stream = match stream(conn, flavour, id, &from).await {
            Ok(stream) => stream,
            Err(error) if fault::kind_of(&error) == ErrorKind::Denied => {
                return Ok(Err(server::denied(&mut target.open().await?, READING).await?));
            }
            Err(error) => return Err(fault::store_error("cannot read the binary log", &error)),
        };
        let mut log = Log { stream, course: Course::from(from) };
        while log.course.begun == 0 {
            match log.next().await? {
                Err(why) => return Ok(Err(why)),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(Err(format!("{} does not tell when it was begun", log.course.place.file))),
            }
        }
        Ok(Ok(log))
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<std::result::Result<Option<Event>, Unfit>> {
        let event = match self.stream.next().await {
            None => return Ok(Ok(None)),
            Some(Ok(event)) => event,
            Some(Err(Error::Server(fault))) if fault.code == NOT_THERE => {
                let file = &self.course.place.file;
                return Ok(Err(format!("the server no longer has the binary log from {file} on: {}", fault.message)));
            }
            Some(Err(error)) if is_garbled(&error) || fault::is_too_large(&error) => {
                return Ok(Err(event::NotUnderstood.to_string()));
            }
            Some(Err(error)) => return Err(fault::store_error("cannot read the binary log", &error)),
        };
        let header = event.header();
        let event = Event {
            kind: header.event_type_raw(),
            seconds: header.timestamp(),
            end: u64::from(header.log_pos()),
            is_ignorable: header.flags_raw() & IGNORABLE != 0,
            body: event.data().to_vec(),
        };
        self.course.follow(&event);
        Ok(Ok(Some(event)))
    }
}

impl Course {
    fn from(place: Place) -> Course {
        Course { place, begun: 0, is_complete: false, is_torn: false }
    }

    fn follow(&mut self, event: &Event) {
        self.is_complete |= event.end != 0 && matches!(event.kind, STOPPED | ROTATED);
        match event::told(event) {
            Ok(Told::Rotate { file, position }) => {
                let file = named(&self.place.file, file, event.end == 0);
                if file != self.place.file {
                    self.is_torn |= !self.is_complete;
                    self.is_complete = false;
                }
                (self.place, self.begun) = (Place { file, position }, 0);
            }
            Ok(Told::Format) => self.begun = event.seconds,
            _ => self.place.position = self.place.position.max(event.end),
        }
    }
}

/// Bytes of a checksum.
const CHECKSUM: usize = 4;

/// The file that follows, or is read from; where that is told by an event that is in no file, a checksum may come after it of
/// which nothing was said before. All names are of one length.
fn named(before: &str, told: &[u8], is_in_no_file: bool) -> String {
    let is_longer = is_in_no_file && told.len() == before.len() + CHECKSUM;
    let name = if is_longer { told.get(..before.len()).unwrap_or(told) } else { told };
    String::from_utf8_lossy(name).into_owned()
}

/// Whether it was not the connection that failed.
fn is_garbled(error: &Error) -> bool {
    use std::io::ErrorKind::{InvalidData, InvalidInput, Other};
    matches!(error, Error::Io(IoError::Io(error)) if matches!(error.kind(), InvalidData | InvalidInput | Other))
}

async fn stream(mut conn: Conn, flavour: Flavour, id: u32, from: &Place) -> mysql_async::Result<BinlogStream> {
    if flavour == Flavour::MariaDb {
        // Events as they are, GTIDs among them, instead of what replicas of old would understand.
        conn.query_drop("SET @mariadb_slave_capability = 4").await?;
    }
    let request = BinlogStreamRequest::new(id).with_non_blocking();
    conn.get_binlog_stream(request.with_filename(from.file.as_bytes()).with_pos(from.position)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_no_part_of_a_name() {
        assert_eq!(named("b.000001", b"b.0000011234", true), "b.000001");
        assert_eq!(named("b.000001", b"b.000002", true), "b.000002");
        assert_eq!(named("b.999999", b"b.1000000", false), "b.1000000");
    }

    fn event(kind: u8, end: u64, body: &[u8]) -> Event {
        Event { kind, seconds: 7, end, is_ignorable: false, body: body.to_vec() }
    }

    #[test]
    fn a_file_that_ends_at_once_may_lack_its_end() {
        let to = |file: &str| [&4_u64.to_le_bytes()[..], file.as_bytes()].concat();
        let begin = || Course::from(Place { file: "b.000001".into(), position: 400 });
        let (own, next) = (event(ROTATED, 0, &to("b.000001")), event(ROTATED, 0, &to("b.000002")));
        for (ending, is_torn) in [
            (vec![event(ROTATED, 500, &to("b.000002"))], false),
            (vec![event(STOPPED, 500, b"")], false),
            (vec![event(16, 500, b"")], true),
            (vec![], true),
        ] {
            let mut course = begin();
            for event in [own.clone(), event(15, 0, b"")].iter().chain(&ending).chain([&next]) {
                course.follow(event);
            }
            assert_eq!((course.is_torn, course.begun), (is_torn, 0), "{ending:?}");
            course.follow(&event(15, 256, b""));
            assert_eq!((course.place, course.begun), (Place { file: "b.000002".into(), position: 4 }, 7));
        }
    }
}
