//! A loopback server that speaks as much of DynamoDB as a reading client asks of it, fast enough that clients are what is measured.
//!
//! It holds no items: every page is put together from one template, in which only numbers change. Two tables, `orders` and
//! `orders-restored`, differ in one item of a hundred. Writes are counted and forgotten.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::loopback::next_request;

/// The bytes DynamoDB counts for one of these items.
pub const ITEM_BYTES: usize = 825;

/// Bytes of items on a page that the service allows.
const PAGE_BYTES: usize = 1 << 20;

/// One item in a hundred differs between the tables: that of this remainder.
const CHANGED: u64 = 7;

/// An item: `#` stands for its number in 12 digits, `%` for its version.
const TEMPLATE: &str = concat!(
    r##"{"order_id":{"S":"order-#"},"customer":{"S":"customer-#"},"status":{"S":"shipped"},"version":{"N":"%"},"##,
    r##""total":{"N":"1#.95"},"created":{"N":"17#"},"updated_at":{"S":"2026-11-22T03:10:00.000Z"},"paid":{"BOOL":true},"##,
    r##""coupon":{"NULL":true},"tags":{"SS":["gift","express","priority"]},"ratings":{"NS":["4.5","3","5"]},"##,
    r##""token":{"B":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},"address":{"M":{"street":{"S":"12 Quai de la M\u00e9gisserie"},"##,
    r##""city":{"S":"Paris"},"postcode":{"S":"75001"},"country":{"S":"FR"}}},"lines":{"L":["##,
    r##"{"M":{"sku":{"S":"sku-#"},"quantity":{"N":"2"},"price":{"N":"19.90"},"title":{"S":"A \"fine\" thing"}}},"##,
    r##"{"M":{"sku":{"S":"sku-9#"},"quantity":{"N":"1"},"price":{"N":"149.00"},"title":{"S":"Another thing, larger"}}}]},"##,
    r##""note":{"S":"Leave it with the neighbours at number fourteen if nobody is at home, and do not ring before nine in the "##,
    r##"morning; the gate sticks a little, so push. This text is here to bring an item to the size that items have, "##,
    r##"which is eight hundred and twenty-five bytes by the service's own way of counting them, names of attributes included, as its manual tells it, more or less..."}}"##,
);

/// Serves `PORT ITEMS [FOLDER]`: so many items a table, and the files of a folder as the objects of any bucket, until it is ended.
pub fn serve(words: &[&str]) {
    let (port, items): (u16, u64) = (words[0].parse().expect("a port"), words[1].parse().expect("a number of items"));
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port");
    let tables = Arc::new(Tables::new(items, words.get(2).map(PathBuf::from)));
    for stream in listener.incoming().map_while(Result::ok) {
        let tables = tables.clone();
        // A client that hangs up ends its thread.
        std::thread::spawn(move || drop(tables.answer(&stream)));
    }
}

/// The writes that the server on a loopback port was asked for, and the time from the first to the last of them.
pub fn writes(port: u16) -> (u64, Duration) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("the server");
    let head = "POST / HTTP/1.1\r\nx-amz-target: DynamoDB_20120810.Writes\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(head.as_bytes()).expect("asked");
    stream.shutdown(std::net::Shutdown::Write).expect("asked");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).expect("a reply");
    let (_, body) = reply.split_once("\r\n\r\n").expect("a body");
    let told: Json = serde_json::from_str(body).expect("JSON");
    (told["writes"].as_u64().expect("a number"), Duration::from_secs_f64(told["seconds"].as_f64().expect("a number")))
}

/// The number of items that differ between the two tables of so many items.
pub fn changed(items: u64) -> u64 {
    items / 100 + u64::from(items % 100 > CHANGED)
}

/// An item of a table as JSON.
pub fn put_item(out: &mut Vec<u8>, table: &str, number: u64) {
    Tables::new(0, None).put_item(out, table, number);
}

struct Tables {
    items: u64,
    folder: Option<PathBuf>,
    pieces: Vec<Piece>,
    writes: Mutex<Vec<Instant>>,
}

enum Piece {
    Text(&'static str),
    Number,
    Version,
}

impl Tables {
    fn new(items: u64, folder: Option<PathBuf>) -> Tables {
        let mut pieces = Vec::new();
        for text in TEMPLATE.split_inclusive(['#', '%']) {
            pieces.push(Piece::Text(text.trim_end_matches(['#', '%'])));
            match text.chars().last() {
                Some('#') => pieces.push(Piece::Number),
                Some('%') => pieces.push(Piece::Version),
                _ => {}
            }
        }
        Tables { items, folder, pieces, writes: Mutex::default() }
    }

    fn put_item(&self, out: &mut Vec<u8>, table: &str, number: u64) {
        let digits = format!("{number:012}");
        let version: &[u8] = if table != "orders" && number % 100 == CHANGED { b"2" } else { b"1" };
        for piece in &self.pieces {
            out.extend_from_slice(match piece {
                Piece::Text(text) => text.as_bytes(),
                Piece::Number => digits.as_bytes(),
                Piece::Version => version,
            });
        }
    }

    fn answer(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_nodelay(true)?;
        let (mut reader, mut body, mut reply) = (BufReader::new(stream), Vec::new(), Vec::new());
        while let Some(request) = next_request(&mut reader, &mut body)? {
            if request.operation.is_empty() {
                self.object(&request.line, stream)?;
                continue;
            }
            reply.clear();
            self.reply(&request.operation, &serde_json::from_slice(&body).unwrap_or_default(), &mut reply);
            let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &reply);
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: R";
            let head = format!("{head}\r\nx-amz-crc32: {checksum}\r\ncontent-length: {}\r\n\r\n", reply.len());
            let mut stream = stream;
            stream.write_all(head.as_bytes())?;
            stream.write_all(&reply)?;
        }
        Ok(())
    }

    /// Answers for S3: the file below the folder that a path names after its bucket.
    fn object(&self, line: &str, mut stream: &TcpStream) -> std::io::Result<()> {
        let (method, path) = line.split_once(' ').unwrap_or((line, ""));
        let path = path.split('?').next().unwrap_or_default().trim_start_matches('/');
        let key = path.split_once('/').map_or("", |(_bucket, key)| key);
        let file = self.folder.as_ref().and_then(|folder| std::fs::File::open(folder.join(Path::new(key))).ok());
        let length = file.as_ref().map(|file| file.metadata().map(|known| known.len())).transpose()?;
        match (method, file, length) {
            ("GET", Some(mut file), Some(length)) => {
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n")?;
                std::io::copy(&mut file, &mut stream).map(drop)
            }
            ("HEAD", _, _) => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            _ => write!(stream, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"),
        }
    }

    fn reply(&self, operation: &str, asked: &Json, out: &mut Vec<u8>) {
        match operation {
            "Scan" => self.scan(asked, out),
            "BatchGetItem" => self.batch(asked, out),
            "DescribeTable" => {
                let table = asked["TableName"].as_str().unwrap_or_default();
                let text = format!(
                    r#"{{"Table":{{"TableName":"{table}","TableId":"id-of-{table}","TableStatus":"ACTIVE","ItemCount":{},
                    "TableArn":"arn:aws:dynamodb:us-east-1:123456789012:table/{table}","CreationDateTime":1700000000,
                    "KeySchema":[{{"AttributeName":"order_id","KeyType":"HASH"}}],
                    "AttributeDefinitions":[{{"AttributeName":"order_id","AttributeType":"S"}}]}}}}"#,
                    self.items
                );
                out.extend_from_slice(text.as_bytes());
            }
            "DescribeTimeToLive" => {
                out.extend_from_slice(br#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#);
            }
            "Writes" => {
                let writes = self.writes.lock().expect("writes");
                let time = writes.first().zip(writes.last()).map_or(Duration::ZERO, |(first, last)| *last - *first);
                let told = serde_json::json!({"writes": writes.len(), "seconds": time.as_secs_f64()});
                out.extend_from_slice(told.to_string().as_bytes());
            }
            "PutItem" => {
                self.writes.lock().expect("writes").push(Instant::now());
                // A writer that asks for what it replaced is told.
                out.extend_from_slice(br#"{"Attributes":"#);
                let table = asked["TableName"].as_str().unwrap_or_default();
                self.put_item(out, table, number_of(asked["Item"]["order_id"]["S"].as_str().expect("a key")));
                out.push(b'}');
            }
            _ => out.extend_from_slice(b"{}"),
        }
    }

    fn scan(&self, asked: &Json, out: &mut Vec<u8>) {
        let number = |name: &str, otherwise| asked[name].as_u64().unwrap_or(otherwise);
        let (segment, total) = (number("Segment", 0), number("TotalSegments", 1));
        let (first, end) = (self.items * segment / total, self.items * (segment + 1) / total);
        let from = asked["ExclusiveStartKey"]["order_id"]["S"].as_str().map_or(first, |id| number_of(id) + 1);
        let to = end.min(from + (PAGE_BYTES / ITEM_BYTES) as u64);
        let table = asked["TableName"].as_str().unwrap_or_default();
        out.extend_from_slice(format!(r#"{{"Count":{0},"ScannedCount":{0},"Items":["#, to - from).as_bytes());
        for item in from..to {
            if item > from {
                out.push(b',');
            }
            self.put_item(out, table, item);
        }
        out.push(b']');
        if to < end {
            let last = to - 1;
            out.extend_from_slice(
                format!(r#","LastEvaluatedKey":{{"order_id":{{"S":"order-{last:012}"}}}}"#).as_bytes(),
            );
        }
        out.push(b'}');
    }

    fn batch(&self, asked: &Json, out: &mut Vec<u8>) {
        let (table, wanted) = asked["RequestItems"].as_object().and_then(|all| all.iter().next()).expect("a table");
        out.extend_from_slice(format!(r#"{{"UnprocessedKeys":{{}},"Responses":{{"{table}":["#).as_bytes());
        let keys = wanted["Keys"].as_array().expect("keys");
        for (at, key) in keys.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.put_item(out, table, number_of(key["order_id"]["S"].as_str().expect("a key")));
        }
        out.extend_from_slice(b"]}}");
    }
}

fn number_of(id: &str) -> u64 {
    id.trim_start_matches("order-").parse().expect("a key of this server")
}
