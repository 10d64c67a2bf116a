use canald_sim::plan::draw::{Size, draw};
use canald_sim::run::{Extras, run};
use std::sync::{Arc, Mutex};
fn main() {
    let plan = draw(0, Size::Lite);
    let go = || {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let l2 = lines.clone();
        let o = run(&plan, Extras { watchers: vec![Box::new(move |at, r| l2.lock().unwrap().push(format!("{at:?} {r:?}")))], ..Extras::default() });
        println!("{:?}", o);
        let v = lines.lock().unwrap().clone();
        v
    };
    let a = go();
    let b = go();
    for (x, y) in a.iter().zip(&b) {
        if x != y { println!("{}\n{}", &x[..x.len().min(600)], &y[..y.len().min(600)]); break; }
    }
}
