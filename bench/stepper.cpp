// Counts the instructions that this thread executes, by trapping after each one. x86-64 Linux.
#include <signal.h>
#include <ucontext.h>

#include <cstdint>

namespace {

constexpr std::uint64_t trap_flag = 1 << 8;
volatile std::int64_t count;
volatile std::int64_t last;
struct sigaction previous;

// A repeated string instruction traps once per repetition.
void on_trap(int, siginfo_t*, void* context) {
    const std::int64_t at = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP];
    if (at != last) count = count + 1;
    last = at;
}

std::uint64_t flags() {
    std::uint64_t f;
    asm volatile("pushfq; popq %0" : "=r"(f));
    return f;
}
void set_flags(std::uint64_t f) { asm volatile("pushq %0; popfq" ::"r"(f) : "cc", "memory"); }

}  // namespace

extern "C" void start_counting() {
    struct sigaction action {};
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, &previous);
    count = 0;
    set_flags(flags() | trap_flag);
}

// What lies between the two functions' bodies counts too; take differences.
extern "C" std::int64_t stop_counting() {
    set_flags(flags() & ~trap_flag);
    sigaction(SIGTRAP, &previous, nullptr);
    return count;
}
