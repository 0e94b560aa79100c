//! Many readers beside the writer: nobody waits for anybody, nobody sees half a write.

use rungs_store::Store;

use crate::home::{TestHome, event, key, loss, run_file, started};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixty_four_readers_and_a_writer() {
    let home = TestHome::new().await;
    home.register(&run_file(1), &[]).await;
    home.store
        .ingest(&key(1), 1, 1, &[event(0, 1, started(&key(1), 0))])
        .await
        .unwrap();
    let mut readers = Vec::new();
    for _ in 0..64 {
        let db = home.db();
        readers.push(tokio::spawn(async move {
            let store = Store::open_reader(&db).await?;
            let mut seen = 0;
            for _ in 0..10 {
                let points = store.series(&key(1), "train/loss", false).await?;
                // Whole events of seven points, and never fewer than before.
                assert!(
                    points.len() % 7 == 0 && points.len() >= seen,
                    "{} after {seen}",
                    points.len()
                );
                seen = points.len();
                store.results(&[key(1)]).await?;
            }
            store.close().await;
            Ok::<_, rungs_store::StoreError>(())
        }));
    }
    for i in 0..200 {
        home.store
            .ingest(&key(1), 1, i + 2, &[event(1, 1, loss(i * 7, i, &[0.5; 7]))])
            .await
            .unwrap();
    }
    for reader in readers {
        reader.await.unwrap().unwrap();
    }
    assert_eq!(
        home.store
            .series(&key(1), "train/loss", false)
            .await
            .unwrap()
            .len(),
        1400
    );
}
