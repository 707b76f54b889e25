//! What is next, and what is recorded: without a store.

use std::time::Duration;

use annals::{
    Timestamp,
    cqrs::{
        Next, Retry, Saga, SagaEvent, SagaOutcome, SagaState, Step, StepContext, StepError,
        testing::GivenSaga,
    },
};

async fn same(_: StepContext, data: u32) -> Result<u32, StepError> {
    Ok(data)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn step(name: &str) -> Step<u32> {
    let pauses = (Duration::from_secs(1), Duration::from_secs(4));
    Step::new(name, same)
        .retry(Retry::new(3).pauses(pauses.0, pauses.1))
        .retry_compensation(Retry::new(2).pauses(pauses.0, pauses.1))
}

fn saga() -> Saga<u32> {
    Saga::named("s")
        .step(step("a").compensate(same))
        .step(step("b"))
        .step(step("c").compensate(same))
}

fn do_(step: &str, attempt: u32) -> Next<u32> {
    Next::Step {
        step: step.into(),
        attempt,
    }
}

fn undo(step: &str, attempt: u32) -> Next<u32> {
    Next::Compensate {
        step: step.into(),
        attempt,
    }
}

fn done(step: &str, data: u32, undo: bool) -> SagaEvent<u32> {
    SagaEvent::StepCompleted {
        step: step.into(),
        data,
        undo,
    }
}

fn parked(reason: &str) -> SagaEvent<u32> {
    SagaEvent::SagaParked {
        reason: reason.into(),
    }
}

#[test]
fn steps_are_done_in_order_and_the_last_completes_it() {
    let saga = saga();
    GivenSaga::started(&saga, 1)
        .then_next(do_("a", 1))
        .when_step_returns(Ok(2))
        .then_recorded([done("a", 2, true)])
        .then_next(do_("b", 1))
        .when_step_returns(Ok(3))
        .when_step_returns(Ok(4))
        .then_recorded([done("c", 4, true), SagaEvent::SagaCompleted])
        .then_next(Next::Ended)
        .then_outcome(Some(SagaOutcome::Completed(4)));
}

#[test]
fn a_step_is_tried_again_after_growing_pauses_and_may_have_been_done_then() {
    let saga = saga();
    let failed = |attempt, retry_at, undo| SagaEvent::StepFailed {
        step: "c".into(),
        attempt,
        reason: "busy".into(),
        retry_at,
        undo,
    };
    let busy = || Err(StepError::retry("busy"));
    GivenSaga::events(
        &saga,
        [
            SagaEvent::SagaStarted { data: 1 },
            done("a", 2, true),
            done("b", 3, false),
        ],
    )
    .when_step_returns(busy())
    .then_recorded([failed(1, Some(at(1)), false)])
    .then_next(Next::Wait { until: at(1) })
    .when_time_passes(Duration::from_secs(1))
    .then_next(do_("c", 2))
    .when_step_returns(busy())
    .then_recorded([failed(2, Some(at(3)), false)])
    .when_time_passes(Duration::from_secs(2))
    .when_step_returns(busy())
    .then_recorded([failed(3, None, true)])
    .then_next(undo("c", 1))
    .when_step_returns(Ok(4))
    // "b" has nothing to undo it with.
    .then_next(undo("a", 1))
    .when_step_returns(Ok(5))
    .then_recorded([
        SagaEvent::CompensationCompleted {
            step: "a".into(),
            data: 5,
        },
        SagaEvent::SagaCompensated,
    ])
    .then_outcome(Some(SagaOutcome::Compensated {
        reason: "\"c\" failed: busy".into(),
        data: 5,
    }));
}

#[test]
fn a_step_that_says_that_it_was_not_done_is_not_undone_unless_an_attempt_before_did_not() {
    let saga = saga();
    let given = || {
        GivenSaga::events(
            &saga,
            [
                SagaEvent::SagaStarted { data: 1 },
                done("a", 2, true),
                done("b", 3, false),
            ],
        )
    };
    given()
        .when_step_returns(Err(StepError::fail("no")))
        .then_next(undo("a", 1));
    given()
        .when_step_returns(Err(StepError::retry("unknown")))
        .when_time_passes(Duration::from_secs(1))
        .when_step_returns(Err(StepError::fail("no")))
        .then_next(undo("c", 1));
    GivenSaga::started(&saga, 1)
        .when_step_returns(Err(StepError::fail("no")))
        .then_outcome(Some(SagaOutcome::Compensated {
            reason: "\"a\" failed: no".into(),
            data: 1,
        }));
}

#[test]
fn one_that_cannot_compensate_is_parked_and_resumed_where_it_stood() {
    let saga = saga();
    GivenSaga::started(&saga, 1)
        .when_step_returns(Ok(2))
        .when_step_returns(Err(StepError::fail("no")))
        .when_step_returns(Err(StepError::retry("down")))
        .then_next(Next::Wait { until: at(1) })
        .when_time_passes(Duration::from_secs(1))
        .then_next(undo("a", 2))
        .when_step_returns(Err(StepError::retry("down")))
        .then_recorded([parked("\"a\" is not compensated after 2 attempts: down")])
        .then_next(Next::Parked)
        .when_resumed()
        .then_next(undo("a", 1))
        .when_step_returns(Err(StepError::fail("never")))
        .then_next(Next::Parked)
        .when_resumed()
        .when_step_returns(Ok(3))
        .then_next(Next::Ended);
}

#[test]
fn time_is_waited_for_once_and_what_is_due_is_what_was_recorded() {
    let wait = Step::wait("rest", |data: &u32| Duration::from_secs(u64::from(*data)));
    let saga = Saga::named("s").step(wait).step(step("a"));
    let set = SagaEvent::TimerSet {
        step: "rest".into(),
        due: at(10),
    };
    GivenSaga::started(&saga, 10)
        .then_next(Next::Record(set.clone()))
        .when_time_passes(Duration::ZERO)
        .then_recorded([set.clone()])
        .when_time_passes(Duration::from_secs(9))
        .then_recorded([])
        .then_next(Next::Wait { until: at(10) })
        .when_time_passes(Duration::from_secs(1))
        .then_recorded([done("rest", 10, false)])
        .then_next(do_("a", 1));
    // After a restart.
    GivenSaga::events(&saga, [SagaEvent::SagaStarted { data: 10 }, set])
        .when_time_passes(Duration::from_secs(9))
        .then_next(Next::Wait { until: at(10) });
}

#[test]
fn a_signal_counts_whether_it_came_before_or_while_it_is_waited_for() {
    let hear = Step::await_signal(
        "paid",
        Duration::from_secs(10),
        |data, cents: u32| match cents {
            0 => Err(StepError::fail("nothing was paid")),
            7 => panic!("seven"),
            _ => Ok(data + cents),
        },
    );
    let saga = Saga::named("s").step(step("a").compensate(same)).step(hear);
    let early = GivenSaga::started(&saga, 1)
        .when_signalled("paid", &5)
        .when_signalled("paid", &6)
        .when_signalled("something else", &6)
        .then_next(do_("a", 1))
        .when_step_returns(Ok(2));
    early.then_recorded([
        done("a", 2, true),
        done("paid", 7, false),
        SagaEvent::SagaCompleted,
    ]);
    let waiting = || GivenSaga::started(&saga, 1).when_step_returns(Ok(2));
    waiting()
        .then_next(Next::Wait { until: at(10) })
        .when_signalled("paid", &5)
        .then_recorded([done("paid", 7, false), SagaEvent::SagaCompleted]);
    waiting()
        .when_time_passes(Duration::from_secs(10))
        .then_next(undo("a", 1));
    waiting().when_signalled("paid", &0).then_next(undo("a", 1));
    // What it is not prepared for.
    waiting()
        .when_signalled("paid", &7)
        .then_recorded([parked("\"paid\": it panicked: seven")]);
    waiting()
        .when_signalled("paid", &"five")
        .then_next(Next::Parked);
}

#[test]
fn a_saga_whose_steps_are_not_those_of_the_definition_is_parked() {
    let before = saga();
    let given = || {
        GivenSaga::started(&before, 1)
            .when_step_returns(Ok(2))
            .when_step_returns(Err(StepError::retry("busy")))
    };
    let longer = saga().step(step("d"));
    given()
        .when_defined_as(&longer)
        .then_next(Next::Wait { until: at(1) });
    let renamed = Saga::named("s")
        .step(step("A").compensate(same))
        .step(step("b"));
    given()
        .when_defined_as(&renamed)
        .then_recorded([parked("step 1 was \"a\" and is \"A\" in the definition")]);
    let shorter = Saga::named("s").step(step("a").compensate(same));
    given()
        .when_defined_as(&shorter)
        .then_recorded([parked("step 2 was \"b\" and the definition has none")]);
    let without = Saga::named("s").step(step("a")).step(step("b"));
    given().when_defined_as(&without).then_recorded([parked(
        "the definition has no compensation of \"a\", and had one when it was done",
    )]);
    let waits = Saga::named("s")
        .step(step("a").compensate(same))
        .step(Step::wait("b", |_| Duration::ZERO));
    given()
        .when_defined_as(&waits)
        .then_recorded([parked(
            "the definition has \"b\" as another kind of step than it was begun as",
        )])
        .when_defined_as(&before)
        .when_resumed()
        // Attempts are counted anew.
        .then_next(do_("b", 1));
}

#[test]
fn a_definition_is_checked() {
    let bad = [
        saga().step(step("a")),
        Saga::named("s"),
        Saga::named("").step(step("a")),
        Saga::named("a-b").step(step("a")),
        Saga::named("a\n").step(step("a")),
    ];
    for saga in bad {
        assert!(saga.check().is_err(), "{saga:?}");
    }
    assert!(saga().check().is_ok());
    assert!(SagaState::<u32>::fold([SagaEvent::SagaCompleted]).is_none());
}

#[test]
fn a_step_that_another_runner_may_have_begun_is_undone_where_it_fails() {
    let saga = saga();
    let refused = || Err(StepError::fail("no"));
    GivenSaga::started(&saga, 1)
        .when_step_returns(refused())
        .then_next(Next::Ended);
    GivenSaga::started(&saga, 1)
        .when_restarted()
        .when_step_returns(refused())
        .then_next(undo("a", 1))
        .when_step_returns(Ok(1))
        .then_next(Next::Ended);
    // It was seen to be done since: nobody has begun the one after it.
    GivenSaga::started(&saga, 1)
        .when_restarted()
        .when_step_returns(Ok(2))
        .when_step_returns(Ok(3))
        .when_step_returns(refused())
        .then_next(undo("a", 1));
}
