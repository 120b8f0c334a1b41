// SPDX-License-Identifier: MIT
//
// A process draws into a picture that lies in memory which this one has, too: nothing is copied.
#include <cstddef>
#include <iostream>
#include <string>

#include <muster/muster.hpp>

using muster::multiprocessing::Process;
using muster::multiprocessing::SharedMemory;

constexpr std::size_t width = 24, height = 5;

void draw_diagonals(SharedMemory picture) {
    const auto pixels = picture.span();
    for (std::size_t x = 0; x < width; ++x) {
        const std::size_t fall = x % (2 * height - 2);
        const std::size_t y = fall < height ? fall : 2 * height - 2 - fall;
        pixels[y * width + x] = std::byte{'#'};
    }
}

int main() {
    muster::entry_guard();

    SharedMemory picture(width * height);
    Process painter(draw_diagonals, picture);
    painter.start();
    painter.join();

    for (std::size_t y = 0; y < height; ++y) {
        std::string line;
        for (const std::byte pixel : picture.span().subspan(y * width, width))
            line += pixel == std::byte{0} ? '.' : std::to_integer<char>(pixel);
        std::cout << line << '\n';
    }
}

// Output:
// #.......#.......#.......
// .#.....#.#.....#.#.....#
// ..#...#...#...#...#...#.
// ...#.#.....#.#.....#.#..
// ....#.......#.......#...
