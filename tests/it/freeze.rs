//! A process that freezes for longer than its record lives, and thaws: by then others have its
//! jobs. It must do them no harm, learn of it, and go on working.

use crate::child::{Child, Frozen, Note, noted, notes};
use crate::lost_replies::held;
use crate::support::{Server, client, eventually};

const ENDS: [&str; 4] = ["flag", "cursor", "success", "failure"];

#[tokio::test]
async fn what_thaws_too_late_changes_nothing_and_works_on() {
    let server = Server::start().await;
    let client = client(&server);
    let frozen = Child::of(&server);
    let identity = frozen.identity(&server).await;
    for name in ENDS {
        client.enqueue(Frozen { name: name.into() }).await.unwrap();
        notes(&server, &format!("start {name}")).await;
    }
    frozen.signal("STOP");
    let gone = async || server.query::<u32>(&format!("EXISTS {identity}")).await == 0;
    eventually("its record has expired", gone).await;
    let peer = Child::of(&server);
    for name in ENDS {
        notes(&server, &format!("end {name}")).await;
    }
    eventually("the peer has finished them", async || held(&server).await == 0).await;
    let () = server.query("SET test:gate open").await;
    frozen.signal("CONT");
    notes(&server, "told by the flag").await;
    notes(&server, "told: the job belongs to another process by now").await;
    assert_eq!(frozen.identity(&server).await, identity);
    peer.stop().await;

    client.enqueue(Note { name: "afterwards".into() }).await.unwrap();
    notes(&server, "afterwards").await;
    eventually("nothing is in flight", async || held(&server).await == 0).await;
    frozen.stop().await;
    for name in ENDS {
        assert_eq!(noted(&server, &format!("start {name}")).await, 2);
        assert_eq!(noted(&server, &format!("end {name}")).await, 1);
    }
    assert_eq!(server.query::<u32>("EXISTS retry dead schedule queue:default").await, 0);
    assert!(server.query::<Vec<String>>("KEYS it-*").await.is_empty());
    assert_eq!(server.query::<u32>("HGET roustabout:counters rescued").await, 4);
    assert_eq!(server.query::<u32>("HGET roustabout:counters lost_leases").await, 4);
}
