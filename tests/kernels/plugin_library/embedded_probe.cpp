// Lists what is embedded, or writes SIZE bytes of binary INDEX: `embedded_probe [INDEX SIZE]`.
#include <cstdio>
#include <cstdlib>

#include "binaries.hpp"

int main(int count, char** arguments) {
    const std::vector<edgefer::Binary>& all = edgefer::binaries();
    if (count == 3) {
        std::fwrite(all.at(std::atoi(arguments[1])).image, 1, std::atoi(arguments[2]), stdout);
        return 0;
    }
    for (const edgefer::Binary& each : all) {
        std::printf("%s %d.%d %d %d\n", each.name, each.major, each.minor, each.ptx, each.exact);
    }
    return 0;
}
