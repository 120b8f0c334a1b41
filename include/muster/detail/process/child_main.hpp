// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <span>
#include <string>

#include <muster/detail/error_handler.hpp>
#include <muster/detail/family/family_memory.hpp>
#include <muster/detail/os.hpp>
#include <muster/detail/process/awaited_threads.hpp>
#include <muster/detail/process/protocol.hpp>
#include <muster/detail/process/remote_call.hpp>
#include <muster/detail/process/worker_link.hpp>
#include <muster/detail/start_thread.hpp>

namespace muster::detail {

/// What runs in the process that a `Process` starts: its call.
class ChildMain {
  public:
    explicit ChildMain(const WorkerLink& link)
        : link_{link},
          pool_memory_{
              os::Mapping::read_only(link.fd(Inherited::pool_memory), 0, link.page->pool_bytes)},
          modules_{pool_memory_.data()} {}

    /// Makes the call, and waits for the threads that it has started. The exit code for its outcome.
    int run() noexcept {
        await_begin();
        const int code = make_call();
        await_threads(*link_.page);
        return code;
    }

  private:
    /// Nothing is returned to the parent.
    struct NoResult final : ByteBuffer {
      private:
        void grow(std::size_t /*at_least*/) override { throw std::bad_alloc(); }
    };

    /// Until the parent knows this process. If it does not, this one ends.
    void await_begin() noexcept {
        Packet packet;
        try {
            if (receive_packet(link_.fd(Inherited::lifeline), packet)) return;
        } catch (...) {  // The lifeline is broken: the same as cut.
        }
        os::end_process(EXIT_FAILURE);
    }

    int make_call() noexcept {
        try {
            start_thread([this] { watch_parent(); }).detach();
            count_threads(*link_.page);
            call(*reinterpret_cast<const Record*>(pool_memory_.data() + link_.page->call));
            return EXIT_SUCCESS;
        } catch (...) {
            report(std::current_exception());
            return EXIT_FAILURE;
        }
    }

    void call(const Record& record) {
        // Set before the process was started. Later requests come by the lifeline.
        if (record.stop_requested.load(std::memory_order_seq_cst) != 0) stop_.request_stop();
        const auto* const bytes = reinterpret_cast<const std::byte*>(&record + 1);
        Decoder arguments(std::span(bytes, record.size));
        NoResult none;
        FamilyMemory::set_dying(true);  // Until it has its arguments, and when it has thrown.
        RemoteCall remote{arguments,
                          modules_,
                          &stop_,
                          none,
                          link_.page->stage,
                          [] {
                              FamilyMemory::set_dying(false);
                              // After the packet the parent lets go of the record.
                              send_to_parent(Packet::Kind::ready);
                          },
                          []() noexcept { FamilyMemory::set_dying(true); }};
        reinterpret_cast<Thunk>(const_cast<void*>(modules_.decode(record.function)))(remote);
    }

    void watch_parent() noexcept {
        Packet packet;
        try {
            while (receive_packet(link_.fd(Inherited::lifeline), packet))
                if (packet.kind == Packet::Kind::stop) stop_.request_stop();
        } catch (...) {  // The lifeline is broken: the same as cut.
        }
        os::end_own_group();  // The parent is gone, however it ended.
    }

    void report(const std::exception_ptr& error) const noexcept {
        try {
            const std::string line = "muster: process '" + std::string(link_.page->name.data()) +
                                     "' (pid " + std::to_string(os::own_process_id()) +
                                     ") ended by an exception: " + describe(error) + '\n';
            std::fputs(line.c_str(), stderr);
        } catch (...) {  // No memory for the words.
        }
    }

    const WorkerLink& link_;
    os::Mapping pool_memory_;
    ModuleResolver modules_;
    StopSource stop_;
};

}  // namespace muster::detail
