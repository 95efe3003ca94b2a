use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::model::{FixedClock, StoreId};

fn clock() -> Arc<dyn Clock> {
    Arc::new(FixedClock(Timestamp::UNIX_EPOCH))
}

fn done(number: u8) -> Event {
    Event::Done { store: StoreId("orders".into()), key: hex::encode([number]) }
}

fn open(folder: &Path) -> Result<Journal> {
    Journal::open(folder, clock())
}

#[test]
fn events_read_back_in_order_and_the_file_is_private() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path()).expect("opened");
    journal.append(&[done(1), done(2)]).expect("appended");
    drop(journal);
    let journal = open(folder.path()).expect("opened again");
    journal.append(&[done(3)]).expect("appended");
    let events = journal.events().expect("read");
    assert_eq!(events.iter().map(|record| record.seq).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(events[2].event, done(3));
    let mode =
        std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(folder.path().join(JOURNAL_FILE)).expect("file"));
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_second_owner_is_refused_with_the_pid_of_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = open(folder.path()).expect("opened");
    match open(folder.path()).map(drop) {
        Err(JournalError::Locked { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("not refused: {other:?}"),
    }
    Journal::read_only(folder.path(), clock()).expect("readers may look on");
}

#[test]
fn an_altered_or_missing_event_is_told() {
    for edit in [
        "UPDATE event SET body = replace(body, '02', '09') WHERE seq = 2",
        "UPDATE event SET at_micros = at_micros + 1 WHERE seq = 1",
        "DELETE FROM event WHERE seq = 2",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = open(folder.path()).expect("opened");
        journal.append(&[done(1), done(2), done(3)]).expect("appended");
        drop(journal);
        let connection = Connection::open(folder.path().join(JOURNAL_FILE)).expect("opened by hand");
        assert_eq!(connection.execute(edit, []).expect("edited"), 1);
        drop(connection);
        assert!(matches!(open(folder.path()), Err(JournalError::Damaged { .. })), "{edit}");
    }
}

#[test]
fn bytes_overwritten_in_the_middle_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path()).expect("opened");
    journal.append(&(0..200).map(done).collect::<Vec<_>>()).expect("appended");
    drop(journal);
    let path = folder.path().join(JOURNAL_FILE);
    let mut bytes = std::fs::read(&path).expect("read");
    let key = br#""key":"64""#;
    // A page that was split may hold a copy that is no longer used: every copy is damaged.
    let copies: Vec<usize> = (0..bytes.len() - key.len()).filter(|at| bytes[*at..].starts_with(key)).collect();
    assert!(!copies.is_empty());
    copies.into_iter().for_each(|at| bytes[at..at + key.len()].fill(0xAA));
    std::fs::write(&path, bytes).expect("damaged");
    assert!(open(folder.path()).is_err());
}

#[test]
fn a_write_ahead_log_torn_at_its_end_keeps_what_was_committed() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = tempfile::tempdir().expect("another folder");
    let journal = open(folder.path()).expect("opened");
    journal.append(&[done(1)]).expect("appended");
    let whole = std::fs::read(folder.path().join("session.sqlite-wal")).expect("a log").len();
    journal.append(&[done(2)]).expect("appended");
    for name in [JOURNAL_FILE, "session.sqlite-wal"] {
        std::fs::copy(folder.path().join(name), copy.path().join(name)).expect("copied");
    }
    let wal = copy.path().join("session.sqlite-wal");
    let bytes = std::fs::read(&wal).expect("read");
    assert!(bytes.len() > whole);
    std::fs::write(&wal, &bytes[..bytes.len() - 100]).expect("torn");
    let torn = open(copy.path()).expect("opened");
    assert_eq!(torn.events().expect("read").len(), 1);
}

#[test]
fn a_journal_that_lost_its_end_is_told() {
    let edits =
        ["DELETE FROM event WHERE seq = 3", "DELETE FROM event", "UPDATE event SET seq = seq + 1 WHERE seq = 3"];
    for edit in edits {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = open(folder.path()).expect("opened");
        journal.append(&[done(1), done(2), done(3)]).expect("appended");
        drop(journal);
        let connection = Connection::open(folder.path().join(JOURNAL_FILE)).expect("opened by hand");
        assert!(connection.execute(edit, []).expect("edited") > 0);
        drop(connection);
        assert!(matches!(open(folder.path()), Err(JournalError::Damaged { .. })), "{edit}");
    }
}

#[test]
fn an_emptied_or_missing_journal_is_not_a_new_one() {
    let emptied = |path: &Path| std::fs::write(path, "");
    for harm in [emptied as fn(&Path) -> std::io::Result<()>, |path| std::fs::remove_file(path)] {
        let folder = tempfile::tempdir().expect("a folder");
        open(folder.path()).expect("opened").append(&[done(1)]).expect("appended");
        harm(&folder.path().join(JOURNAL_FILE)).expect("harmed");
        assert!(matches!(open(folder.path()), Err(JournalError::Damaged { .. })));
        let read = Journal::read_only(folder.path(), clock());
        assert!(matches!(read, Err(JournalError::Damaged { .. })));
    }
}

#[test]
fn a_plan_with_another_row_is_told() {
    let step = |key: u8| StepRow {
        position: 0,
        store: StoreId("orders".into()),
        key: crate::model::Key::from_canonical(vec![key]),
        key_json: "{}".into(),
        verdict: "dr_only".into(),
        change: "update".into(),
        expected: Some(Digest([1; 32])),
        wanted: None,
        phase: 0,
        bytes: 7,
        state: StepState::Open,
        reason: None,
    };
    for (edit, is_of_steps) in [
        ("UPDATE step SET wanted = expected WHERE position = 2", true),
        ("UPDATE step SET bytes = 8 WHERE position = 1", true),
        ("DELETE FROM step WHERE position = 1", true),
        ("UPDATE kept SET held = 0", false),
        ("UPDATE kept SET key_json = 'x'", false),
        ("DELETE FROM kept", false),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let journal = open(folder.path()).expect("opened");
        let saved = journal.save_plan(|writer| {
            (1..=3).try_for_each(|key| writer.step(&step(key)))?;
            writer.kept(&StoreId("orders".into()), "{}", true, &serde_json::Value::Null)?;
            Ok::<_, JournalError>((Digest([2; 32]), serde_json::Value::Null))
        });
        let number = saved.expect("saved").number;
        assert!(journal.latest_plan().is_ok() && journal.prove_kept(number).is_ok());
        assert!(journal.connection().execute(edit, []).expect("edited") > 0, "{edit}");
        assert_eq!(matches!(journal.latest_plan(), Err(JournalError::Damaged { .. })), is_of_steps, "{edit}");
        assert_eq!(matches!(journal.prove_kept(number), Err(JournalError::Damaged { .. })), !is_of_steps, "{edit}");
    }
}

#[test]
fn the_first_prior_image_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path()).expect("opened");
    let prior = |image: u8, after: u8| PriorImage {
        store: StoreId("orders".into()),
        key: crate::model::Key::from_canonical(vec![1]),
        digest: Some(Digest([image; 32])),
        image: Some(vec![image]),
        after: None,
        pending: Some(Some(Digest([after; 32]))),
        phase: 0,
        proofs: vec![Digest([image; 32])],
        is_of_others: false,
    };
    let stored = |prior: PriorImage| PriorImage { proofs: Vec::new(), ..prior };
    journal.intend(Digest([9; 32]), &[prior(1, 2)]).expect("intended");
    journal.intend(Digest([9; 32]), &[prior(2, 3)]).expect("intended again, the first write having happened");
    let kept = journal.priors(&StoreId("orders".into()), None, 10).expect("read");
    assert_eq!(kept, [PriorImage { pending: Some(Some(Digest([3; 32]))), ..stored(prior(1, 2)) }]);
    journal.intend(Digest([9; 32]), &[prior(8, 9)]).expect("intended, after a stranger's write");
    let anew = journal.priors(&StoreId("orders".into()), None, 10).expect("read");
    assert_eq!(anew, [stored(prior(8, 9))]);
    let last = kept.last();
    assert!(journal.priors(&StoreId("orders".into()), last, 10).expect("read").is_empty());
}

#[test]
fn what_others_wrote_over_a_settled_write_becomes_the_prior_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let journal = open(folder.path()).expect("opened");
    let (store, key) = (StoreId("orders".into()), crate::model::Key::from_canonical(vec![1]));
    let prior = |image: u8, after: u8, is_of_others: bool| PriorImage {
        store: store.clone(),
        key: key.clone(),
        digest: Some(Digest([image; 32])),
        image: Some(vec![image]),
        after: None,
        pending: Some(Some(Digest([after; 32]))),
        phase: 0,
        proofs: vec![Digest([image; 32])],
        is_of_others,
    };
    let settle = |after: u8| {
        let (state, prior) = (StepState::Done, PriorFate::Written(Some(Digest([after; 32]))));
        let (position, reason, found) = (0, None, None);
        let settlement = Settlement { position, store: store.clone(), key: key.clone(), state, prior, reason, found };
        journal.settle(1, &[settlement]).expect("settled");
    };
    let restored = || journal.priors(&store, None, 10).expect("read").remove(0).image;
    journal.intend(Digest([9; 32]), &[prior(1, 2, false)]).expect("intended");
    settle(2);
    journal.intend(Digest([9; 32]), &[prior(2, 3, false)]).expect("intended over this session's own write");
    settle(3);
    assert_eq!(restored(), Some(vec![1]));
    journal.intend(Digest([9; 32]), &[prior(7, 4, true)]).expect("intended over what others wrote");
    settle(4);
    assert_eq!(restored(), Some(vec![7]));
    journal.intend(Digest([9; 32]), &[prior(4, 5, false)]).expect("intended over this session's own write again");
    assert_eq!(restored(), Some(vec![7]));
    // The process ended before that write was settled: to the next plan it looks like the work of others.
    journal.intend(Digest([9; 32]), &[prior(5, 6, true)]).expect("intended over it");
    assert_eq!(restored(), Some(vec![7]));
    let images: Vec<_> = journal.images(&store, &key).expect("read");
    assert_eq!(images, [1, 2, 7, 4, 5].map(|image| Some(vec![image])), "every image is kept");
}
