//! What the watch takes for a violation.

use std::time::Duration;

use area_net::membership::Event;
use area_net::sim::scenario::Bounds;
use area_net::sim::views::{Standing, Views};
use area_net::sim::watch::{Rule, Watch};
use area_net::sim::world::{News, Told, World, default_settings};

fn world() -> World {
    let mut world = World::new(1);
    for place in 0..3 {
        world.add(place as u64, default_settings(place, &[0]));
    }
    for place in 0..3 {
        world.start(place);
    }
    run_on(&mut world, 5);
    world
}

fn run_on(world: &mut World, seconds: u64) {
    let until = world.now() + Duration::from_secs(seconds);
    while world.step(until) {
        while world.poll_news().is_some() {}
    }
}

const BOUNDS: Bounds = Bounds {
    gone: Duration::from_secs(5),
    exact: Duration::from_secs(20),
};

fn up(world: &World, place: usize, of: usize) -> News {
    News {
        at: world.now(),
        place,
        what: Told::Event(Event::Up(world.nodes[of].id())),
    }
}

#[test]
fn a_node_shown_long_after_its_death_is_a_violation() {
    assert!(look_8_s_after_a_death(|_, _| {}).is_some());
}

#[test]
fn other_deaths_are_no_excuse_for_that_but_ways_that_change_are() {
    assert!(look_8_s_after_a_death(Watch::disturbed).is_some());
    assert!(look_8_s_after_a_death(Watch::hindered).is_none());
}

/// Node 0 shows node 2 all the while; something else happens 4 s after the death.
fn look_8_s_after_a_death(happens: impl Fn(&mut Watch, Duration)) -> Option<Duration> {
    let mut world = world();
    let (mut views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
    let Told::Event(seen) = up(&world, 0, 2).what else {
        unreachable!()
    };
    views.hear(0, &seen);
    world.kill(2);
    let stopped = News {
        at: world.now(),
        place: 2,
        what: Told::Stopped,
    };
    let heard = watch.hear(&world, &views, &stopped);
    heard.expect("a node may die");
    run_on(&mut world, 4);
    let looked = watch.look(&world, &views, &Standing::default());
    looked.expect("it is within the bound");
    happens(&mut watch, world.now());
    run_on(&mut world, 4);
    let found = watch.look(&world, &views, &Standing::default()).err()?;
    assert_eq!(found.rule, Rule::StillShown);
    assert_eq!(found.at, world.now());
    Some(found.at)
}

#[test]
fn a_node_that_comes_up_long_after_its_death_is_a_ghost() {
    let mut world = world();
    let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
    world.kill(2);
    run_on(&mut world, 10);
    let found = watch.hear(&world, &views, &up(&world, 0, 2)).unwrap_err();
    assert_eq!(found.rule, Rule::Ghost);
    watch.hear(&world, &views, &up(&world, 0, 1)).unwrap();
}

/// Who dies before it missed a neighbour that died leaves word of it.
#[test]
fn a_chain_of_deaths_counts_from_the_last_one() {
    let mut world = world();
    let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
    for place in 1..3 {
        let own = world.nodes[place].own().unwrap().clone();
        assert_eq!(own.body().links.len(), 2);
        let what = Told::Published(own, None);
        let at = world.now();
        watch
            .hear(&world, &views, &News { at, place, what })
            .unwrap();
    }
    world.kill(2);
    run_on(&mut world, 3);
    world.kill(1);
    run_on(&mut world, 4);
    watch.hear(&world, &views, &up(&world, 0, 2)).unwrap();
    run_on(&mut world, 2);
    let found = watch.hear(&world, &views, &up(&world, 0, 2)).unwrap_err();
    assert_eq!(found.rule, Rule::Ghost);
}

/// Who stands still can't miss a neighbour that dies meanwhile, and lists it until a moment after it went on.
#[test]
fn who_stood_still_has_the_bound_from_when_it_went_on() {
    let mut world = world();
    let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
    let own = world.nodes[2].own().unwrap().clone();
    let (at, what) = (world.now(), Told::Published(own, None));
    let news = News { at, place: 2, what };
    watch.hear(&world, &views, &news).unwrap();
    world.pause(1);
    world.kill(2);
    run_on(&mut world, 30);
    world.resume(1);
    watch.hear(&world, &views, &up(&world, 0, 2)).unwrap();
    run_on(&mut world, 6);
    let found = watch.hear(&world, &views, &up(&world, 0, 2)).unwrap_err();
    assert_eq!(found.rule, Rule::Ghost);
}

#[test]
fn a_view_that_stays_wrong_is_a_violation() {
    let mut world = world();
    // These views were told nothing, so they show nobody.
    let (mut views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
    let standing = views.judge(&world);
    assert!(!standing.all_known());
    watch.look(&world, &views, &standing).unwrap();
    run_on(&mut world, 21);
    let found = watch.look(&world, &views, &standing).unwrap_err();
    assert_eq!(found.rule, Rule::WrongView);
}

#[test]
fn more_links_than_the_cap_are_a_violation() {
    let mut world = world();
    let (views, mut watch) = (Views::new(&world), Watch::new(3, BOUNDS));
    world.nodes[1].settings.degree_cap = 1;
    world.nodes[1].settings.guests = 0;
    let own = world.nodes[1].own().unwrap().clone();
    let news = News {
        at: world.now(),
        place: 1,
        what: Told::Published(own, None),
    };
    let found = watch.hear(&world, &views, &news).unwrap_err();
    assert_eq!(found.rule, Rule::Degree);
}
