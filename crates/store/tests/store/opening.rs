//! Opening databases that are new, strange, newer or out of reach; files of a home.

use rungs_spec::home::Request;
use rungs_store::{Store, StoreError, journal, requests};
use sqlx::{Connection, SqliteConnection};

use crate::home::{TestHome, content, evaluation, event, key, run_file, started};

#[tokio::test]
async fn a_new_database_is_empty_and_opening_it_again_changes_nothing() {
    let home = TestHome::new().await;
    let before = content(&home.store).await;
    home.store.close().await;
    let again = Store::open_writer(&home.db()).await.unwrap();
    assert_eq!(before, content(&again).await);
    let mut raw = SqliteConnection::connect(&format!("sqlite://{}", home.db().display()))
        .await
        .unwrap();
    let ok: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut raw)
        .await
        .unwrap();
    assert_eq!((ok.as_str(), mode.as_str()), ("ok", "wal"));
    let loose: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND strict = 0 AND name NOT LIKE 'sqlite_%' AND name NOT LIKE '_sqlx%'",
    )
    .fetch_all(&mut raw)
    .await
    .unwrap();
    assert_eq!(loose, [] as [&str; 0], "every table is STRICT");
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let home = TestHome::new().await;
    home.store.close().await;
    let mut raw = SqliteConnection::connect(&format!("sqlite://{}", home.db().display()))
        .await
        .unwrap();
    sqlx::query("UPDATE _sqlx_migrations SET version = 99990101000000 WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .execute(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();
    for error in [
        Store::open_writer(&home.db()).await.unwrap_err(),
        Store::open_reader(&home.db()).await.unwrap_err(),
    ] {
        assert!(
            matches!(
                error,
                StoreError::NewerVersion {
                    found: 99990101000000,
                    ..
                }
            ),
            "{error}"
        );
        assert!(
            error.to_string().contains("rungs.db") && error.to_string().contains("newer Rungs"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn an_older_database_asks_a_reader_for_a_writer() {
    let home = TestHome::new().await;
    home.store.close().await;
    let mut raw = SqliteConnection::connect(&format!("sqlite://{}", home.db().display()))
        .await
        .unwrap();
    sqlx::query(
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    raw.close().await.unwrap();
    let error = Store::open_reader(&home.db()).await.unwrap_err();
    assert!(matches!(error, StoreError::OlderVersion { .. }), "{error}");
}

#[tokio::test]
async fn what_is_not_a_database_of_ours_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.db");
    let error = Store::open_reader(&path).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Missing { .. }) && error.to_string().contains("runner reindex"),
        "{error}"
    );
    assert!(!path.exists(), "looking must not create it");

    let text = "this is no database, but a long enough text to look like a page of one ".repeat(40);
    std::fs::write(&path, &text).unwrap();
    for error in [
        Store::open_writer(&path).await.unwrap_err(),
        Store::open_reader(&path).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, StoreError::Foreign { path: p } if *p == path),
            "{error}"
        );
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

    let other = dir.path().join("other.db");
    let mut raw = SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", other.display()))
        .await
        .unwrap();
    sqlx::query("CREATE TABLE mine (x)")
        .execute(&mut raw)
        .await
        .unwrap();
    raw.close().await.unwrap();
    assert!(matches!(
        Store::open_writer(&other).await.unwrap_err(),
        StoreError::Foreign { .. }
    ));
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Store::open_writer(&file.join("rungs.db"))
        .await
        .unwrap_err()
        .to_string();
    assert!(error.starts_with(&file.display().to_string()), "{error}");
    // A directory where the file should be: SQLite cannot open it, whoever asks.
    let error = Store::open_writer(dir.path()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::CannotOpen { path, .. } if path == dir.path()),
        "{error}"
    );
    assert!(error.to_string().contains("--db"), "{error}");
}

#[tokio::test]
async fn a_reader_cannot_write_and_leaves_the_file_as_it_is() {
    let home = TestHome::new().await;
    home.queue(1, &run_file(1)).await;
    home.store
        .ingest(
            &key(1),
            1,
            5,
            &[
                event(0, 1, started(&key(1), 0)),
                event(1, 1, evaluation(1, 10, 1.0)),
            ],
        )
        .await
        .unwrap();
    home.store.close().await;
    let before = std::fs::read(home.db()).unwrap();
    let reader = Store::open_reader(&home.db()).await.unwrap();
    content(&reader).await;
    assert!(matches!(
        reader.claim("a").await,
        Err(StoreError::ReaderCannotWrite { .. })
    ));
    reader.close().await;
    assert!(
        before == std::fs::read(home.db()).unwrap(),
        "the reader changed the file"
    );
}

#[tokio::test]
async fn readers_see_a_change_by_the_counter() {
    let home = TestHome::new().await;
    let reader = Store::open_reader(&home.db()).await.unwrap();
    let before = reader.change_counter().await.unwrap();
    home.register(&run_file(1), &[]).await;
    assert!(reader.change_counter().await.unwrap() > before);
}

#[test]
fn requests_are_carried_out_in_order_and_a_bad_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let requests_dir = dir.path().join("requests");
    assert!(requests::list(&requests_dir).unwrap().is_empty());
    let asked = [
        Request::Pause,
        Request::Cancel { run: key(1) },
        Request::Resume,
    ];
    for request in &asked {
        requests::write(&requests_dir, request).unwrap();
    }
    std::fs::write(
        requests_dir.join("01900000-0000-7000-8000-000000000000.json"),
        "{",
    )
    .unwrap();
    std::fs::write(requests_dir.join("notes.txt"), "not ours").unwrap();
    let waiting = requests::list(&requests_dir).unwrap();
    assert!(
        waiting[0]
            .request
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("01900000")
    );
    let found: Vec<_> = waiting[1..]
        .iter()
        .map(|w| w.request.as_ref().unwrap())
        .collect();
    assert_eq!(found, asked.iter().collect::<Vec<_>>());
    for w in &waiting {
        requests::remove(&w.path).unwrap();
        requests::remove(&w.path).unwrap();
    }
    assert!(requests::list(&requests_dir).unwrap().is_empty());
}

#[test]
fn a_torn_journal_loses_only_its_torn_line() {
    use rungs_spec::home::{JournalEntry, JournalLine};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let line = |entry| JournalLine {
        t: "2026-01-01T00:00:00Z".into(),
        entry,
    };
    let first = journal::append(&path, &[line(JournalEntry::Paused)]).unwrap();
    assert_eq!(first[0].end_offset, std::fs::metadata(&path).unwrap().len());
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"t\":\"2026-01");
    std::fs::write(&path, text).unwrap();
    assert_eq!(journal::read_from(&path, 0).unwrap().0, first);
    let second = journal::append(&path, &[line(JournalEntry::Resumed)]).unwrap();
    let (entries, bad) = journal::read_from(&path, 0).unwrap();
    assert_eq!(entries, [first, second.clone()].concat());
    assert_eq!(bad.iter().map(|b| b.line).collect::<Vec<_>>(), [2]);
    assert_eq!(
        journal::read_from(&path, second[0].end_offset).unwrap(),
        (vec![], vec![])
    );
}
