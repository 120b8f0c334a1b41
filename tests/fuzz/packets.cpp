// SPDX-License-Identifier: MIT
// Feeds the pool's own process with packets that could come from others: from a worker, through its
// lifeline, and from a fork server, which reports what became of the copies it has made.
//
//     fuzz_packets --seeds=corpus && fuzz_packets corpus -max_len=4096 -timeout=10
//
// The first byte of an input chooses who sends, the others are a script: for each packet its kind,
// how many descriptors come with it, and what it says.
#include <fuzz/fuzzing.hpp>
#include <fuzz/sockets.hpp>

#include <muster/muster.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fuzz {

namespace {

using namespace muster::detail;
using muster::detail::os::ForkReport;

enum class Sender : std::uint8_t { worker, server, senders };

enum class Form : std::uint8_t {
    bytes,   // Any.
    packet,  // A head and a text, of which the head may say the size.
    report,  // As many bytes as a report has.
    forms
};

/// The next packet of a script: a head of any bytes, and a text of one letter.
Bytes packet_of(Reader& script) {
    const bool right = script.number(1) % 4 != 0;
    const auto size = static_cast<std::uint32_t>(script.number(2));
    const Input head = script.take(Packet::head_size());
    Bytes bytes(Packet::head_size() + size, std::byte{'x'});
    std::copy(head.begin(), head.end(), bytes.begin());
    if (right) std::memcpy(bytes.data() + offsetof(Packet, text_size), &size, sizeof size);
    return bytes;
}

/// Sends what the script says. Returns it, packet by packet.
std::vector<Bytes> play(int fd, Sender sender, Reader& script) {
    std::array<int, most_descriptors> attached{};
    attached.fill(STDIN_FILENO);
    std::vector<Bytes> sent;
    while (!script.ended() && sent.size() < 8) {
        const auto form =
            static_cast<Form>(script.number(1) % static_cast<std::uint64_t>(Form::forms));
        std::size_t descriptors = script.number(1) % (most_descriptors + 1);
        // A server is this program itself. It sends one, and with reports alone.
        if (sender == Sender::server) descriptors = form == Form::report ? descriptors % 2 : 0;
        Bytes bytes;
        if (form == Form::packet) {
            bytes = packet_of(script);
        } else {
            const Input some =
                script.take(form == Form::report ? sizeof(ForkReport) : script.number(2));
            bytes.assign(some.begin(), some.end());
        }
        if (form == Form::report) bytes.resize(sizeof(ForkReport));
        if (!send_packet(fd, bytes, Descriptors(attached).first(descriptors))) break;
        sent.push_back(std::move(bytes));
    }
    return sent;
}

/// The text of a packet, if the bytes are one.
std::optional<Input> text_in(Input bytes) {
    if (bytes.size() < Packet::head_size() || bytes.size() > sizeof(Packet)) return std::nullopt;
    std::uint32_t size = 0;
    std::memcpy(&size, bytes.data() + offsetof(Packet, text_size), sizeof size);
    const Input text = bytes.subspan(Packet::head_size());
    return text.size() == size ? std::optional(text) : std::nullopt;
}

void hear_worker(int fd, const std::vector<Bytes>& sent) {
    for (const Bytes& bytes : sent) {
        const Budget budget(bytes.size());
        const std::optional<Packet> packet = receive_from_worker(fd);
        const std::optional<Input> text = text_in(bytes);
        require(packet.has_value() == text.has_value(), "what was sent whole is received, no more");
        if (!packet) continue;
        const std::string words = packet->words();
        require(std::ranges::equal(std::as_bytes(std::span(words)), *text), "its words are whole");
    }
    require(!receive_from_worker(fd), "behind the last there is the end");
}

void hear_server(os::Fd ours, std::size_t starts, const std::vector<Bytes>& sent) {
    const Budget budget(sent.size());
    const auto client =
        std::make_shared<os::ForkClient>(os::PrivateFd(std::move(ours)), os::ChildProcess());
    os::HandedFds fds{};
    fds.fill(STDIN_FILENO);
    for (std::size_t i = 0; i < starts; ++i) {
        try {
            // Nobody's number: it is not asked for how it ended, nor sent a signal.
            (void)client->start(fds).pid();
        } catch (const std::system_error&) {  // A report of a failure, or the end.
        }
    }
    client->receive();
    for (const Bytes& bytes : sent) {
        ForkReport report;
        if (bytes.size() < sizeof report) continue;
        std::memcpy(&report, bytes.data(), sizeof report);
        (void)client->take_status(report.pid);
        require(!client->take_status(report.pid), "how a copy ended is told once");
    }
}

}  // namespace

void fuzz_one(Input input) {
    Reader script(input);
    const std::uint64_t first = script.number(1);
    const auto sender = static_cast<Sender>(first % static_cast<std::uint64_t>(Sender::senders));
    const int free = os::duplicate_above(STDIN_FILENO, 0).get();
    const auto open = open_from(free);
    {
        auto [ours, other] = os::socket_pair();
        const std::vector<Bytes> sent = play(other.get(), sender, script);
        // It says no more, but can be told what is not read.
        os::check(::shutdown(other.get(), SHUT_WR), "shutdown");
        if (sender == Sender::worker) {
            hear_worker(ours.get(), sent);
        } else {
            hear_server(std::move(ours), first / 2 % 4, sent);
        }
    }
    require(open_from(free) == open, "what came with the packets is closed");
}

namespace {

void append(Bytes& script, std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;) script.push_back(static_cast<std::byte>(value >> 8 * i));
}
void append(Bytes& script, Input bytes) { script.insert(script.end(), bytes.begin(), bytes.end()); }

void add_bytes(Bytes& script, std::size_t descriptors, Input bytes) {
    append(script, static_cast<std::uint8_t>(Form::bytes), 1);
    append(script, descriptors, 1);
    append(script, bytes.size(), 2);
    append(script, bytes);
}

}  // namespace

void write_seeds(Seeds& seeds) {
    Packet packet;
    packet.kind = Packet::Kind::cannot_serve;
    packet.say("no licence");
    const Input head = packet.content().first(Packet::head_size());
    for (std::size_t descriptors = 0; descriptors <= most_descriptors; ++descriptors) {
        Bytes script{std::byte{static_cast<std::uint8_t>(Sender::worker)}};
        add_bytes(script, descriptors, packet.content());
        add_bytes(script, descriptors, head);
        add_bytes(script, descriptors, {});
        for (const std::size_t size : {sizeof packet.text, sizeof packet.text + 1}) {
            append(script, static_cast<std::uint8_t>(Form::packet), 1);
            append(script, descriptors, 1);
            append(script, 1, 1);
            append(script, size, 2);
            append(script, head);
        }
        seeds.add(script);
    }
    using Kind = ForkReport::Kind;
    for (std::uint64_t starts = 0; starts < 4; ++starts) {
        Bytes script{
            static_cast<std::byte>(2 * starts + static_cast<std::uint8_t>(Sender::server))};
        for (const Kind kind : {Kind::left, Kind::started, Kind::killed, Kind::failed}) {
            append(script, static_cast<std::uint8_t>(Form::report), 1);
            append(script, kind == Kind::started ? 1 : 0, 1);
            const ForkReport report{kind, 4711, 9};
            append(script, std::as_bytes(std::span(&report, 1)));
        }
        seeds.add(script);
        add_bytes(script, 0, {});
        add_bytes(script, 0, head);
        seeds.add(script);
    }
}

}  // namespace fuzz
