//! A directory that only knows simple binds (RFC 4511, 4.2): a PostgreSQL server with `ldap` in its `pg_hba.conf` asks it
//! whether a password is right, and so it sees the password.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The directory, and the passwords that it was shown.
pub struct Directory {
    pub port: u16,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Directory {
    /// Starts one that takes the passwords that `is_right` says.
    pub fn start(is_right: fn(&str) -> bool) -> Directory {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Who has gone away asks for nothing more.
                let Some(password) = answer(stream, is_right) else { continue };
                keep.lock().expect("no panics").push(password);
            }
        });
        Directory { port, seen }
    }

    /// Every password so far.
    pub fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panics").clone()
    }
}

fn answer(mut stream: TcpStream, is_right: fn(&str) -> bool) -> Option<String> {
    let (_, message) = element(&mut stream)?;
    let mut rest = message.as_slice();
    let (_, id) = element(&mut rest)?;
    let (kind, bind) = element(&mut rest)?;
    assert_eq!(kind, 0x60, "a bind request");
    let mut bind = bind.as_slice();
    let (_version, _name) = (element(&mut bind)?, element(&mut bind)?);
    let (way, password) = element(&mut bind)?;
    assert_eq!(way, 0x80, "a simple bind");
    let password = String::from_utf8(password).expect("UTF-8");
    let result = if is_right(&password) { 0 } else { 49 };
    let mut reply = vec![0x02, u8::try_from(id.len()).expect("a short id")];
    reply.extend(&id);
    reply.extend([0x61, 7, 0x0a, 1, result, 4, 0, 4, 0]);
    stream.write_all(&[0x30, u8::try_from(reply.len()).expect("a short reply")]).ok()?;
    stream.write_all(&reply).ok()?;
    Some(password)
}

/// The next element in BER: its tag and its contents.
fn element(from: &mut impl Read) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    from.read_exact(&mut head).ok()?;
    let mut length = usize::from(head[1]);
    if length & 0x80 != 0 {
        let mut long = vec![0; length & 0x7f];
        from.read_exact(&mut long).ok()?;
        length = long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    }
    let mut contents = vec![0; length];
    from.read_exact(&mut contents).ok()?;
    Some((head[0], contents))
}
