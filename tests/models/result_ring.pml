// SPDX-License-Identifier: MIT
// headers: detail/process/protocol.hpp detail/process/result_writer.hpp detail/process/worker_main.hpp detail/process/worker_handle.hpp detail/process/process_core.hpp detail/process/dispatcher.hpp
// mutants: RELAXED_RECEIVED RECEIVED_AFTER_WAKE WAKE_BEFORE_WORD RELAXED_ASLEEP NO_SECOND_LOOK PUBLISHED_FIRST RECEIVED_UNREAD PADS_UNSAID PADS_WITHOUT_ROOM SMALL_RING LARGE_REUSED LARGE_GIVEN_BACK_EARLY
//
// The ring of results and its room: ResultWriter::publish(), pad(), wait_for_room(), drop_received()
// and sleep_until_rung() in the worker; in the parent WorkerHandle::next_result(), finish_receiving(),
// wake(), with ProcessCore::receive_from(). With them LargeResults::take(), which waits for a block
// that the parent gives back, and the sleep of WorkerMain::wait_for(), which shares its word: who
// hands out tasks wakes under another lock than who receives. (Who has it quit does as who hands out.)
//
// A unit is 16 bytes. A header takes two of them, and some results one more, or speak of one in the
// only large block; so at the end of a ring of five units there are rests with room for the header
// of a padding and rests without. The worker may be killed at any instruction. That the parent looks
// when there is something is in results.pml: here it looks all the time.
//
// Proved: what was published is received whole, once, in order, a death notwithstanding; nothing is
// overwritten before it is read, nor taken for read; the worker sleeps for good neither while there
// is room, or will be, nor while there is a task.
// A relaxed store takes effect after the next load of another word: what a store buffer does.

#define messages 4
#define header 2
#define most 2  // As many results as fit into the ring.
#ifdef MUTANT_SMALL_RING
#define ring_units 4  // Padding is published with what follows it, so both must fit in at once.
#else
#define ring_units 5  /*= result_ring_bytes = std::size_t{256} * 1024; inline constexpr std::size_t largest_ring_result = std::size_t{32} * 1024; */
#endif

// A unit of the ring: whose it is, and what its header says.
#define unit(number, large, whole) ((number) * 8 + (large) * 4 + (whole))
#define padding 0  // As a number.

byte ring[ring_units];
byte published, received;
byte head;
byte large, large_in_use;  // Whose it is.
byte asleep;               // WorkerPage::asleep
bool in_system;            // The worker sleeps on that word.
bool dead, ended;
byte committed, delivered;  // What was published, and what of it has been read.
byte end_of[messages];

inline look() {
    ready = waits_for_task && head != sent ||  /*= const auto handed_out = [&] { return ring_.head.load(std::memory_order_seq_cst) != number; }; */
            !waits_for_task && written + bytes - received <= ring_units  /*= return written_ + bytes - page_.received.load(std::memory_order_seq_cst) <= result_ring_bytes; */
}

inline wait() {  // wait_for_room() with `bytes`, or wait_for(). Spinning only looks more often.
    do
    :: true ->
        look();  /*= while (!has_room()) { ring_bell(); if (spin_until(has_room)) return; sleep_until_rung(page_, has_room); } */
        if
        :: ready -> break
        :: else
        fi;
        // sleep_until_rung()
#ifdef MUTANT_RELAXED_ASLEEP
        look();
        asleep = 1;
#else
        asleep = 1;  /*= page.asleep.store(1, std::memory_order_seq_cst); if (!ready()) os::sleep_on(page.asleep, 1, std::nullopt, os::Sharing::processes); */
#ifndef MUTANT_NO_SECOND_LOOK
        look();
#endif
#endif
        if
        :: !ready ->
            d_step { in_system = asleep == 1 };
            !in_system
        :: else
        fi;
        asleep = 0  /*= page.asleep.store(0, std::memory_order_relaxed); */
    od;
    ready = false
}

inline write(content) {
    ring[written % ring_units] = content;
    ring[written % ring_units + 1] = content;
    if
    :: (content) % 4 == header + 1 -> ring[written % ring_units + header] = content
    :: else
    fi
}

active proctype Worker() {
    byte sent, written, whole, bytes;
    bool ready, is_large, waits_for_task;
    {
        do
        :: sent < messages ->
            waits_for_task = true;
            wait();
            waits_for_task = false;
            if
            :: whole = header
            :: whole = header + 1
            :: whole = header + 1;
                is_large = true;
#ifndef MUTANT_LARGE_REUSED
                !large_in_use;  /*= if (page_.large_in_use[i].load(std::memory_order_acquire) != 0) continue; */
#endif
                large_in_use = 1;  /*= page_.large_in_use[best].store(1, std::memory_order_relaxed); return best; */
                large = sent  /*= if (page_.large_in_use[i].load(std::memory_order_acquire) == 0) os::discard(fd_, blocks_[i].offset, blocks_[i].capacity); */
            fi;
            bytes = ring_units - written % ring_units;
            if
            :: whole > bytes ->  /*= const std::size_t to_end = result_ring_bytes - written_ % result_ring_bytes; if (whole > to_end) pad(to_end); wait_for_room(whole); */
#ifndef MUTANT_PADS_WITHOUT_ROOM
                wait();
#endif
                if
#ifndef MUTANT_PADS_UNSAID
                :: bytes >= header -> write(unit(padding, false, bytes))  /*= wait_for_room(bytes); ResultHeader padding; if (bytes >= sizeof padding) { */
#endif
                :: else
                fi;
                written = written + bytes  /*= std::memcpy(ring_ + written_ % result_ring_bytes, &padding, sizeof padding); } written_ += bytes; */
            :: else
            fi;
            bytes = whole;
            wait();
            bytes = 0;
            sent++;
            end_of[sent - 1] = written + whole;
#ifdef MUTANT_PUBLISHED_FIRST
            d_step { published = written + whole; committed++ };
            write(unit(sent, is_large, whole));
            written = written + whole;
#else
            write(unit(sent, is_large, whole));
            d_step { written = written + whole; whole = 0; is_large = false };
            d_step { published = written; committed++ };  /*= if (size != 0) std::memcpy(place + sizeof header, bytes, size); written_ += whole; page_.published.store(written_, std::memory_order_seq_cst); ring_bell(); if (!kept_.empty()) drop_received(); */
#endif
            // drop_received(): what the results up to there speak of may go.
            assert(delivered >= sent || received < end_of[sent - 1]);  /*= const std::uint64_t received = page_.received.load(std::memory_order_acquire); */
            assert(sent < 2 || delivered >= sent - 1 || received < end_of[sent - 2])
        :: else -> break
        od
    } unless { dead };
    in_system = false;
    ended = true
}

inline wake() {
    seen = asleep;  /*= if (page().asleep.load(std::memory_order_seq_cst) == 0) return; */
    wake_if_seen()
}

inline wake_if_seen() {
    if
    :: seen != 0 ->
#ifdef MUTANT_WAKE_BEFORE_WORD
        in_system = false;
        asleep = 0;
#else
        asleep = 0;  /*= page().asleep.store(0, std::memory_order_seq_cst); os::wake_one(page().asleep, os::Sharing::processes); */
        in_system = false;
#endif
        seen = 0
    :: else
    fi
}

// One step does here what others cannot tell from several: what is overwritten too early stays so.
inline next_result() {
    d_step {
        known = published;  /*= const std::uint64_t published = page().published.load(std::memory_order_acquire); const std::uint64_t unread = published - received_; if (unread > result_ring_bytes || unread < read_ - received_) throw CorruptWorker(); */
        assert(known - finished <= ring_units && known >= read);
        said = 0;
        do
        :: said == 0 && read != known ->
            if
            :: ring_units - read % ring_units < header ->  /*= if (to_end < sizeof(ResultHeader)) { skip(to_end, left); continue; } */
                read = read + ring_units - read % ring_units
            :: else ->
                said = ring[read % ring_units];
                assert(ring[read % ring_units + 1] == said);
                assert(said % 4 >= header && said % 4 <= ring_units - read % ring_units);  /*= if (whole > to_end || !result.header.timely()) throw CorruptWorker(); skip(whole, left); */
                assert(said % 4 <= known - read);
                places[count] = read % ring_units;
                read = read + said % 4;
                if
                :: said / 8 == padding -> said = 0  /*= if (result.header.kind == ResultHeader::Kind::padding) continue; */
                :: else
                fi
            fi
        :: else -> break
        od;
        units[count] = said;
        count = count + (said != 0);
        known = 0
    }
}

inline deliver() {  // Reads the results where they are.
    d_step {
        index = 0;
        do
        :: index < count ->
            said = units[index];
            assert(said / 8 == delivered + 1);
            assert(ring[places[index]] == said && ring[places[index] + 1] == said);
            assert(said % 4 == header || ring[places[index] + header] == said);
            assert(!(said & 4) || large + 1 == said / 8);
            delivered++;
            index++
        :: else -> break
        od
    }
}

inline give_back_large() {
    d_step {
        index = 0;
        do
        :: index < count ->
            if
            :: units[index] & 4 -> large_in_use = 0  /*= page().large_in_use[*result.large_slot].store(0, std::memory_order_release); received_ = read_; */
            :: else
            fi;
            index++
        :: else -> break
        od
    }
}

inline receive_from() {
    do  /*= while (received_.size() < batch) { std::optional<ReceivedResult> result = worker.next_result(); if (!result) break; */
    :: count < most ->
        next_result();
        if
        :: said == 0 -> break
        :: said != 0
        :: said != 0 -> break  // A full batch.
        fi
    :: else -> break
    od;
#ifdef MUTANT_LARGE_GIVEN_BACK_EARLY
    give_back_large();
#endif
#ifdef MUTANT_RECEIVED_UNREAD
    received = read;
#endif
    skip;
    deliver();  /*= if (result.handle.task) deliver(std::move(result)); worker.finish_receiving(received_); return true; */
    // finish_receiving()
    give_back_large();
    d_step {
        finished = read;
        index = 0;
        said = 0;
        count = 0;
        units[0] = 0;
        units[1] = 0;
        places[0] = 0;
        places[1] = 0
    };
#ifdef MUTANT_RELAXED_RECEIVED
    seen = asleep;
    received = finished;
    wake_if_seen()
#else
#ifdef MUTANT_RECEIVED_AFTER_WAKE
    wake();
    received = finished
#else
    received = finished;  /*= page().received.store(received_, std::memory_order_seq_cst); wake(); */
    wake()
#endif
#endif
}

active proctype Receiver() {
    byte read, finished, known, said, seen, count, index;
    byte units[most], places[most];
    do
    :: published != finished -> receive_from()  /*= return page().published.load(std::memory_order_seq_cst) != received_; */
    :: published == finished && ended -> break
    od;
    assert(delivered == committed)
}

active proctype Submitter() {
    byte seen;
    do
    :: head < messages ->
        head++;  /*= ring_.head.store(++head_, std::memory_order_seq_cst); */
        wake()  /*= if (task.timeout) limit = earlier(limit, deadline_after(*task.timeout)); worker.wake(); */
    :: else -> break
    od
}

active proctype Killer() {
    if
    :: dead = true
    :: true
    fi
}

active proctype Monitor() {
end: do
    :: timeout -> assert(ended && delivered == committed && (dead || delivered == messages)); break
    od
}
