//! A gate before the emulator: it holds up, breaks, answers and damages the requests it is told to, so many times each.
//!
//! The fault proxy of [`super::burst`] needs seconds of work before its first request, and takes the length out of the answers
//! to HEAD requests; so it serves one test, and the gate all others.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const EVER: u32 = u32::MAX;

/// What becomes of a request.
#[derive(Debug, Clone)]
pub enum Fate {
    /// It never arrives: the connection breaks.
    Broken,
    /// It is carried out, and the connection breaks before the answer.
    Lost,
    /// It is carried out, and the last byte of its answer is another one.
    Corrupt,
    /// It is carried out, and its answer has this Date.
    Dated(&'static str),
    /// It waits until the gate is opened, and then its connection breaks.
    Held,
    /// It is answered with this status, error code and message as the service spells them, and never arrives.
    Answered(u16, &'static str, &'static str),
}

/// A fate for requests whose head has all these words, so many times.
#[derive(Debug, Clone)]
pub struct Fault {
    words: Vec<&'static str>,
    times: u32,
    fate: Fate,
}

/// A fault that happens so many times; words are `us-east-1` for the primary, `us-west-2` for dr, an operation's name for
/// DynamoDB, and method and path for S3 and Route 53.
pub fn times(times: u32, words: &[&'static str], fate: Fate) -> Fault {
    Fault { words: words.to_vec(), times, fate }
}

pub fn once(words: &[&'static str], fate: Fate) -> Fault {
    times(1, words, fate)
}

pub fn ever(words: &[&'static str], fate: Fate) -> Fault {
    times(EVER, words, fate)
}

#[derive(Default)]
struct Faults {
    faults: Mutex<Vec<Fault>>,
    changed: Condvar,
}

pub struct Gate {
    pub port: u16,
    faults: Arc<Faults>,
}

impl Gate {
    pub fn before(upstream: u16) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let faults = Arc::new(Faults::default());
        let shared = faults.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let faults = shared.clone();
                // A client that goes away ends its own connection only.
                std::thread::spawn(move || drop(serve(stream, upstream, &faults)));
            }
        });
        Gate { port, faults }
    }

    /// Does this and nothing else from now on.
    pub fn set(&self, faults: &[Fault]) {
        *self.faults.faults.lock().expect("no panics") = faults.to_vec();
        self.faults.changed.notify_all();
    }

    /// Lets everything pass again. Each fault must have happened, and as often as it was to.
    #[track_caller]
    pub fn open(&self) {
        let faults = std::mem::take(&mut *self.faults.faults.lock().expect("no panics"));
        self.faults.changed.notify_all();
        for fault in faults {
            let all = if fault.times > EVER / 2 { fault.times < EVER } else { fault.times == 0 };
            assert!(all, "did not happen as often as it was to: {fault:?}");
        }
    }

    /// Waits until a request has met the first fault.
    #[track_caller]
    pub fn wait_until_met(&self) {
        let faults = self.faults.faults.lock().expect("no panics");
        let unmet = |faults: &mut Vec<Fault>| faults.first().is_some_and(|fault| matches!(fault.times, EVER | 1));
        let (_faults, waited) = self.faults.changed.wait_timeout_while(faults, PATIENCE, unmet).expect("no panics");
        assert!(!waited.timed_out(), "no request meets the fault");
    }
}

impl Faults {
    fn fate(&self, head: &str) -> Option<Fate> {
        let mut faults = self.faults.lock().expect("no panics");
        let meets = |fault: &&mut Fault| fault.times > 0 && fault.words.iter().all(|word| head.contains(word));
        let fault = faults.iter_mut().find(meets)?;
        fault.times -= 1;
        let fate = fault.fate.clone();
        self.changed.notify_all();
        Some(fate)
    }

    fn wait_until_opened(&self) {
        let faults = self.faults.lock().expect("no panics");
        drop(self.changed.wait_timeout_while(faults, PATIENCE, |faults| !faults.is_empty()).expect("no panics"));
    }
}

/// Serves one request of a connection and closes it.
fn serve(mut client: TcpStream, upstream: u16, faults: &Faults) -> std::io::Result<()> {
    let (head, body) = request(&mut client)?;
    let fate = faults.fate(&head);
    match &fate {
        Some(Fate::Broken) => return client.shutdown(Shutdown::Both),
        Some(Fate::Held) => {
            faults.wait_until_opened();
            return client.shutdown(Shutdown::Both);
        }
        Some(Fate::Answered(status, code, message)) => {
            return client.write_all(answer(&head, *status, code, message).as_bytes());
        }
        _ => {}
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream))?;
    server.write_all(head.replacen("\r\n", "\r\nconnection: close\r\n", 1).as_bytes())?;
    server.write_all(&body)?;
    let mut reply = Vec::new();
    server.read_to_end(&mut reply)?;
    match fate {
        Some(Fate::Lost) => return client.shutdown(Shutdown::Both),
        Some(Fate::Corrupt) => reply.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1),
        Some(Fate::Dated(date)) => reply = dated(&reply, date),
        _ => {}
    }
    client.write_all(&reply)
}

/// An error as the service that was asked spells it.
fn answer(head: &str, status: u16, code: &str, message: &str) -> String {
    let (kind, body) = if head.contains("DynamoDB_20120810.") {
        let name = format!("com.amazonaws.dynamodb.v20120810#{code}");
        ("application/x-amz-json-1.0", format!("{{\"__type\":\"{name}\",\"message\":\"{message}\"}}"))
    } else if head.contains("/s3/aws4_request") {
        ("application/xml", format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>"))
    } else {
        let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
        ("text/xml", format!("<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>"))
    };
    // An answer to HEAD has no body.
    let body = if head.starts_with("HEAD") { "" } else { body.as_str() };
    let fields = format!("content-type: {kind}\r\nconnection: close\r\ncontent-length: {}", body.len());
    format!("HTTP/1.1 {status} Told\r\n{fields}\r\n\r\n{body}")
}

/// A reply with another Date; it may be told twice, and the first one counts.
fn dated(reply: &[u8], date: &str) -> Vec<u8> {
    let at = reply.windows(2).position(|two| two == b"\r\n").expect("a status line");
    [&reply[..at], format!("\r\ndate: {date}").as_bytes(), &reply[at..]].concat()
}

/// The head with its blank line, and the body.
fn request(client: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 64 * 1024];
    let (mut head, mut length) = (None, 0);
    loop {
        let read = client.read(&mut chunk)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&chunk[..read]);
        if head.is_none() {
            head = bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            let text = String::from_utf8_lossy(&bytes[..head.unwrap_or(0)]).to_lowercase();
            let said = text.lines().find_map(|line| line.strip_prefix("content-length:").map(str::trim));
            length = said.map_or(0, |said| said.parse().expect("a length"));
        }
        if let Some(head) = head.filter(|head| bytes.len() >= head + length) {
            let text = String::from_utf8(bytes[..head].to_vec()).expect("a head is text");
            return Ok((text, bytes[head..].to_vec()));
        }
    }
}
