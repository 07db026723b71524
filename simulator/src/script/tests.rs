use super::{run, scenario};

const SCRIPT: &str = "\
# Every kind of line.
seed 0x3
crypto ideal
nodes ann ben
node phone user=ann app=chat knows=ann,ben lasts=2d clock=-5s
introduce ann ben phone
send ann ben note {\"a\": [1, \"ü\"]}
partition ann,ben phone
network delay=5ms jitter=1ms loss=10
fail-disk ben full
clock ann +5s
detail wire
show why ann ben
show nodes
wait 2m
    ben: something
";

fn wrong(text: &str) -> String {
    run(text).map(|told| format!("it ran:\n{told}")).unwrap_or_else(|why| why.to_string())
}

#[test]
fn an_unknown_command_is_named_with_its_place_and_all_that_there_are() {
    let why = wrong("# a comment counts as a line\n\nnodes ann ben\ncrsh ann\n");
    assert!(why.starts_with("line 4, column 1: there is no command crsh: commands are clock, crash, crypto, detail, "), "{why}");
    let documented = [include_str!("set_up.md"), include_str!("acts.md"), include_str!("looks.md")].concat();
    for command in super::read::COMMANDS.split(", ") {
        assert!(
            why.contains(command) && documented.contains(&format!("`{command} ")) || documented.contains(&format!("`{command}`")),
            "{command}"
        );
    }
}

#[test]
fn what_is_wrong_in_a_line_is_told_with_its_column_and_the_way_out() {
    let after = |line: &str| wrong(&format!("nodes ann ben\n{line}\n"));
    for (line, why) in [
        ("send ann bob bla 1", "line 2, column 10: there is no node bob: there are ann, ben"),
        ("send ann ben bla", "line 2, column 17: the line ends where the payload, as JSON is needed"),
        (
            "send ann ben bla hello",
            "line 2, column 18: the payload cannot be sent: not the JSON that belongs here; text stands in quotes: \"hello\"",
        ),
        ("send", "line 2, column 5: the line ends where the name of a node is needed"),
        ("crash ann ben", "line 2, column 11: the line should end before \"ben\""),
        ("wait 5", "line 2, column 6: \"5\" is no duration: it is a number and ms, s, m, h or d, as 500ms or 2h"),
        ("wait 99999999999999999999s", "line 2, column 6: \"99999999999999999999s\" is no duration"),
        ("wait 400d", "line 2, column 6: nothing lasts longer than a year here"),
        ("wait 366d", "line 2, column 6: a script lasts a year at most"),
        ("clock ann 5s", "line 2, column 11: a duration with a sign is needed here, as +5s or -2m"),
        ("partition ann ben,bob", "line 2, column 19: there is no node bob"),
        ("network loss=2000000", "line 2, column 14: \"loss_ppm\" of this line must be at most 1000000"),
        ("network speed=2", "line 2, column 9: there is no speed: it is delay, jitter or loss"),
        ("fail-disk ann wet", "line 2, column 15: it is full, corrupt, newer or failed"),
        ("detail all", "line 2, column 8: it is app, link or wire"),
        ("show lnks ann", "line 2, column 6: there is no lnks to show: it is one of nodes, links, outbox, inbox, book, why"),
        ("node ann", "line 2, column 6: there is a node ann already"),
        ("node cho app=UPPER", "line 2, column 14: not a valid app id"),
        ("node cho lasts=31d", "line 2, column 16: a delegation lasts from 1ms to 30d"),
        ("node cho knows=ann,bob", "line 2, column 20: there is no node bob"),
        ("node cho x=1", "line 2, column 10: there is no x: it is app, clock, knows, lasts or user"),
        ("wait 1s\nnode cho", "line 3, column 1: nodes are set up before anything happens: move this above line 2"),
        ("crypto none", "line 2, column 8: it is standard or ideal"),
    ] {
        let told = after(line);
        assert!(told.starts_with(why), "{line}: {told}");
    }
    assert!(wrong("").starts_with("line 1, column 1: there are no nodes"), "{}", wrong(""));
    assert!(wrong("wait 5s\nnodes ann").starts_with("line 1, column 1: wait needs nodes"), "{}", wrong("wait 5s\nnodes ann"));
    assert_eq!(format!("{:?}", run("x").map(drop)), format!("Err({})", wrong("x")), "what unwrap shows is the sentence");
}

#[test]
fn a_script_that_is_cut_or_mixed_up_is_an_error_or_a_script_and_never_more() {
    let (mut right, mut refused) = (0, 0);
    let mut count = |text: &str| *if scenario(text).is_ok() { &mut right } else { &mut refused } += 1;
    for (at, _) in SCRIPT.char_indices() {
        count(&SCRIPT[..at]);
        count(&format!("{}\u{1F480}{}", &SCRIPT[..at], &SCRIPT[at..]));
        count(&SCRIPT[at..]);
    }
    assert!(right > 100 && refused > 100, "{right} right, {refused} refused");
}

#[test]
fn indented_lines_are_what_an_earlier_run_said_and_are_read_over() {
    let told = run("nodes ann ben\n    ann: something else\nintroduce ann ben\nsend ann ben bla 1\nwait 2s\n\tben: nothing\n").unwrap();
    assert!(!told.contains("something else") && !told.contains("nothing"), "{told}");
    assert!(told.ends_with(
        "wait 2s\n    ann -> ben: link up\n    ann -> ben: message bla\n    ben: got bla from ann\n    ben -> ann: acknowledged\n"
    ));
}

#[test]
fn another_seed_is_another_run_and_the_same_seed_the_same() {
    let lossy = |seed: u64| {
        let text = format!(
            "seed {seed}\ncrypto ideal\nnodes ann ben\nintroduce ann ben\nnetwork loss=200000 delay=300ms\ndetail wire\nsend ann ben bla 1\nwait 10m\n"
        );
        run(&text).unwrap()
    };
    let rest = |told: String| told.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(lossy(1), lossy(1));
    assert!((2..12).any(|seed| rest(lossy(seed)) != rest(lossy(1))), "{}", lossy(1));
}
