/* SPDX-License-Identifier: MIT */
/*
 * Mailbox (lib/thread/mailbox.h).
 *
 * Promised                                  Tested by
 *   empty gives NULL                          taking_from_an_empty_mailbox_gives_nothing
 *   FIFO, all at once                         letters_come_out_in_the_order_they_were_pushed,
 *                                             a_taken_letter_may_be_pushed_again
 *   count, last, and whether all are usual    what_was_taken_is_summed_up
 *   usual letters tell of later ones          hints_point_ahead
 *   is_empty tells what was pushed            is_empty_sees_pushes_and_takes
 *   park: only when empty; the first push     park_refuses_when_there_are_letters,
 *   after it wakes, the others do not         only_the_first_push_after_a_park_wakes,
 *   take_all ends a park                      taking_ends_a_park
 *   close: only when empty, for good,         close_refuses_when_there_are_letters,
 *   until init opens it again                 a_closed_mailbox_refuses_letters_untouched,
 *                                             a_parked_mailbox_cannot_be_closed,
 *                                             init_opens_a_closed_mailbox_again
 *   who is refused sees what came before      who_is_refused_sees_what_came_before_the_close
 *   the close (TSan)
 *   every short sequence of calls             every_sequence_of_six_calls_follows_the_model
 *   one producer's order; publication of      stress_producers_publish_in_order
 *   plain payload (TSan)
 *   no lost wake-up; the pusher that wakes    stress_no_wake_is_lost_with_1_in_flight, _2_, _16_
 *   sees what came before the park (TSan);    (a lost one hangs: time limit; `note` is plain)
 *   the bell too, on a descriptor             stress_no_wake_is_lost_on_a_descriptor
 *   close against push: taken or refused,     stress_each_letter_is_taken_or_refused
 *   never both, never neither
 */
#include "harness.h"
#include "unordered.h"

#include "base/list.h"
#include "thread/doorbell.h"
#include "thread/mailbox.h"

#include <poll.h>
#include <semaphore.h>

struct mail {
    struct asi_letter letter;
    int number; /* plain, not atomic: TSan then checks that push publishes it */
    int producer;
    int taken;   /* by the consumer */
    int refused; /* by the producer */
    void *hint;
};

enum { hint_at = offsetof(struct mail, hint) };

static struct mail *mail_of(struct asi_letter *letter)
{
    return asi_container_of(letter, struct mail, letter);
}

TEST(taking_from_an_empty_mailbox_gives_nothing)
{
    struct asi_mailbox box;

    asi_mailbox_init(&box);
    CHECK(asi_mailbox_take_all(&box) == NULL);
    CHECK(asi_mailbox_take_all(&box) == NULL);
}

TEST(letters_come_out_in_the_order_they_were_pushed)
{
    struct asi_mailbox box;
    struct mail mails[5] = {0};
    int number = 0;

    asi_mailbox_init(&box);
    for (int i = 0; i < 5; i++) {
        mails[i].number = i;
        CHECK_EQ(asi_mailbox_push(&box, &mails[i].letter), ASI_PUSH_QUEUED);
    }
    for (struct asi_letter *letter = asi_mailbox_take_all(&box); letter; letter = letter->next)
        CHECK_EQ(mail_of(letter)->number, number++);
    CHECK_EQ(number, 5);
    CHECK(asi_mailbox_take_all(&box) == NULL);
}

TEST(a_taken_letter_may_be_pushed_again)
{
    struct asi_mailbox box;
    struct mail a = {0}, b = {0};

    asi_mailbox_init(&box);
    for (int i = 0; i < 3; i++) {
        asi_mailbox_push(&box, &a.letter);
        asi_mailbox_push(&box, &b.letter);
        struct asi_letter *first = asi_mailbox_take_all(&box);
        CHECK(first == &a.letter);
        CHECK(first->next == &b.letter);
        CHECK(b.letter.next == NULL);
    }
}

static void usual(struct asi_letter *letter, void *receiver)
{
    (void)letter;
    (void)receiver;
}

static void unusual(struct asi_letter *letter, void *receiver)
{
    (void)letter;
    (void)receiver;
}

/* Who handles them is told what comes some letters later; what a sender said is only fetched. */
TEST(hints_point_ahead)
{
    enum { COUNT = 3 * ASI_MAILBOX_AHEAD };
    static struct mail mails[COUNT];
    struct asi_mailbox box;

    asi_mailbox_init(&box);
    for (int i = 0; i < COUNT; i++) {
        mails[i].letter.deliver = usual;
        mails[i].hint = i % 2 ? ASI_MAILBOX_NO_HINT : (void *)0x123457; /* any odd address */
        asi_mailbox_push(&box, &mails[i].letter);
    }
    CHECK_EQ(asi_mailbox_take_usual(&box, usual, hint_at).count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        bool last = i + ASI_MAILBOX_AHEAD >= COUNT;
        void *later = last ? NULL : (char *)&mails[i + ASI_MAILBOX_AHEAD].letter + 1;
        CHECK(mails[i].hint == (last ? ASI_MAILBOX_NO_HINT : later));
    }
}

TEST(what_was_taken_is_summed_up)
{
    struct asi_mailbox box;
    struct mail mails[4] = {0};

    asi_mailbox_init(&box);
    struct asi_taken taken = asi_mailbox_take_usual(&box, usual, hint_at);
    CHECK(taken.first == NULL);
    CHECK_EQ(taken.count, 0);
    CHECK(asi_mailbox_park(&box));
    taken = asi_mailbox_take_usual(&box, usual, hint_at);
    CHECK(taken.first == NULL);
    CHECK_EQ(taken.count, 0);
    for (int odd = -1; odd < 4; odd++) { /* the one that is not usual */
        for (int i = 0; i < 4; i++) {
            mails[i].letter.deliver = i == odd ? unusual : usual;
            asi_mailbox_push(&box, &mails[i].letter);
        }
        taken = asi_mailbox_take_usual(&box, usual, hint_at);
        CHECK(taken.first == &mails[0].letter);
        CHECK(taken.last == &mails[3].letter);
        CHECK(taken.last->next == NULL);
        CHECK_EQ(taken.count, 4);
        CHECK_EQ(taken.usual, odd < 0);
    }
}

TEST(is_empty_sees_pushes_and_takes)
{
    struct asi_mailbox box;
    struct mail a = {0};

    asi_mailbox_init(&box);
    CHECK(asi_mailbox_is_empty(&box));
    asi_mailbox_push(&box, &a.letter);
    CHECK(!asi_mailbox_is_empty(&box));
    asi_mailbox_take_all(&box);
    CHECK(asi_mailbox_is_empty(&box));
}

TEST(park_refuses_when_there_are_letters)
{
    struct asi_mailbox box;
    struct mail a = {0};

    asi_mailbox_init(&box);
    asi_mailbox_push(&box, &a.letter);
    CHECK(!asi_mailbox_park(&box));
    CHECK(asi_mailbox_take_all(&box) == &a.letter);
    CHECK(asi_mailbox_park(&box));
}

TEST(only_the_first_push_after_a_park_wakes)
{
    struct asi_mailbox box;
    struct mail a = {0}, b = {0};

    asi_mailbox_init(&box);
    CHECK(asi_mailbox_park(&box));
    CHECK_EQ(asi_mailbox_push(&box, &a.letter), ASI_PUSH_WAKE);
    CHECK_EQ(asi_mailbox_push(&box, &b.letter), ASI_PUSH_QUEUED);
    CHECK(asi_mailbox_take_all(&box) == &a.letter);
    CHECK(a.letter.next == &b.letter);
    CHECK(b.letter.next == NULL);
}

TEST(taking_ends_a_park)
{
    struct asi_mailbox box;
    struct mail a = {0};

    asi_mailbox_init(&box);
    CHECK(asi_mailbox_park(&box));
    CHECK(asi_mailbox_take_all(&box) == NULL);
    CHECK(asi_mailbox_is_empty(&box));
    CHECK_EQ(asi_mailbox_push(&box, &a.letter), ASI_PUSH_QUEUED);
}

TEST(close_refuses_when_there_are_letters)
{
    struct asi_mailbox box;
    struct mail a = {0}, b = {0};

    asi_mailbox_init(&box);
    asi_mailbox_push(&box, &a.letter);
    CHECK(!asi_mailbox_close(&box));
    CHECK_EQ(asi_mailbox_push(&box, &b.letter), ASI_PUSH_QUEUED);
    CHECK(asi_mailbox_take_all(&box) == &a.letter);
    CHECK(asi_mailbox_close(&box));
}

TEST(a_closed_mailbox_refuses_letters_untouched)
{
    struct asi_mailbox box;
    struct mail a = {.letter = {.next = &a.letter}};

    asi_mailbox_init(&box);
    CHECK(asi_mailbox_close(&box));
    CHECK_EQ(asi_mailbox_push(&box, &a.letter), ASI_PUSH_CLOSED);
    CHECK(a.letter.next == &a.letter);
    CHECK(!asi_mailbox_is_empty(&box)); /* the mark: a closed one is never looked at */
}

/* Parked means that the consumer sleeps: it takes first, and that ends the park. */
TEST(a_parked_mailbox_cannot_be_closed)
{
    struct asi_mailbox box;

    asi_mailbox_init(&box);
    CHECK(asi_mailbox_park(&box));
    CHECK(!asi_mailbox_close(&box));
    CHECK(!asi_mailbox_park(&box));
    CHECK(asi_mailbox_take_all(&box) == NULL);
    CHECK(asi_mailbox_close(&box));
}

TEST(init_opens_a_closed_mailbox_again)
{
    struct asi_mailbox box;
    struct mail a = {0};

    asi_mailbox_init(&box);
    CHECK(asi_mailbox_close(&box));
    asi_mailbox_init(&box);
    CHECK_EQ(asi_mailbox_push(&box, &a.letter), ASI_PUSH_QUEUED);
    CHECK(asi_mailbox_take_all(&box) == &a.letter);
}

static struct {
    struct asi_mailbox box;
    int left; /* plain, by the consumer before its close */
    atomic_bool go;
} refused;

static void be_refused(void *argument, int index)
{
    struct asi_letter letter;

    (void)argument, (void)index;
    unordered_wait(&refused.go);
    CHECK_EQ(asi_mailbox_push(&refused.box, &letter), ASI_PUSH_CLOSED);
    CHECK_EQ(refused.left, 1);
}

TEST(who_is_refused_sees_what_came_before_the_close)
{
    asi_mailbox_init(&refused.box);
    struct test_threads *threads = test_threads_start(2, be_refused, NULL);

    refused.left = 1;
    CHECK(asi_mailbox_close(&refused.box));
    unordered_open(&refused.go);
    test_threads_join(threads);
}

/* --- all short sequences, against a model ----------------------------------------------------- */

enum { LENGTH = 6, CALLS = 4 };

enum state { AWAKE, PARKED, CLOSED };

struct model {
    enum state state;
    int queued; /* letters in the mailbox */
    int pushed; /* letters accepted so far */
};

static void model_push(struct model *model, struct asi_mailbox *box, struct mail *mails)
{
    struct mail *mail = &mails[model->pushed];
    enum asi_push push = asi_mailbox_push(box, &mail->letter);

    if (model->state == CLOSED) {
        CHECK_EQ(push, ASI_PUSH_CLOSED);
        return;
    }
    CHECK_EQ(push, model->state == PARKED ? ASI_PUSH_WAKE : ASI_PUSH_QUEUED);
    model->state = AWAKE;
    model->queued++;
    model->pushed++;
}

static void model_take(struct model *model, struct asi_mailbox *box, struct mail *mails)
{
    if (model->state == CLOSED)
        return; /* its consumer is gone */
    struct asi_letter *letter = asi_mailbox_take_all(box);
    for (int i = model->pushed - model->queued; i < model->pushed; i++) {
        CHECK(letter == &mails[i].letter);
        letter = letter->next;
    }
    CHECK(letter == NULL);
    model->queued = 0;
    model->state = AWAKE;
}

static void model_settle(struct model *model, bool did, enum state state)
{
    CHECK_EQ(did, model->state == AWAKE && model->queued == 0);
    if (did)
        model->state = state;
}

TEST(every_sequence_of_six_calls_follows_the_model)
{
    int sequences = 1;

    for (int i = 0; i < LENGTH; i++)
        sequences *= CALLS;
    for (int sequence = 0; sequence < sequences; sequence++) {
        struct mail mails[LENGTH] = {0};
        struct model model = {.state = AWAKE};
        struct asi_mailbox box;

        asi_mailbox_init(&box);
        for (int i = 0, rest = sequence; i < LENGTH; i++, rest /= CALLS) {
            if (rest % CALLS == 0)
                model_push(&model, &box, mails);
            else if (rest % CALLS == 1)
                model_take(&model, &box, mails);
            else if (model.state != CLOSED && rest % CALLS == 2)
                model_settle(&model, asi_mailbox_park(&box), PARKED);
            else if (model.state != CLOSED)
                model_settle(&model, asi_mailbox_close(&box), CLOSED);
        }
    }
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { MOST_PRODUCERS = 4 };

struct office {
    struct asi_mailbox box;
    struct asi_doorbell bell;
    int producers;
    int count;                    /* letters of each producer */
    sem_t credit[MOST_PRODUCERS]; /* how many more each may have in flight */
    int note;                     /* plain: written before each park, read by who must wake */
    int read_fd;                  /* what the consumer polls; -1: it sleeps on the bell's word */
    struct mail *mails;           /* producers * count */
};

static struct office office_open(int producers, int count, int window)
{
    struct office office = {.producers = producers, .count = count, .read_fd = -1};

    asi_mailbox_init(&office.box);
    asi_doorbell_init(&office.bell);
    office.mails = calloc((size_t)producers * (size_t)count, sizeof(struct mail));
    CHECK(office.mails != NULL);
    for (int i = 0; i < producers; i++)
        CHECK_EQ(sem_init(&office.credit[i], 0, (unsigned)window), 0);
    return office;
}

static void office_close(struct office *office)
{
    for (int i = 0; i < office->producers; i++)
        sem_destroy(&office->credit[i]);
    free(office->mails);
}

static void produce(void *argument, int index)
{
    struct office *office = argument;

    for (int i = 0; i < office->count; i++) {
        struct mail *mail = &office->mails[index * office->count + i];
        while (sem_wait(&office->credit[index]) != 0)
            ;
        mail->producer = index;
        mail->number = i;
        enum asi_push push = asi_mailbox_push(&office->box, &mail->letter);
        CHECK_NE(push, ASI_PUSH_CLOSED);
        if (push == ASI_PUSH_WAKE) {
            CHECK_GE(office->note, 1); /* the consumer is asleep: nobody writes it */
            asi_doorbell_ring(&office->bell);
        }
    }
}

/* Sleep until the bell has rung: nothing else may end it, so that `note` is quiet meanwhile. */
static void sleep_until_rung(struct office *office, uint32_t ticket)
{
    if (office->read_fd < 0) {
        while (asi_doorbell_ticket(&office->bell) == ticket)
            asi_doorbell_sleep(&office->bell, ticket, ANYSYNC_FOREVER);
        return;
    }
    struct pollfd poll_fd = {.fd = office->read_fd, .events = POLLIN};
    while (poll(&poll_fd, 1, -1) != 1)
        ;
    asi_doorbell_drain(&office->bell);
}

static void consume(struct office *office)
{
    int expected[MOST_PRODUCERS] = {0};

    for (int left = office->producers * office->count; left > 0;) {
        struct asi_letter *letter = asi_mailbox_take_all(&office->box);
        if (!letter) {
            uint32_t ticket = asi_doorbell_ticket(&office->bell);
            office->note++;
            if (asi_mailbox_park(&office->box))
                sleep_until_rung(office, ticket);
            continue;
        }
        while (letter) {
            struct mail *mail = mail_of(letter);
            letter = letter->next; /* the producer may be let on by what follows */
            CHECK_EQ(mail->number, expected[mail->producer]++);
            sem_post(&office->credit[mail->producer]);
            left--;
        }
    }
}

static void run_office(struct office office)
{
    struct test_threads *threads = test_threads_start(office.producers, produce, &office);

    consume(&office);
    test_threads_join(threads);
    office_close(&office);
}

TEST(stress_producers_publish_in_order)
{
    int count = (int)test_scaled(50000);

    run_office(office_open(MOST_PRODUCERS, count, count));
}

TEST(stress_no_wake_is_lost_with_1_in_flight)
{
    for (int producers = 1; producers <= MOST_PRODUCERS; producers *= 2)
        run_office(office_open(producers, (int)test_scaled(20000), 1));
}

TEST(stress_no_wake_is_lost_with_2_in_flight)
{
    for (int producers = 1; producers <= MOST_PRODUCERS; producers *= 2)
        run_office(office_open(producers, (int)test_scaled(20000), 2));
}

TEST(stress_no_wake_is_lost_with_16_in_flight)
{
    for (int producers = 1; producers <= MOST_PRODUCERS; producers *= 2)
        run_office(office_open(producers, (int)test_scaled(20000), 16));
}

/* `note` needs the bell's own order here, which a descriptor has for the kernel only: one writer.
 */
static void produce_blindly(void *argument, int index)
{
    struct office *office = argument;

    for (int i = 0; i < office->count; i++) {
        struct mail *mail = &office->mails[index * office->count + i];
        while (sem_wait(&office->credit[index]) != 0)
            ;
        mail->producer = index;
        mail->number = i;
        if (asi_mailbox_push(&office->box, &mail->letter) == ASI_PUSH_WAKE)
            asi_doorbell_ring(&office->bell);
    }
}

TEST(stress_no_wake_is_lost_on_a_descriptor)
{
    struct office office = office_open(2, (int)test_scaled(20000), 1);

    office.read_fd = asi_doorbell_use_descriptor(&office.bell);
    CHECK_GE(office.read_fd, 0);
    struct test_threads *threads = test_threads_start(2, produce_blindly, &office);
    consume(&office);
    test_threads_join(threads);
    office_close(&office);
    asi_doorbell_in_child(&office.bell); /* closes the descriptor */
}

static void produce_until_closed(void *argument, int index)
{
    struct office *office = argument;
    bool closed = false;

    for (int i = 0; i < office->count; i++) {
        struct mail *mail = &office->mails[index * office->count + i];
        enum asi_push push = asi_mailbox_push(&office->box, &mail->letter);
        CHECK(!closed || push == ASI_PUSH_CLOSED); /* closed is for good */
        closed = push == ASI_PUSH_CLOSED;
        mail->refused = closed;
        if (push == ASI_PUSH_WAKE)
            asi_doorbell_ring(&office->bell);
    }
}

static int take_some(struct office *office)
{
    int count = 0;

    for (struct asi_letter *letter = asi_mailbox_take_all(&office->box); letter;
            letter = letter->next, count++)
        mail_of(letter)->taken++;
    return count;
}

TEST(stress_each_letter_is_taken_or_refused)
{
    for (long round = 0; round < test_scaled(2000); round++) {
        struct office office = office_open(2, 50, 0);
        struct test_threads *threads = test_threads_start(2, produce_until_closed, &office);

        for (int taken = 0; taken < round % 80;)
            taken += take_some(&office);
        while (!asi_mailbox_close(&office.box))
            take_some(&office);
        test_threads_join(threads);
        for (int i = 0; i < 2 * office.count; i++)
            CHECK_EQ(office.mails[i].taken + office.mails[i].refused, 1);
        office_close(&office);
    }
}
