// Four threads spin: CPU time is their sum.
// expect: cpu_time_limit
#include <thread>
#include <vector>
int main() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++) threads.emplace_back([] { volatile unsigned long x = 0; for (;;) x = x + 1; });
    for (auto &thread : threads) thread.join();
}
