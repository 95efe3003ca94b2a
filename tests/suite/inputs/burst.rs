//! A fault proxy that knows how AWS spells its errors.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value as Json, json};

use crate::peers::{self, Server};

/// A fault proxy that can be told what to do.
pub struct Burst(Server);

impl Burst {
    pub fn before(upstream: u16) -> Option<Burst> {
        peers::microburst(upstream).map(Burst)
    }

    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Does this and nothing else from now on; what has fired is forgotten.
    pub fn set(&self, rules: &Json) {
        self.ask("DELETE", "fired", "");
        let set = self.ask("POST", "rules", &rules.to_string());
        assert!(set.starts_with('['), "{set}");
    }

    /// Passes everything on again; gives how often each rule had fired.
    pub fn clear(&self) -> Vec<u64> {
        let rules: Json = serde_json::from_str(&self.ask("GET", "rules", "")).expect("JSON");
        let rules = rules.as_array().expect("a list");
        let fired = rules.iter().map(|rule| rule["fired_count"].as_u64().expect("a count")).collect();
        self.set(&json!([]));
        fired
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.0.port)).expect("the proxy answers");
        let head = format!("{method} /_microburst/{path} HTTP/1.1\r\nhost: x\r\nconnection: close");
        write!(stream, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).expect("asked");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        reply.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
    }
}
