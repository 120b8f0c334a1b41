// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <muster/detail/connection/channel.hpp>
#include <muster/detail/deadline.hpp>
#include <muster/detail/family/queue_item.hpp>
#include <muster/detail/family/shared_pipe.hpp>
#include <muster/detail/family/shared_reference.hpp>
#include <muster/detail/os.hpp>
#include <muster/errors.hpp>

namespace muster::detail {

/// The two ends of a new pipe. **Throws**: `std::system_error`, `std::bad_alloc`.
inline std::pair<std::shared_ptr<SharedReference>, std::shared_ptr<SharedReference>>
make_pipe_ends() {
    const auto pipe = SharedReference::make<SharedPipe>(BlockKind::pipe, sizeof(SharedPipe));
    const auto end = [&](std::uint64_t number) {
        auto reference = SharedReference::make<SharedPipeEnd>(BlockKind::pipe_end,
                                                              sizeof(SharedPipeEnd), number);
        add_reference(pipe->memory(), pipe->name(), BlockKind::pipe,
                      reference->object<SharedPipeEnd>().first_reference);
        return reference;
    };
    return {end(0), end(1)};
}

/// This process's part in an end of a pipe.
///
/// A copy of the process, made by `fork`, gets its own when it first uses the end: another thread may
/// have been changing the original's.
class PipeChannel final : public Channel {
  public:
    explicit PipeChannel(std::shared_ptr<SharedReference> end)
        : name_{end->name()}, part_{new Part(os::fork_generation(), std::move(end))} {}
    ~PipeChannel() override {
        PipeChannel::close();
        std::unique_ptr<Part> part(part_.load(std::memory_order_acquire));
        if (part->generation != os::fork_generation()) (void)part.release();  // As in own_part().
    }

    void send(const Write& write) override {
        const auto end = open_end();
        FamilyMemory& memory = end->memory();
        ItemBuffer buffer(memory);
        write(buffer);
        state(*end).written(memory).put(memory, buffer.finish_block(), [this] { check_open(); });
        buffer.forget();
    }

    void receive(const Read& read) override {
        const auto end = open_end();
        FamilyMemory& memory = end->memory();
        const TakenItem taken(memory,
                              state(*end).read(memory).get(memory, [this] { check_open(); }));
        read(taken.bytes());
    }

    bool poll(const Deadline& deadline) override {
        const auto end = open_end();
        return state(*end).read(end->memory()).wait_readable(deadline, [this] { check_open(); });
    }

    int native_handle() override {
        const auto end = open_end();
        Part& part = own_part();
        const std::lock_guard held(part.mutex);
        check_open();
        if (!part.bell) {
            os::FamilyBell bell;
            FamilyMemory& memory = end->memory();
            state(*end).read(memory).add_bell(memory, end->own(), bell.place());
            part.bell = std::move(bell);
        }
        return part.bell->fd();
    }

    void close() noexcept override {
        if (closed_.exchange(true, std::memory_order_acq_rel)) return;
        Part* const part = part_.load(std::memory_order_acquire);
        // In a copy that has not used it there is nothing to close.
        if (part->generation != os::fork_generation()) return;
        const std::lock_guard held(part->mutex);
        try {
            FamilyMemory& memory = part->end->memory();
            SharedPipeEnd& end = state(*part->end);
            if (part->bell) end.read(memory).remove_bell(memory, part->end->own());
            if (part->bell) part->bell->ring();  // Another thread may poll it.
            end.read(memory).wake_all();
            end.written(memory).wake_all();
        } catch (...) {  // The system refuses to lock: what is left ends with the process.
        }
        part->bell.reset();
        part->end.reset();
    }

    [[nodiscard]] bool closed() const noexcept override {
        return closed_.load(std::memory_order_acquire);
    }
    [[nodiscard]] ChannelName name() const override { return {{}, open_end()}; }

  private:
    struct Part {
        Part(std::uint64_t its_generation, std::shared_ptr<SharedReference> its_end)
            : generation{its_generation}, end{std::move(its_end)} {}

        const std::uint64_t generation;
        std::mutex mutex;
        std::shared_ptr<SharedReference> end;  // Null when it is closed.
        std::optional<os::FamilyBell> bell;
    };

    static SharedPipeEnd& state(SharedReference& end) noexcept {
        return end.object<SharedPipeEnd>();
    }

    void check_open() const {
        if (closed())
            throw InvalidStateError("muster: this end of the connection was closed by close()");
    }

    /// Keeps the end as long as a call goes on.
    [[nodiscard]] std::shared_ptr<SharedReference> open_end() const {
        Part& part = own_part();
        const std::lock_guard held(part.mutex);
        check_open();
        return part.end;
    }

    /// **Throws**: `InvalidStateError` in a copy of the process that comes too late.
    [[nodiscard]] Part& own_part() const {
        Part* part = part_.load(std::memory_order_acquire);
        const std::uint64_t generation = os::fork_generation();
        while (part->generation != generation) {
            auto fresh = std::make_unique<Part>(generation,
                                                SharedReference::find(name_, BlockKind::pipe_end));
            // That of the process that this is a copy of stays: it may have been in use.
            if (part_.compare_exchange_strong(part, fresh.get(), std::memory_order_acq_rel))
                part = fresh.release();
        }
        return *part;
    }

    const ObjectName name_;
    mutable std::atomic<Part*> part_;
    std::atomic<bool> closed_{false};
};

}  // namespace muster::detail
