// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <muster/detail/posix/cgroup.hpp>
#include <muster/detail/posix/cpu_count.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace posix_cpu_count_test {

using namespace muster::detail::posix;

namespace {

/// A folder with files, as the system has them under its root; removed at the end.
class Root {
  public:
    Root() {
        char name[] = "/tmp/muster-test-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        path_ = name;
    }
    Root(const Root&) = delete;
    Root& operator=(const Root&) = delete;
    ~Root() {
        for (auto made = made_.rbegin(); made != made_.rend(); ++made)
            if (::unlink(made->c_str()) != 0) ::rmdir(made->c_str());
        ::rmdir(path_.c_str());
    }

    void write(const std::string& file, const std::string& text) {
        for (std::size_t at = file.find('/', 1); at != file.npos; at = file.find('/', at + 1)) {
            const std::string folder = path_ + file.substr(0, at);
            if (::mkdir(folder.c_str(), 0700) == 0) made_.push_back(folder);
        }
        made_.push_back(path_ + file);
        const Fd fd{::open(made_.back().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600)};
        CHECK(::write(fd.get(), text.data(), text.size()) == static_cast<::ssize_t>(text.size()));
    }

    [[nodiscard]] std::optional<std::size_t> cpus(CgroupVersion version) const {
        return cgroup_cpus(path_ + "/proc", path_, version);
    }

  private:
    std::string path_;
    std::vector<std::string> made_;
};

const std::string v2_mount =
    "24 1 0:22 / /proc rw shared:5 - proc proc rw\n"
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

}  // namespace

TEST_CASE("quotas are rounded up, and no quota is no limit") {
    CHECK(cpus_of_max("200000 100000\n") == 2);
    CHECK(cpus_of_max("150000 100000\n") == 2);
    CHECK(cpus_of_max("1000 100000\n") == 1);
    CHECK(cpus_of_max("max 100000\n") == std::nullopt);
    CHECK(cpus_of_max("") == std::nullopt);
    CHECK(cpus_of_max("100000 0\n") == std::nullopt);
    CHECK(cpus_of_quota("-1\n", "100000\n") == std::nullopt);
    CHECK(cpus_of_quota("350000\n", "100000\n") == 4);
    CHECK(cpus_of_quota("nonsense", "100000") == std::nullopt);
}

TEST_CASE("the group of a process is told apart by version and controller") {
    const std::string text = "9:name=systemd:/s\n5:cpuset:/set\n4:cpuacct,cpu:/a:b\n0::/two\n";
    CHECK(cgroup_path(text, CgroupVersion::v1) == "/a:b");
    CHECK(cgroup_path(text, CgroupVersion::v2) == "/two");
    CHECK(cgroup_path("5:cpuset:/set\n", CgroupVersion::v1) == std::nullopt);
    CHECK(cgroup_path("", CgroupVersion::v2) == std::nullopt);
}

TEST_CASE("the smallest limit up the groups of version 2 counts") {
    Root root;
    root.write("/proc/cgroup", "0::/a/b/c\n");
    root.write("/proc/mountinfo", v2_mount);
    root.write("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    CHECK(root.cpus(CgroupVersion::v2) == std::nullopt);
    root.write("/sys/fs/cgroup/a/cpu.max", "250000 100000\n");
    CHECK(root.cpus(CgroupVersion::v2) == 3);
    root.write("/sys/fs/cgroup/a/b/cpu.max", "400000 100000\n");
    CHECK(root.cpus(CgroupVersion::v2) == 3);
    root.write("/sys/fs/cgroup/cpu.max", "50000 100000\n");
    CHECK(root.cpus(CgroupVersion::v2) == 1);
    CHECK(root.cpus(CgroupVersion::v1) == std::nullopt);
}

TEST_CASE("in a container the topmost folder is the container's group") {
    Root root;
    root.write("/proc/cgroup", "3:cpu,cpuacct:/docker/1234/inner\n");
    root.write("/proc/mountinfo",
               "33 24 0:29 /docker/1234 /sys/fs/cgroup/cpu ro master:11 - cgroup cgroup "
               "rw,cpu,cpuacct\n");
    root.write("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "300000\n");
    root.write("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    CHECK(root.cpus(CgroupVersion::v1) == 3);
    root.write("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "100000\n");
    root.write("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "50000\n");
    CHECK(root.cpus(CgroupVersion::v1) == 2);
    CHECK(root.cpus(CgroupVersion::v2) == std::nullopt);
}

TEST_CASE("a group above what is mounted counts as the topmost folder") {
    Root root;
    root.write("/proc/cgroup", "0::/../other\n");
    root.write("/proc/mountinfo", "30 23 0:26 /mine /cg rw - cgroup2 cgroup2 rw\n");
    root.write("/cg/cpu.max", "100000 50000\n");
    CHECK(root.cpus(CgroupVersion::v2) == 2);
}

TEST_CASE("the usable CPUs are at least one, and not more than the affinity mask has") {
    CHECK(usable_cpus() >= 1);
    CHECK(usable_cpus() <= affinity_cpus());
    std::size_t on_one = 0;
    std::thread{[&] {  // The mask is the thread's.
        ::cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<std::size_t>(::sched_getcpu()), &one);
        if (::sched_setaffinity(0, sizeof one, &one) == 0) on_one = usable_cpus();
    }}
        .join();
    CHECK(on_one == 1);
}

}  // namespace posix_cpu_count_test
