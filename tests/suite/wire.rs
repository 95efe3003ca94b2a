//! Scan pages over a real socket whose bodies are damaged, cut short, packed or miscounted: none of it passes for a table.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use failback::model::{Leaf, Side, StoreId};
use failback::store::dynamodb::DynamoDbStore;
use failback::store::{ErrorKind, ReadStore, StoreError};
use futures_util::TryStreamExt;

use crate::loopback::{next_request, side_on_port};

const PAGE: &str =
    r#"{"Count":2,"Items":[{"id":{"S":"a"},"n":{"N":"1.50"}},{"n":{"N":"2"},"id":{"S":"b"}}],"ScannedCount":2}"#;

/// One reply to Scan.
#[derive(Clone)]
struct Reply {
    headers: String,
    /// What the length header says, when that is not the truth.
    told_bytes: Option<usize>,
    body: Vec<u8>,
}

impl Reply {
    fn of(body: &str) -> Reply {
        Reply { headers: String::new(), told_bytes: None, body: body.into() }
    }

    fn with(mut self, name: &str, value: impl std::fmt::Display) -> Reply {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    fn proved(self) -> Reply {
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &self.body);
        self.with("x-amz-crc32", checksum)
    }
}

/// A table whose scans get these replies one after another, the last one again and again.
struct Table {
    store: DynamoDbStore,
    scans: Arc<AtomicUsize>,
}

impl Table {
    async fn answering(replies: &[Reply]) -> Table {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let scans = Arc::new(AtomicUsize::new(0));
        let (counted, replies) = (scans.clone(), replies.to_vec());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (counted, replies) = (counted.clone(), replies.clone());
                // A client that hangs up ends its thread.
                std::thread::spawn(move || drop(answer(&stream, &replies, &counted)));
            }
        });
        let side = side_on_port(port, "us-east-1");
        let id = StoreId("orders".into());
        let store = DynamoDbStore::connect(id, Side::Dr, &side, "orders", None).await.expect("a store");
        Table { store, scans }
    }

    async fn leaves(&self) -> Result<Vec<Leaf>, StoreError> {
        self.store.begin_scan(1).await.expect("a scan").leaves(0).try_concat().await
    }
}

fn answer(stream: &TcpStream, replies: &[Reply], scans: &AtomicUsize) -> std::io::Result<()> {
    let (mut reader, mut body) = (BufReader::new(stream), Vec::new());
    while let Some(request) = next_request(&mut reader, &mut body)? {
        let reply = match request.operation.as_str() {
            "DescribeTable" => Reply::of(
                r#"{"Table":{"TableId":"t","TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
                "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}]}}"#,
            ),
            "Scan" => replies[scans.fetch_add(1, Ordering::SeqCst).min(replies.len() - 1)].clone(),
            _ => Reply::of("{}"),
        };
        let bytes = reply.told_bytes.unwrap_or(reply.body.len());
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\n";
        let mut stream = stream;
        write!(stream, "{head}{}content-length: {bytes}\r\n\r\n", reply.headers)?;
        stream.write_all(&reply.body)?;
        if bytes != reply.body.len() {
            return stream.shutdown(std::net::Shutdown::Both);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_proved_page_is_read_and_both_ways_agree() {
    let table = Table::answering(&[Reply::of(PAGE).proved()]).await;
    let leaves = table.leaves().await.expect("leaves");
    assert_eq!(leaves.len(), 2);
    let parsed = Table { store: table.store.with_parsed_pages(), scans: table.scans };
    assert_eq!(parsed.leaves().await.expect("leaves"), leaves);
}

#[tokio::test]
async fn a_damaged_page_is_asked_for_again_by_the_sdk() {
    let damaged = Reply { body: PAGE.replace("1.50", "1.51").into(), ..Reply::of(PAGE).proved() };
    let table = Table::answering(&[damaged.clone(), Reply::of(PAGE).proved()]).await;
    let leaves = table.leaves().await.expect("leaves");
    assert_eq!(table.scans.load(Ordering::SeqCst), 2);
    assert_eq!(leaves, Table::answering(&[Reply::of(PAGE)]).await.leaves().await.expect("leaves"));

    let always = Table::answering(&[damaged]).await;
    let error = always.leaves().await.expect_err("never what was sent");
    assert_eq!(error.kind, ErrorKind::Unreachable, "{error:?}");
    assert!(always.scans.load(Ordering::SeqCst) > 2, "it was tried again");
}

#[tokio::test]
async fn a_page_cut_short_is_never_a_smaller_table() {
    let cut = |at: usize| Reply { told_bytes: Some(PAGE.len()), body: PAGE.as_bytes()[..at].to_vec(), ..Reply::of("") };
    let table = Table::answering(&[cut(60), cut(PAGE.len() - 1), Reply::of(PAGE)]).await;
    assert_eq!(table.leaves().await.expect("leaves").len(), 2);
    assert_eq!(table.scans.load(Ordering::SeqCst), 3);

    for body in [&PAGE[..60], &PAGE[..PAGE.len() - 1], "", "{}", "{}}", r#"{"Count":0}"#] {
        let error = Table::answering(&[Reply::of(body)]).await.leaves().await.expect_err("no page");
        assert!(error.kind.is_transient(), "{body}: {error:?}");
    }
    let empty = Reply::of(r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
    assert_eq!(Table::answering(&[empty]).await.leaves().await.expect("leaves"), []);
}

#[tokio::test]
async fn a_miscounted_page_is_no_page() {
    for count in ["1", "3", "-1", "null"] {
        let page = PAGE.replacen(r#""Count":2"#, &format!(r#""Count":{count}"#), 1);
        let table = Table::answering(&[Reply::of(&page)]).await;
        assert_eq!(table.leaves().await.expect_err("miscounted").kind, ErrorKind::Unreachable, "{count}");
        let parsed = Table { store: table.store.with_parsed_pages(), scans: table.scans };
        assert_eq!(parsed.leaves().await.expect_err("miscounted").kind, ErrorKind::Unreachable, "{count}");
    }
}

#[tokio::test]
async fn a_packed_page_is_not_taken_for_json() {
    let packed = Reply::of(PAGE).with("content-encoding", "gzip").with("x-amz-crc32", 1);
    let packed = Reply { body: vec![0x1f, 0x8b, 8, 0], ..packed };
    let error = Table::answering(&[packed]).await.leaves().await.expect_err("not asked for");
    assert!(error.kind.is_transient(), "{error:?}");
}

#[tokio::test]
async fn what_pages_took_is_counted_whichever_way_they_are_read() {
    let page = PAGE.replacen('{', r#"{"ConsumedCapacity":{"TableName":"orders","CapacityUnits":1.5},"#, 1);
    for is_parsed in [false, true] {
        let Table { store, scans } = Table::answering(&[Reply::of(&page)]).await;
        let store = if is_parsed { store.with_parsed_pages() } else { store };
        let table = Table { store, scans };
        for pages in 1..=2 {
            assert_eq!(table.leaves().await.expect("leaves").len(), 2);
            assert_eq!(table.store.spent().read_units, [2, 3][pages - 1], "units come in halves");
        }
    }
}
